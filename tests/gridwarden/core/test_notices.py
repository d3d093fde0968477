"""What gateways are told of their payloads, without a broker."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from gridwarden.core.notices import LISTED, Faults, Notices
from ingest.session import Lane

NOW_MS = 1_800_000_000_000
ODD = {"device": "SMK-1", "seq": 1, "values": {"temperature_c": 900, "state": 5}}


def faults(gateway: str = "g", lane: Lane = Lane.TELEMETRY, broker: str = "b", **counts: int) -> Faults:
    return Faults(broker, gateway, lane, NOW_MS, **counts)


def body_of(site: Any, *messages: Any, **options: Any) -> dict[str, Any]:
    """What the one gateway of these messages is told."""
    notices = Notices({"b"})
    notices.take(site.hear(*messages, **options).faults)
    (one,) = notices.due()
    assert len(notices) == 0
    told: dict[str, Any] = one.body()
    return told


def test_nothing_is_said_of_what_is_well(site: Any) -> None:
    assert site.hear({"device": "SMK-1", "seq": 1, "values": {"state": "normal"}}).faults == []


def test_what_could_not_be_read_is_told_with_its_place_and_the_payload_s_hash(site: Any) -> None:
    array = b'[{"device":"SMK-1","seq":3,"values":{"state":"normal"}},7,{"device":""}]'
    told = body_of(site, b"garbage", array, b"garbage")
    assert told["at"] == "2027-01-15T08:00:00.000Z"
    assert told["lane"] == "telemetry"
    assert [(one["code"], one["place"], one["count"], one["payload_sha256_16"]) for one in told["rejected"]] == [
        ("not_json", "", 2, sha256(b"garbage").hexdigest()[:16]),
        ("not_a_reading", "readings[1]", 1, sha256(array).hexdigest()[:16]),
        ("no_device", "readings[2]", 1, sha256(array).hexdigest()[:16]),
    ]
    assert not told["rejected"][1]["detail"].startswith("readings")
    assert (told["replaced"], told["quarantined"], told["more"]) == ([], 0, 0)


def test_values_that_were_replaced_are_told_by_device_and_field(site: Any) -> None:
    told = body_of(site, ODD, ODD | {"seq": "two", "at": "yesterday"})
    assert {(one["device"], one["field"], one["quality"]): one["count"] for one in told["replaced"]} == {
        ("SMK-1", "temperature_c", "out_of_range"): 2, ("SMK-1", "state", "wrong_type"): 2,
        ("SMK-1", "at", "clock"): 1, ("SMK-1", "seq", "wrong_type"): 1,
    }  # fmt: skip


def test_quarantined_readings_are_counted(site: Any) -> None:
    told = body_of(
        site, {"device": "SMK-1", "seq": 1, "values": {}}, {"device": "SMK-2", "values": {}}, gateway="rogue"
    )
    assert (told["quarantined"], told["rejected"]) == (2, [])


def test_what_is_beyond_the_list_is_counted(site: Any) -> None:
    told = body_of(site, *(b"garbage %d" % number for number in range(LISTED + 5)), b"garbage 0")
    assert (len(told["rejected"]), told["more"], told["rejected"][0]["count"]) == (LISTED, 5, 2)


@pytest.mark.parametrize(
    "topic",
    [
        "elsewhere",
        "gridwarden/v1/g/errors",
        f"gridwarden/v1/{'x' * 129}/up",
        "gridwarden/v1/a\\xff\x01/up",
        "gridwarden/v1//up",
    ],
)
def test_nobody_is_told_of_what_names_nobody_and_our_own_words_get_no_answer(site: Any, topic: str) -> None:
    assert site.hear(b"garbage", topic=topic).faults == []


def test_a_gateway_is_told_one_message_at_a_time_its_alarm_lane_first() -> None:
    notices = Notices({"b", "c"})
    notices.take([faults(), faults("h"), faults(lane=Lane.ALARM), faults(broker="c"), faults(quarantined=3)])
    assert [one.key for one in notices.due()] == [("b", "g", "alarm"), ("b", "h", "telemetry"), ("c", "g", "telemetry")]
    (rest,) = notices.due()
    assert (rest.key, rest.quarantined) == (("b", "g", "telemetry"), 3)
    assert notices.due() == []


def test_those_of_a_broker_that_is_told_nothing_wait_for_nothing() -> None:
    notices = Notices({"c"})
    notices.take([faults()])
    assert (len(notices), notices.untold) == (0, 0)


def test_so_many_gateways_may_wait_and_the_others_are_counted() -> None:
    notices = Notices({"b"}, limit=2)
    notices.take([faults("one"), faults("two"), faults("three"), faults("one", more=1)])
    assert (len(notices), notices.untold) == (2, 1)
    assert [(one.gateway, one.more) for one in notices.due()] == [("one", 1), ("two", 0)]
