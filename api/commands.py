"""Commands to core over the link: one id each, so that a repeated request acts once."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any

from fastapi import Header
from pydantic_core import to_json

from api.services import Services
from gridwarden.access import Principal

SUBJECTS = ("alarm_id", "event_id", "quieting_id", "kind", "letters", "quarantined")
"""What a command may be about; the first that is there tells it from the same command on something else."""
IdempotencyKey = Annotated[str | None, Header(max_length=80)]


async def send(
    services: Services, asker: Principal, key: str | None, name: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Have core carry ``name`` out in the asker's name; its answer comes after the commit.

    The id holds who asked and what for, so that one person's key can never replay another's command. It is a hash,
    for cut to a length two keys could become one, and the second command would not be done.
    """
    subject = next((params[name] for name in SUBJECTS if params.get(name)), "")
    parts = to_json([asker.user_id, name, subject, key or secrets.token_hex(12)])
    command_id = f"{name}/{hashlib.blake2b(parts, digest_size=24).hexdigest()}"
    return await services.link.command(command_id, name, {**params, "actor": asker.name})
