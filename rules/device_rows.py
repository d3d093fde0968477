"""Rows of devices with what the registry says of these; and rows that are judged by themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from gridwarden.kinds import KINDS, Field, FieldType
from gridwarden.model import Device
from rules.columns import UNKNOWN, Column, Mask
from rules.condition import MAX_NUMBER
from rules.readings import REGISTERED, Readings, Texts

_DTYPES = {FieldType.BOOL: np.int8, FieldType.INT: np.float64, FieldType.FLOAT: np.float64}


def nothing(kind: Field, size: int) -> Column:
    """A column of a field in which every value is unknown."""
    dtype = _DTYPES.get(kind.type, np.int32)
    return np.full(size, np.nan if dtype is np.float64 else UNKNOWN, dtype)


class DeviceRows:
    """What :class:`rules.columns.Rows` wants beside values."""

    def __init__(self, readings: Readings, devices: Mapping[str, Device], texts: Texts) -> None:
        self.readings = readings
        self.size = readings.size
        self.doubtful: Mask | None = None
        self._texts = texts
        self._devices = [devices.get(readings.chunk.device_ids[place]) for place in readings.devices.tolist()]
        self._attributes: dict[tuple[str, str], Column] = {}

    def attribute(self, name: str, wanted: Literal["number", "text", "truth"]) -> Column:
        """See :meth:`rules.columns.Rows.attribute`."""
        return self._of_devices(name, wanted)

    def has_attribute(self, name: str) -> Mask:
        """See :meth:`rules.columns.Rows.has_attribute`."""
        has: Mask = self._of_devices(name, "any") == 1
        return has

    def code(self, text: str) -> int:
        """See :meth:`rules.columns.Rows.code`."""
        return self._texts.code(text)

    def doubt(self, where: Mask) -> None:
        """See :meth:`rules.columns.Rows.doubt`."""
        if where.any():
            self.doubtful = where if self.doubtful is None else self.doubtful | where

    def _of_devices(self, name: str, wanted: str) -> Column:
        column = self._attributes.get((name, wanted))
        if column is None:
            found = [None if device is None else device.attributes.get(name) for device in self._devices]
            column = self.readings.of_device(self._encoded(found, wanted))
            unregistered = self.readings.column(self.readings.chunk.flags) & REGISTERED == 0
            if unregistered.any():  # what was unknown then has no attributes now either
                column[unregistered] = np.nan if wanted == "number" else UNKNOWN
            self._attributes[name, wanted] = column
        return column

    def _encoded(self, found: list[Any], wanted: str) -> Column:
        match wanted:
            case "number":
                self.doubt(self.readings.of_device(np.array([_is_huge(value) for value in found], bool)))
                return np.array([value if _is_number(value) else np.nan for value in found], np.float64)
            case "text":
                return np.array([self.code(v) if type(v) is str else UNKNOWN for v in found], np.int32)
            case "truth":
                return np.array([int(v) if v is True or v is False else UNKNOWN for v in found], np.int8)
        return np.array([0 if value is None else 1 for value in found], np.int8)


class Alone(DeviceRows):
    """Rows judged on what they say themselves, nothing before them: late ones, and those of a gateway not entitled."""

    def __init__(self, readings: Readings, devices: Mapping[str, Device], texts: Texts) -> None:
        super().__init__(readings, devices, texts)
        odd = [row for row, said in readings.said().items() if any(value is not None for value in said.values())]
        if odd:
            mask = np.zeros(self.size, bool)
            mask[odd] = True
            self.doubt(mask)

    def latest(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.latest`."""
        return self.readings.column(self.readings.chunk.values[name])

    def before(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.before`."""
        return nothing(KINDS[self.readings.chunk.kind].fields[name], self.size)

    def rate(self, name: str) -> Column:
        """See :meth:`rules.columns.Rows.rate`."""
        return self.before(name)


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and bool(np.isfinite(value)))


def _is_huge(value: Any) -> bool:
    return type(value) is int and abs(value) >= MAX_NUMBER
