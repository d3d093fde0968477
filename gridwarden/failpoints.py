"""Named places where a test may stop a process and kill it. Costs one comparison when not armed.

``GRIDWARDEN_FAILPOINT=DIR:NAME[@N]`` pauses the first process that passes ``NAME`` for the ``N``-th time:
it writes ``DIR/NAME.hit`` and waits for ``DIR/NAME.go``. A failpoint that was hit is not hit again,
so a restarted process runs on. Only the tests arm it; the places are listed in ``NAMES``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

NAMES = (
    "receive.before",  # a message lies in the socket, the session has not taken it
    "receive.after",  # taken into a batch, nothing stored
    "commit.before",  # rules have run, the transaction has not begun
    "commit.after",  # the transaction is durable, nothing is acknowledged
    "puback.after",  # the batch is acknowledged
    "history.before",  # the history follower has read blocks and not committed them
    "history.after",  # the history follower has committed
    "push.before",  # the hub has read journal entries and not sent them
    "push.after",  # the hub has handed them to the sockets
)


class _Armed:
    def __init__(self, text: str) -> None:
        directory, _, point = text.rpartition(":")
        name, _, count = point.partition("@")
        if name not in NAMES or not directory:
            msg = f"GRIDWARDEN_FAILPOINT: no failpoint {text!r}; known: {', '.join(NAMES)}"
            raise ValueError(msg)
        self.name = name
        self.left = int(count or 1)
        self.hit = Path(directory) / f"{name}.hit"
        self.go = Path(directory) / f"{name}.go"


_armed = _Armed(os.environ["GRIDWARDEN_FAILPOINT"]) if os.environ.get("GRIDWARDEN_FAILPOINT") else None


def reach(name: str) -> None:
    """Pass the failpoint ``name``: pause there if a test asked for it, else do nothing."""
    if _armed is None or _armed.name != name:
        return
    _armed.left -= 1
    if _armed.left > 0 or _armed.hit.exists():
        return
    _armed.hit.write_text(str(os.getpid()))
    while not _armed.go.exists():
        time.sleep(0.02)
