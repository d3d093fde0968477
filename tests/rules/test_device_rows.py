"""What the registry says of the devices in rows, and rows that are judged by themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gridwarden.kinds import KINDS
from gridwarden.model import Device, Reading
from rules.columns import UNKNOWN
from rules.device_rows import Alone, DeviceRows, nothing
from rules.readings import Readings, Texts
from tests.rules.past import chunks


def said(device_id: str, at_ms: int = 1, **values: Any) -> Reading:
    return Reading(device_id, "lift", "gw", at_ms, at_ms, None, 0, True, values)


def rows(cls: Any, readings: list[Reading], **attributes: dict[str, Any]) -> Any:
    texts = Texts({}, {0: "gw"})
    (chunk,) = chunks(readings, {"lift": ("floor", "door")}, texts)
    devices = {name.replace("_", "-"): Device(name, "lift", attributes=given) for name, given in attributes.items()}
    return cls(Readings.of(chunk), devices, texts)


def test_an_attribute_counts_where_its_type_fits() -> None:
    readings = [said("L-1"), said("L-1", 2), said("L-2"), said("L-3"), said("L-4")]
    found = rows(DeviceRows, readings, L_1={"x": 3}, L_2={"x": "cap"}, L_3={"x": True})
    assert found.attribute("x", "number")[:2].tolist() == [3.0, 3.0]
    assert np.isnan(found.attribute("x", "number")[2:]).all()
    assert found.attribute("x", "text").tolist() == [UNKNOWN, UNKNOWN, found.code("cap"), UNKNOWN, UNKNOWN]
    assert found.attribute("x", "truth").tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, 1, UNKNOWN]
    assert found.has_attribute("x").tolist() == [True, True, True, True, False]
    assert found.doubtful is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {}])
def test_what_is_no_finite_number_is_unknown(value: Any) -> None:
    assert np.isnan(rows(DeviceRows, [said("L-1")], L_1={"x": value}).attribute("x", "number")).all()


def test_a_device_that_was_not_registered_then_had_no_attributes() -> None:
    readings = [replace(said("L-1"), registered=False), said("L-1", 2)]
    found = rows(DeviceRows, readings, L_1={"x": 3})
    assert np.isnan(found.attribute("x", "number")).tolist() == [True, False]
    assert found.has_attribute("x").tolist() == [False, True]


def test_a_whole_number_that_no_float_holds_is_in_doubt() -> None:
    found = rows(DeviceRows, [said("L-1"), said("L-2")], L_1={"x": 2**60 + 1})
    found.attribute("x", "number")
    assert found.doubtful.tolist() == [True, False]


def test_rows_by_themselves_know_nothing_before() -> None:
    found = rows(Alone, [said("L-1", floor=2), said("L-1", 2, floor="two", door="open"), said("L-1", 3, floor=None)])
    assert found.latest("floor")[0] == 2
    assert np.isnan(found.before("floor")).all()
    assert np.isnan(found.rate("floor")).all()
    assert (found.before("door") == UNKNOWN).all()
    assert found.doubtful.tolist() == [False, True, False]


def test_nothing_is_unknown_in_the_type_of_its_field() -> None:
    fields = KINDS["lift"].fields
    assert [nothing(fields[name], 1).dtype.kind for name in ("floor", "load_pct", "occupied", "door")] == list("ffii")
    assert nothing(fields["occupied"], 2).tolist() == [UNKNOWN, UNKNOWN]
