"""What only the owner of the data directory may do, over its own Unix socket: import, users. The CLI's other end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from api.services import Given, Services
from gridwarden.access import Role
from gridwarden.errors import ConfigError, NotFound, Unavailable
from gridwarden.history import History
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.history.snapshots import Snapshot
from gridwarden.office.accounts import User
from gridwarden.office.basemap import import_basemap
from gridwarden.office.coordinates import Crs
from gridwarden.office.importing import ImportReport, Progress, import_file


def only_local(request: Request) -> None:
    """To everybody else this does not exist."""
    if not request.scope.get("gridwarden.local"):
        raise NotFound("not_found", request.url.path)


OWNER = "local"
"""Who acts, for the journal: whoever owns the data directory."""
router = APIRouter(prefix="/local", dependencies=[Depends(only_local)], include_in_schema=False)


class ImportOrder(BaseModel):
    """A file of this machine to import."""

    model_config = ConfigDict(extra="forbid")
    what: Literal["areas", "devices", "resources", "basemap"]
    path: Path
    mapping: str | None = None
    crs: Crs = Crs.WGS84
    encoding: str = "utf-8"
    dry_run: bool = False


class NewUser(BaseModel):
    """An account to make."""

    model_config = ConfigDict(extra="forbid")
    name: str
    role: Role
    areas: list[str] = Field(min_length=1)
    password: str


@router.post("/import")
async def import_registry(order: ImportOrder, services: Given) -> StreamingResponse:
    """One JSON line per step of progress, then ``{"report"}`` or ``{"error"}``."""
    return StreamingResponse(_import(order, services), media_type="application/x-ndjson")


async def _import(order: ImportOrder, services: Services) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def progress(share: float, rows: int) -> None:
        loop.call_soon_threadsafe(steps.put_nowait, {"share": share, "rows": rows})

    def work() -> dict[str, Any]:
        try:
            report = _take(order, services, progress)
        except (ConfigError, Unavailable, OSError, LookupError) as error:
            return {"error": str(error)}
        return {"report": {**asdict(report), "errors": [str(error) for error in report.errors], "ok": report.ok}}

    working = asyncio.create_task(asyncio.to_thread(work), name="import")
    working.add_done_callback(lambda _: steps.put_nowait({}))
    while step := await steps.get():
        yield to_json(step) + b"\n"
    result = await working
    if result.get("report", {}).get("version") is not None:
        services.on_registry_change()
    yield to_json(result) + b"\n"


def _take(order: ImportOrder, services: Services, progress: Progress) -> ImportReport:
    if order.what == "basemap":
        return import_basemap(services.config.data, order.path, crs=order.crs, dry_run=order.dry_run, progress=progress)
    return import_file(
        services.office, order.what, order.path, mapping=order.mapping, crs=order.crs, encoding=order.encoding,
        dry_run=order.dry_run, progress=progress,
    )  # fmt: skip


class SnapshotOrder(BaseModel):
    """A part of the history to freeze for a command that reads it by itself."""

    model_config = ConfigDict(extra="forbid")
    kinds: list[str]
    from_ms: int
    to_ms: int


@router.post("/history/snapshot")
async def snapshot_history(order: SnapshotOrder, services: Given) -> StreamingResponse:
    """One JSON line when it is done, ``{"directory"}`` or ``{"error"}``; whoever asked removes the directory."""
    return StreamingResponse(_snapshot(order, services), media_type="application/x-ndjson")


async def _snapshot(order: SnapshotOrder, services: Services) -> AsyncIterator[bytes]:
    try:
        frozen = await asyncio.to_thread(_freeze, services.history, order)
    except Unavailable as error:
        yield to_json({"error": str(error)}) + b"\n"
    else:
        yield to_json({"directory": str(frozen.directory.absolute())}) + b"\n"


def _freeze(history: History, order: SnapshotOrder) -> Snapshot:
    if isinstance(history, DuckDBHistory):
        return history.snapshot(order.kinds, order.from_ms, order.to_ms)
    history.offset()  # one that could not be opened says why
    raise Unavailable('only the embedded history ([history] kind = "duckdb") can be read as a whole')


class BackupOrder(BaseModel):
    """A folder of this machine, not there yet, that is to become a backup."""

    model_config = ConfigDict(extra="forbid")
    folder: Path


@router.post("/backup")
async def take_backup(order: BackupOrder, services: Given) -> StreamingResponse:
    """One JSON line per step of progress, then ``{"backup"}`` or ``{"error", "code"}``."""
    if services.backups is None:
        raise NotFound("not_found", "backup")
    steps = services.backups.take(order.folder)
    return StreamingResponse((to_json(step) + b"\n" async for step in steps), media_type="application/x-ndjson")


class RulesOrder(BaseModel):
    """Other rules, or only what they would change."""

    model_config = ConfigDict(extra="forbid")
    dry_run: bool = False


@router.post("/rules")
async def reload_rules(order: RulesOrder, services: Given) -> dict[str, Any]:
    """Have the rule files read anew, all or none of them; what that changes."""
    command_id = f"rules/{secrets.token_hex(12)}"
    return await services.link.command(command_id, "rules", {"actor": OWNER, "dry_run": order.dry_run})


@router.get("/users")
def users(services: Given) -> dict[str, Any]:
    """All accounts."""
    return {"users": [_user(user) for user in services.accounts.users()]}


@router.post("/users", status_code=201)
def add_user(new: NewUser, services: Given) -> dict[str, Any]:
    """Make an account."""
    return _user(services.accounts.create_user(new.name, new.role, new.areas, new.password))


class NewPassword(BaseModel):
    """A password to set."""

    model_config = ConfigDict(extra="forbid")
    password: str


class NewToken(BaseModel):
    """An API token to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=80)


@router.put("/users/{name:path}/password", status_code=204)
def set_password(name: str, new: NewPassword, services: Given) -> None:
    """Set a password; every session of the account ends."""
    services.accounts.set_password(_named(services, name).user_id, new.password)


@router.delete("/users/{name:path}", status_code=204)
def disable_user(name: str, services: Given) -> None:
    """Disable an account; what it did stays under its name."""
    services.accounts.change_user(_named(services, name).user_id, disabled=True)


@router.post("/users/{name:path}/tokens", status_code=201)
def add_token(name: str, new: NewToken, services: Given) -> dict[str, Any]:
    """Make an API token; its secret is told this once."""
    token, secret = services.accounts.create_token(_named(services, name).user_id, new.name)
    return {"token_id": token.token_id, "name": token.name, "secret": secret}


def _named(services: Services, name: str) -> User:
    for user in services.accounts.users():
        if user.name == name:
            return user
    raise NotFound("no_such_user", name)


def _user(user: User) -> dict[str, Any]:
    return {"user_id": user.user_id, "name": user.name, "role": user.role, "areas": user.areas,
            "disabled": user.disabled}  # fmt: skip
