"""Named places where a test may stop a process and kill it. Costs one comparison when not armed.

``GRIDWARDEN_FAILPOINT=DIR:NAME[@N]`` pauses the first process that passes ``NAME`` for the ``N``-th time:
it writes ``DIR/NAME.hit`` and waits for ``DIR/NAME.go``. A failpoint that was hit is not hit again,
so a restarted process runs on. ``GRIDWARDEN_FAILPOINT=file:PATH`` reads ``DIR:NAME[@N]`` from the file ``PATH``
whenever a failpoint is passed, so that a process that runs already can be armed; no file, or an empty one: not armed.
Only the tests arm it; the places are listed in ``NAMES``.
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


_FILE = "file:"


class _Point:
    """One failpoint, and how often it is still to be passed before it pauses."""

    def __init__(self, text: str) -> None:
        directory, _, point = text.rpartition(":")
        name, _, count = point.partition("@")
        if name not in NAMES or not directory:
            msg = f"GRIDWARDEN_FAILPOINT: no failpoint {text!r}; known: {', '.join(NAMES)}"
            raise ValueError(msg)
        self._name = name
        self._left = int(count or 1)
        self._hit = Path(directory) / f"{name}.hit"
        self._go = Path(directory) / f"{name}.go"

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left > 0 or self._hit.exists():
            return
        self._hit.write_text(str(os.getpid()))
        while not self._go.exists():
            time.sleep(0.02)


class _PointOfFile:
    """The failpoint that stands in a file now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._point: _Point | None = None

    def reach(self, name: str) -> None:
        text = self._path.read_text().strip() if self._path.exists() else ""
        if text != self._text:
            self._text, self._point = text, _Point(text) if text else None
        if self._point is not None:
            self._point.reach(name)


def _arm(text: str) -> _Point | _PointOfFile | None:
    if text.startswith(_FILE):
        return _PointOfFile(Path(text.removeprefix(_FILE)))
    return _Point(text) if text else None


_armed = _arm(os.environ.get("GRIDWARDEN_FAILPOINT", ""))


def reach(name: str) -> None:
    """Pass the failpoint ``name``: pause there if a test asked for it, else do nothing."""
    if _armed is not None:
        _armed.reach(name)
