"""``gridwarden simulate``: into a running instance, and used wrongly. ``--score`` is in ``test_scoring.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridwarden.cli import simulate
from gridwarden.clock import SystemClock
from simulators import district
from simulators.tables import write_table
from simulators.world import registry, scenario
from tests.gridwarden.cli.conftest import Command, Instance

SHIPPED = [one.id for one in scenario.shipped()]


@pytest.mark.process
def test_into_a_running_instance(command: Command, instance: Instance, tmp_path: Path) -> None:
    assert "no smoke detector, lift or hydrant" in command("simulate", "fire", "-d", instance.data).err
    write_table(district.areas(), tmp_path / "areas.csv")
    write_table(district.devices(), tmp_path / "devices.csv")
    for what in ("areas", "devices"):
        assert command("import", what, tmp_path / f"{what}.csv", "-d", instance.data).code == 0
    too_big = command("simulate", "fire", "-d", instance.data)
    assert too_big.code == 2
    assert "there are no 6 free devices of kind smoke in one building" in too_big.err
    answer = command("simulate", "burst_main", "entrapment_code", "-d", instance.data, "--json")
    assert answer.code == 0
    assert answer.json["scenarios"] == ["burst_main", "entrapment_code"]
    assert answer.json["devices"] == 200
    assert answer.json["readings"] > 500
    assert answer.json["connections"] == 1
    many = command("simulate", "opened_hydrant", "entrapment_code", "--clients", 40, "-d", instance.data, "--json")
    assert (many.code, many.json["devices"]) == (0, 200)
    assert 40 < many.json["connections"] <= 43  # those of the lifts that alarm have two
    ledger = command("ledger", "-d", instance.data, "--json").json
    assert ledger["balanced"]
    assert {lane["lane"] for lane in ledger["lanes"] if lane["stored"]} == {"alarm", "telemetry"}
    assert ledger["quarantined"] == ledger["dead_lettered"] == 0
    all_of_them = command("simulate", "--speed", "1000000", "-d", instance.data, "--json")
    assert all_of_them.code == 0
    assert "left out: fire: house: " in all_of_them.err
    assert {"nuisance", "freeze"} < set(all_of_them.json["scenarios"]) < set(SHIPPED)


def test_the_scenarios_are_listed(command: Command) -> None:
    assert [one["scenario"] for one in command("simulate", "--list", "--json").json] == SHIPPED
    told = command("simulate", "--list").out
    assert [name for name in SHIPPED if name not in told] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("flood",), "no such scenario; there are boot_storm"),
        (("none.yaml",), "no such file"),
        (("--speed", "fast"), "max, or a number above 0"),
        (("--speed", "0"), "max, or a number above 0"),
        (("--score", "--host", "elsewhere"), "an instance of its own"),
        (("--scale", "0.1"), "has the devices it has"),
        (("fire", "--host", "127.0.0.1", "--broker-port", "1", "--scale", "0.0001"), "0.02"),
    ],
)
def test_used_wrongly(command: Command, words: tuple[str, ...], reason: str) -> None:
    answer = command("simulate", *words)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err


def test_the_last_reading_is_never_in_the_future() -> None:
    wanted = [scenario.load(scenario.SHIPPED / "opened_hydrant.yaml")]
    at_once, as_it_happens, faster = (
        simulate._planned(wanted, registry.devices(), 1, speed, every=True) for speed in ("max", 1.0, 60.0)
    )  # type: ignore[arg-type]
    now_ms = SystemClock().now_ms()
    span_ms = at_once.to_ms - at_once.from_ms
    assert abs(at_once.to_ms - now_ms) < 60_000
    assert abs(as_it_happens.from_ms - now_ms) < 60_000
    assert abs(faster.to_ms - now_ms - span_ms / 60) < 60_000


def test_the_city_can_be_played_for_another_broker() -> None:
    assert len(simulate._made_up(None)) == 700
    assert len(simulate._made_up(0.02)) == 600
