"""The subscriptions to the message stream, as JetStream keeps them.

nats-server gives a subscription its ``ack_wait`` and its window when it is made, and never again: neither a restart nor a
reload with another configuration changes them, while a session's own limit does follow the configuration. With a smaller
limit than its subscription's, a session drops what it may not send until ``ack_wait`` is over. So we set them ourselves.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.client import Client

from gridwarden.broker.config_file import ACK_WAIT_S
from gridwarden.broker.stream import STREAM, ask, connected
from gridwarden.errors import BrokerUnavailable

OURS = ("$MQTT.msgs.gridwarden.v1.*.up", "$MQTT.msgs.gridwarden.v1.*.alarm")
"""What core subscribes to, as subjects of the stream."""


async def enforce(port: int, user: str, password: str, window: int) -> int:
    """Give every subscription of the server on loopback ``port`` the ``ack_wait`` that is ours and ``window``; how many had others.

    Raises:
        BrokerUnavailable: it cannot be asked, or a subscription keeps other ones.
    """
    wanted = {"ack_wait": ACK_WAIT_S * 1_000_000_000, "max_ack_pending": window}
    async with connected(port, user, password) as client:
        others = await _others(client, wanted)
        for name, config in others.items():
            body = {"stream_name": STREAM, "config": config | wanted, "action": "update"}
            await ask(client, f"CONSUMER.DURABLE.CREATE.{STREAM}.{name}", json.dumps(body).encode())
        # The answer to an update may still tell of what was before.
        if others and (kept := others.keys() & (await _others(client, wanted)).keys()):
            raise BrokerUnavailable(f"the embedded broker does not keep the window of {len(kept)} subscriptions")
    return len(others)


async def ours(port: int, user: str, password: str) -> dict[str, dict[str, Any]]:
    """Name and configuration of core's subscriptions.

    Raises:
        BrokerUnavailable: the server cannot be asked.
    """
    async with connected(port, user, password) as client:
        return {name: config async for name, config in _all(client) if config.get("filter_subject") in OURS}


async def make_again(port: int, user: str, password: str, name: str, config: dict[str, Any]) -> None:
    """A subscription as it was, to which all is sent that waits: what it had acknowledged is gone from the stream.

    Raises:
        BrokerUnavailable: the server refuses.
    """
    body = {"stream_name": STREAM, "config": config | {"deliver_policy": "all"}}
    async with connected(port, user, password) as client:
        await ask(client, f"CONSUMER.DURABLE.CREATE.{STREAM}.{name}", json.dumps(body).encode())


async def _others(client: Client, wanted: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The subscriptions that have not what is wanted: their configurations by name."""
    return {name: config async for name, config in _all(client) if not config.items() >= wanted.items()}


async def _all(client: Client) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Name and configuration of each subscription."""
    offset = 0
    while True:
        page = await ask(client, f"CONSUMER.LIST.{STREAM}", json.dumps({"offset": offset}).encode())
        for one in page["consumers"]:
            yield one["name"], one["config"]
        offset += len(page["consumers"])
        if not page["consumers"] or offset >= page["total"]:
            return
