from pathlib import Path
from typing import Any

import pytest

from gridwarden.errors import ConfigError
from simulators.mapping import FileMapping, Mapped, RowError, load, native

AT_MS = 1_640_995_261_000  # 2022-01-01T00:01:01Z


def _mapping(**parts: Any) -> FileMapping:
    return FileMapping.model_validate({"device": "id", "values": {"x": "x"}, **parts})


def test_shipped_mapping_of_lift_status() -> None:
    mapping = load(Path("db_lifts"))
    row = {
        "ts_utc": "2022-01-01T00:01:01",
        "equipment": "10001649",
        "type": "ELEVATOR",
        "state": "UNKNOWN",
        "state_explanation": "monitoring disrupted",
    }
    mapped = mapping.apply(row, 7)
    assert mapped == Mapped(
        "db-fasta", "up", "10001649", AT_MS, 7, {"monitored": False, "reason": "monitoring disrupted"}
    )
    assert mapped.topic() == "gridwarden/v1/db-fasta/up"
    assert mapping.apply(row | {"type": "ESCALATOR"}, 8) is None
    assert mapping.apply(row | {"type": ""}, 9) is None
    with pytest.raises(RowError, match="column state: 'BROKEN' is not in the map"):
        mapping.apply(row | {"state": "BROKEN"}, 10)


@pytest.mark.parametrize(
    ("at", "cell"),
    [
        ({"column": "t", "format": "iso"}, "2022-01-01T00:01:01"),
        ({"column": "t", "format": "iso", "zone": "Asia/Shanghai"}, "2022-01-01 08:01:01"),
        ({"column": "t", "format": "iso", "zone": "Asia/Shanghai"}, "2022-01-01T00:01:01Z"),
        ({"column": "t", "format": "epoch_s"}, "1640995261"),
        ({"column": "t", "format": "epoch_s"}, 1640995261.0),
        ({"column": "t", "format": "epoch_ms"}, AT_MS),
    ],
)
def test_times(at: dict[str, str], cell: Any) -> None:
    mapped = _mapping(at=at).apply({"id": "D", "x": "1", "t": cell}, 1)
    assert mapped is not None
    assert mapped.at_ms == AT_MS


@pytest.mark.parametrize("cell", ["", "yesterday", "inf", "nan", None, "1e400"])
def test_a_cell_that_is_no_time_is_a_row_error(cell: Any) -> None:
    for format_ in ("iso", "epoch_s", "epoch_ms"):
        with pytest.raises(RowError, match="column t"):
            _mapping(at={"column": "t", "format": format_}).apply({"id": "D", "x": "1", "t": cell}, 1)


@pytest.mark.parametrize(
    ("source", "cell", "value"),
    [
        ({"type": "text"}, "", ""),
        ({"type": "float"}, "0.25", 0.25),
        ({"type": "int"}, "3.0", 3),
        ({"type": "bool"}, "Yes", True),
        ({"type": "bool"}, False, False),
        ({"map": {"A": 1}, "default": "keep"}, "B", "B"),
        ({"map": {"A": 1}, "default": "keep", "type": "float"}, "2", 2.0),
        ({"map": {"A": True}}, "A", True),
    ],
)
def test_values(source: dict[str, Any], cell: Any, value: Any) -> None:
    mapped = _mapping(values={"x": {"column": "x", **source}}).apply({"id": "D", "x": cell}, 1)
    assert mapped is not None
    assert mapped.values == {"x": value}


@pytest.mark.parametrize(("source", "cell"), [({"type": "float"}, ""), ({"map": {"A": 1}, "default": "skip"}, "B")])
def test_a_field_without_value_is_left_out(source: dict[str, Any], cell: str) -> None:
    mapping = _mapping(values={"x": {"column": "x", **source}, "y": "y"})
    mapped = mapping.apply({"id": "D", "x": cell, "y": "told"}, 1)
    assert mapped is not None
    assert mapped.values == {"y": "told"}
    with pytest.raises(RowError, match="no value"):
        _mapping(values={"x": {"column": "x", **source}}).apply({"id": "D", "x": cell}, 1)


@pytest.mark.parametrize(
    ("type_", "cell"), [("float", "high"), ("float", "nan"), ("int", "1.5"), ("int", "1e400"), ("bool", "maybe")]
)
def test_a_value_of_another_type_is_a_row_error(type_: str, cell: str) -> None:
    with pytest.raises(RowError, match=f"{cell!r} is no {type_}"):
        _mapping(values={"x": {"column": "x", "type": type_}}).apply({"id": "D", "x": cell}, 1)


def test_a_row_without_device_is_a_row_error() -> None:
    with pytest.raises(RowError, match="no device"):
        _mapping().apply({"id": " ", "x": "1"}, 1)
    with pytest.raises(RowError, match="column id: missing"):
        _mapping().apply({"x": "1"}, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("device: id\nvalues: {x: x}\ncolour: red", "colour: unknown key"),
        ("device: id\nvalues: {}", "values"),
        ("device: id\nvalues: {x: x}\ngateway: 'a/b'", "gateway"),
        ("device: id\nvalues: {x: x}\nat: {column: t, zone: Mars}", "no time zone"),
        ("device: id\nvalues: {smoke: x}\nkind: smoke", "no field 'smoke'"),
        ("device: id\nvalues: {status: {column: s, map: {A: fine}}}\nkind: public_lift", "not fine"),
        ("device: id\nvalues: {x: x}\nkind: toaster", "no kind 'toaster'"),
        ("device: [", "line 1: "),
        ("just text", "dict"),
    ],
)
def test_a_mapping_is_refused_with_place_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as refusal:
        load(path)
    assert str(path) in str(refusal.value)


def test_no_such_mapping() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(Path("nowhere"))


def test_native_rows_pass_as_they_are() -> None:
    row = {"gateway": "GW-1", "device": "D", "at": "2022-01-01T00:01:01Z", "seq": 4, "values": {"x": None}}
    mapped = native(row)
    assert mapped == Mapped("GW-1", "up", "D", AT_MS, 4, {"x": None})
    assert mapped.body(1000) == {"device": "D", "at": AT_MS + 1000, "seq": 4, "values": {"x": None}}
    assert native({"device": "D", "values": {}, "lane": "alarm"}).topic() == "gridwarden/v1/replay/alarm"


@pytest.mark.parametrize(
    "row",
    [
        {"values": {}},
        {"device": "D"},
        {"device": "D", "values": {}, "at": "noon"},
        {"device": "D", "values": {}, "seq": "4"},
        {"device": "D", "values": {}, "gateway": "a/b"},
        {"device": "D", "values": {}, "lane": "down"},
    ],
)
def test_native_rows_that_are_none(row: dict[str, Any]) -> None:
    with pytest.raises(RowError):
        native(row)
