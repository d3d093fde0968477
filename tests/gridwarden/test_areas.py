import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden import areas
from gridwarden.areas import Level
from gridwarden.errors import ConfigError

PATH = ["3301", "330106", "330106003", "330106003012", "330106003012001", "330106003012001P002",
        "330106003012001P002B003"]  # fmt: skip


def test_levels_and_parents_of_one_path() -> None:
    assert [areas.level_of(areas.check(code)) for code in PATH] == list(Level)
    assert [areas.parent_of(code) for code in PATH] == [None, *PATH[:-1]]


@pytest.mark.parametrize(
    "code", ["", "33", "330", "33010", "3301060", "330106003012001P02", "330106003012001002", "330106003012001P002b003",
             "３３０１０６", "٣٣٠١", "330106\n", " 330106", "330106003012001P002B003B004"],
)  # fmt: skip
def test_what_is_no_code(code: str) -> None:
    with pytest.raises(ConfigError, match="is no area code"):
        areas.check(code)


@pytest.mark.parametrize("level", Level)
def test_at_level(level: Level) -> None:
    own = PATH[list(Level).index(level)]
    assert areas.at_level(PATH[-1], level) == own
    assert areas.at_level("3301", level) == ("3301" if level is Level.CITY else "")
    assert areas.at_level("", level) == ""


@given(st.sampled_from(PATH), st.sampled_from(PATH))
def test_within_is_being_an_ancestor_or_it(code: str, scope: str) -> None:
    assert areas.within(code, scope) == (PATH.index(scope) <= PATH.index(code))


def test_within_the_edges() -> None:
    assert areas.within("", "")
    assert not areas.within("", "3301")
    assert areas.within("330106", "")
    assert not areas.within("330107", "330106")


@pytest.mark.parametrize(
    ("codes", "area"),
    [
        ([], ""), (["", ""], ""), (PATH, "3301"), ([PATH[-1], ""], PATH[-1]), (["3301", "3302"], ""),
        (["330106003012001", "330106003012002P001"], "330106003012"), (["330106", "330106003"], "330106"),
    ],
    ids=["nothing", "not placed", "a path", "one placed", "two cities", "two grids", "an area and its part"],
)  # fmt: skip
def test_common(codes: list[str], area: str) -> None:
    assert areas.common(codes) == area
