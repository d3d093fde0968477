"""What only the supervisor knows, for its parts: how often it had to start each anew, and how full the broker's store is.

A small file in the data directory, written anew at every interval. It is no truth: where it is missing, damaged or old,
nothing is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "supervised.json"
EVERY_S = 5.0
OLD_MS = 60_000
"""A supervisor that has written nothing for so long is not there, or cannot write."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """What the supervisor has said last."""

    at_ms: int
    restarts: Mapping[str, int] = field(default_factory=dict)
    """By part (``core``, ``web``, ``broker``), since the supervisor was started."""
    store_bytes: int | None = None
    """What the embedded broker has stored; ``None``: there is none, or it does not say."""
    store_limit_bytes: int | None = None
    """At this it refuses what is new."""


def read(data: Path, now_ms: int) -> Supervised | None:
    """What the supervisor of ``data`` has said last; ``None`` where that is not known. Blocking."""
    try:
        found = json.loads((data / FILE).read_bytes())
        said = Supervised(
            int(found["at_ms"]), {str(name): int(count) for name, count in found["restarts"].items()},
            _number(found["store_bytes"]), _number(found["store_limit_bytes"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return said if abs(now_ms - said.at_ms) < OLD_MS else None


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


async def keep_saying(data: Path, say: Callable[[], Awaitable[Supervised]]) -> None:
    """Write what ``say`` gives at every interval, until cancelled; then the file is gone."""
    path = data / FILE
    try:
        while True:
            text = json.dumps(asdict(await say()))
            with contextlib.suppress(OSError):  # a full disk: the next one may go
                await asyncio.to_thread(_replace, path, text)
            await asyncio.sleep(EVERY_S)
    finally:
        path.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    # Not forced to the disk: who starts after a power cut has another supervisor.
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
