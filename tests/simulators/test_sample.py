import csv
import gzip
import itertools
import json
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from gridwarden.kinds import KINDS
from simulators.behaviour import DAY_MS, INCIDENTS
from simulators.mapping import native
from simulators.sample import Sample, generate, main

DAY_0 = 1_773_590_400_000  # 2026-03-16T00:00+08:00


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate()


def test_the_seed_decides_everything(sample: Sample) -> None:
    assert generate() == sample
    assert generate(seed=2).readings != sample.readings
    moved = generate(day=date(2026, 3, 17))
    assert moved.incidents[0].begin_at_ms == sample.incidents[0].begin_at_ms + DAY_MS


def test_the_day_is_full_but_not_overfull(sample: Sample) -> None:
    assert 20_000 <= len(sample.readings) <= 40_000
    times = [row["at"] for row in sample.readings]
    assert times == sorted(times)
    assert times[0] >= DAY_0
    assert times[-1] < DAY_0 + DAY_MS + 2000


def test_each_device_speaks_its_kind_through_its_gateway_in_order(sample: Sample) -> None:
    devices = {device.device_id: device for device in sample.devices}
    last: dict[str, tuple[int, int]] = {}
    for row in sample.readings:
        native(row)
        device = devices[row["device"]]
        assert row["gateway"] == device.gateway
        assert row["values"].keys() <= KINDS[device.kind].fields.keys()
        at_ms, seq = last.get(device.device_id, (0, 0))
        assert row["at"] >= at_ms
        assert row["seq"] == seq + 1
        last[device.device_id] = (row["at"], row["seq"])
    assert last.keys() == devices.keys()


def test_something_begins_in_any_quarter_of_an_hour(sample: Sample) -> None:
    begins = [DAY_0 - 1, *(one.begin_at_ms for one in sample.incidents if one.name != "smoke.test"), DAY_0 + DAY_MS]
    assert max(later - earlier for earlier, later in itertools.pairwise(begins)) < 15 * 60_000


def test_every_sort_of_incident_is_there_and_no_device_has_two(sample: Sample) -> None:
    assert {incident.name for incident in sample.incidents} == INCIDENTS.keys()
    assert max(Counter(incident.device_id for incident in sample.incidents).values()) == 1
    kinds = {device.device_id: device.kind for device in sample.devices}
    assert all(incident.name.startswith(kinds[incident.device_id] + ".") for incident in sample.incidents)


def test_the_ground_truth_is_true(sample: Sample) -> None:
    """Who is in alarm, trapped, or without pressure at any time is exactly who the list names."""
    signs = {
        "smoke.fire": lambda values: values.get("state") == "alarm",
        "smoke.test": lambda values: values.get("state") == "test",
        "smoke.low_battery": lambda values: values.get("state") == "low_battery",
        "smoke.tamper": lambda values: values.get("unmounted"),
        "lift.entrapment_code": lambda values: values.get("entrapment"),
        "lift.entrapment_inferred": lambda values: (
            (values.get("motion"), values.get("door"), values.get("occupied"), values.get("entrapment"))
            == ("stopped", "closed", True, False)
        ),
        "lift.door_open_moving": lambda values: (values.get("motion"), values.get("door")) == ("running", "open"),
        "hydrant.low_pressure": lambda values: values.get("pressure_mpa", 1) < 0.10,
        "hydrant.knocked": lambda values: values.get("tilt_alarm"),
        "hydrant.tamper": lambda values: values.get("cap_open"),
    }
    assert signs.keys() == INCIDENTS.keys()
    for name, sign in signs.items():
        told = {incident.device_id: incident for incident in sample.incidents if incident.name == name}
        shown = [row for row in sample.readings if sign(row["values"])]
        assert {row["device"] for row in shown} == told.keys(), name
        for row in shown:
            incident = told[row["device"]]
            assert incident.begin_at_ms <= row["at"] <= incident.end_at_ms, name


def test_nothing_ordinary_is_said_in_the_middle_of_an_incident(sample: Sample) -> None:
    ordinary = {"rsrp_dbm", "water_temp_c", "machine_room_c"}
    incidents = {incident.device_id: incident for incident in sample.incidents}
    for row in sample.readings:
        incident = incidents.get(row["device"])
        if incident and incident.begin_at_ms <= row["at"] <= incident.end_at_ms:
            assert not ordinary & row["values"].keys(), incident
            assert row["values"].get("load_pct", 0) <= 25, "somebody rides a lift that is stuck"


def test_command_line_writes_the_same_bytes_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "day.jsonl.gz", tmp_path / "again.jsonl.gz"
    extra = {name: tmp_path / name for name in ("devices", "areas", "truth")}
    main([str(out), *(part for name, path in extra.items() for part in (f"--{name}", str(path)))])
    main([str(again)])
    assert out.read_bytes() == again.read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert capsys.readouterr().out.startswith(f"{len(rows)} readings, ")
    with extra["devices"].open(encoding="utf-8", newline="") as file:
        devices = list(csv.DictReader(file))
    assert len(devices) == 200
    assert devices[0]["device_id"] == "SMK-000001"
    assert extra["areas"].read_text("utf-8").startswith("code,name,name_en\n9991,示范市,Demo City\n")
    truth = [json.loads(line) for line in extra["truth"].read_text().splitlines()]
    assert truth[0].keys() == {"name", "device", "area", "begin_at", "end_at"}
