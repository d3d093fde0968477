"""The decode boundary: readings or a named rejection, and nothing else, for any bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.errors import DecodeError
from ingest.decode import REJECTED_LIMIT, Decoded, decode_native, gateway_of, read_at, sent_order

LIMIT = 10_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["device", "at", "seq", "values", "readings", "x"]), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


def decode(body: Any) -> Decoded:
    return decode_native(body if isinstance(body, bytes) else json.dumps(body).encode(), LIMIT)


def assert_accounted(decoded: Decoded) -> None:
    assert decoded.received == len(decoded.readings) + len(decoded.rejected) >= 1
    for rejected in decoded.rejected:
        assert rejected.code.replace("_", "").isalpha()
        assert isinstance(rejected.payload, bytes)


@given(st.binary(max_size=200))
def test_any_bytes_are_readings_or_a_named_rejection(payload: bytes) -> None:
    assert_accounted(decode(payload))


@given(JSON)
def test_any_json_is_readings_or_a_named_rejection(body: Any) -> None:
    assert_accounted(decode(body))


@given(st.data())
def test_any_damage_to_a_good_payload_is_no_harm(data: st.DataObject) -> None:
    payload = bytearray(
        json.dumps([{"device": "烟-1", "at": 1_800_000_000_000, "seq": 3, "values": {"a": 1.5}}] * 2).encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert_accounted(decode(bytes(payload)))


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"readings": [one]}])
def test_one_reading_an_array_or_a_list_of_readings(wrap: Any) -> None:
    (sent,) = decode(wrap({"device": "D", "at": "2027-01-15T08:00:00Z", "seq": 0, "values": {"a": 1}})).readings
    assert (sent.device_id, sent.at_ms, sent.seq, sent.values, sent.keyed) == (
        "D",
        1_800_000_000_000,
        0,
        {"a": 1},
        True,
    )
    assert not sent.bad_clock
    assert not sent.bad_seq


def test_the_key_is_of_everything_that_was_sent() -> None:
    plain = {"device": "D", "at": 1_800_000_000_000, "seq": 1, "values": {"a": 1}}
    others = [plain | change for change in (
        {"device": "E"}, {"at": 1_800_000_000_001}, {"seq": 2}, {"seq": "1"}, {"values": {"a": 2}}, {"values": {"b": 1}},
        {"at": "2027-01-15T08:00:00Z"},
    )]  # fmt: skip
    keys = {decode(body).readings[0].key for body in [plain, dict(plain), *others]}
    assert len(keys) == 1 + len(others)
    assert all(0 <= key < 2**64 for key in keys)


def test_without_at_and_seq_there_is_no_key_to_go_by() -> None:
    assert not decode({"device": "D", "values": {}}).readings[0].keyed
    assert not decode({"device": "D", "at": None, "seq": None, "values": {}}).readings[0].keyed
    sent = decode({"device": "D", "at": "never", "values": {}}).readings[0]
    assert (sent.keyed, sent.bad_clock) == (True, True)


def test_rejected_elements_name_their_place_and_keep_their_content() -> None:
    decoded = decode([{"device": "D", "values": {}}, {"device": "", "values": {}}, float("nan")])
    assert [rejected.detail.split(":")[0] for rejected in decoded.rejected] == ["readings[1]", "readings[2]"]
    assert json.loads(decoded.rejected[0].payload) == {"device": "", "values": {}}
    assert decoded.rejected[1].payload == b"NaN"


def test_many_rejected_elements_end_in_one() -> None:
    good = {"device": "D", "values": {}}
    decoded = decode_native(json.dumps([None] * 500 + [good] + [None] * 500).encode(), LIMIT)
    assert_accounted(decoded)
    assert (len(decoded.readings), len(decoded.rejected)) == (1, REJECTED_LIMIT + 1)
    assert len(json.loads(decoded.rejected[-1].payload)) == 1000 - REJECTED_LIMIT


@pytest.mark.parametrize("huge", [b"9" * 5000, b"-" + b"9" * 5000])
def test_a_number_of_thousands_of_digits_does_not_cost_the_reading(huge: bytes) -> None:
    decoded = decode(b'{"device":"D","values":{"state":"alarm","x":%s}}' % huge)
    assert decoded.readings[0].values["state"] == "alarm"
    assert decode(b'{"device":"D","values":{"x":%s}' % huge).rejected[0].code == "not_json"
    nested = b'{"device":"D","values":{"x":[%s,' % huge + b"[" * 900 + b"]" * 900 + b"]}}"
    assert decode(nested).rejected[0].code == "too_deep"


@pytest.mark.parametrize("topic", ["", "a", "gridwarden/v1/gw", "gridwarden/v1//up", "gridwarden/v2/gw/up", "/v1/gw/up",
                                   "gridwarden/v1/gw/up/x"])  # fmt: skip
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(DecodeError) as refused:
        gateway_of(topic)
    assert refused.value.code == "unknown_topic"
    assert gateway_of("gridwarden/v1/网关/up") == "网关"


@pytest.mark.parametrize(
    ("at", "at_ms"),
    [
        (1_800_000_000_000, 1_800_000_000_000), (1_800_000_000_000.9, 1_800_000_000_000),
        ("2027-01-15T16:00:00+08:00", 1_800_000_000_000), (946_684_800_000, 946_684_800_000),
        (946_684_799_999, None), (0, None), (-1, None), (10**400, None), (1e400, None), (float("nan"), None),
        (True, None), ([], None), ({}, None), ("", None), ("x" * 50, None), ("0001-01-01T00:00:00+23:59", None),
    ],
)  # fmt: skip
def test_a_clock_is_read_or_it_is_none(at: Any, at_ms: int | None) -> None:
    assert read_at(at) == at_ms


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b'{"device":"a","at":1763800000000,"seq":7,"values":{}}', (1763800000000, 7)),
        (b'{"device":"a","at":"2025-11-22T08:26:40Z","values":{}}', (1763800000000, -1)),
        (b'[{"device":"a","at":1763800000000,"seq":7},{"device":"b","at":5}]', (1763800000000, 7)),
        (b'{"readings":[{"device":"a","at":1763800000000,"seq":7}]}', (1763800000000, 7)),
        (b'{"device":"a","seq":7,"values":{}}', (42, 7)),
        (b'{"device":"a","at":"yesterday","seq":"7"}', (42, -1)),
        *((text, (42, -1)) for text in (b"", b"[]", b"[3]", b"7", b"{", b'{"readings":3}', b"\xff", b"[" * 9_999)),
    ],
)
def test_a_body_has_its_place_among_others(payload: bytes, wanted: tuple[int, int]) -> None:
    assert sent_order(payload, 42) == wanted
