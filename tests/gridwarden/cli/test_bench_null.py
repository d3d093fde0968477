"""The yardstick takes everything, and acknowledges it: what it took does not come again."""

import asyncio
from pathlib import Path

import pytest

from gridwarden.broker.credentials import INGESTER, REPLAYER
from gridwarden.broker.embedded import EmbeddedBroker
from gridwarden.cli.bench_load import child
from gridwarden.config import Config
from simulators.load import topic_of
from simulators.raw_mqtt import connected, publish_packet


async def _take(broker: EmbeddedBroker, count: int, first: int) -> int:
    """How many the yardstick has counted once ``count`` more were published and taken."""
    user, password = broker.credentials(INGESTER)
    where = {"host": broker.host, "port": broker.mqtt_port, "username": user, "password": password,
             "filter": "gridwarden/v1/+/up"}  # fmt: skip
    async with asyncio.timeout(30), child("gridwarden.cli.bench_null", where) as null:
        assert null.stdout
        assert null.stdin
        taken = int(await null.stdout.readline())
        publisher = broker.credentials(REPLAYER)
        async with connected(broker.host, broker.mqtt_port, "load", *publisher) as connection:
            for number in range(first, first + count):
                connection.write(publish_packet(topic_of(number, 5), b"%d" % number, number))
            await connection.until(lambda: connection.acknowledged == count)
        while taken < count:
            taken = int(await null.stdout.readline())
        null.stdin.close()
        left = await null.stdout.read()
        assert await null.wait() == 0
        return int(left.split()[-1]) if left else taken


@pytest.mark.process
async def test_takes_and_acknowledges_everything(tmp_path: Path) -> None:
    settings = Config.model_validate({"embedded": {"mqtt_port": 0}}).embedded
    async with EmbeddedBroker(settings, tmp_path) as broker:
        assert await _take(broker, 500, 0) == 500
        assert await _take(broker, 10, 500) == 10
