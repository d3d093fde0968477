"""The configuration file of nats-server. Pure text.

Permissions are written in NATS subjects: ``/`` of an MQTT topic is ``.`` there. They are not optional: without them
an MQTT client could publish to ``$JS/API/STREAM/DELETE/$MQTT_msgs`` and delete everything that waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gridwarden.broker.credentials import INGESTER, REPLAYER, SUPERVISOR, Credentials

ACK_WAIT_S = 2
"""After this long without an acknowledgement a message is sent again. It is also how late the oldest messages may
come after a reconnect, newer ones first; the telemetry session holds a second longer (``HOLD_AFTER_CONNECT_S``)."""
HOLD_AFTER_CONNECT_S = ACK_WAIT_S + 1.0
MAX_ACK_PENDING = 4_000
"""Unacknowledged messages of one subscription, at most; fewer while they are large (``window``). Each filter reserves as
many, one ending in ``#`` twice, and a session has 65,535 at most: hence one session per filter. A change does not reach
subscriptions that exist: ``consumers`` tells them."""
MAX_CONNECTIONS = 12_000
"""10,000 devices with a connection each, and some to spare. One takes about 75 kB (``tests/faults/test_reconnect.py``)."""
FILTERS = ("gridwarden.v1", "gridwarden.v1.>")
"""What the ingester may subscribe to; a filter ending in ``#`` needs its parent as well."""

ERRORS = "gridwarden.v1.*.errors"
"""What the ingester may publish to: what was wrong with a gateway's payloads."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens; only the MQTT port may leave this machine."""

    host: str
    mqtt: int
    client: int
    monitor: int


def render(
    ports: Ports, store: Path, store_bytes: int, max_payload_bytes: int, credentials: Credentials, sync_s: float = 1.0
) -> str:
    """The whole file. It holds passwords: keep it readable by its owner alone.

    ``sync_s``: how often what is acknowledged is forced to the disk; 0: before each acknowledgement.
    """
    users = [_user(SUPERVISOR, credentials.supervisor, "STANDARD"),
             _user(INGESTER, credentials.ingester, "MQTT", publish={"allow": [ERRORS]},
                   subscribe={"allow": [*FILTERS, "$MQTT.sub.>"]}),
             _user(REPLAYER, credentials.replayer, "MQTT", publish={"allow": ["gridwarden.v1.>"]},
                   subscribe={"deny": [">"]}),
             *(_gateway(name, password) for name, password in sorted(credentials.gateways.items()))]  # fmt: skip
    mqtt = _quoted(f"{_bracketed(ports.host)}:{ports.mqtt}")
    store_at = f"store_dir: {_quoted(str(store))}"
    waits = f'ack_wait: "{ACK_WAIT_S}s", downgrade_qos2_subscribe: true'
    lines = [
        "server_name: gridwarden",
        f'listen: "127.0.0.1:{ports.client}"',
        f'http: "127.0.0.1:{ports.monitor}"',
        f"max_payload: {max_payload_bytes}",
        f"max_connections: {MAX_CONNECTIONS}",
        # sync_interval: by default two minutes of what was acknowledged are lost with the power.
        f"jetstream {{ {store_at}, max_file: {store_bytes}, max_mem: 67108864, sync_interval: {_sync(sync_s)} }}",
        f"mqtt {{ listen: {mqtt}, max_ack_pending: {MAX_ACK_PENDING}, {waits} }}",
        "authorization { timeout: 10, users: [",
        *users,
        "] }",
    ]
    return "\n".join(lines) + "\n"


def _sync(sync_s: float) -> str:
    return _quoted(f"{round(sync_s * 1000)}ms" if sync_s else "always")


def _gateway(name: str, password: str) -> str:
    """One gateway: it speaks for itself alone and hears what is addressed to it."""
    own = f"gridwarden.v1.{name}"
    heard = [f"{own}.{leaf}{rest}" for leaf in ("down", "errors") for rest in ("", ".>")]
    return _user(name, password, "MQTT", publish={"allow": [f"{own}.>"]}, subscribe={"allow": [*heard, "$MQTT.sub.>"]})


def _user(name: str, password: str, connection: str, **permissions: dict[str, list[str]]) -> str:
    rights = f", permissions: {json.dumps(permissions)}" if permissions else ""
    return (
        f" {{ user: {_quoted(name)}, password: {_quoted(password)}, "
        f'allowed_connection_types: ["{connection}"]{rights} }}'
    )


def _quoted(text: str) -> str:
    """Quoted always: a bare ``$2a`` would be a variable, a bare ``12k`` a number."""
    return json.dumps(text, ensure_ascii=False)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
