"""The bound on the stream that keeps what waits for us.

nats-server makes ``$MQTT_msgs`` at the first MQTT connect, with ``discard: old``: at a limit it deletes what it has
acknowledged (seen: 14,846 of 20,000 gone). With ``discard: new`` it refuses what is new instead, the gateway keeps
it, and nothing acknowledged is lost. A quarter of the disk stays free, because at ``max_file`` every CONNECT is
refused.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from gridwarden.errors import BrokerUnavailable, ConfigError

STREAM = "$MQTT_msgs"
_TIMEOUT_S = 10.0
_INSUFFICIENT_STORAGE = 10047


class HoldsMoreError(BrokerUnavailable):
    """The stream reserves more than the server may now take, and the server then refuses every change of it."""

    def __init__(self, reserved_bytes: int) -> None:
        self.reserved_bytes = reserved_bytes
        super().__init__(f"the message stream reserves {reserved_bytes} bytes, more than embedded.store_bytes allows")


class _Refused(BrokerUnavailable):
    def __init__(self, what: str, error: dict[str, Any]) -> None:
        self.code = error.get("err_code")
        super().__init__(f"{what}: {error.get('description')}")


def bounds(store_bytes: int, messages_per_topic: int) -> dict[str, Any]:
    """The settings of the stream that must hold.

    A telemetry topic at its limit is refused by itself, so that alarm topics still have room.
    """
    return {
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": messages_per_topic,
        "max_bytes": store_bytes * 3 // 4,
    }


@asynccontextmanager
async def connected(port: int, user: str, password: str) -> AsyncIterator[Client]:
    """A connection to the server on loopback ``port``.

    Raises:
        BrokerUnavailable: it cannot be had, or broke.
    """
    try:
        client = await nats.connect(
            f"nats://127.0.0.1:{port}", user=user, password=password, allow_reconnect=False,
            connect_timeout=5, error_cb=_ignore,
        )  # fmt: skip
        try:
            yield client
        finally:
            await client.close()
    except (NatsError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"the embedded broker's message stream cannot be asked: {error!r}") from error


async def enforce(port: int, user: str, password: str, wanted: dict[str, Any]) -> None:
    """Give the stream of the server on loopback ``port`` the settings ``wanted``, keep its others, and verify.

    Raises:
        HoldsMoreError: it was made for a larger disk.
        BrokerUnavailable: it cannot be asked, or the settings do not hold.
        ConfigError: more waits in it than it may now hold.
    """
    async with connected(port, user, password) as client:
        await _enforce(client, wanted)


async def _enforce(client: Client, wanted: dict[str, Any]) -> None:
    info = await _ask(client, "INFO", None)
    before = info["config"]
    if info["state"]["bytes"] > wanted["max_bytes"]:
        reason = (
            f"{info['state']['bytes']} bytes wait to be taken in, more than three quarters of this; take them in first"
        )
        raise ConfigError(reason, place="embedded.store_bytes")
    if not _holds(before, wanted):
        await _update(client, before, wanted)
    after = (await _ask(client, "INFO", None))["config"]
    if not _holds(after, wanted) or not _holds(after, {key: before[key] for key in before.keys() - wanted.keys()}):
        found = {key: after.get(key) for key in wanted}
        raise BrokerUnavailable(f"the embedded broker does not keep the bound of its message stream: {found}")


async def _update(client: Client, before: dict[str, Any], wanted: dict[str, Any]) -> None:
    try:
        await _ask(client, "UPDATE", before | wanted)
    except _Refused as error:
        if error.code == _INSUFFICIENT_STORAGE and before["max_bytes"] > wanted["max_bytes"]:
            raise HoldsMoreError(before["max_bytes"]) from error
        raise


async def _ask(client: Client, verb: str, config: dict[str, Any] | None) -> dict[str, Any]:
    return await ask(client, f"STREAM.{verb}.{STREAM}", b"" if config is None else json.dumps(config).encode())


async def ask(client: Client, what: str, body: bytes) -> dict[str, Any]:
    """The answer of JetStream's API to ``what``.

    Raises:
        BrokerUnavailable: it refuses.
    """
    reply = await client.request(f"$JS.API.{what}", body, timeout=_TIMEOUT_S)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise _Refused(what, answer["error"])
    return answer


def _holds(config: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(config.get(key) == value for key, value in wanted.items())


async def _ignore(error: Exception) -> None:
    """Every error is raised where it is awaited; the library would write it to the log as well."""
