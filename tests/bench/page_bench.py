"""What the page costs: loading with all devices of a large district, alarms coming in, and the web process meanwhile.

``python tests/bench/page_bench.py [--scale 2] [--seconds 60]``; no test, the machine decides the figures. The browser
draws without a graphics card here, so its figures are a floor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.async_api import Browser, Page

from gridwarden.clock import SystemClock
from gridwarden.model import Value
from simulators.world import ordinary
from simulators.world.stream import Sent
from tests.browser.control_room import SEED, District, browser, district, hand_over, map_at_rest, signed_in

ALARMS = 300
REST_S = 20
WATCH_LONG_TASKS = """
    window.__long = [];
    new PerformanceObserver((list) => window.__long.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ type: 'longtask', buffered: true });
"""


async def long_tasks(page: Page) -> str:
    """What kept the page from answering since the last time this was asked: tasks over 50 ms."""
    told = await page.evaluate("() => window.__long.splice(0)")
    return f"{len(told)} long tasks, {sum(told):.0f} ms in all, longest {max(told, default=0):.0f} ms"


async def heap_mb(page: Page) -> float:
    """Live objects after a collection, in all of the page but its workers."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    used: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    return float(used["usedSize"]) / 1e6


async def loading(started: Browser, here: District) -> Page:
    """Open the page anew, signed in already; how long until it is live and the map stands."""
    page = await signed_in(started, here.address, "?maptest", viewport={"width": 1920, "height": 1080})
    await page.add_init_script(WATCH_LONG_TASKS)
    begun = time.perf_counter()
    await page.reload(wait_until="commit")
    await page.locator('[data-testid="connection-state"][data-state="live"]').wait_for()
    live_s = time.perf_counter() - begun
    await page.get_by_test_id("area-tree").wait_for()
    await page.locator(".maplibregl-canvas").wait_for()
    await map_at_rest(page)
    print(
        f"live after {live_s:.2f} s, the map stands after {time.perf_counter() - begun:.2f} s; {await long_tasks(page)}"
    )
    entries = await page.evaluate(
        "() => performance.getEntriesByType('resource')"
        ".map(({ name, encodedBodySize, decodedBodySize }) => [name, encodedBodySize, decodedBodySize])"
    )
    for name, encoded, decoded in entries:
        if "/api/" in name and decoded > 10_000:
            print(f"  {name.partition('/api/v1')[2]:24} {encoded / 1e3:8.0f} kB sent, {decoded / 1e3:8.0f} kB unpacked")
    print(f"heap {await heap_mb(page):.0f} MB")
    return page


async def alarms(page: Page, here: District) -> None:
    """A flood: so many detectors alarm as fast as they can be published."""
    detectors = here.some("smoke")[:: max(1, len(here.some("smoke")) // ALARMS)][:ALARMS]
    begun = time.perf_counter()
    now_ms = SystemClock().now_ms()
    values: dict[str, Value] = {"state": "alarm", "smoke_dbm": 0.3}
    await here.publish(
        Sent(now_ms, device.gateway or "gw", device.device_id, now_ms, 1, values) for device in detectors
    )
    figure = page.get_by_test_id("kpi-critical")
    before = ""
    while (text := await figure.inner_text()) != before or not before:
        before = text
        await page.wait_for_timeout(1500)
    print(f"{len(detectors)} alarms in {time.perf_counter() - begun - 1.5:.1f} s: {await long_tasks(page)}")
    print(f"heap {await heap_mb(page):.0f} MB")


async def page_at_rest(page: Page) -> None:
    """What the page does while nothing happens but the time, with all those alarms open."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")

    async def busy_s() -> float:
        told = await session.send("Performance.getMetrics")
        return next(float(one["value"]) for one in told["metrics"] if one["name"] == "TaskDuration")

    before = await busy_s()
    await page.wait_for_timeout(REST_S * 1000)
    print(
        f"at rest its thread is busy {(await busy_s() - before) / REST_S:.0%} of {REST_S} s; {await long_tasks(page)}"
    )


def cpu_s(here: District) -> float:
    """Processor time of the web process so far."""
    process = here.running.processes["web"]
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def web_at_rest(page: Page, here: District, seconds: float) -> None:
    """The processor time of web while the district lives: unwatched, with the list open, with a device open."""
    stop = asyncio.Event()
    account = asyncio.create_task(_live(here, stop))
    address = page.url.partition("#")[0]
    lift = here.some("lift")[0].device_id
    for what, url in (("no page", "about:blank"), ("events and map", f"{address}#/events"),
                      ("a device", f"{address}#/devices/{lift}")):  # fmt: skip
        await page.goto("about:blank")
        await page.goto(url)
        await asyncio.sleep(10)
        before, begun = cpu_s(here), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (cpu_s(here) - before) / (time.perf_counter() - begun)
        print(f"web with {what}: {share:.1%} of a core over {seconds:.0f} s")
    stop.set()
    readings, lasted_s = await account
    print(f"meanwhile {readings / lasted_s:.0f} readings/s of {len(here.devices)} devices")


async def _live(here: District, stop: asyncio.Event) -> tuple[int, float]:
    """Ordinary life as it comes, until told to stop; how many readings in how many seconds."""
    clock = SystemClock()
    from_ms = clock.now_ms()
    stream = ordinary.life(ordinary.players(here.devices, SEED).values(), from_ms)
    begun, count = time.perf_counter(), 0
    async with here.publisher() as publisher:
        while not stop.is_set():
            sent = await asyncio.to_thread(next, stream)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0, sent.sent_at_ms - clock.now_ms()) / 1000):
                    await stop.wait()
            await hand_over(publisher, sent)
            count += 1
    return count, time.perf_counter() - begun


async def measure(scale: float, seconds: float) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="gridwarden-page-") as folder:
        async with district(Path(folder) / "data", scale) as here, browser() as started:
            print(f"{len(here.devices)} devices")
            page = await loading(started, here)
            await alarms(page, here)
            await page_at_rest(page)
            await web_at_rest(page, here, seconds)


def main() -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=2.0, help="times 30,000 devices")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement of the web process")
    options = parser.parse_args()
    asyncio.run(measure(options.scale, options.seconds))


if __name__ == "__main__":
    main()
