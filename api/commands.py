"""Commands to core over the link: one id each, so that a repeated request acts once."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import Header

from api.services import Services
from gridwarden.access import Principal

IdempotencyKey = Annotated[str | None, Header(max_length=80)]


async def send(
    services: Services, asker: Principal, key: str | None, name: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Have core carry ``name`` out in the asker's name; its answer comes after the commit.

    The id holds who asked and what for, so that one person's key can never replay another's command.
    """
    subject = params.get("alarm_id") or params.get("event_id") or ""
    command_id = f"{asker.user_id}/{name}/{subject}/{key or secrets.token_hex(12)}"[:128]
    return await services.link.command(command_id, name, {**params, "actor": asker.name})
