"""The values of a reading against the fields of its kind: types and bounds. Pure.

One pydantic validator per kind takes the good ones in one go; only a reading with something wrong in it is looked
at field by field. What cannot be used becomes null with a quality.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from gridwarden.kinds import KINDS, TEXT_LIMIT, FieldType
from gridwarden.kinds import Field as KindField
from gridwarden.model import Quality, Value

_NAME_LIMIT = 64
_EXACT = 2**53
"""Beyond it a float is no longer every whole number."""


def _schema_of(field: KindField) -> core_schema.CoreSchema:
    match field.type:
        case FieldType.BOOL:
            return core_schema.bool_schema(strict=True)
        case FieldType.INT:
            return core_schema.int_schema(strict=True, ge=_whole(field.low), le=_whole(field.high))
        case FieldType.FLOAT:
            # Strict takes an int for a float: a device that sends 1 for 1.0 means the same.
            return core_schema.float_schema(strict=True, ge=field.low, le=field.high, allow_inf_nan=False)
        case FieldType.ENUM:
            return core_schema.literal_schema(list(field.choices))
        case FieldType.TEXT:
            return core_schema.str_schema(strict=True, max_length=TEXT_LIMIT)


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


@cache
def _validator(kind: str) -> SchemaValidator:
    """pydantic's own core, built from the field table (a TypedDict made at run time needs Python 3.12)."""
    fields = {
        name: core_schema.typed_dict_field(core_schema.nullable_schema(_schema_of(field)), required=False)
        for name, field in KINDS[kind].fields.items()
    }
    return SchemaValidator(core_schema.typed_dict_schema(fields, extra_behavior="forbid"))


def check(kind: str, sent: dict[str, Any]) -> tuple[dict[str, Value], dict[str, str]]:
    """The usable values of a reading of ``kind`` (``""``: unknown), and what is wrong with the others.

    Fields that the kind does not know are kept when they are plain and small: they may be tomorrow's fields.
    """
    if kind:
        try:
            return _validator(kind).validate_python(sent), {}
        except ValidationError:
            pass  # somewhere in it; now field by field
    values: dict[str, Value] = {}
    quality: dict[str, str] = {}
    fields = KINDS[kind].fields if kind else {}
    for name, value in sent.items():
        known = fields.get(name)
        wrong = _wrong(known, _meant(known, value)) if known else _wrong_extra(name, value)
        values[name[:_NAME_LIMIT]] = None if wrong else _meant(known, value)
        if wrong:
            quality[name[:_NAME_LIMIT]] = wrong
    return values, quality


def _meant(field: KindField | None, value: Any) -> Any:
    """``value`` in the type of its field where that cannot be mistaken: 1 for 1.0, 3.0 for 3, and 1 for true.

    The last one because a controller that says ``"entrapment": 1`` must not be left waiting for a boolean.
    """
    if field is None:
        return value
    if field.type is FieldType.FLOAT and type(value) is int and abs(value) < _EXACT:
        return float(value)
    if field.type is FieldType.INT and type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if field.type is FieldType.BOOL and type(value) is int and value in {0, 1}:
        return bool(value)
    return value


def _wrong(field: KindField, value: Any) -> Quality | None:
    if value is None:
        return None
    match field.type:
        case FieldType.BOOL:
            return None if type(value) is bool else Quality.WRONG_TYPE
        case FieldType.INT:
            return _wrong_number(field, value) if type(value) is int else _not_a(value)
        case FieldType.FLOAT:
            return _wrong_number(field, value) if type(value) in {int, float} else Quality.WRONG_TYPE
        case FieldType.ENUM:
            if not isinstance(value, str):
                return Quality.WRONG_TYPE
            return None if value in field.choices else Quality.OUT_OF_RANGE
        case FieldType.TEXT:
            if not isinstance(value, str):
                return Quality.WRONG_TYPE
            return None if len(value) <= TEXT_LIMIT else Quality.OUT_OF_RANGE


def _not_a(value: Any) -> Quality:
    return Quality.NOT_FINITE if type(value) is float and not math.isfinite(value) else Quality.WRONG_TYPE


def _wrong_number(field: KindField, value: float) -> Quality | None:
    if type(value) is float and not math.isfinite(value):
        return Quality.NOT_FINITE
    low, high = field.low, field.high
    inside = (low is None or value >= low) and (high is None or value <= high)
    return None if inside else Quality.OUT_OF_RANGE


def _wrong_extra(name: str, value: Any) -> Quality | None:
    if len(name) > _NAME_LIMIT:
        return Quality.OUT_OF_RANGE
    if value is None or type(value) is bool:
        return None
    if isinstance(value, str):
        return None if len(value) <= TEXT_LIMIT else Quality.OUT_OF_RANGE
    if type(value) is float:
        return None if math.isfinite(value) else Quality.NOT_FINITE
    if type(value) is int:
        return None if abs(value) < _EXACT else Quality.OUT_OF_RANGE
    return Quality.WRONG_TYPE
