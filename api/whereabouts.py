"""In which area each registered device lies, held once for all who watch devices, renewed with the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gridwarden.areas import within
from gridwarden.model import Device
from gridwarden.office.registry import PAGE_LIMIT, Office


class Whereabouts:
    """Device id to area code."""

    def __init__(self, office: Office, besides: Mapping[str, Device] = MappingProxyType({})) -> None:
        """``besides``: devices that are known whatever stands in the registry."""
        self._office = office
        self._besides = besides
        self._areas: dict[str, str] = {}
        self._version = -1
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Take in what has changed in the registry; cheap when nothing has."""
        async with self._reading:
            version = await asyncio.to_thread(self._office.version)
            if version != self._version:
                self._areas = await asyncio.to_thread(self._read)
                self._version = version

    def sees(self, device_id: str, scopes: Sequence[str]) -> bool:
        """Whether the device is registered and lies within ``scopes``."""
        area = self._areas.get(device_id)
        return area is not None and any(within(area, scope) for scope in scopes)

    def _read(self) -> dict[str, str]:
        areas = {name: device.area for name, device in self._besides.items()}
        after = ""
        while page := self._office.devices(after=after, limit=PAGE_LIMIT):
            areas.update((device.device_id, device.area) for device in page)
            after = page[-1].device_id
        return areas
