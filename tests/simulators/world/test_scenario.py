from pathlib import Path

import pytest

from gridwarden.errors import ConfigError
from simulators.world import scenario
from simulators.world.happenings import HAPPENINGS

GOOD = """
name: {zh: 甲, en: A}
lasts: 30m
cast:
  house: {kind: smoke, together: building, count: 2}
happenings:
  - {what: fire, to: house, at: 5m, with: {seconds_a_floor: 90}}
faults:
  - {what: loss, to: [house], share: 0.2}
"""


def test_the_shipped_ones_load_and_leave_out_no_happening() -> None:
    shipped = scenario.shipped()
    assert len(shipped) >= 18
    assert {happens.what for one in shipped for happens in one.happenings} == HAPPENINGS.keys()
    faults = {fault.what for one in shipped for fault in one.faults}
    assert {fault.by > 0 for one in shipped for fault in one.faults if fault.what == "skew"} == {True, False}
    assert faults >= {"loss", "delay", "reorder", "duplicates", "skew", "clock_never_set", "outage", "storm"}


def test_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD, "utf-8")
    found = scenario.load(path)
    assert (found.id, found.name.zh, found.lasts) == ("own", "甲", 1_800_000)
    assert (found.happenings[0].at, found.happenings[0].options) == (300_000, {"seconds_a_floor": 90})


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("what: fire", "what: flood", "'flood' is none of fire"),
        ("seconds_a_floor", "speed", "fire takes no 'speed', only seconds_a_floor"),
        ("to: house", "to: cellar", "nobody is cast as 'cellar'"),
        ("to: [house]", "to: [roof]", "nobody is cast as 'roof'"),
        ("lasts: 30m", "lasts: soon", "a duration"),
        ("kind: smoke", "kind: camera", "cast.house.kind"),
        ("lasts: 30m", "lasts: 30m\nextra: 1", "extra"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(ConfigError) as told:
        scenario.load(path)
    assert reason in str(told.value)
    assert str(path) in str(told.value)


def test_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("- 1\n", "utf-8")
    with pytest.raises(ConfigError, match="a mapping"):
        scenario.load(path)
