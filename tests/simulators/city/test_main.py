from pathlib import Path

import pytest

from simulators.city.__main__ import main


def test_it_writes_the_files_and_tells_what_is_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path / "new" / "city"), "--seed", "3", "--scale", "0.02"])
    assert "600 devices, 65 resources" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "new" / "city").iterdir()} == {
        "areas.geojson", "basemap.geojson", "devices.csv", "resources.csv"
    }  # fmt: skip


@pytest.mark.parametrize("scale", ["0", "11", "nan", "many"])
def test_a_scale_out_of_bounds_is_refused(tmp_path: Path, scale: str) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--scale", scale])
    assert not list(tmp_path.iterdir())
