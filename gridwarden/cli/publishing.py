"""What commands that publish have in common: where to, how fast, and whether it has been judged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from gridwarden.app import Installation, embedded_address, is_running
from gridwarden.broker import credentials
from gridwarden.cli.local import Api
from gridwarden.cli.output import bar
from gridwarden.errors import BrokerUnavailable, ConfigError, Unavailable
from simulators.publisher import Address
from simulators.replay import Pace
from simulators.world import programme
from simulators.world.feed import Outlet, feed
from simulators.world.programme import Programme
from simulators.world.stream import Sent

JUDGED_S = 120.0
FASTEST = 1e6

Speed = float | Literal["max"]
SpeedOption = Annotated[
    str, typer.Option(metavar="max|FACTOR", help="max, or a factor: 1 is as it happens, 60 an hour in a minute.")
]
HostOption = Annotated[str | None, typer.Option(help="Another broker than the one of the running instance.")]
PortOption = Annotated[int, typer.Option("--broker-port", help="Port of that broker.")]
UsernameOption = Annotated[str | None, typer.Option(help="User at that broker.")]
PasswordOption = Annotated[
    str | None, typer.Option(envvar="GRIDWARDEN_PASSWORD", help="Its password; better given in the environment.")
]


def speed(text: str) -> Speed:
    """What ``--speed`` says.

    Raises:
        ConfigError: neither ``max`` nor a factor.
    """
    if text == "max":
        return "max"
    with contextlib.suppress(ValueError):
        factor = float(text)
        if 0 < factor <= FASTEST:
            return factor
    raise ConfigError(f"{text!r}: max, or a number above 0, is expected", place="--speed")


def running_broker(here: Installation, client_id: str) -> Address:
    """The embedded broker of the running instance, as its owner may use it.

    Raises:
        BrokerUnavailable: no instance runs on this data directory.
    """
    config = here.config
    if not config.embedded.enabled:
        raise ConfigError("the embedded broker is off; name the broker with --host", place="embedded.enabled")
    if not is_running(config.data):
        raise BrokerUnavailable(f"no instance runs on {config.data}; start `gridwarden run` first, or give --host")
    host, port = embedded_address(config.data)
    user, password = credentials.load(config.data / "broker").of(credentials.REPLAYER)
    return Address(host, port, client_id, user, password)


async def until_received(to: Api, readings: int, *, drained: bool = False) -> dict[str, Any]:
    """The ledger once so many readings have been judged; with ``drained`` nothing may be on the way besides.

    Raises:
        Unavailable: it is plain that they will not be.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + JUDGED_S
    while True:
        ledger: dict[str, Any] = await to.call("GET", "/ledger")
        on_the_way = drained and (ledger["in_flight"] or ledger["waiting_messages"])
        if ledger["received"] >= readings and not on_the_way:
            return ledger
        if loop.time() > deadline_s:
            raise Unavailable(f"{readings - ledger['received']} readings are still on the way after {JUDGED_S:.0f} s")
        await asyncio.sleep(0.02)


async def play(
    plan: Programme, outlet: Outlet, pace: Pace, settled: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Publish the whole programme, until the last reading is acknowledged, under a bar that shows how far it is."""
    with _progress(plan) as tell:
        await feed(programme.perform(plan), outlet, pace, tell, settled)
        await outlet.drain()


@contextmanager
def _progress(plan: Programme) -> Iterator[Callable[[Sent], None]]:
    with bar("playing") as progress:
        task = progress.add_task("", total=plan.to_ms - plan.from_ms, note="")
        yield lambda sent: progress.update(task, completed=sent.sent_at_ms - plan.from_ms)
