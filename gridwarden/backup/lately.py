"""When the last backup was made: one small file in the data directory, so that somebody notices when there is none."""

from __future__ import annotations

from pathlib import Path

from gridwarden.files import replace_durably

FILE = "last_backup"
HOUR_MS = 3_600_000


def note(data: Path, now_ms: int) -> None:
    """A backup of ``data`` has just been made.

    Raises:
        OSError: it cannot be written down.
    """
    replace_durably(data / FILE, f"{now_ms}\n".encode())


def age_h(data: Path, now_ms: int) -> float | None:
    """Hours since the last one; ``None`` where none is known of. Blocking."""
    try:
        at_ms = int((data / FILE).read_bytes()[:32])
    except (OSError, ValueError):
        return None
    return max(0.0, (now_ms - at_ms) / HOUR_MS)
