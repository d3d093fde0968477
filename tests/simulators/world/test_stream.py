from collections.abc import Iterator

from gridwarden.model import Value
from simulators.world.stream import Merging, Sent, by_lane


def sent(at_ms: int, device_id: str = "LIFT-1", **values: Value) -> Sent:
    return Sent(at_ms, "GW-1", device_id, at_ms, at_ms, values)


def test_topic_and_body_are_the_native_ones() -> None:
    one = Sent(20, "GW-1", "LIFT-1", 10, 1, {"floor": 1})
    assert one.topic == "gridwarden/v1/GW-1/up"
    assert one.body() == {"device": "LIFT-1", "at": 10, "seq": 1, "values": {"floor": 1}}
    assert Sent(20, "GW-1", "LIFT-1", 10, 1, {}, "alarm").topic == "gridwarden/v1/GW-1/alarm"


def test_streams_merge_in_order_of_sending_and_are_made_no_sooner_than_needed() -> None:
    made: list[int] = []

    def stream(*times_ms: int) -> Iterator[Sent]:
        for at_ms in times_ms:
            made.append(at_ms)
            yield sent(at_ms)

    merging = Merging()
    merging.join(stream(10, 30, 90), 10)
    merging.join(stream(20, 40), 15)
    merging.join(stream(60), 50)
    assert [one.sent_at_ms for one in merging.until(9)] == made == []
    assert [one.sent_at_ms for one in merging.until(30)] == [10, 20, 30]
    assert sorted(made) == [10, 20, 30, 40, 90]
    merging.join(stream(35), 35)
    assert [one.sent_at_ms for one in merging.until(float("inf"))] == [35, 40, 60, 90]


def test_the_reading_that_begins_to_alarm_goes_by_the_fast_lane() -> None:
    stream = [
        sent(1, "SMK", state="normal"), sent(2, "SMK", state="alarm"), sent(3, "LIFT", entrapment=False, alarm_button=True),
        sent(4, "SMK", smoke_dbm=0.2), sent(5, "SMK", state="alarm"), sent(6, "LIFT", entrapment=True, alarm_button=True),
        sent(7, "SMK", state="restore"), sent(8, "SMK", state="alarm"), sent(9, "HYD", tilt_alarm=True),
    ]  # fmt: skip
    assert [one.sent_at_ms for one in by_lane(stream) if one.lane == "alarm"] == [2, 3, 8]
    assert [one.sent_at_ms for one in by_lane(stream)] == list(range(1, 10))
