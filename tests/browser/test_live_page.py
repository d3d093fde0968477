"""A real Chromium: an event arrives while the page is open, and is acknowledged by key and by click."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Request, async_playwright, expect

from dashboards import DIST
from gridwarden import app
from gridwarden.app import Installation, Running
from gridwarden.broker import credentials
from gridwarden.clock import SystemClock, rfc3339
from gridwarden.model import Device
from gridwarden.office.accounts import Accounts
from gridwarden.office.registry import Office
from simulators.publisher import Address, Publisher

pytestmark = [pytest.mark.browser, pytest.mark.process]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "a-password-of-the-test"
WAIT_MS = 20_000


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A whole instance with one registered detector, and an operator whose password we know."""
    overrides = {"data": tmp_path / "data", "http__port": 0, "embedded__mqtt_port": 0}
    installation = Installation(None, overrides)
    data = installation.config.data
    with app.data_lock(data):
        app.prepare(data)
        with Office.open(data / "office.db") as office:
            office.upsert_device(Device("SMK-000001", "smoke", name="示例楼 7 层"))
            accounts = Accounts(office.database, SystemClock())
            accounts.set_password(accounts.users()[0].user_id, PASSWORD)
        async with app.running(installation) as instance:
            yield instance


@pytest.fixture
async def page(running: Running) -> AsyncIterator[Page]:
    """The page, signed in; any request that leaves the machine fails the test."""
    if not CHROMIUM:
        pytest.skip("no Chromium: set CHROMIUM or install the package chromium")
    if not (DIST / "index.html").is_file():
        pytest.fail("the dashboard is not built: make setup")
    outside: list[str] = []
    address = running.installation.address

    def look(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            outside.append(request.url)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(locale="zh-CN", viewport={"width": 1366, "height": 768})
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", look)
        await page.goto(address)
        await page.get_by_test_id("signin-name").fill("operator")
        await page.get_by_test_id("signin-password").fill(PASSWORD)
        await page.get_by_test_id("signin-submit").click()
        await expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live", timeout=WAIT_MS)
        yield page
        await browser.close()
    assert not outside, "requests that left the machine"


async def publish(running: Running, device_id: str, seq: int, **values: object) -> None:
    """One reading by way of MQTT."""
    assert running.broker is not None
    user, password = running.broker.credentials(credentials.REPLAYER)
    address = Address(running.broker.host, running.broker.mqtt_port, f"browser-test-{seq}", user, password)
    reading = {"device": device_id, "at": SystemClock().now_ms(), "seq": seq, "values": values}
    async with Publisher(address) as publisher:
        await publisher.publish("gridwarden/v1/gw-test/alarm", json.dumps(reading).encode(), [device_id])


async def test_an_event_arrives_and_is_acknowledged_by_key(running: Running, page: Page) -> None:
    rows = page.get_by_test_id("event-row")
    await expect(rows).to_have_count(0)

    await publish(running, "SMK-000001", 1, state="alarm", smoke_dbm=0.31)

    await expect(rows).to_have_count(1, timeout=WAIT_MS)
    await expect(rows.first).to_contain_text("烟感火警")
    await expect(rows.first).to_have_attribute("data-severity", "critical")
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await expect(rows.first).to_have_attribute("data-state", "acknowledged", timeout=WAIT_MS)
    await expect(rows.first.get_by_test_id("event-ack")).to_have_count(0)
    findings = await Axe().run(page)
    assert not [one["id"] for one in findings.response["violations"]]


async def test_an_event_is_acknowledged_by_click_confirmed_and_closed(running: Running, page: Page) -> None:
    await publish(running, "SMK-000001", 1, state="alarm")
    row = page.get_by_test_id("event-row").first
    await row.get_by_test_id("event-ack").click()
    await expect(row.get_by_test_id("event-ack")).to_have_count(0)
    await publish(running, "SMK-000001", 2, state="normal")

    await row.click()
    await page.get_by_test_id("alarm-confirm-false").click()
    await page.get_by_test_id("alarm-confirm-submit").click()
    await page.get_by_test_id("event-close").click()
    await page.get_by_test_id("close-note").fill("油烟,已电话核实")
    await page.get_by_test_id("close-submit").click()

    await expect(page.get_by_test_id("event-row")).to_have_count(0, timeout=WAIT_MS)


async def test_the_page_finds_its_way_back_when_web_is_killed(running: Running, page: Page) -> None:
    running.processes["web"].kill()
    await expect(page.get_by_test_id("connection-state")).not_to_have_attribute("data-state", "live")
    await publish(running, "SMK-000001", 1, state="alarm")
    await expect(page.get_by_test_id("event-row")).to_have_count(1, timeout=WAIT_MS)


async def test_a_silenced_alarm_is_listed_with_its_reason_and_rings_when_the_silence_ends(
    running: Running, page: Page
) -> None:
    until = rfc3339(SystemClock().now_ms() + 3_600_000)
    silence = {"rules": ["smoke.removed"], "until": until, "comment": "更换底座"}
    answer = await page.request.post(
        f"{running.installation.address}/api/v1/silences",
        data=silence,
        headers={"origin": running.installation.address},
    )
    assert answer.ok, await answer.text()
    await publish(running, "SMK-000001", 1, unmounted=True)

    await page.get_by_role("link", name="静音管理").click()
    decision, alarm = page.get_by_test_id("quieting"), page.get_by_test_id("quieted-alarm")
    await expect(decision).to_contain_text("更换底座")
    await expect(alarm.get_by_test_id("quieted")).to_have_text("静默 · 1", timeout=WAIT_MS)
    await expect(alarm).to_contain_text("SMK-000001")
    findings = await Axe().run(page)
    assert not [one["id"] for one in findings.response["violations"]]
    await page.goto(f"{running.installation.address}/#/events")
    await expect(page.get_by_test_id("event-row")).to_have_count(0)

    await page.goto(f"{running.installation.address}/#/quiet")
    await decision.get_by_test_id("quieting-end").click()
    await expect(alarm).to_have_count(0)
    await page.goto(f"{running.installation.address}/#/events")
    await expect(page.get_by_test_id("event-row")).to_have_count(1, timeout=WAIT_MS)


async def test_what_was_set_aside_is_shown_with_its_bytes_and_retried(running: Running, page: Page) -> None:
    assert running.broker is not None
    user, password = running.broker.credentials(credentials.REPLAYER)
    async with Publisher(
        Address(running.broker.host, running.broker.mqtt_port, "garbage", user, password)
    ) as publisher:
        for _ in range(3):
            await publisher.publish("gridwarden/v1/gw-test/up", '{"device": "消防'.encode(), ["garbage"])

    await page.get_by_role("link", name="接入", exact=True).click()
    group = page.get_by_test_id("aside-group")
    await expect(group).to_have_count(1, timeout=WAIT_MS)
    await expect(group).to_contain_text("不是 JSON")
    await expect(page.locator('[data-gateway="gw-test"]')).to_contain_text("gw-test")
    findings = await Axe().run(page)
    assert not [one["id"] for one in findings.response["violations"]]
    await group.get_by_test_id("aside-show").click()
    letter = page.get_by_test_id("letter")
    await expect(letter).to_contain_text('{"device": "消防')
    await expect(letter).to_contain_text("00000000  7b 22 64 65")
    findings = await Axe().run(page)
    assert not [one["id"] for one in findings.response["violations"]]
    await page.keyboard.press("Escape")
    await group.get_by_test_id("aside-retry").click()
    await expect(page.get_by_test_id("retried")).to_contain_text("1 条仍未解决", timeout=WAIT_MS)
