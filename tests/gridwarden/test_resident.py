import time
from pathlib import Path

import pytest

from gridwarden import resident


def test_memory_grows_with_what_is_kept() -> None:
    before = resident.resident_mb()
    kept = bytearray(b"x") * (64 * 2**20)
    assert 40 < resident.resident_mb() - before < 200
    assert len(kept) == 64 * 2**20


def test_where_the_system_does_not_tell_it_is_the_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = resident.resident_mb()
    monkeypatch.setattr(resident, "_STATM", tmp_path / "nothing")
    assert told * 0.5 < resident.resident_mb()


def test_processor_time_is_that_of_work() -> None:
    before = resident.processor_s()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert resident.processor_s() - before >= 0.04
