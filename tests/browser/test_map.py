"""The map in a real Chromium: what clusters hide, what lies on top, what the tree chooses; for keyboard and axe, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from dashboards import DIST
from gridwarden.model import Device
from tests.browser import control_room
from tests.browser.control_room import WAIT_MS, District, map_at_rest, requests_elsewhere, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]
SCALE = 0.02
CRITICAL, LOW = 4, 1
CLUSTERS = ["cluster-abnormal", "cluster-normal"]
DISTRICT = "999103"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[District]:
    """A small district, for all tests of this file: each has devices of its own."""
    if not control_room.CHROMIUM:
        pytest.skip("no Chromium: set CHROMIUM or install the package chromium")
    if not (DIST / "index.html").is_file():
        pytest.fail("the dashboard is not built: make setup")
    async with control_room.district(tmp_path_factory.mktemp("map") / "data", SCALE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(here: District) -> AsyncIterator[Page]:
    """The page with its map, drawn; any request that leaves the machine fails the test."""
    async with control_room.browser() as started:
        page = await signed_in(started, here.address, "?maptest", viewport={"width": 1366, "height": 768})
        outside = requests_elsewhere(page, here.address)
        await page.reload()
        await map_at_rest(page)
        yield page
        assert not outside, "requests that left the machine"


async def drawn(page: Page, *layers: str) -> list[dict[str, Any]]:
    """The properties of everything that is drawn in these layers."""
    found: list[dict[str, Any]] = await page.evaluate(
        "layers => window.__map.queryRenderedFeatures({ layers }).map(({ properties }) => properties)", list(layers)
    )
    return found


async def until(page: Page, condition: Callable[[], Awaitable[object]]) -> None:
    """Look again until it holds."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not await condition():
            await page.wait_for_timeout(100)


async def on_screen(page: Page, device: Device) -> tuple[float, float]:
    """Where a device lies in the window."""
    x, y = await page.evaluate(
        """place => {
            const { x, y } = window.__map.project(place);
            const { left, top } = window.__map.getCanvas().getBoundingClientRect();
            return [left + x, top + y];
        }""",
        [device.lon, device.lat],
    )
    return x, y


async def violations(page: Page) -> list[str]:
    findings = await Axe().run(page)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in findings.response["violations"]]


async def test_clusters_tell_the_worst_that_is_in_them(here: District, page: Page) -> None:
    first, second = here.some("smoke")[:2]
    total = sum(device.lon is not None for device in here.devices)
    await here.say(first, 1, state="normal", battery_pct=5)
    await until(page, lambda: drawn(page, "cluster-abnormal"))
    assert {cluster["worst"] for cluster in await drawn(page, *CLUSTERS)} == {0, LOW}

    await here.say(second, 1, state="alarm", smoke_dbm=0.3)

    async def shows_both() -> bool:
        clusters = {one["cluster_id"]: one for one in await drawn(page, *CLUSTERS)}.values()
        return (
            max(one["worst"] for one in clusters) == CRITICAL
            and sum(one["abnormal"] for one in clusters) == 2
            and all((one["worst"] > 0) == (one["abnormal"] > 0) for one in clusters)
        )

    await until(page, shows_both)
    # As far out as it goes all devices are one, and the one is as bad as the worst of them.
    await page.evaluate("() => window.__map.jumpTo({ zoom: 8 })")
    await map_at_rest(page)
    whole = {one["cluster_id"]: one for one in await drawn(page, *CLUSTERS)}.values()
    assert [(one["worst"], one["abnormal"], one["point_count"]) for one in whole] == [(CRITICAL, 2, total)]


async def test_an_open_event_lies_on_top_and_opens_its_page(here: District, page: Page) -> None:
    burning = here.some("smoke")[10]
    await here.say(burning, 1, state="alarm", smoke_dbm=0.3)
    row = page.locator('[data-testid="event-row"]', has_text=burning.device_id)
    await expect(row).to_have_count(1, timeout=WAIT_MS)
    event_id = await row.get_attribute("data-event-id")
    await until(page, lambda: drawn(page, "event"))
    await until(page, lambda: _has_event(page, event_id))

    # Not on the canvas's edge, and not below another event: where the clusters are widest it is still on top of them.
    await page.evaluate("place => window.__map.jumpTo({ center: place, zoom: 13 })", [burning.lon, burning.lat])
    await map_at_rest(page)
    x, y = await on_screen(page, burning)
    top = await page.evaluate(
        "place => { const { x, y } = window.__map.project(place); return window.__map.queryRenderedFeatures([x, y])[0].layer.id; }",
        [burning.lon, burning.lat],
    )
    assert top == "event"
    await page.mouse.click(x, y)

    await expect(page.get_by_test_id("event-detail")).to_contain_text(burning.device_id)
    assert page.url.endswith(f"#/events/{event_id}")
    await expect(page.get_by_test_id("near-hydrant")).to_have_count(5)
    await expect(page.get_by_test_id("near-station")).to_have_count(3)


async def _has_event(page: Page, event_id: str | None) -> bool:
    return any(one["id"] == event_id for one in await drawn(page, "event"))


async def test_an_area_of_the_tree_narrows_map_and_list(here: District, page: Page) -> None:
    burning = here.some("smoke")[20]
    await here.say(burning, 1, state="alarm", smoke_dbm=0.3)
    await expect(page.locator('[data-testid="event-row"]', has_text=burning.device_id)).to_have_count(
        1, timeout=WAIT_MS
    )
    street = burning.area[: len(DISTRICT) + 3]
    tree = page.get_by_test_id("area-tree")
    rows = page.get_by_test_id("event-row")

    def counts(code: str) -> Callable[[], Awaitable[tuple[int, int]]]:
        async def read() -> tuple[int, int]:
            cells = tree.locator(f'[data-code="{code}"] td.number')
            texts = [await cell.inner_text() for cell in await cells.all()]
            return int(texts[0].split()[-1]), int(texts[1].replace(",", ""))

        return read

    everywhere, within = await counts(DISTRICT)(), await counts(street)()
    assert everywhere == (await rows.count(), len(here.devices))
    streets = await tree.locator('[data-testid="area-row"]').all()
    codes = [str(await one.get_attribute("data-code")) for one in streets]
    below = [await counts(code)() for code in codes if len(code) == len(street)]
    assert (sum(one[0] for one in below), sum(one[1] for one in below)) == everywhere
    assert within == (within[0], sum(device.area.startswith(street) for device in here.devices))
    assert within[0] >= 1
    wide = await page.evaluate("() => window.__map.getZoom()")

    await tree.locator(f'[data-code="{street}"] .pick').focus()
    await page.keyboard.press("Enter")

    await expect(page.get_by_test_id("filter-area")).to_be_visible()
    await expect(rows).to_have_count(within[0])
    await map_at_rest(page)
    assert await page.evaluate("() => window.__map.getZoom()") > wide
    inside = await page.evaluate("place => window.__map.getBounds().contains(place)", [burning.lon, burning.lat])
    assert inside
    assert [one["code"] for one in await drawn(page, "chosen") if one["code"] == street]
    await tree.get_by_role("button", name="全部").click()
    await expect(rows).to_have_count(everywhere[0])


async def test_the_keyboard_gets_everywhere(here: District, page: Page) -> None:
    stuck = here.some("lift")[0]
    await here.say(stuck, 1, entrapment=True, occupied=True, motion="stopped", door="closed", door_zone=False)
    row = page.locator('[data-testid="event-row"]', has_text=stuck.device_id)
    await expect(row).to_have_count(1, timeout=WAIT_MS)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.keyboard.press("/")
    await page.keyboard.type(stuck.device_id)
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("event-row")).to_have_count(1)
    await page.keyboard.press("j")
    await page.keyboard.press("m")
    await map_at_rest(page)
    centre = await page.evaluate("() => window.__map.getCenter().toArray()")
    assert centre == pytest.approx([stuck.lon, stuck.lat], abs=1e-4)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("event-detail")).to_contain_text(stuck.device_id)
    await page.keyboard.press("a")
    await expect(row).to_have_attribute("data-state", "acknowledged", timeout=WAIT_MS)
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("event-detail")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["zh", "en"])
async def test_axe_finds_nothing(here: District, page: Page, scheme: Any, language: str) -> None:
    burning = here.some("smoke")[30]
    await here.say(burning, 1, state="alarm", smoke_dbm=0.3, temperature_c=60)
    await page.emulate_media(color_scheme=scheme)
    if language == "en":
        await page.get_by_role("button", name="English").click()
    row = page.locator('[data-testid="event-row"]', has_text=burning.device_id)
    await expect(row.first).to_be_visible(timeout=WAIT_MS)
    assert await violations(page) == []
    await row.first.get_by_role("link").click()
    await expect(page.get_by_test_id("near-hydrant")).to_have_count(5)
    await expect(page.get_by_test_id("alarm-card")).not_to_have_count(0)
    assert await violations(page) == []
    await page.get_by_test_id("event-detail").locator("dl a").first.click()
    await expect(page.get_by_role("heading", name=burning.device_id)).to_be_visible()
    await expect(page.locator(".right .panel")).to_have_count(2)
    assert await violations(page) == []


async def test_what_can_be_done_stays_in_view_beside_an_open_event(here: District, page: Page) -> None:
    burning = here.some("smoke")[40]
    await here.say(burning, 1, state="alarm", smoke_dbm=0.3)
    row = page.locator('[data-testid="event-row"]', has_text=burning.device_id)
    await row.get_by_role("link").click()
    await expect(page.get_by_test_id("event-detail")).to_be_visible()
    for width in (1251, 1366, 1600, 1920):
        await page.set_viewport_size({"width": width, "height": 768})
        button = await row.get_by_test_id("event-ack").bounding_box()
        frame = await page.get_by_test_id("event-list").bounding_box()
        assert button
        assert frame
        assert button["x"] + button["width"] <= frame["x"] + frame["width"], width
