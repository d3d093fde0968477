"""What people write about rules: rule files, conditions, test files with series."""

from __future__ import annotations

import sys
import unicodedata  # noqa: F401 - the parser fetches it for names that are not ASCII
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import yaml

from gridwarden.core import rule_tests
from gridwarden.core.rehearsal import Rehearsal
from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS, FieldType
from gridwarden.model import Device
from gridwarden.plain_yaml import parse_yaml
from rules import series
from rules.condition import compile_condition
from rules.load import PACKS, load, read_rules
from rules.rule import RuleSet
from rules.script import read_tests
from tests.fuzz.incoming import NOW_MS
from tests.fuzz.stored import MESSAGE_LIMIT
from tests.fuzz.target import CUT, Shape, Target, outcome, parts, written

_FORBIDDEN = ("exec", "import", "os.", "subprocess.", "socket.", "marshal.", "pickle.", "ctypes.")
_heard: list[list[str] | None] = [None]


def _hook(name: str, _: Any) -> None:
    if _heard[0] is not None and name.startswith(_FORBIDDEN):
        _heard[0].append(name)


@cache
def _listen() -> None:
    sys.addaudithook(_hook)  # it cannot be taken off again


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails where the interpreter runs or imports anything meanwhile."""
    _listen()
    events = _heard[0] = []
    try:
        yield
    finally:
        _heard[0] = None
    assert events == []


def refused(error: ConfigError) -> str:
    """What a person is told: a reason, of a length that can be read, in characters that can be shown."""
    assert error.reason
    assert len(str(error)) < MESSAGE_LIMIT, len(str(error))
    str(error).encode()
    return outcome(str(error))


# --- rule files -------------------------------------------------------------------------------------------------


def rule_file(data: bytes) -> str:
    """A rule file is refused with a ``ConfigError`` or loads; nothing of it runs but as a condition.

    What loads, loads again to the same, and judges any reading without an error.
    """
    path = written("own.yaml", data)
    try:
        with nothing_runs():
            found = read_rules(parse_yaml(data, path), path)
        rules = load([path])
    except ConfigError as error:
        assert error.path or error.place.startswith("rule ")  # what is wrong between two rules is in no one file
        return refused(error)
    assert [rule.version for rule in read_rules(parse_yaml(data), path)] == [rule.version for rule in found]
    _try(rules, crc32(data))
    kinds = {type(rule).__name__ for rule in rules.all}
    return (
        f"loaded {sorted(kinds)} {sorted({key for rule in rules.all for key, value in rule.content.items() if value})}"
    )


def _try(rules: RuleSet, seed: int) -> None:
    """Readings of made-up values, through the judge."""
    random = Random(seed)
    kinds = sorted({rule.kind for rule in rules.all if rule.kind in KINDS}) or ["smoke"]
    devices = {
        f"{kind}-{number}": Device(
            f"{kind}-{number}", kind, "3301060010010101", building="B-1", attributes={"mount": "cap", "x": 1}
        )
        for kind in kinds
        for number in range(2)
    }
    rehearsal = Rehearsal(rules, devices, NOW_MS, lambda _: None, restarts=True)
    for number in range(6):
        readings = [
            {
                "device": name,
                "at": NOW_MS + number * 1000 - random.choice((0, 0, 5000)),
                "seq": number,
                "values": _values(device.kind, random),
            }
            for name, device in devices.items()
        ]
        rehearsal.hear("gw1", readings)
        rehearsal.until(NOW_MS + number * random.choice((1000, 120_000)))
    rehearsal.restart()


def _values(kind: str, random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in KINDS[kind].fields.values():
        if random.random() < 0.4:
            continue
        match field.type:
            case FieldType.BOOL:
                made[field.name] = random.random() < 0.5
            case FieldType.ENUM:
                made[field.name] = random.choice(field.choices)
            case FieldType.TEXT:
                made[field.name] = random.choice(("", "x", "12"))
            case _:
                made[field.name] = random.choice((field.low or 0, field.high or 1, 0, 1, 50, None))
    return made


def _rule(kind: str = "lift", **more: Any) -> dict[str, Any]:
    base = {"id": "own.rule", "name": {"zh": "名", "en": "Name"}, "source": "ours", "severity": "low", "category": "fault",
            "when": "floor > 1"}  # fmt: skip
    return {"kind": kind, "rules": [base | more]}


def _examples() -> Iterator[bytes]:
    files = [
        _rule(**{"for": "30s", "hold_by": "readings", "clear": "floor < 1", "clear_for": "1m", "min_firing": "5s"}),
        _rule(count=3, within="5m", late="correct", lateness="1m", on_missing="alarm", latched=True),
        _rule(first="door == 'open'", within="1m", incident="building", flapping={"count": 3, "within": "1h", "quiet": "2h"}),
        _rule(when="rate_per_min(speed_mps) > 2 and previous.door == 'open' or device.x in (1, 2)", late="evaluate", shadow=True),
        _rule(schedule={"days": ["mon", "sun"], "from": "22:00", "to": "06:00", "zone": "Asia/Shanghai", "holidays": ["2026-10-01"], "on_holidays": "only"},
              levels=[{"severity": "high", "when": "floor > 50", "reset": "floor < 40"}], suppressed_when="not known(door)"),
        _rule("smoke", when="state == 'alarm'", life_safety=True, category="fire", inhibits=[{"rules": ["own.*"], "by": "device", "after": "1m"}]),
        yaml.safe_load((PACKS / "platform.yaml").read_bytes()),
        yaml.safe_load((PACKS / "public_lift.yaml").read_bytes()),
    ]  # fmt: skip
    yield from (yaml.safe_dump(file, allow_unicode=True, sort_keys=False).encode() for file in files)
    smoke = yaml.safe_load((PACKS / "smoke.yaml").read_bytes())
    yield yaml.safe_dump({**smoke, "rules": smoke["rules"][:2]}, allow_unicode=True).encode()


# --- conditions -------------------------------------------------------------------------------------------------

CONDITIONS = (
    b"floor > 1 and door == 'open'", b"occupied or not known(device.x) and abs(speed_mps) >= 0.5", b"previous.door in ('open', 'closed')",
    b"change(floor) != 0 or rate_per_min(speed_mps) < -1.5", b"max(floor, 1) + min(2, floor) * 3 / 2 - 1 == 1", b"1 < floor <= 3",
    b"device.public and floor_label == \"a'b\"",
)  # fmt: skip
CONDITION_WORDS = (b" and ", b" or ", b"not ", b"(", b")", b"known(", b"previous.", b"device.", b"==", b"9**9", b"__class__", b"lambda", b"[x for x in y]",
                   b":=", b"'", b"1e999", b"0x", b"1_0", b"...", b"f''", b"await x", b"*x", b"True", b"None", b" in (", b"rate_per_min(", b"\\N{BULLET}")  # fmt: skip


def condition(data: bytes) -> str:
    """Any text is no condition (``ConfigError``), or one that says true, false or unknown of any facts."""
    text = data.decode("utf-8", "surrogatepass" if data.isascii() else "replace")
    said = []
    with nothing_runs():
        for kind in ("lift", "hydrant"):
            try:
                compiled = compile_condition(text, KINDS[kind])
            except ConfigError as error:
                said.append(refused(error))
                continue
            random = Random(crc32(data))
            for _ in range(4):
                facts = (
                    _values(kind, random),
                    _values(kind, random),
                    random.choice(({}, {"x": 2, "public": True}, {"x": "text"}, {"x": None})),
                )
                assert compiled.evaluate(*facts) in (True, False, None)
            said.append(f"compiled {len(compiled.fields)} {len(compiled.rated)}")
    return " ".join(said)[:150]


# --- tests of rules ---------------------------------------------------------------------------------------------

LIFT_RULES = yaml.safe_dump(
    {"kind": "lift", "rules": [{"id": "lift.high", "name": {"zh": "高", "en": "High"}, "source": "ours", "severity": "low", "category": "fault", "when": "floor > 9", "for": "5s"}]},
    allow_unicode=True,
).encode()  # fmt: skip
CASES = (
    b"cases: [{name: a, steps: [{at: 0s, floor: 1}, {at: 10s, floor: 10}, {at: 20s, restart: true, back_at: 30s}, {at: 40s, acknowledge: lift.high}, {at: 50s, floor: 1}], expect: [[15s, lift.high, fired], [50s, lift.high, resolved]]}]",
    b"cases: [{name: b, devices: {A: {gateway: g, clock: -1m, attributes: {x: 1}}, B: {clock: 3m, lon: 1.5, lat: 2}}, series: [{device: A, from: 1s, every: 10s, speed_mps: '0.1x3 1.2..2.0x5 _ null', floor: 1x3 12, door: open}], steps: [{at: 1h, device: B, floor: 10, sent: none, seq: 4, registered: false}], expect: [[1m, A, lift.high, fired, {count: 2}]], events: []}]",
    b"rules: [lift.yaml]\ncases: [{name: c, series: {every: 1s, arrives: 1m, newest_first: true, speed_mps: '1..3x30', floor: 12x30}, expect: []}]",
    b"cases: [{name: d, steps: [{at: 0s, floor: 10}, {at: 10s, shelve: lift.high, for: 1h}, {at: 11s, quiet: {kind: silence, for: 1h, rules: [lift.high]}}, {at: 12s, unquiet: 1}, {at: 13s, reload: {lift.high: {when: floor > 3}}}, {at: 14s, broker: down}, {at: 15s, repeat_of: 0s}, {at: 16s, confirm: lift.high, outcome: 'true'}, {at: 17s, close: lift.high}], expect: []}]",
)  # fmt: skip


def rule_test(data: bytes) -> str:
    """A test file is refused with a ``ConfigError`` or can be played, whatever comes of it."""
    text, rules = parts(data, 2)
    written("lift.yaml", rules or LIFT_RULES)
    path = written("lift.test.yaml", text)
    try:
        tests = read_tests(path)
        report = rule_tests.run([path])
    except ConfigError as error:
        assert error.path or "reload" in str(error)
        return refused(error)
    return f"played {len(tests.cases)} {sum(not one.stopped for one in report.cases)}"


SERIES = (b"0.3x5 0.12x3 _ 0.30..0.10x5", b"null true false word _x3 -1..+2x4")


def one_series(data: bytes) -> str:
    """Any text is no series (``ValueError``), or values of a bounded number."""
    try:
        values = series.values_of(data.decode("utf-8", "replace"))
    except ValueError as error:
        return outcome(str(error))
    assert len(values) <= series.LONGEST
    return f"{sorted({type(value).__name__ for value in values})}"


RULES = (
    Target("rule_file", rule_file, tuple(_examples()), Shape.YAML, 16 * 1024, pure=False,
           words=(b"\n  - ", b"\n", b": ", b"rules:", b"absences:", b"correlations:", b"when: ", b"for: 5m", b"&a", b"*a", b"!!", b"| ", b"> ")),
    Target("condition", condition, CONDITIONS, Shape.TEXT, 4096, words=CONDITION_WORDS),
    Target("rule_test", rule_test, CASES, Shape.YAML, 8 * 1024, pure=False, words=(CUT, b"x10000", b"..", b"at: ", b"30d")),
    Target("series", one_series, SERIES, Shape.TEXT, 4096, words=(b"x99999", b"..", b"_", b"1e9", b"x0")),
)  # fmt: skip
