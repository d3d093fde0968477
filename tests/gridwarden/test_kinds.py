import pytest

from gridwarden.kinds import COMMON, KINDS, PLATFORM, SENSORS, FieldType, Kind, guess_kind


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_is_whole(kind: Kind) -> None:
    assert KINDS[kind.name] is kind
    assert {field.name for field in COMMON} <= set(kind.fields) or kind.name == PLATFORM
    assert kind.own == set(kind.fields) - {field.name for field in COMMON}
    for name, field in kind.fields.items():
        assert name == field.name
        if field.type in (FieldType.INT, FieldType.FLOAT):
            assert field.low is not None
            assert field.high is not None
            assert field.low < field.high
        if field.type is FieldType.ENUM:
            assert len(set(field.choices)) == len(field.choices) > 1


@pytest.mark.parametrize("name", SENSORS)
def test_all_own_fields_betray_the_kind(name: str) -> None:
    assert guess_kind(set(KINDS[name].own)) == name


def test_nobody_outside_is_taken_for_a_part_of_the_platform() -> None:
    assert guess_kind(set(KINDS[PLATFORM].own)) == ""


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ({"pressure_mpa"}, "hydrant"),
        ({"floor", "door"}, "lift"),
        ({"smoke_dbm", "battery_pct"}, "smoke"),
        ({"status"}, "public_lift"),
        ({"battery_pct", "tamper"}, ""),
        ({"nonsense"}, ""),
        (set(), ""),
        ({"pressure_mpa", "floor"}, ""),
        ({"pressure_mpa", "flow_lps", "floor"}, "hydrant"),
    ],
)
def test_guess(names: set[str], kind: str) -> None:
    assert guess_kind(names) == kind
