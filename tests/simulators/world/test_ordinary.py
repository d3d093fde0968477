from collections import Counter
from collections.abc import Iterator
from itertools import islice
from statistics import correlation
from typing import Any

import pytest

from gridwarden.cli.rehearsing import rehearse
from gridwarden.model import Device
from rules.rule import RuleSet
from simulators.behaviour import DAY_MS, Player
from simulators.world import ordinary
from simulators.world.stream import Sent

HOUR_MS = 3_600_000


def test_midnight_is_that_of_the_site(start_ms: int) -> None:
    assert start_ms - ordinary.midnight_ms(start_ms) == 5 * HOUR_MS
    assert ordinary.midnight_ms(ordinary.midnight_ms(start_ms)) == ordinary.midnight_ms(start_ms)


def told(devices: list[Device], seed: int, from_ms: int, to_ms: int, **more: Any) -> list[Sent]:
    return list(ordinary.life(ordinary.players(devices, seed).values(), from_ms, to_ms, **more))


def test_the_same_seed_gives_the_same_day_and_times_are_in_order(devices: list[Device], start_ms: int) -> None:
    def day(seed: int) -> list[Sent]:
        return told(devices[::20], seed, start_ms, start_ms + 4 * HOUR_MS)

    assert day(1) == day(1) != day(2)
    times = [sent.sent_at_ms for sent in day(1)]
    assert times == sorted(times)
    assert start_ms <= times[0] < times[-1] < start_ms + 4 * HOUR_MS


def test_how_far_one_reads_changes_nothing(devices: list[Device], start_ms: int) -> None:
    def endless() -> Iterator[Sent]:
        return ordinary.life(ordinary.players(devices, 1).values(), start_ms)

    assert list(islice(endless(), 500)) == list(islice(endless(), 3_000))[:500]


def test_nothing_is_made_before_its_time(devices: list[Device], start_ms: int) -> None:
    asked: list[int] = []

    def free(_player: Player, begin_ms: int, _end_ms: int) -> bool:
        asked.append(begin_ms)
        return True

    stream = ordinary.life(ordinary.players(devices, 1).values(), start_ms, free=free)
    reached_ms = [next(stream) for _ in range(100)][-1].sent_at_ms
    assert 50 <= len(asked) < 150
    assert max(asked) <= reached_ms + 4 * 60_000


def test_a_device_counts_on_and_says_what_is_besides(devices: list[Device], start_ms: int) -> None:
    players = ordinary.players(devices[:1], 1)
    player = players[devices[0].device_id]
    besides = [(start_ms + 90_000, player, {"state": "alarm"}), (start_ms + 60_000, player, {"state": "test"})]
    first = list(
        ordinary.life([player], start_ms, start_ms + HOUR_MS, free=lambda *_: False, besides=besides)  # type: ignore[arg-type]
    )
    assert [(sent.at_ms - start_ms, sent.seq, sent.values["state"]) for sent in first] == [
        (60_000, 1, "test"), (90_000, 2, "alarm")
    ]  # fmt: skip
    following = list(ordinary.life([player], start_ms + HOUR_MS, start_ms + 3 * HOUR_MS))
    assert [sent.seq for sent in following] == [3, 4, 5, 6]
    assert following[0].gateway == devices[0].gateway


def test_a_roll_call_hears_every_device_once_or_twice(devices: list[Device], start_ms: int) -> None:
    half_an_hour = told(devices, 1, start_ms, start_ms + HOUR_MS // 2, roll_call_until_ms=start_ms + HOUR_MS)
    counted = Counter(sent.device_id for sent in half_an_hour)
    assert counted.keys() > {device.device_id for device in devices if device.kind != "smoke"}
    assert max(counted.values()) == 2
    assert {sent.values.get("motion") for sent in half_an_hour} == {None, "stopped"}


def test_hydrants_on_one_main_move_together_through_the_day(start_ms: int) -> None:
    def pressures(number: int, main: str) -> list[float]:
        device = Device(f"HYD-{number}", "hydrant", water_main=main)
        day = told([device], 1, day_ms, day_ms + DAY_MS)
        return [float(sent.values["pressure_mpa"]) for sent in day]  # type: ignore[arg-type]

    day_ms = ordinary.midnight_ms(start_ms)
    one, neighbour = pressures(1, "WM-1"), pressures(2, "WM-1")
    assert len(one) == len(neighbour) == 96
    assert correlation(one, neighbour) > 0.85
    assert min(*one, *neighbour) > 0.14
    night, morning = sum(one[8:16]) / 8, sum(one[28:33]) / 5
    assert night - morning > 0.01
    mains = [ordinary.main_pressure(main, 1)(day_ms) for main in ("WM-1", "WM-2")]
    assert mains[0] != mains[1]


def test_lifts_have_their_rush_hour(devices: list[Device], start_ms: int) -> None:
    lifts = [device for device in devices if device.kind == "lift"][:20]
    day_ms = ordinary.midnight_ms(start_ms)
    trips = Counter(
        (sent.at_ms - day_ms) // HOUR_MS
        for sent in told(lifts, 1, day_ms, day_ms + DAY_MS)
        if sent.values.get("motion") == "running"
    )
    assert trips[7] > 4 * max(trips[3], 1)


def test_a_kind_without_ordinary_days_says_nothing(start_ms: int) -> None:
    assert told([Device("X", "public_lift")], 1, start_ms, start_ms + DAY_MS) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ordinary_day_gives_no_alarm(devices: list[Device], rules: RuleSet, start_ms: int, seed: int) -> None:
    some = devices[::5]
    stream = told(some, seed, start_ms, start_ms + DAY_MS)
    assert rehearse(stream, some, rules, start_ms + DAY_MS) == []
