"""Pictures of the district, calm and on fire: ``python tests/browser/screenshots.py FOLDER [--scale 1]``.

With ``--readme docs/images`` those that the READMEs show are made anew.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.async_api import Browser, Page

from gridwarden.clock import SystemClock
from tests.browser.control_room import District, browser, district, map_at_rest, signed_in, told

MINUTE_MS = 60_000
PAST_MS = 45 * MINUTE_MS
"""How much of the past the pictures begin with."""
BEGAN_AGO = {"knocked_hydrant": 31, "burst_main": 19, "power_cut": 16, "tampered_detector": 13, "fire": 18}
"""Minutes since each scenario began; in each, five minutes pass before anything happens."""
SETTLE_MS = 3_000


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at it."""

    name: str
    width: int
    height: int
    query: str = ""
    context: dict[str, Any] = field(default_factory=dict)


VIEWS = (
    View("desk", 1920, 1080),
    View("desk-en", 1920, 1080),
    View("small-desk-en", 1366, 768, context={"color_scheme": "dark"}),
    View("wall", 1920, 1080, "&kiosk", {"color_scheme": "dark"}),
    View("wall-4k", 1920, 1080, "&kiosk", {"color_scheme": "dark", "device_scale_factor": 2}),
    View("phone", 390, 844, context={"device_scale_factor": 2, "has_touch": True, "is_mobile": True}),
)


async def look(started: Browser, here: District, view: View, state: str, folder: Path) -> None:
    """Everything that one sees from one place."""
    size = {"width": view.width, "height": view.height}
    # Still, so that nothing is caught while it is dark.
    page = await signed_in(
        started, here.address, f"?maptest{view.query}", viewport=size, reduced_motion="reduce", **view.context
    )
    if "-en" in view.name:
        await page.get_by_role("button", name="English").click()

    async def shoot(what: str) -> None:
        await page.mouse.move(0, 0)  # where it changes nothing
        await page.wait_for_timeout(SETTLE_MS)
        await page.screenshot(path=folder / f"{view.name}-{state}{what}.png")

    if view.name == "phone":
        await shoot("")
        await page.get_by_test_id("view-map").click()
        await map_at_rest(page)
        await shoot("-map")
        await page.get_by_test_id("view-areas").click()
        await shoot("-areas")
        await page.get_by_test_id("view-events").click()
    else:
        await map_at_rest(page)
        await shoot("")
    if state == "fire" and not view.query:
        await _look_closer(page, here, view, shoot)
    await page.context.close()


async def _look_closer(page: Page, here: District, view: View, shoot: Any) -> None:
    """The fire's own page, the map where it is, and the page of a device."""
    row = page.locator('[data-testid="event-row"][data-severity="critical"]', has_text="烟感火警").or_(
        page.locator('[data-testid="event-row"][data-severity="critical"]', has_text="Smoke alarm")
    )
    await row.first.get_by_role("link").click()
    await page.get_by_test_id("near-hydrant").first.wait_for()
    await shoot("-event")
    if view.name == "phone":
        await page.get_by_test_id("event-detail").screenshot()
        await page.mouse.wheel(0, 700)
        await shoot("-event-below")
    else:
        await page.keyboard.press("m")
        await map_at_rest(page)
        await shoot("-near")
    await page.get_by_test_id("event-detail").locator("dl a").first.click()
    await shoot("-device")
    await page.goto(f"{here.address}/?maptest#/devices")
    await shoot("-devices")


async def take(folder: Path, scale: float, only: str) -> None:
    """All pictures into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    now_ms = SystemClock().now_ms()
    with tempfile.TemporaryDirectory(prefix="gridwarden-pictures-") as data:
        async with district(Path(data) / "data", scale) as here, browser() as started:
            began = {name: now_ms - minutes * MINUTE_MS for name, minutes in BEGAN_AGO.items()}
            story = told(here.devices, began, now_ms - PAST_MS, now_ms)
            for state, stream in (("calm", story.calm), ("fire", story.trouble)):
                count = await here.publish(stream)
                sys.stdout.write(f"{state}: {count:,} readings\n")
                for view in VIEWS:
                    if only in view.name:
                        await look(started, here, view, state, folder)
                        sys.stdout.write(f"  {view.name}\n")


def small(path: Path, to: Path) -> None:
    """The picture with as few colours as it needs, where pngquant is there to do it."""
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--speed", "1", "--quality", "95-100", "--force", "--output", to, path], check=True)
    else:
        shutil.copy(path, to)


def main() -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="times 30,000 devices")
    parser.add_argument("--only", default="", metavar="TEXT", help="views with this in their name")
    parser.add_argument("--readme", type=Path, metavar="FOLDER", help="put the README's pictures there, made small")
    options = parser.parse_args()
    asyncio.run(take(options.folder, options.scale, options.only))
    if options.readme:
        for view, language in (("desk", "zh-CN"), ("desk-en", "en")):
            small(options.folder / f"{view}-calm.png", options.readme / f"calm.{language}.png")
            small(options.folder / f"{view}-fire-event.png", options.readme / f"fire.{language}.png")


if __name__ == "__main__":
    main()
