"""What happens anyway: entrapments and faults of lifts at the rates that cities report. Pure; as acts without an end.

=========================  ======  ===========  ==============
city and time              lifts   entrapments  a lift a month
=========================  ======  ===========  ==============
Huai'an, August 2023       31,563  418          0.0132
Qingdao, first half 2018   59,200  1,096        0.0031
Rizhao, October 2020       11,326  51           0.0045
=========================  ======  ===========  ==============

as newspapers told. In Jinan, third quarter of 2020, 459 of 707 faults were entrapments; in Qingdao 74.5 % of them fell
between 6 and 12 or 18 and 22 o'clock. How long a fault lasts is taken from public station lifts in January 2022
(Deutsche Bahn, CC BY 4.0): median 2 h, mean 9.2 h.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

from gridwarden.model import Device
from simulators.world.scenario import Happens, Name, Role, Scenario
from simulators.world.stage import Act, act

ENTRAPMENTS_PER_LIFT_MONTH = (418 / 31_563 + 1_096 / 59_200 / 6 + 51 / 11_326) / 3
"""0.0069: the mean of the three cities; 49 a month of 7,000 lifts."""
FAULTS_PER_ENTRAPMENT = (707 - 459) / 459
"""Faults that trap nobody."""
BUSY_SHARE = 0.745
_BUSY_HOURS = frozenset((*range(6, 12), *range(18, 22)))
_TOLD_SHARE = 0.7
"""Of the entrapments so many are told by the lift itself; the others must be inferred. An assumption of ours."""
_MONTH_H = 30.4 * 24
_FAULT_MEDIAN_H, _FAULT_MEAN_H, _FAULT_MOST_H = 2.0, 9.2, 24.0
_H, _MIN, _SITE_MS = 3_600_000, 60_000, 8 * 3_600_000
_BEFORE_MS = 2 * _MIN
_NAMES = {
    "entrapment_code": Name(zh="电梯困人", en="Entrapment"),
    "entrapment_inferred": Name(zh="电梯疑似困人", en="Entrapment nobody tells of"),
    "lift_fault": Name(zh="电梯故障停用", en="Lift out of service"),
}


def per_hour(lifts: int, hour: int) -> float:
    """Entrapments to be expected of so many lifts in this hour of the day."""
    share = BUSY_SHARE / len(_BUSY_HOURS) if hour in _BUSY_HOURS else (1 - BUSY_SHARE) / (24 - len(_BUSY_HOURS))
    return lifts * ENTRAPMENTS_PER_LIFT_MONTH / _MONTH_H * 24 * share


def acts(devices: Sequence[Device], seed: int, from_ms: int) -> Iterator[Act]:
    """Without end, in the order in which they begin; none where there is no lift."""
    lifts = [device for device in devices if device.kind == "lift"]
    if not lifts:
        return
    rng = Random(f"{seed} chance")
    most = per_hour(len(lifts), min(_BUSY_HOURS)) * (1 + FAULTS_PER_ENTRAPMENT)
    at_ms = from_ms + _BEFORE_MS
    while True:
        at_ms += 1 + round(rng.expovariate(most) * _H)
        hour = (at_ms + _SITE_MS) // _H % 24
        if rng.random() < per_hour(len(lifts), hour) * (1 + FAULTS_PER_ENTRAPMENT) / most:
            yield _one(rng, rng.choice(lifts), at_ms)


def _one(rng: Random, lift: Device, at_ms: int) -> Act:
    trapped = rng.random() < 1 / (1 + FAULTS_PER_ENTRAPMENT)
    options: dict[str, int | float] = {}
    what, minutes = "entrapment_code" if rng.random() < _TOLD_SHARE else "entrapment_inferred", 25
    if not trapped:
        spread = math.sqrt(2 * math.log(_FAULT_MEAN_H / _FAULT_MEDIAN_H))
        hours = min(rng.lognormvariate(math.log(_FAULT_MEDIAN_H), spread), _FAULT_MOST_H)
        what, minutes = "lift_fault", max(5, round(hours * 60))
        options = {"minutes": minutes}
    happens = Happens.model_validate({"what": what, "to": "lift", "at": f"{_BEFORE_MS}ms", "with": options})
    scenario = Scenario(
        id=f"chance_{what}", name=_NAMES[what], lasts=f"{minutes * _MIN + 2 * _BEFORE_MS}ms",
        cast={"lift": Role(kind="lift")}, happenings=(happens,),
    )  # fmt: skip
    return act(scenario, {"lift": (lift,)}, rng.getrandbits(32), at_ms - _BEFORE_MS)
