from collections.abc import Callable, Iterator
from random import Random

import pytest
from pydantic import TypeAdapter, ValidationError

from simulators.world.faults import AnyFault, Fault, in_order
from simulators.world.stream import Sent

MIN_MS = 60_000
ADAPTER: TypeAdapter[Fault] = TypeAdapter(AnyFault)
Wrap = Callable[..., list[Sent]]


def plain() -> list[Sent]:
    """Two devices, a reading every 10 s of an hour each; the faults concern the first."""
    return [
        Sent(START_MS + n * 10_000, "GW", name, START_MS + n * 10_000, n + 1, {"smoke_dbm": n / 1000})
        for n in range(360)
        for name in ("HIT", "SPARED")
    ]


START_MS = 1_773_608_400_000


def wrapped(**written: object) -> list[Sent]:
    fault = ADAPTER.validate_python({"to": ("role",), **written})
    found = list(fault.wrap(iter(plain()), lambda sent: sent.device_id == "HIT", Random(1), START_MS))
    assert found == list(fault.wrap(iter(plain()), lambda sent: sent.device_id == "HIT", Random(1), START_MS))
    times = [sent.sent_at_ms for sent in found]
    assert times == sorted(times)
    assert of(found, "SPARED") == of(plain(), "SPARED")
    return of(found, "HIT")


def of(stream: list[Sent], device_id: str) -> list[Sent]:
    return [sent for sent in stream if sent.device_id == device_id]


def said(sent: Sent) -> tuple[int, int, float]:
    """What the device put into a reading, however it went on."""
    return sent.at_ms, sent.seq, float(sent.values["smoke_dbm"])  # type: ignore[arg-type]


SAID = [said(sent) for sent in plain() if sent.device_id == "HIT"]


def test_what_is_lost_leaves_a_gap_in_the_count() -> None:
    found = wrapped(what="loss", share=0.3)
    assert 200 < len(found) < 300
    assert set(map(said, found)) < set(SAID)
    assert max(sent.seq for sent in found) > len(found)
    assert wrapped(what="loss", share=1) == []


def test_delay_and_reorder_change_the_sending_alone() -> None:
    found = wrapped(what="delay", at_least="5s", at_most="5s")
    assert [said(sent) for sent in found] == SAID
    assert {sent.sent_at_ms - sent.at_ms for sent in found} == {5_000}
    mixed = wrapped(what="reorder", share=0.3, at_most="1m")
    assert sorted(map(said, mixed)) == SAID
    assert [said(sent) for sent in mixed] != SAID


def test_a_duplicate_is_the_same_reading_again() -> None:
    found = wrapped(what="duplicates", share=0.5, within="20s")
    assert 500 < len(found) < 580
    assert set(map(said, found)) == set(SAID)


def test_a_wrong_clock_moves_at_and_nothing_else() -> None:
    found = wrapped(what="skew", by="-10m")
    assert [sent.at_ms - sent.sent_at_ms for sent in found] == [-10 * MIN_MS] * 360
    assert [sent.seq for sent in found] == [seq for _, seq, _ in SAID]
    unset = wrapped(what="clock_never_set")
    assert 0 < unset[0].at_ms < unset[-1].at_ms < 2 * 86_400_000
    assert [sent.sent_at_ms for sent in unset] == [at_ms for at_ms, _, _ in SAID]
    assert wrapped(what="skew", by="3m")[0].at_ms == START_MS + 3 * MIN_MS


@pytest.mark.parametrize(("by", "minutes"), [("-4m", -4), ("3m", 3), ("5m", 5), ("6m", 0), ("30d", 0)])
def test_truth_goes_by_a_clock_that_is_believed(by: str, minutes: int) -> None:
    assert ADAPTER.validate_python({"to": (), "what": "skew", "by": by}).clock_ms() == minutes * MIN_MS


def test_an_outage_is_filled_in_newest_first() -> None:
    found = wrapped(what="outage", at="10m", lasts="20m")
    back_ms = START_MS + 30 * MIN_MS
    assert sorted(map(said, found)) == SAID
    assert not [sent for sent in found if START_MS + 10 * MIN_MS <= sent.sent_at_ms < back_ms]
    filled = [sent.seq for sent in found if sent.at_ms < back_ms <= sent.sent_at_ms]
    assert filled == list(range(180, 60, -1))


def test_a_storm_repeats_the_last_while() -> None:
    found = wrapped(what="storm", at="30m", of_last="10m", copies=5)
    assert len(found) == 360 + 5 * 60
    assert set(map(said, found)) == set(SAID)
    again = [sent for sent in found if sent.sent_at_ms != sent.at_ms]
    assert {START_MS + 20 * MIN_MS <= sent.at_ms < START_MS + 30 * MIN_MS <= sent.sent_at_ms for sent in again} == {
        True
    }


@pytest.mark.parametrize(
    "written",
    [{"what": "loss", "share": 1.5}, {"what": "loss"}, {"what": "skew", "by": 5}, {"what": "rust"},
     {"what": "storm", "at": "1m", "copies": 0}, {"what": "delay", "at_most": "soon"}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"to": ("role",), **written})


def test_in_order_holds_back_no_more_than_it_must() -> None:
    taken = 0

    def source() -> Iterator[Sent]:
        nonlocal taken
        for sent in plain():
            taken += 1
            yield sent

    assert next(in_order(source(), lambda sent: [sent])) == plain()[0]
    assert taken < 5
