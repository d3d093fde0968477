"""What a district at work costs: memory and processor time of each process, with one dashboard open in a browser.

``python tests/bench/resident_bench.py [--seconds 120] [--scale 0.9] [--json]``; needs a Chromium, takes about five
minutes. Exit 1 if all processes together hold 700 MB or more, or web takes a tenth of a core. What is measured, and
how: docs/guide/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright, expect

sys.path.insert(0, str(Path(__file__).parents[2]))

from gridwarden import app
from gridwarden.cli.bench_load import cpu_seconds, shares
from gridwarden.clock import SystemClock
from gridwarden.office.accounts import Accounts
from gridwarden.office.basemap import import_basemap
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators import city
from simulators.city import writing
from tests.bench.city_load import Account, Plan
from tests.faults.harness import Instance, until

SEED = 1
PASSWORD = "a-password-of-the-bench"
MEMORY_WANTED_MB = 700.0
WEB_WANTED_CORES = 0.10
ROUNDS = 64
"""How often every device has spoken before: as many keys of a device as are kept (see docs/guide/gateways.md)."""
SETTLE_S = 20.0
"""After the page is live and everything has arrived: what starts does not count."""
LOOK_EVERY_S = 5.0
WAIT_MS = 60_000
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Looks:
    """Memory of each process, looked at again and again; megabytes."""

    resident: dict[str, list[float]] = field(default_factory=dict)
    """Pages that several processes share count for each of them."""
    proportional: dict[str, list[float]] = field(default_factory=dict)
    """Shared pages count in parts."""

    def look(self, pids: Mapping[str, int]) -> None:
        """Once."""
        for name, pid in pids.items():
            lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
            told_mb = {words[0]: int(words[1]) / 1024 for words in lines}
            self.resident.setdefault(name, []).append(told_mb["Rss:"])
            self.proportional.setdefault(name, []).append(told_mb["Pss:"])


async def measure(directory: Path, seconds: float, scale: float) -> dict[str, Any]:
    """An instance in ``directory`` with the whole district, and what it takes over ``seconds``."""
    facts: dict[str, Any] = {"machine": _machine()}
    furnish(directory, scale)
    port = _free_port()
    async with Instance(directory, "--port", str(port), GRIDWARDEN_FAILPOINT="").running() as instance:
        async with dashboard(f"http://127.0.0.1:{port}"), gateways(instance, scale, seconds) as publishing:
            facts["load"] = await warm_up(instance, publishing)
            await asyncio.sleep(SETTLE_S)
            facts |= await watch(instance, publishing, seconds)
            publishing.stdin.close()  # type: ignore[union-attr]
            account = Account(**json.loads(await _line(publishing)))
        ledger = await instance.drained()
    facts["published"], facts["lost"] = account.published, account.published - ledger["stored"]
    facts["short_of"] = short_of(facts)
    return facts


def furnish(directory: Path, scale: float) -> None:
    """A data directory with the district registered, and an operator whose password is known."""
    data, folder = directory / "data", directory / "city"
    writing.write(city.make(SEED, scale), folder)
    with app.data_lock(data):
        app.prepare(data)
        with Office.open(data / "office.db") as office:
            for what, name in (
                ("areas", writing.AREAS),
                ("devices", writing.DEVICES),
                ("resources", writing.RESOURCES),
            ):
                assert import_file(office, what, folder / name).ok
            import_basemap(data, folder / writing.BASEMAP)
            accounts = Accounts(office.database, SystemClock())
            accounts.set_password(next(one.user_id for one in accounts.users() if one.name == "operator"), PASSWORD)


@asynccontextmanager
async def gateways(instance: Instance, scale: float, seconds: float) -> AsyncIterator[Process]:
    """The district's gateways, in a process of their own."""
    to = instance.mqtt("")
    plan = Plan(host=to.host, port=to.port, username=to.username or "", password=to.password or "", seed=SEED, scale=scale,
                rounds=ROUNDS, horizon_s=seconds + 10 * SETTLE_S)  # fmt: skip
    program = str(Path(__file__).with_name("city_load.py"))
    process = await asyncio.create_subprocess_exec(sys.executable, program, stdin=PIPE, stdout=PIPE)
    try:
        process.stdin.write(plan.model_dump_json().encode() + b"\n")  # type: ignore[union-attr]
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def dashboard(address: str) -> AsyncIterator[None]:
    """The page with its map, signed in and live, in a Chromium without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(locale="zh-CN", viewport={"width": 1920, "height": 1080})
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        await page.goto(address)
        await page.get_by_test_id("signin-name").fill("operator")
        await page.get_by_test_id("signin-password").fill(PASSWORD)
        await page.get_by_test_id("signin-submit").click()
        connection = page.get_by_test_id("connection-state")
        await expect(connection).to_have_attribute("data-state", "live", timeout=WAIT_MS)
        await expect(page.get_by_test_id("map").locator("canvas")).to_be_visible(timeout=WAIT_MS)
        yield
        await expect(connection).to_have_attribute("data-state", "live")
        await browser.close()


async def warm_up(instance: Instance, publishing: Process) -> dict[str, Any]:
    """Let the past be told, round by round, so that no backlog swells anything; the account of it."""
    told: dict[str, Any] = {}
    for _ in range(ROUNDS):
        told = json.loads(await _line(publishing))

        async def taken(readings: int = told["published"]) -> bool:
            return bool((await instance.ledger())["stored"] >= readings)

        await until("a round is stored", taken)
        publishing.stdin.write(b"go on\n")  # type: ignore[union-attr]
    return told


async def watch(instance: Instance, publishing: Process, seconds: float) -> dict[str, Any]:
    """What each process takes meanwhile."""
    pids = {"supervisor": instance.pid or 0, **instance.children()}
    others = {"gateways": publishing.pid, "bench": os.getpid()}
    loop = asyncio.get_running_loop()
    looks = Looks()
    stored, began_s, before = (await instance.ledger())["stored"], loop.time(), cpu_seconds(pids | others)
    while (left_s := began_s + seconds - loop.time()) > 0:
        looks.look(pids)
        await asyncio.sleep(min(left_s, LOOK_EVERY_S))
    looks.look(pids)
    took_s = loop.time() - began_s
    cores = shares(before, cpu_seconds(pids | others), took_s)
    stored = (await instance.ledger())["stored"] - stored
    assert instance.children() == {name: pid for name, pid in pids.items() if name != "supervisor"}, "a part ended"
    processes = {name: {"resident_mb": round(max(looks.resident[name]), 1),
                        "proportional_mb": round(max(looks.proportional[name]), 1), "cores": cores.pop(name)}
                 for name in pids}  # fmt: skip
    together = {"resident_mb": max(map(sum, zip(*looks.resident.values(), strict=True))),
                "proportional_mb": max(map(sum, zip(*looks.proportional.values(), strict=True))),
                "cores": sum(one["cores"] for one in processes.values())}  # fmt: skip
    return {"seconds": round(took_s, 1), "readings_per_s": round(stored / took_s, 1), "processes": processes,
            "together": {name: round(value, 3) for name, value in together.items()}, "besides": cores}  # fmt: skip


def short_of(facts: dict[str, Any]) -> list[str]:
    """What was promised and not seen."""
    memory_mb, cores = facts["together"]["resident_mb"], facts["processes"]["web"]["cores"]
    return [
        *([f"{memory_mb:.0f} MB resident, {MEMORY_WANTED_MB:.0f} or more"] if memory_mb >= MEMORY_WANTED_MB else []),
        *([f"web takes {cores} of a core, {WEB_WANTED_CORES} or more"] if cores >= WEB_WANTED_CORES else []),
        *([f"{facts['lost']} readings lost"] if facts["lost"] else []),
    ]


async def _line(process: Process) -> bytes:
    line = await process.stdout.readline()  # type: ignore[union-attr]
    assert line, "the gateways ended before their time; their last words stand above"
    return line


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _machine() -> dict[str, Any]:
    return {"cores": len(os.sched_getaffinity(0)), "load_average": round(os.getloadavg()[0], 2),
            "system": platform.platform(), "python": platform.python_version()}  # fmt: skip


def show(facts: dict[str, Any]) -> None:
    """Print it for people."""
    machine, load = facts["machine"], facts["load"]
    print(f"{machine['cores']} cores, load {machine['load_average']} before the start, Python {machine['python']}")
    print(f"{load['devices']:,} devices, {load['gateways']} gateways, {facts['readings_per_s']} readings/s for"
          f" {facts['seconds']:.0f} s, one dashboard with its map open")  # fmt: skip
    print(f"{'':12}{'resident MB':>12}{'proportional MB':>17}{'share of a core':>17}")
    for name, one in (*facts["processes"].items(), ("together", facts["together"])):
        print(f"{name:12}{one['resident_mb']:12.0f}{one['proportional_mb']:17.0f}{one['cores']:17.1%}")
    print("besides, cores: " + ", ".join(f"{name} {share:.2f}" for name, share in facts["besides"].items()))
    print(f"{facts['published']:,} readings published, {facts['lost']} lost")
    for reason in facts["short_of"]:
        print(f"short: {reason}", file=sys.stderr)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it is watched")
    parser.add_argument("--scale", type=float, default=0.9, help="times 30,000 devices")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    if not CHROMIUM:
        parser.exit(2, "no Chromium: set CHROMIUM or install the package chromium\n")
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as directory:
        facts = asyncio.run(measure(Path(directory), arguments.seconds, arguments.scale))
    if arguments.json:
        print(json.dumps(facts))
    else:
        show(facts)
    sys.exit(1 if facts["short_of"] else 0)


if __name__ == "__main__":
    main()
