"""A whole instance with the made-up district in it, what happens there, and a browser that is signed in to it.

For tests, pictures and measurements alike: each says itself what shall happen.
"""

from __future__ import annotations

import heapq
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Request, async_playwright
from pydantic_core import to_json

from gridwarden import app
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.clock import SystemClock
from gridwarden.model import Device
from gridwarden.office.accounts import Accounts
from gridwarden.office.basemap import import_basemap
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators import city
from simulators.city import writing
from simulators.publisher import Address, Publisher
from simulators.world import ordinary, scenario, stage
from simulators.world.stream import Sent, by_lane

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OPERATOR, PASSWORD = "operator", "a-password-of-the-test"
SEED = 1
WAIT_MS = 20_000
FULLY_MS = 10 * 60_000
"""So much of what is told is told with everything that ordinary life says; before it, how every device is."""


@dataclass(frozen=True, slots=True)
class District:
    """An instance with a district."""

    running: Running
    devices: list[Device]

    @property
    def address(self) -> str:
        """Where the page is."""
        return self.running.installation.address

    def some(self, kind: str) -> list[Device]:
        """The devices of a kind, in the order of their ids."""
        return [device for device in self.devices if device.kind == kind]

    def publisher(self) -> Publisher:
        """A connection to the broker, as all gateways in one."""
        broker = self.running.broker
        assert broker is not None
        user, password = broker.credentials(credentials.REPLAYER)
        return Publisher(Address(broker.host, broker.mqtt_port, "control-room", user, password))

    async def publish(self, stream: Iterable[Sent]) -> int:
        """Publish as fast as it goes, until everything is acknowledged; how many readings there were."""
        async with self.publisher() as publisher:
            for sent in stream:
                await hand_over(publisher, sent)
        return publisher.account.readings_acknowledged

    async def say(self, device: Device, seq: int, **values: Any) -> None:
        """One reading of now."""
        now_ms = SystemClock().now_ms()
        await self.publish([Sent(now_ms, device.gateway or "gw-test", device.device_id, now_ms, seq, values)])


async def hand_over(publisher: Publisher, sent: Sent) -> None:
    """Publish one reading."""
    await publisher.publish(sent.topic, to_json(sent.body()), [sent.device_id])


@asynccontextmanager
async def district(data: Path, scale: float) -> AsyncIterator[District]:
    """An instance on ``data`` with a fresh district of ``scale`` times 30,000 devices, running."""
    installation = Installation(None, {"data": data, "http__port": 0, "embedded__mqtt_port": 0})
    with app.data_lock(data):
        app.prepare(data)
        made = city.make(SEED, scale)
        _move_in(data, made)
        async with app.running(installation, log_level="warning") as running:
            yield District(running, made.devices)


def _move_in(data: Path, made: city.City) -> None:
    folder = data / "city"
    writing.write(made, folder)
    with Office.open(data / "office.db") as office:
        for what, name in (("areas", writing.AREAS), ("devices", writing.DEVICES), ("resources", writing.RESOURCES)):
            report = import_file(office, what, folder / name)
            assert report.ok, report
        assert import_basemap(data, folder / writing.BASEMAP).ok
        accounts = Accounts(office.database, SystemClock())
        accounts.set_password(accounts.users()[0].user_id, PASSWORD)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a district: an ordinary time, and scenarios on devices of their own."""

    calm: Iterator[Sent]
    trouble: Iterator[Sent]


def told(devices: list[Device], begun: dict[str, int], from_ms: int, to_ms: int) -> Told:
    """Ordinary life between two times, and the shipped scenarios ``begun``: by name, when each of them began (epoch ms).

    Those to whom something happens say nothing before it is their turn, so that the rest can be told first.
    """
    players = ordinary.players(devices, SEED)
    known = {one.id: one for one in scenario.shipped()}
    free, acts = list(devices), []
    for name, start_ms in begun.items():
        act = stage.Act(known[name], stage.cast(known[name], free, SEED), SEED, start_ms, from_ms, to_ms)
        busy = set(act.device_ids)
        free = [device for device in free if device.device_id not in busy]
        acts.append(act)
    bystanders = [players[device.device_id] for device in free if device.device_id in players]
    trouble = heapq.merge(*(stage.play(act, players) for act in acts), key=lambda sent: sent.sent_at_ms)
    return Told(
        by_lane(ordinary.life(bystanders, from_ms, to_ms, roll_call_until_ms=to_ms - FULLY_MS)),
        by_lane(itertools.takewhile(lambda sent: sent.sent_at_ms < to_ms, trouble)),
    )


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """A Chromium with software rendering, so that it draws the map on any machine."""
    assert CHROMIUM, "no Chromium: set CHROMIUM or install the package chromium"
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader", *arguments]
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        await started.close()


async def signed_in(started: Browser, address: str, query: str = "", **context: Any) -> Page:
    """The page, live; ``query`` as ``?kiosk``, ``context`` as playwright's ``new_context`` takes it."""
    made = await started.new_context(**{"locale": "zh-CN", **context})
    page = await made.new_page()
    page.set_default_timeout(WAIT_MS)
    await page.goto(f"{address}/{query}")
    await page.get_by_test_id("signin-name").fill(OPERATOR)
    await page.get_by_test_id("signin-password").fill(PASSWORD)
    await page.get_by_test_id("signin-submit").click()
    await page.locator('[data-testid="connection-state"][data-state="live"]').wait_for()
    return page


def requests_elsewhere(page: Page, address: str) -> list[str]:
    """The list into which every request of the page that leaves the machine is written from now on."""
    found: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            found.append(request.url)

    page.on("request", look)
    return found


async def map_at_rest(page: Page) -> None:
    """Wait until the map has drawn everything. The page's policy allows no waiting by string, so this asks again."""
    for _ in range(WAIT_MS // 100):
        if await page.evaluate("() => Boolean(window.__map?.loaded() && !window.__map.isMoving())"):
            return
        await page.wait_for_timeout(100)
    raise AssertionError("the map did not come to rest")
