from pathlib import Path

from gridwarden.model import Area, Device, Resource
from gridwarden.office.importing import import_file
from gridwarden.office.registry import Office
from simulators.tables import write_table


def test_what_is_written_is_what_is_imported(tmp_path: Path) -> None:
    areas = [Area("9991", "示范市", "Demo City"), Area("999103", "滨河区")]
    devices = [
        Device(
            "SMK-1",
            "smoke",
            "999103",
            "烟感,1",
            gateway="GW-1",
            lon=120.1,
            lat=30.2,
            attributes={"room": "走廊", "floor": 3},
        ),
        Device("SMK-2", "smoke"),
    ]
    resources = [Resource("MS-1", "micro_station", "站", "999103", 120.1, 30.2, {"crew": 6})]
    with Office.open(tmp_path / "office.db") as office:
        for what, records in (("areas", areas), ("devices", devices), ("resources", resources)):
            write_table(records, tmp_path / f"{what}.csv")  # type: ignore[arg-type]
            report = import_file(office, what, tmp_path / f"{what}.csv")  # type: ignore[arg-type]
            assert (report.errors, report.added) == ([], len(records))
        assert office.devices() == devices
        assert [resource.attributes for resource in office.resources()] == [{"crew": 6}]
    text = (tmp_path / "areas.csv").read_bytes()
    write_table(areas, tmp_path / "areas.csv")
    assert (tmp_path / "areas.csv").read_bytes() == text
    assert text.decode().startswith("code,name,name_en\n9991,示范市,Demo City\n")
