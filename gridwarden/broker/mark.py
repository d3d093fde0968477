"""What lay in the broker's store when it was last looked at, kept beside it, and what a later look says of it.

nats-server drops what it cannot read without a word: from a damaged place on, the rest of its block of 4 MB. So the
supervisor keeps, in a file of its own, how many messages waited and what number the last one had. What cannot be known:
messages that came after the last look and are gone with their numbers (with the power, within ``embedded.sync_s``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridwarden.files import replace_durably

FILE = "waiting.json"
LOSSES = "losses.jsonl"
TAKEN_AT_MOST = 100_000
"""So many messages can have been taken in after the last look before a broker or machine that was killed went down."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The message stream at one time."""

    messages: int
    """That waited."""
    last_seq: int
    clean: bool = False
    """Whether it was looked at when nobody could take any more of it: just before the broker was ended in order."""
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Configurations of our own, by name."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages that the broker had acknowledged to gateways, and that are gone."""

    at_least: int
    at_most: int


def compare(mark: Mark, messages: int, last_seq: int) -> Loss | None:
    """What is missing in a store that now holds so many messages, the last of them with this number."""
    came_since = max(0, last_seq - mark.last_seq)
    missing = mark.messages - (messages - came_since)
    if missing <= 0:
        return None
    if mark.clean:
        return Loss(missing, missing)
    if last_seq >= mark.last_seq and missing <= TAKEN_AT_MOST:
        return None  # taken in since
    return Loss(max(0, missing - TAKEN_AT_MOST), missing)


def load(directory: Path) -> Mark | None:
    """The mark in ``directory``; ``None`` where there is none that can be read."""
    try:
        return Mark(**json.loads((directory / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def save(directory: Path, mark: Mark) -> None:
    """Replace it. Waits for the disk.

    Raises:
        OSError: it cannot be written.
    """
    replace_durably(directory / FILE, json.dumps(asdict(mark)).encode())


def enter(directory: Path, loss: Loss, now: datetime | None = None) -> None:
    """Keep ``loss`` for ever.

    Raises:
        OSError: it cannot be written.
    """
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    with (directory / LOSSES).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": at, **asdict(loss)}) + "\n")


def losses(directory: Path) -> list[dict[str, Any]]:
    """Every loss that was ever noticed, with ``at``, ``at_least`` and ``at_most``; a torn line is passed over."""
    try:
        lines = (directory / LOSSES).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and one.keys() >= {"at", "at_least", "at_most"}:
            found.append(one)
    return found
