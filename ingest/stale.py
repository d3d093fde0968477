"""Sessions that nobody comes back to.

A broker keeps everything for a session that left, up to its bound, and then refuses what is new. So a filter that is
taken out of the configuration must take its session along: the ids in use are kept in a file, and those that are no
longer in use are ended by a clean connect.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import structlog

from gridwarden.config import Broker
from gridwarden.errors import ConfigError
from gridwarden.files import replace_durably
from ingest.mqtt import client_ids
from ingest.transport import tls_context

log = structlog.get_logger(__name__)

TIMEOUT_S = 10.0


async def forget_stale(file: Path, brokers: Sequence[Broker]) -> list[str]:
    """End the sessions that ``file`` knows of at ``brokers`` and that no filter uses now; gives their ids.

    One that cannot be ended now stays in the file for the next time. Call it before the sessions start.

    Raises:
        ConfigError: the file is not ours.
    """
    known = _load(file)
    ended = []
    for broker in brokers:
        used = client_ids(broker)
        kept = []
        for one in known.get(broker.name, []):
            if one in used:
                continue
            if await _end(broker, one):
                ended.append(one)
            else:
                kept.append(one)
        known[broker.name] = [*used, *kept]
    replace_durably(file, json.dumps(known, indent=1).encode())
    return ended


async def _end(broker: Broker, session_id: str) -> bool:
    """Whether the broker has forgotten the session: a clean connect discards it in both versions."""
    v5 = broker.version == "5"
    clean: dict[str, Any] = {"clean_start": True} if v5 else {"clean_session": True}
    try:
        async with aiomqtt.Client(
            broker.host, broker.port, username=broker.username, identifier=session_id, timeout=TIMEOUT_S,
            password=broker.password.get_secret_value() if broker.password is not None else None,
            protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
            tls_context=None if broker.tls is None else tls_context(broker.tls), **clean,
        ):  # fmt: skip
            log.info("session.ended", broker=broker.name, client_id=session_id)
            return True
    except (aiomqtt.MqttError, OSError) as error:
        log.warning("session.not_ended", broker=broker.name, client_id=session_id, reason=str(error))
        return False


def _load(file: Path) -> dict[str, list[str]]:
    try:
        known: dict[str, list[str]] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError("not a file of ours; remove it", path=file) from error
    return known
