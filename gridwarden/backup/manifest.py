"""``manifest.json`` of a backup: what it is of, every file with its hash, what is not in it. Ends with its own hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gridwarden.errors import ConfigError

FILE = "manifest.json"
INCOMPLETE = "incomplete"
"""Lies in a backup until it is whole."""
FORMAT = 1
_PIECE = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of a backup."""

    path: str
    """Below the backup's folder, parted by ``/``."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is of the installation and not in the backup."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. Times are ISO 8601, UTC."""

    format: int
    program: str
    """The version that made it."""
    made_at: str
    site: dict[str, str]
    """``name``, ``time_zone``."""
    epoch: str
    """Of the records; a restore renews it."""
    records: dict[str, Any]
    """``offset`` and ``seq`` of the newest transaction and change in it, ``through``: when that was committed; ``schema``."""
    office: dict[str, Any]
    """``schema``."""
    history: dict[str, Any] | None
    """``kind``, ``offset``, ``rows`` (``null``: not kept here); ``null`` when it could not be copied."""
    files: tuple[Kept, ...]
    not_included: tuple[Missing, ...]


class BadBackup(ConfigError):
    """A folder that is no backup, an unfinished or a damaged one, or one of a later program."""


def write(folder: Path, manifest: Manifest) -> str:
    """Write the manifest, durably; its hash."""
    facts = asdict(manifest)
    sha256 = _hash_of(facts)
    path = folder / FILE
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump({**facts, "sha256": sha256}, file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return sha256


def read(folder: Path) -> Manifest:
    """The manifest of the backup in ``folder``.

    Raises:
        BadBackup: there is none, it is unfinished, damaged, or of a later program.
    """
    path = folder / FILE
    if (folder / INCOMPLETE).exists():
        raise BadBackup("was broken off before it was whole; make another one", path=folder)
    try:
        facts = json.loads(path.read_text("utf-8"))
        sha256 = facts.pop("sha256")
        if facts["format"] > FORMAT:
            reason = f"has format {facts['format']}, made by Gridwarden {facts['program']}: this program is older"
            raise BadBackup(reason, path=path)
        if sha256 != _hash_of(facts):
            raise BadBackup("does not have the hash that stands in it: it was changed", path=path)
        files = tuple(Kept(**file) for file in facts.pop("files"))
        missing = tuple(Missing(**one) for one in facts.pop("not_included"))
        return Manifest(**facts, files=files, not_included=missing)
    except FileNotFoundError as error:
        raise BadBackup("is no backup: there is no manifest.json", path=folder) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadBackup(f"cannot be read as a manifest: {error}", path=path) from error


def _hash_of(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def kept(folder: Path, path: Path, read_bytes: Callable[[int], None] = lambda _bytes: None) -> Kept:
    """Size and hash of a file of a backup; tells the bytes as it reads on."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            read_bytes(len(piece))
    return Kept(path.relative_to(folder).as_posix(), size, digest.hexdigest())
