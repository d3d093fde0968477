"""Points: one a reading, each in its own place, types that never change."""

from __future__ import annotations

import pytest

from gridwarden.history.points import lines_of, tag, untag
from gridwarden.kinds import KINDS, FieldType
from gridwarden.model import Reading
from tests.gridwarden.history.influx_protocol import parse

START_MS = 1_800_000_000_000


def reading(number: int = 0, device_id: str = "H-1", **changes: object) -> Reading:
    at_ms = START_MS + number // 3  # three share a millisecond
    values = changes.pop("values", {"pressure_mpa": 0.4, "leak": False})
    return Reading(device_id, "hydrant", "gw", at_ms, at_ms, number, number, True, values, **changes)  # type: ignore[arg-type]


def test_kinds_that_share_a_name_share_its_type() -> None:
    number = {FieldType.INT: "number", FieldType.FLOAT: "number", FieldType.ENUM: "text", FieldType.TEXT: "text"}
    types: dict[str, set[str]] = {}
    for kind in KINDS.values():
        for name, field in kind.fields.items():
            assert "." not in name
            types.setdefault(name, set()).add(number.get(field.type, "bool"))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


def test_the_same_readings_are_the_same_points_and_each_has_its_own() -> None:
    alike = Reading("H 1,=%$\\", "hydrant", "g", START_MS, START_MS, None, 7, False, {})
    readings = [alike] * 2000 + [reading(n) for n in range(2000)]
    lines = lines_of(readings, 5)
    assert lines == lines_of(readings, 5)
    assert lines[:100] == lines_of(readings[:100], 5)  # a shorter batch from the same offset
    points = {(*sorted(tags.items()), at_ns) for _, tags, _, at_ns in map(parse, lines)}
    assert len(points) == 4000
    assert {at_ns // 10**6 for *_, at_ns in points} == {START_MS + n for n in range(667)}


@pytest.mark.parametrize("text", ["H-1", "烟 2", 'a"b\\c${d}', "100%", "%41", "\n\0", "a,b=c", "\\"])
def test_a_tag_comes_back_and_has_nothing_to_misread(text: str) -> None:
    assert untag(tag(text)) == text
    assert not set(tag(text)) & set('"\\$\n\0')


def test_a_number_is_always_a_float() -> None:
    (line,) = lines_of([reading(values={"rsrp_dbm": -90, "pressure_mpa": 1, "leak": 1})], 0)
    _, _, fields, _ = parse(line)
    assert [fields[name] for name in ("rsrp_dbm", "pressure_mpa", "leak.other")] == [-90.0, 1.0, "1"]
    assert isinstance(fields["rsrp_dbm"], float)
