from __future__ import annotations

from pathlib import Path

import pytest

from gridwarden.backup import lately

NOW_MS = 1_800_000_000_000


def test_hours_since_the_last_one(tmp_path: Path) -> None:
    assert lately.age_h(tmp_path, NOW_MS) is None
    lately.note(tmp_path, NOW_MS - 7_200_000)
    assert lately.age_h(tmp_path, NOW_MS) == 2
    lately.note(tmp_path, NOW_MS + 60_000)  # the clock was set back since
    assert lately.age_h(tmp_path, NOW_MS) == 0


@pytest.mark.parametrize("text", ["", "yesterday", "9" * 100 + "x"])
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / lately.FILE).write_text(text)
    assert lately.age_h(tmp_path, NOW_MS) in {None, 0.0}
