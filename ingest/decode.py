"""Payload bytes to readings: the one decode boundary. Pure: no socket, no clock, no log.

Total: readings, and parts that cannot be readings with a reason; nothing else comes out. What might be a fire is
kept: a field that cannot be used becomes null with a quality and the rest of the reading lives. Only bytes that
are no JSON, and elements that name no device or carry no object of values, are set aside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pydantic_core import from_json, to_json

from gridwarden.clock import parse_rfc3339
from gridwarden.errors import DecodeError

DEVICE_ID_LIMIT = 128
FIELDS_LIMIT = 64
"""Most fields of one reading; more are not a device's reading but an attack or a mistake."""
REJECTED_LIMIT = 100
"""Elements of one payload set aside one by one; a payload of commas must not become a hundred thousand rows."""
SEQ_LIMIT = 2**63 - 1
EARLIEST_MS = 946_684_800_000
"""2000-01-01: no device of ours is older; an earlier clock was never set."""
_LATEST_MS = 253_402_300_799_000
_DIGITS = re.compile(rb"\d{4000,}")


@dataclass(slots=True)
class Sent:
    """One reading as it was sent, before anybody knows what device it is."""

    device_id: str
    at_ms: int | None
    """Device clock; ``None`` where none was sent or it cannot be read."""
    seq: int | None
    values: dict[str, Any]
    key: int
    """64-bit hash of device, ``at``, ``seq`` and values as sent."""
    keyed: bool
    bad_clock: bool = False
    bad_seq: bool = False


@dataclass(slots=True)
class Rejected:
    """A part of a payload that cannot be a reading."""

    code: str
    detail: str
    payload: bytes


@dataclass(slots=True)
class Decoded:
    """What a payload held."""

    readings: list[Sent] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    received: int = 1
    """How many readings the payload was meant to be; a payload of which that cannot be told is one."""


def gateway_of(topic: str) -> str:
    """The gateway named by a native topic ``gridwarden/v1/{gateway}/…``.

    Raises:
        DecodeError: another topic.
    """
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != "gridwarden" or parts[1] != "v1" or not parts[2]:  # noqa: PLR2004
        raise DecodeError("unknown_topic", topic[:200])
    return parts[2]


def decode_native(payload: bytes, max_bytes: int) -> Decoded:
    """The readings of a native body: one reading, an array, or ``{"readings": […]}``.

    Never raises; what cannot be read is in ``rejected`` with its place.
    """
    decoded = Decoded()
    try:
        body = _parse(payload, max_bytes)
    except DecodeError as error:
        decoded.rejected.append(Rejected(error.code, error.detail, payload))
        return decoded
    if isinstance(body, dict) and "device" in body:
        _take(decoded, body, payload, "")
        return decoded
    elements = body.get("readings") if isinstance(body, dict) else body
    if not isinstance(elements, list):
        decoded.rejected.append(Rejected("not_a_reading", "neither a reading nor an array of them", payload))
        return decoded
    if not elements:
        decoded.rejected.append(Rejected("no_readings", "an empty array", payload))
    decoded.received = len(elements) or 1
    rest = _take_all(decoded, elements)
    if rest:
        decoded.rejected.append(Rejected("too_many_rejected", f"{len(rest)} more elements", _bytes_of(rest)))
        decoded.received -= len(rest) - 1
    return decoded


def sent_order(payload: bytes, received_at_ms: int) -> tuple[int, int]:
    """Where a native body belongs among others of its devices: ``at`` and ``seq`` of its first reading.

    Costs a sixth of decoding it. A body that cannot be read, or tells no time, belongs where it was received.
    """
    try:
        body = _read(payload)
    except ValueError:
        return received_at_ms, -1
    if isinstance(body, dict) and "device" not in body:
        body = body.get("readings")
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return received_at_ms, -1
    at, seq = first.get("at"), first.get("seq")
    at_ms = None if at is None else read_at(at)
    return received_at_ms if at_ms is None else at_ms, seq if type(seq) is int else -1


def _take_all(decoded: Decoded, elements: list[Any]) -> list[Any]:
    """Take the readings of an array; the rejected elements beyond ``REJECTED_LIMIT``, which are set aside as one."""
    rest: list[Any] = []
    for index, element in enumerate(elements):
        if len(decoded.rejected) < REJECTED_LIMIT:
            _take(decoded, element, None, f"readings[{index}]")
            continue
        try:
            decoded.readings.append(_sent(element))
        except DecodeError:
            rest.append(element)
    return rest


def _parse(payload: bytes, max_bytes: int) -> Any:
    if len(payload) > max_bytes:
        raise DecodeError("too_large", f"{len(payload)} bytes, at most {max_bytes}")
    try:
        return _read(payload)
    except ValueError as error:  # not JSON, not UTF-8, nested too deeply
        text = str(error)
        code = "too_deep" if "recursion" in text else "not_json"
        raise DecodeError(code, text[:200]) from error


def _read(payload: bytes) -> Any:
    # NaN, Infinity and 1e400 are let through here and become null with a quality field by field:
    # a faulty thermometer must not silence the smoke alarm in the same message.
    try:
        return from_json(payload, allow_inf_nan=True, cache_strings="keys")
    except ValueError as error:
        if "number out of range" not in str(error):
            raise
    # Nor must an integer that no machine reads. (A text with that many digits is longer than any text may be.)
    return from_json(_DIGITS.sub(b"1e999", payload), allow_inf_nan=True, cache_strings="keys")


def _take(decoded: Decoded, element: Any, payload: bytes | None, place: str) -> None:
    try:
        decoded.readings.append(_sent(element))
    except DecodeError as error:
        detail = f"{place}: {error.detail}" if place else error.detail
        raw = payload if payload is not None else _bytes_of(element)
        decoded.rejected.append(Rejected(error.code, detail, raw))


def _bytes_of(element: Any) -> bytes:
    return to_json(element, inf_nan_mode="constants")


def _sent(element: Any) -> Sent:
    if not isinstance(element, dict):
        raise DecodeError("not_a_reading", f"an object is expected, not {type(element).__name__}")
    device_id = element.get("device")
    if not isinstance(device_id, str) or not 0 < len(device_id) <= DEVICE_ID_LIMIT or not device_id.isprintable():
        raise DecodeError("no_device", f"device: a printable string of 1 to {DEVICE_ID_LIMIT} characters is expected")
    values = element.get("values")
    if not isinstance(values, dict):
        raise DecodeError("no_values", "values: an object is expected")
    if len(values) > FIELDS_LIMIT:
        raise DecodeError("too_many_fields", f"values: {len(values)} fields, at most {FIELDS_LIMIT}")
    at, seq = element.get("at"), element.get("seq")
    at_ms = None if at is None else read_at(at)
    seq_read = seq if type(seq) is int and 0 <= seq <= SEQ_LIMIT else None
    return Sent(
        device_id, at_ms, seq_read, values, _key(device_id, at, seq, values),
        keyed=at is not None or seq is not None, bad_clock=at is not None and at_ms is None,
        bad_seq=seq is not None and seq_read is None,
    )  # fmt: skip


def _key(device_id: str, at: Any, seq: Any, values: dict[str, Any]) -> int:
    """Dedup key. A redelivery carries the same bytes, so the order of the fields is the same too."""
    text = f"{device_id}\0{at!r}\0{seq!r}\0{values!r}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def read_at(at: Any) -> int | None:
    """A device's clock, RFC 3339 text or epoch milliseconds; ``None`` where it is neither or cannot be true."""
    try:
        if isinstance(at, str):
            at_ms = parse_rfc3339(at) if len(at) <= 40 else -1  # noqa: PLR2004 - no RFC 3339 time is longer
        elif type(at) is int:
            at_ms = at
        elif type(at) is float and math.isfinite(at):
            at_ms = int(at)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return at_ms if EARLIEST_MS <= at_ms <= _LATEST_MS else None
