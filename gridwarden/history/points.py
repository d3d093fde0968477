"""Readings to points in InfluxDB's line protocol, and field values back again. Pure.

One reading is one point: measurement ``readings`` (``unentitled`` where its gateway may not speak for the device),
tags ``device`` and ``kind``, the kind's fields under their own names. A field never changes its type, for a point
of another type would be refused: every number is a float, also an integer (exact up to 2⁵³). What does not fit (a
null, a number where text is due, text with control characters) lies as JSON under ``<field>.other``, and names that
no kind has lie together in ``meta.more``, so that a stranger cannot make fields.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from gridwarden.kinds import KINDS, Field, FieldType
from gridwarden.model import Reading, Value

ENTITLED = "readings"
UNENTITLED = "unentitled"
OTHER = ".other"
"""Ends the name under which lies what does not fit the field."""
DELAY, SEQ, GATEWAY, FLAGS, QUALITY, MORE = (
    f"meta.{name}" for name in ("rx_delay_ms", "seq", "gateway", "flags", "quality", "more")
)  # fmt: skip
"""The fields every point has (delay, gateway, flags) or may have. No kind's field has a dot in its name."""
KEYED, REGISTERED, LATE = 1, 2, 8
"""Bits of ``meta.flags``; 4 is the entitlement, which the measurement tells."""
NS_PER_MS = 1_000_000
FIELDS: dict[str, Field] = {name: field for kind in KINDS.values() for name, field in kind.fields.items()}
"""Every field any kind has. The kinds that share a name share its type, which a test sees to."""

NUMBERS = {FieldType.INT, FieldType.FLOAT}
_EXACT = 2**53
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff%"\\$]')
_SEPARATOR = re.compile(r"([,= ])")


def lines_of(readings: Sequence[Reading], start_offset: int) -> list[str]:
    """One line for each reading.

    Args:
        readings: in the order of records.
        start_offset: the offset followed before them. The same start gives the same lines, however often.
    """
    return [_line(r, at_ns) for r, at_ns in zip(readings, _times_ns(readings, start_offset), strict=True)]


def _times_ns(readings: Sequence[Reading], start_offset: int) -> Iterator[int]:
    """A time of its own for each: InfluxDB takes two points of one series and time for one.

    The place within the millisecond is a hash of what tells readings apart. Within one call a taken place is passed
    over; two appends that meet in one device's millisecond would meet in one place once in a million.
    """
    taken: set[tuple[str, str, bool, int]] = set()
    for number, r in enumerate(readings):
        place = _place(r, start_offset, number)
        while (spot := (r.device_id, r.kind, r.entitled, r.occurred_at_ms * NS_PER_MS + place)) in taken:
            place = (place + 1) % NS_PER_MS
        taken.add(spot)
        yield spot[-1]


def _place(r: Reading, start_offset: int, number: int) -> int:
    # Without `at` and `seq` two readings may be alike in everything but their place in records.
    which = "" if r.keyed else f"{start_offset}/{number}"
    text = f"{r.key}\0{r.seq}\0{r.received_at_ms}\0{r.gateway}\0{which}"
    return int.from_bytes(blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()) % NS_PER_MS


def _line(r: Reading, at_ns: int) -> str:
    tags = f",device={_separated(tag(r.device_id))}"
    if r.kind:  # an empty tag is no tag
        tags += f",kind={_separated(tag(r.kind))}"
    fields = ",".join(f"{name}={text}" for name, text in _fields(r))
    return f"{ENTITLED if r.entitled else UNENTITLED}{tags} {fields} {at_ns}"


def tag(text: str) -> str:
    """``text`` without what line protocol or Flux could misread, which becomes ``%XX`` of its UTF-8 bytes."""
    return _UNSAFE.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def untag(text: str) -> str:
    """What :func:`tag` was given."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", "surrogatepass")


def _separated(text: str) -> str:
    return _SEPARATOR.sub(r"\\\1", text)


def _fields(r: Reading) -> Iterator[tuple[str, str]]:
    more: dict[str, Value] = {}
    for name, value in r.values.items():
        field = FIELDS.get(name)
        if field is None:
            more[name] = value
        elif fits(value, field):
            yield name, _written(value)
        else:
            yield name + OTHER, _quoted(json.dumps(value))
    yield DELAY, f"{r.received_at_ms - r.occurred_at_ms}i"
    yield GATEWAY, _quoted(tag(r.gateway))
    yield FLAGS, f"{r.keyed * KEYED | r.registered * REGISTERED | r.late * LATE}i"
    if r.seq is not None:
        yield SEQ, f"{r.seq}i"
    if r.quality:
        yield QUALITY, _quoted(json.dumps(r.quality))
    if more:
        yield MORE, _quoted(json.dumps(more))


def fits(value: Value, field: Field) -> bool:
    """Whether ``value`` is of the one type that ``field`` has in InfluxDB."""
    if field.type is FieldType.BOOL:
        return isinstance(value, bool)
    if field.type in NUMBERS:
        return type(value) in {int, float} and _is_exact(value)  # type: ignore[arg-type]
    # An empty text comes back from a query as none at all.
    return isinstance(value, str) and value != "" and _CONTROL.search(value) is None


def _is_exact(value: float) -> bool:
    return -_EXACT <= value <= _EXACT if isinstance(value, int) else math.isfinite(value)


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else repr(float(value or 0))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def value_of(name: str, stored: Any) -> Value:
    """The value of a kind's field, from what lies under ``name`` (``<field>`` or ``<field>.other``)."""
    if name.endswith(OTHER):
        other: Value = json.loads(stored)
        return other
    value: Value = stored
    if isinstance(value, float) and FIELDS[name].type is FieldType.INT and value.is_integer():
        return int(value)
    return value


def values_of(stored: Mapping[str, Any]) -> dict[str, Value]:
    """All values of a point, as they were appended."""
    values = {
        name.removesuffix(OTHER): value_of(name, value)
        for name, value in stored.items() if name.removesuffix(OTHER) in FIELDS
    }  # fmt: skip
    more: dict[str, Value] = json.loads(stored.get(MORE) or "{}")
    return values | more
