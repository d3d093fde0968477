"""A made-up district: areas of all seven levels and 200 devices in them. Pure and without chance.

The codes begin with 9991, which no administrative division has; names and places are invented.
"""

from __future__ import annotations

from gridwarden.model import Area, Device

_STREETS = (("枫桥街道", "Fengqiao Street"), ("望江街道", "Wangjiang Street"))
_COMMUNITIES = (("清河社区", "Qinghe"), ("云栖社区", "Yunqi"), ("朝晖社区", "Zhaohui"), ("采荷社区", "Caihe"))
_ESTATES = ("锦绣苑", "翠湖名邸", "和平里", "阳光花园", "天成商厦", "东方公寓", "新安坊", "梧桐里")
_CENTRE_LON, _CENTRE_LAT = 120.1700, 30.2800
_STEP_DEG = 0.0045
"""About half a kilometre between properties."""
_BUILDINGS_PER_PROPERTY = 3
COUNTS = {"smoke": 80, "lift": 60, "hydrant": 60}
PREFIX = {"smoke": "SMK", "lift": "LIFT", "hydrant": "HYD"}
_LABEL = {"smoke": "烟感", "lift": "电梯", "hydrant": "消火栓"}


def areas() -> list[Area]:
    """City, district, 2 streets, 4 communities, 8 grids, 8 properties, 24 buildings; parents before children."""
    found = [Area("9991", "示范市", "Demo City"), Area("999103", "滨河区", "Binhe District")]
    found += [Area(f"99910300{n}", *names) for n, names in enumerate(_STREETS, 1)]
    found += [
        Area(_community(number), name, f"{name_en} Community") for number, (name, name_en) in enumerate(_COMMUNITIES)
    ]
    found += [Area(_grid(n), f"第{n + 1}网格", f"Grid {n + 1}") for n in range(len(_ESTATES))]
    found += [Area(_property(n), estate, f"Estate {n + 1}") for n, estate in enumerate(_ESTATES)]
    found += [
        Area(_building(n, house), f"{house}号楼", f"Building {house}")
        for n in range(len(_ESTATES))
        for house in range(1, _BUILDINGS_PER_PROPERTY + 1)
    ]
    return found


def devices() -> list[Device]:
    """80 smoke detectors, 60 lifts, 60 hydrants, dealt out evenly; one gateway per kind and property."""
    return [_device(kind, number) for kind, count in COUNTS.items() for number in range(count)]


def _community(number: int) -> str:
    return f"99910300{number // 2 + 1}00{number % 2 + 1}"


def _grid(estate: int) -> str:
    return f"{_community(estate // 2)}00{estate % 2 + 1}"


def _property(estate: int) -> str:
    return f"{_grid(estate)}P001"


def _building(estate: int, house: int) -> str:
    return f"{_property(estate)}B00{house}"


def _device(kind: str, number: int) -> Device:
    estate = number % len(_ESTATES)
    turn = number // len(_ESTATES)
    house = turn % _BUILDINGS_PER_PROPERTY + 1
    outdoors = kind == "hydrant"
    # A hydrant stands in the street before its property, not in a building.
    place = _property(estate) if outdoors else _building(estate, house)
    where = "门前" if outdoors else f"{house}号楼"
    return Device(
        device_id=f"{PREFIX[kind]}-{number + 1:06}",
        kind=kind,
        area=place,
        name=f"{_ESTATES[estate]}{where}{_LABEL[kind]}{turn + 1}",
        gateway=f"GW-{PREFIX[kind]}-{estate + 1:02}",
        building="" if outdoors else place,
        water_main=f"WM-{estate // 2 + 1}" if outdoors else "",
        power_feeder="" if outdoors else f"PF-{estate + 1}",
        lon=round(_CENTRE_LON + (estate % 4 - 1.5) * _STEP_DEG + (turn % 5 - 2) * _STEP_DEG / 6, 6),
        lat=round(_CENTRE_LAT + (estate // 4 - 0.5) * _STEP_DEG + (turn // 5 - 1) * _STEP_DEG / 6, 6),
    )
