"""A backup becomes a data directory again: checked first, with a new identity, and what has passed since left open.

Nothing is deleted: a directory that was there is moved aside. A restore that is broken off leaves a mark, with which
nothing starts, and is done again from the beginning.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gridwarden.backup import manifest as manifests
from gridwarden.backup.manifest import BadBackup, Kept, Manifest
from gridwarden.broker import credentials
from gridwarden.cases.book import skipped
from gridwarden.errors import ConfigError, Refused, Unavailable
from gridwarden.history.copying import copy_file, make_private
from gridwarden.model import Change, Operation
from gridwarden.office.migrate import refuse_later as refuse_later_office
from gridwarden.records import database
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

RESTORING = "restoring"
"""Lies in a data directory until it is whole."""
OFFICE = "office.db"
BROKER = "broker"
STORE = "js"
CONFIGURATION = "configuration/"
OWN = {"lock", RESTORING}
"""What may lie in an empty data directory."""
DAYS_BEFORE = 7
"""So far back a reading that came late may have opened a case after the backup."""
SPARE_BYTES = 256 * 2**20
Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and what is not there."""

    data: str
    epoch: str
    """The new one."""
    made_at: str
    records: dict[str, Any]
    """``through``: everything committed later is not there."""
    history: dict[str, Any] | None
    moved_aside: str | None
    """Where the directory is that was there before."""
    broker_bytes: int
    """Of messages that waited in the broker's store there, and are still to be taken in."""
    not_included: tuple[dict[str, str], ...]
    configuration: str
    """Where the configuration of the backup lies; it is not put anywhere."""


def check_hashes(folder: Path, found: Manifest, tell: Tell) -> list[tuple[Kept, str]]:
    """Every file of the backup against its hash; those that are not what they were, each with what is wrong."""
    total, done = max(1, sum(file.bytes for file in found.files)), 0
    faults = []

    def read(number: int) -> None:
        nonlocal done
        done += number
        tell("checking", min(1.0, done / total))

    for file in found.files:
        try:
            there = manifests.kept(folder, folder / file.path, read)
        except OSError as error:
            faults.append((file, error.strerror or str(error)))
            continue
        if there.bytes != file.bytes:
            faults.append((file, f"has {there.bytes} bytes, not {file.bytes}"))
        elif there.sha256 != file.sha256:
            faults.append((file, "is not what was written: its hash is another one"))
    return faults


def refuse_half_restored(data: Path) -> None:
    """Look whether a restore into ``data`` was broken off.

    Raises:
        ConfigError: it was.
    """
    if (data / RESTORING).exists():
        raise ConfigError("a restore was broken off here: do it again, it begins anew", path=data)


def restore(folder: Path, data: Path, now_ms: int, tell: Tell, *, replace: bool = False) -> Restored:
    """Make ``data`` from the backup in ``folder``. Nobody may be at work there, which the caller sees to.

    Args:
        folder: the backup.
        data: missing or empty, or with ``replace`` anything.
        now_ms: the time it is, for the journal.
        tell: what is being done, and the share of it.
        replace: move aside what is there; what waits in its broker's store is copied over.

    Raises:
        BadBackup: the backup is damaged, unfinished, or of a later program. Nothing was done.
        Refused: ``data`` is not empty.
        Unavailable: no room, or a file cannot be written; ``data`` then says that it is not whole.
    """
    found = manifests.read(folder)
    faults = check_hashes(folder, found, tell)
    if faults:
        file, reason = faults[0]
        raise BadBackup(f"{reason} ({len(faults)} of {len(found.files)} files are damaged)", path=folder / file.path)
    try:
        aside = _make_place(data, found, replace=replace)
        wanted = [file for file in found.files if not file.path.startswith(CONFIGURATION)]
        _copy(folder, data, wanted, tell)
        carried = _carry_over(aside, data) if aside else 0
        epoch = _begin_anew(data, found, now_ms)
        (data / RESTORING).unlink()
    except OSError as error:
        raise Unavailable(f"{data}: not restored: {error}; do it again, it begins anew") from error
    return Restored(
        str(data), epoch, found.made_at, found.records, found.history, str(aside) if aside else None, carried,
        tuple(asdict(one) for one in found.not_included), str(folder / CONFIGURATION),
    )  # fmt: skip


def _make_place(data: Path, found: Manifest, *, replace: bool) -> Path | None:
    """An empty ``data`` with our mark; where its contents were moved to, if it had any."""
    aside = None
    there = {path.name for path in data.iterdir()} - OWN if data.exists() else set()
    if there and (data / RESTORING).exists():  # only our own of before: it began with an empty one
        for name in there:
            _remove(data / name)
        aside = _aside_of(data)
    elif there and not replace:
        raise Refused("data_not_empty", str(data))
    elif there:
        aside = data.with_name(f"{data.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        data.rename(aside)
    make_private(data)
    data.chmod(0o700)
    needed, free = sum(file.bytes for file in found.files) + SPARE_BYTES, shutil.disk_usage(data).free
    if free < needed:
        raise Unavailable(f"{data}: not enough room: {needed:,} bytes are needed, {free:,} are free")
    (data / RESTORING).write_text(str(aside or ""))
    return aside


def _aside_of(data: Path) -> Path | None:
    """Where a restore that was broken off had moved what was there."""
    name = (data / RESTORING).read_text()
    return Path(name) if name else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _copy(folder: Path, data: Path, files: Iterable[Kept], tell: Tell) -> None:
    files = tuple(files)
    total, done = max(1, sum(file.bytes for file in files)), 0

    def copied(number: int) -> None:
        nonlocal done
        done += number
        tell("copying", min(1.0, done / total))

    for file in files:
        target = data / file.path
        make_private(target.parent)
        copy_file(folder / file.path, target, copied)


def _carry_over(aside: Path, data: Path) -> int:
    """What waits in the broker's store was acknowledged to gateways and is in no backup; their passwords go with it."""
    store = aside / BROKER / STORE
    if not store.is_dir():
        return 0
    make_private(data / BROKER)
    shutil.copytree(store, data / BROKER / STORE)
    try:
        credentials.load(aside / BROKER)
    except ConfigError:
        pass  # those of the backup, then
    else:
        shutil.copy2(aside / BROKER / credentials.FILE, data / BROKER / credentials.FILE)
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def _begin_anew(data: Path, found: Manifest, now_ms: int) -> str:
    """Another identity, a word in the journal, case numbers beyond those that may have been given since."""
    refuse_later_office(data / OFFICE)
    database.migrate(data)
    engine = database.connect(data)
    with engine.begin() as connection:
        epoch = database.renew_epoch(connection, found.records["offset"])
    engine.dispose()
    with closing(Writer(data)) as writer:
        start = writer.start()
        detail = {"backup_made_at": found.made_at, "backup_epoch": found.epoch, **_stand(found)}
        transaction = Transaction(now_ms)
        transaction.changes.append(Change(Operation.RECORDS_RESTORED, now_ms, detail=detail))
        transaction.counters |= skipped(start.counters, _days(found, now_ms))
        writer.commit(transaction)
    return epoch


def _stand(found: Manifest) -> dict[str, Any]:
    return {name: found.records[name] for name in ("offset", "seq", "through")}


def _days(found: Manifest, now_ms: int) -> list[date]:
    """Days, as cases count them, on which one may have been opened after the backup."""
    zone = ZoneInfo(found.site["time_zone"])
    first = datetime.fromisoformat(found.made_at).astimezone(zone).date() - timedelta(days=DAYS_BEFORE)
    last = datetime.fromtimestamp(now_ms / 1000, zone).date() + timedelta(days=1)  # a device's clock may be ahead
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
