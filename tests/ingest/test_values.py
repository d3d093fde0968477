"""Values against the fields of their kind: what cannot be used is null with a quality, the rest stays."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from gridwarden.kinds import KINDS, TEXT_LIMIT
from gridwarden.model import Quality
from ingest.values import check

ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=300)
    | st.lists(st.integers(), max_size=2)
)
NAMES = st.sampled_from([name for kind in KINDS.values() for name in kind.fields]) | st.text(max_size=80)


@given(st.sampled_from([*KINDS, ""]), st.dictionaries(NAMES, ANY, max_size=8))
def test_whatever_is_sent_comes_out_usable_or_null_with_its_reason(kind: str, sent: dict[str, Any]) -> None:
    values, quality = check(kind, sent)
    assert set(values) == {name[:64] for name in sent}
    for name, value in values.items():
        assert value is None or isinstance(value, bool | int | float | str)
        assert not isinstance(value, float) or math.isfinite(value)
        assert (name in quality) <= (value is None)
    assert set(quality) <= set(values)
    assert from_json(to_json(values)) == values


@pytest.mark.parametrize(
    ("kind", "sent", "value", "quality"),
    [
        ("hydrant", {"pressure_mpa": 0}, 0.0, None),
        ("hydrant", {"pressure_mpa": 2.5}, 2.5, None),
        ("hydrant", {"pressure_mpa": 2.51}, None, Quality.OUT_OF_RANGE),
        ("hydrant", {"pressure_mpa": -1}, None, Quality.OUT_OF_RANGE),
        ("hydrant", {"pressure_mpa": 10**300}, None, Quality.OUT_OF_RANGE),
        ("hydrant", {"pressure_mpa": 10**400}, None, Quality.OUT_OF_RANGE),
        ("hydrant", {"pressure_mpa": math.inf}, None, Quality.NOT_FINITE),
        ("hydrant", {"pressure_mpa": True}, None, Quality.WRONG_TYPE),
        ("hydrant", {"pressure_mpa": "0.3"}, None, Quality.WRONG_TYPE),
        ("hydrant", {"pressure_mpa": None}, None, None),
        ("hydrant", {"leak": 1}, True, None),
        ("hydrant", {"leak": 0}, False, None),
        ("hydrant", {"leak": 2}, None, Quality.WRONG_TYPE),
        ("lift", {"entrapment": 1}, True, None),
        ("lift", {"floor": 3.0}, 3, None),
        ("lift", {"floor": 3.5}, None, Quality.WRONG_TYPE),
        ("lift", {"floor": math.nan}, None, Quality.NOT_FINITE),
        ("lift", {"floor": True}, None, Quality.WRONG_TYPE),
        ("lift", {"door": "ajar"}, None, Quality.OUT_OF_RANGE),
        ("lift", {"door": 1}, None, Quality.WRONG_TYPE),
        ("lift", {"floor_label": "G" * TEXT_LIMIT}, "G" * TEXT_LIMIT, None),
        ("lift", {"floor_label": "G" * (TEXT_LIMIT + 1)}, None, Quality.OUT_OF_RANGE),
        ("lift", {"tomorrow": 3}, 3, None),
        ("lift", {"tomorrow": [3]}, None, Quality.WRONG_TYPE),
        ("lift", {"tomorrow": 2**60}, None, Quality.OUT_OF_RANGE),
        ("", {"state": "alarm"}, "alarm", None),
    ],
)
def test_fields(kind: str, sent: dict[str, Any], value: Any, quality: Quality | None) -> None:
    (name,) = sent
    values, found = check(kind, sent)
    assert values == {name: value}
    assert type(values[name]) is type(value)
    assert found == ({} if quality is None else {name: quality})


def test_a_value_has_one_type_whether_or_not_another_is_wrong() -> None:
    alone, _ = check("hydrant", {"pressure_mpa": 1})
    beside, _ = check("hydrant", {"pressure_mpa": 1, "leak": "x"})
    assert type(alone["pressure_mpa"]) is type(beside["pressure_mpa"]) is float


def test_a_name_too_long_is_cut_and_null() -> None:
    assert check("lift", {"n" * 65: 1}) == ({"n" * 64: None}, {"n" * 64: Quality.OUT_OF_RANGE})
