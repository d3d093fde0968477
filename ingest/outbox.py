"""What we say to gateways over a broker: on a connection of its own, bounded, and lost with the connection.

Of its own, because brokers end connections for a publish: nats-server when its store is full, others for a topic that
is not allowed. A session that reads must not go down with it. The connection is there while something is to be said.
"""

from __future__ import annotations

import asyncio
from collections import deque

import aiomqtt
import structlog

from gridwarden.broker.backoff import backoff
from gridwarden.config import Broker
from ingest.transport import tls_context

LIMIT = 1_000
"""Messages that may wait; a further one is dropped and counted."""
AT_ONCE = 10
"""Messages sent before their acknowledgements are waited for."""
IDLE_S = 30.0
"""With nothing to say for so long the connection ends."""
TIMEOUT_S = 10.0
RETRY_CAP_S = 30.0
_log = structlog.get_logger(__name__)


class Outbox:
    """Says things at QoS 1, retained nowhere. :meth:`put` never waits."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._some = asyncio.Event()
        self.told = 0
        """Messages that the broker has acknowledged."""
        self.lost = 0
        """Messages that were dropped, or went with a connection."""

    def put(self, topic: str, payload: bytes) -> None:
        """Say it as soon as may be."""
        if len(self._waiting) >= LIMIT:
            self.lost += 1
            return
        self._waiting.append((topic, payload))
        self._some.set()

    async def run(self) -> None:
        """Connect when there is something to say, and say it, until cancelled."""
        delays = backoff(RETRY_CAP_S)
        while True:
            await self._some.wait()
            told = self.told
            try:
                async with self._client() as client:
                    await self._say(client)
            except (aiomqtt.MqttError, OSError) as error:
                if self.told > told:
                    delays = backoff(RETRY_CAP_S)
                _log.warning("outbox.lost", broker=self._broker.name, reason=str(error), lost=self.lost)
                await asyncio.sleep(next(delays))

    def _client(self) -> aiomqtt.Client:
        broker = self._broker
        prefix = broker.client_id or f"gridwarden-{broker.name}"
        return aiomqtt.Client(
            broker.host, broker.port, identifier=f"{prefix}-errors", username=broker.username,
            password=None if broker.password is None else broker.password.get_secret_value(),
            protocol=aiomqtt.ProtocolVersion.V5 if broker.version == "5" else aiomqtt.ProtocolVersion.V311,
            tls_context=None if broker.tls is None else tls_context(broker.tls), timeout=TIMEOUT_S,
        )  # fmt: skip

    async def _say(self, client: aiomqtt.Client) -> None:
        """Say what waits, until there was nothing for a while."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._some.wait()
            except TimeoutError:
                return
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            if not self._waiting:
                self._some.clear()
            said = await asyncio.gather(
                *(client.publish(topic, payload, qos=1) for topic, payload in some), return_exceptions=True
            )
            failed = [outcome for outcome in said if isinstance(outcome, BaseException)]
            self.told += len(said) - len(failed)
            self.lost += len(failed)
            if failed:
                raise failed[0]
