"""The exception tree. The type says whether to try again; facts are attributes, the text is built from them.

GridwardenError
├── ConfigError         a person must act: configuration, rule file, mapping, registry file (exit 2)
├── Damaged             a file of ours is not what was written: a person must restore it
├── DecodeError         this payload can never be read: set it aside, go on
├── Refused             a command that may not be carried out as things stand; ``code`` says why
│   ├── NotFound
│   └── Forbidden
└── Unavailable         try again: the other side is down or busy
    ├── BrokerUnavailable
    ├── CoreUnavailable
    └── RecordsUnavailable
        └── RecordsCorrupt
"""

from __future__ import annotations

from pathlib import Path

REASON_LIMIT = 1_000
"""Longest reason told, characters: it may quote what was found, and that may be a whole file."""
_PLACE_LIMIT, _PATH_LIMIT = 300, 4096


class GridwardenError(Exception):
    """Base of everything this program raises on purpose."""


class ConfigError(GridwardenError):
    """Something a person wrote cannot be used: where, what is wrong, what would be right."""

    def __init__(self, reason: str, *, path: Path | str | None = None, place: str = "") -> None:
        self.path = None if path is None else _shown(str(path), _PATH_LIMIT)
        self.place = _shown(place, _PLACE_LIMIT)
        self.reason = _shown(reason, REASON_LIMIT)
        where = ": ".join(part for part in (self.path, self.place) if part)
        super().__init__(f"{where}: {self.reason}" if where else self.reason)


def quoted(value: object, limit: int = 80) -> str:
    """``value`` as it can be told of: a number of thousands of digits, or lists without end, has no text in Python."""
    try:
        return repr(value)[:limit]
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"


def _shown(text: str, limit: int) -> str:
    """``text`` in a length that can be read, and without half a character, which no terminal or file takes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class Damaged(GridwardenError):
    """A file of the data directory is gone or not what was written: which, what is wrong, what to do. Nothing was changed."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        self.path = path
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{path}: {reason}. {remedy}")


class DecodeError(GridwardenError):
    """Bytes from outside that cannot become readings.

    ``code`` is one stable word for statistics and catalogues, ``detail`` names the place.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)


class Refused(GridwardenError):
    """A command that is understood but may not be carried out."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)


class NotFound(Refused):
    """What the command names does not exist (or may not be seen by the one who asks)."""


class Forbidden(Refused):
    """The one who asks has no right to it."""


class Unavailable(GridwardenError):
    """Try again later."""


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached or refuses the session."""


class CoreUnavailable(Unavailable):
    """Core does not answer on the link."""


class RecordsUnavailable(Unavailable):
    """The records database cannot commit (disk full, I/O error)."""


class RecordsCorrupt(RecordsUnavailable):
    """The records database is damaged: trying again will not help, restoring it will."""
