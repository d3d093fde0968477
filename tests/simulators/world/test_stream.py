from gridwarden.model import Device
from simulators.world.stream import merge, numbered, without

LIFT = Device("LIFT-1", "lift", gateway="GW-1")


def test_a_device_counts_what_it_says_in_order_of_time() -> None:
    said = list(numbered(LIFT, [(20, {"floor": 2}), (10, {"floor": 1})]))
    assert [(sent.sent_at_ms, sent.at_ms, sent.seq) for sent in said] == [(10, 10, 1), (20, 20, 2)]
    assert said[0].topic == "gridwarden/v1/GW-1/up"
    assert said[0].body() == {"device": "LIFT-1", "at": 10, "seq": 1, "values": {"floor": 1}}


def test_streams_merge_in_order_of_sending() -> None:
    one = numbered(LIFT, [(10, {}), (30, {})])
    other = numbered(Device("LIFT-2", "lift"), [(20, {}), (40, {})])
    assert [sent.sent_at_ms for sent in merge([one, other])] == [10, 20, 30, 40]


def test_nothing_ordinary_is_said_while_something_happens() -> None:
    ordinary = [[(0, {})], [(100_000, {})], [(150_000, {})], [(300_000, {})]]
    happening = [(140_000, {}), (200_000, {})]
    assert [spell[0][0] for spell in without(ordinary, happening)] == [0, 300_000]
