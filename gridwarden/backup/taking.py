"""Taking a backup, of an instance at work or of its files at rest. Runs in a thread; the caller hands in what differs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridwarden import __version__
from gridwarden.backup.configuration import keep_configuration
from gridwarden.backup.manifest import FORMAT, INCOMPLETE, Manifest, Missing, kept, write
from gridwarden.config import Config
from gridwarden.errors import Refused, Unavailable
from gridwarden.history import Frozen, History
from gridwarden.history.copying import copy_file, link_or_copy
from gridwarden.records import copying, database

OFFICE = "office.db"
HISTORY = "history"
SMALL = ("sessions.json", "basemap.geojson", "broker/secrets.json")
"""Further files of the data directory, where they are there."""
SPARE_BYTES = 256 * 2**20
"""What must be left on the disk afterwards: a backup that fills the disk would be the damage it is there for."""
PART = ".part"
Tell = Callable[[str, float], None]
"""What is being done and the share that is done of all; what it raises breaks the backup off."""
BROKER_STORE = Missing(
    "messages that wait in the embedded broker",
    "a copy of its store while it runs is not sound; the running instance still takes them in",
)


@dataclass(slots=True)
class Source:
    """What a backup is taken of."""

    config: Config
    config_path: Path | None
    history: History
    copy_records: Callable[[Path, Callable[[int], None]], None]
    """Makes a whole copy of the records at a path; tells bytes as they come."""
    pinned: Callable[[], AbstractContextManager[None]]
    """Within its block core keeps every block that the history had not followed at its beginning."""


@dataclass(slots=True)
class _Meter:
    tell: Tell
    total: int
    done: int = 0
    what: str = ""

    def begin(self, what: str) -> None:
        self.what = what
        self.add(0)

    def add(self, number: int) -> None:
        self.done += number
        self.tell(self.what, min(1.0, self.done / max(1, self.total)))


@dataclass(slots=True)
class _Found:
    history: dict[str, Any] | None = None
    missing: list[Missing] = field(default_factory=list)


def take(source: Source, folder: Path, tell: Tell) -> dict[str, Any]:
    """Make the backup ``folder``; what it holds. Nothing has that name before everything in it is durable.

    Raises:
        Refused: ``folder`` exists, or there is no room.
        Unavailable: core is down, a file cannot be read or written; nothing is left behind.
    """
    size = _size(source)
    with _part_of(folder, size) as part:
        meter = _Meter(tell, 2 * size)
        found = _copy(source, part, meter)
        meter.begin("hashing")
        paths = sorted(path for path in part.rglob("*") if path.is_file() and path.name != INCOMPLETE)
        files = tuple(kept(part, path, meter.add) for path in paths)
        manifest = Manifest(
            FORMAT, __version__, datetime.now(UTC).isoformat(timespec="milliseconds"),
            {"name": source.config.site.name, "time_zone": source.config.site.time_zone},
            files=files, not_included=tuple(found.missing), history=found.history, **_stand(part),
        )  # fmt: skip
        sha256 = write(part, manifest)
    facts = asdict(manifest)
    facts |= {"folder": str(folder), "bytes": sum(file.bytes for file in files), "files": len(files), "sha256": sha256}
    return facts


def _copy(source: Source, part: Path, meter: _Meter) -> _Found:
    data = source.config.data
    found = _Found()
    with ExitStack() as frozen_files:
        with source.pinned():
            meter.begin("history")
            frozen = _freeze(source, part, found, frozen_files, meter)
            meter.begin("records")
            source.copy_records(part / database.FILE, meter.add)
        if frozen:
            meter.begin("history")
            for path, name in frozen.files:
                link_or_copy(path, part / HISTORY / name, meter.add)
    meter.begin("office")
    with closing(sqlite3.connect(f"{(data / OFFICE).absolute().as_uri()}?mode=ro", uri=True)) as office:
        copying.copy(office, part / OFFICE, pages=copying.ALL)
    meter.add((part / OFFICE).stat().st_size)
    for name in SMALL:
        if (data / name).exists():
            (part / name).parent.mkdir(mode=0o700, exist_ok=True)
            copy_file(data / name, part / name)
    found.missing += keep_configuration(source.config, source.config_path, part / "configuration")
    if source.config.embedded.enabled:
        found.missing.append(BROKER_STORE)
    return found


def _freeze(source: Source, part: Path, found: _Found, stack: ExitStack, meter: _Meter) -> Frozen | None:
    """The history, where it is open: a broken one must not keep anybody from a backup of the records."""
    try:
        source.history.offset()
    except Unavailable as error:
        found.missing.append(Missing("the history", str(error)))
        return None
    frozen = stack.enter_context(source.history.frozen(part / HISTORY))
    meter.add(sum(path.stat().st_size for path in (part / HISTORY).iterdir()))
    kind = source.config.history.kind
    found.history = {"kind": kind, "epoch": frozen.epoch, "offset": frozen.offset, "rows": frozen.rows}
    if frozen.missing:
        found.missing.append(Missing("the history's readings", frozen.missing))
    return frozen


def _stand(part: Path) -> dict[str, Any]:
    """How far the copied databases are."""
    with closing(
        sqlite3.connect(f"{(part / database.FILE).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    ) as records:
        (offset,) = records.execute('SELECT coalesce(max("offset"), 0) FROM intake_block').fetchone()
        (through_ms,) = records.execute("SELECT coalesce(max(committed_at_ms), 0) FROM intake_block").fetchone()
        (seq,) = records.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        (epoch,) = records.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        (schema,) = records.execute("SELECT version_num FROM alembic_version").fetchone()
    with closing(sqlite3.connect(f"{(part / OFFICE).absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as office:
        (office_schema,) = office.execute("SELECT version_num FROM alembic_version").fetchone()
    return {
        "epoch": epoch,
        "records": {"offset": offset, "seq": seq, "through": _iso(through_ms), "schema": schema},
        "office": {"schema": office_schema},
    }


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _size(source: Source) -> int:
    """What will be copied, bytes, as far as can be known beforehand; a little more than less."""
    data = source.config.data
    files = [data / database.FILE, data / OFFICE, *(data / name for name in SMALL)]
    files += [path for path in (data / HISTORY).rglob("*") if "snapshots" not in path.parts]
    return sum(path.stat().st_size for path in files if path.is_file())


@contextmanager
def _part_of(folder: Path, size: int) -> Iterator[Path]:
    """A folder beside ``folder`` that takes its name at the end of the block, or is removed when that fails."""
    part = folder.with_name(folder.name + PART)
    if folder.exists():
        raise Refused("backup_exists", str(folder))
    if part.exists() and not (part / INCOMPLETE).exists():
        raise Refused("backup_exists", str(part))
    try:
        shutil.rmtree(part, ignore_errors=True)  # of one that was broken off
        part.mkdir(mode=0o700)
        (part / INCOMPLETE).touch(0o600)
        free = shutil.disk_usage(part).free
        if free < size + SPARE_BYTES:
            needed = size + SPARE_BYTES
            raise Unavailable(f"{folder.parent}: not enough room: {needed:,} bytes are needed, {free:,} are free")
        yield part
        (part / INCOMPLETE).unlink()
        _sync(part)
        part.rename(folder)
        _sync_directory(folder.parent)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"the backup could not be written, nothing is left of it: {error}") from error
    finally:
        if (part / INCOMPLETE).exists() or not folder.exists():
            shutil.rmtree(part, ignore_errors=True)


def _sync(folder: Path) -> None:
    for directory in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
