"""The plan of whom to hear, made step by step."""

from __future__ import annotations

from gridwarden.model import Device
from rules.load import read_rules
from rules.roster import NEVER, STEP, Plan, load_unseen

_NAME = {"name": {"zh": "静默", "en": "Silent"}, "source": "ours", "severity": "low", "category": "maintenance"}
RULES = [
    *read_rules({"kind": "smoke", "absences": [
        {**_NAME, "id": "smoke.silent", "of": "device", "after": "3 intervals", "interval": "30m"},
        {**_NAME, "id": "smoke.unseen", "of": "never_seen", "after": "7d"}]}),
    *read_rules({"kind": "platform", "absences": [
        {**_NAME, "id": "platform.gateway", "of": "gateway", "after": "1 interval + 5m"},
        {**_NAME, "id": "platform.blind", "of": "broker", "after": "2m"}]}),
]  # fmt: skip
SILENT, UNSEEN, GATEWAY, _ = RULES
MIN = 60_000


def planned(*devices: Device, heard: dict[str, int], **unseen: int) -> Plan:
    plan = Plan({device.device_id: device for device in devices}, RULES, unseen)  # type: ignore[arg-type]
    for _ in plan.steps(lambda name: heard.get(name, NEVER), lambda _rule, name: name == "firing", 99 * MIN):
        pass
    return plan


def test_each_is_looked_at_once_its_limit_is_over() -> None:
    plan = planned(Device("a", "smoke"), Device("b", "smoke"), Device("lift", "lift"), Device("firing", "smoke"),
                   heard={"a": 5 * MIN, "lift": 1, "firing": 3})  # fmt: skip
    assert plan.wheels[SILENT.id].take(95 * MIN, 9) == []
    assert plan.wheels[SILENT.id].take(96 * MIN, 9) == ["a"]
    assert plan.wheels[SILENT.id].take(2**60, 9) == []
    assert plan.wheels[UNSEEN.id].take(2**60, 9) == ["b"]
    assert plan.unseen == {"b": 99 * MIN}
    assert plan.shortest_ms == 90 * MIN
    assert list(plan.rules_of(Device("x", "smoke"))) == [SILENT, UNSEEN]
    assert list(plan.rules_of(Device("x", "lift"))) == []


def test_who_was_missed_before_is_missed_since_then() -> None:
    plan = planned(Device("b", "smoke"), Device("c", "smoke"), heard={}, b=7)
    assert plan.unseen == {"b": 7, "c": 99 * MIN}
    assert load_unseen(plan.dump_unseen()) == plan.unseen


def test_a_gateway_is_as_fast_as_its_fastest_device_and_has_at_least_two() -> None:
    plan = planned(
        Device("a", "smoke", "330106001", gateway="gw1"), Device("alone", "smoke", gateway="gw2"),
        Device("b", "smoke", "330106002", gateway="gw1", attributes={"interval_s": 600}),
        Device("l1", "lift", gateway="gw3"), Device("l2", "lift", gateway="gw3"), Device("free", "smoke"),
        heard={"a": 3, "b": 8},
    )  # fmt: skip
    ((name, gateway),) = plan.gateways.items()
    assert (name, gateway.interval_ms, gateway.heard_at_ms, gateway.area) == ("gw1", 10 * MIN, 8, "330106")
    assert plan.shortest_ms == 15 * MIN


def test_a_large_registry_is_planned_in_steps() -> None:
    devices = {f"{number}": Device(f"{number}", "smoke") for number in range(3 * STEP)}
    plan = Plan(devices, RULES, {})  # type: ignore[arg-type]
    assert sum(1 for _ in plan.steps(lambda _name: 0, lambda _rule, _name: False, 1)) == 3
    assert len(plan.wheels[SILENT.id].take(2**60, 10**6)) == 3 * STEP
    plan.arm(SILENT, "0", 5)
    plan.arm(RULES[3], "b", 5)  # type: ignore[arg-type]
    assert plan.wheels[SILENT.id].take(2**60, 9) == ["0"]
