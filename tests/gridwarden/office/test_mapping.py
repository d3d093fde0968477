from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.errors import ConfigError
from gridwarden.office.mapping import PRESETS, load_mapping, same_names
from gridwarden.office.rows import AREAS, DEVICES, RESOURCES

ROW = {"equipment": "10", "type": "ELEVATOR", "operator": "DB", "empty": "", "n": 5, "on": True, "list": [1]}


def test_sources_of_a_column() -> None:
    mapping = load_mapping(
        {
            "device_id": {"column": "equipment", "prefix": "db-", "replace": {"1": "I"}},
            "kind": {"const": "public_lift"},
            "name": "operator",
            "gateway": {"column": "empty", "prefix": "gw-"},
            "attributes": {"op": "operator", "number": "n", "left": "empty", "out": "absent"},
        },
        DEVICES,
    )
    assert mapping.apply(ROW) == {
        "device_id": "db-I0", "kind": "public_lift", "name": "DB", "gateway": "",
        "attributes": {"op": "DB", "number": 5},
    }  # fmt: skip
    assert mapping.columns == {"equipment", "operator", "empty", "n", "absent"}


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"type": "ELEVATOR"}, True),
        ({"type": "ESCALATOR"}, False),
        ({"type": ["ESCALATOR", "ELEVATOR"]}, True),
        ({"n": 5, "on": True}, True),
        ({"n": "5", "on": "true"}, True),
        ({"type": "ELEVATOR", "n": 6}, False),
        ({"absent": ""}, True),
        ({"list": "[1]"}, False),
    ],
)
def test_where(where: dict, wanted: bool) -> None:  # type: ignore[type-arg]
    mapping = load_mapping({"device_id": "equipment", "kind": {"const": "lift"}, "where": where}, DEVICES)
    assert mapping.wants(ROW) is wanted


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"kind": "k"}, "device_id"),
        ({"device_id": "d", "kind": "k", "nmae": "n"}, "nmae"),
        ({"device_id": "d", "kind": {"const": "x", "column": "y"}}, "kind"),
        ({"device_id": "d", "kind": {}}, "kind"),
        ({"device_id": "d", "kind": {"konst": "x"}}, "kind"),
        ({"device_id": "d", "kind": ["x"]}, "kind"),
        ({"device_id": "d", "kind": "k", "attributes": "x"}, "attributes"),
        ({"device_id": "d", "kind": "k", "where": ["x"]}, "where"),
        ({"device_id": "d", "kind": "k", "where": {"x": {"y": 1}}}, "where"),
        ({1: "d"}, "1"),
    ],
)
def test_faults_are_told_with_their_place(data: dict, place: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as refused:
        load_mapping(path, DEVICES)
    assert (refused.value.path, refused.value.place) == (str(path), place)


@pytest.mark.parametrize(
    ("text", "reason"), [("[1]", "our columns"), ("a: [", "line 1: "), ("", "our columns"), ("a" * 70_000, "larger"),
                         ("a: !!python/object:os.system {}", "tags")]
)  # fmt: skip
def test_files_that_are_no_mapping(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_mapping(path, DEVICES)


def test_no_such_file() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_mapping("no_such_preset", DEVICES)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_mapping_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):  # so short and yet a mapping: not by chance
        load_mapping(path, DEVICES)


def test_every_preset_fits_its_entity() -> None:
    wanted = {"db_lifts": DEVICES, "osm_hydrants": DEVICES, "osm_fire_stations": RESOURCES}
    assert {path.stem for path in PRESETS.glob("*.yaml")} == set(wanted)
    for name, entity in wanted.items():
        assert entity.key in load_mapping(name, entity).fields


def test_same_names() -> None:
    assert same_names(["code", "name"], AREAS).apply({"code": "3301", "name": "x"}) == {"code": "3301", "name": "x"}
    with pytest.raises(ConfigError, match="unknown column 'nmae'; known: code, name"):
        same_names(["code", "nmae"], AREAS)
