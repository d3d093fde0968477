import asyncio

import pytest

from gridwarden.errors import RecordsUnavailable
from gridwarden.looking import Look


async def test_what_is_seen_in_time_is_told_each_time_anew() -> None:
    seen = iter(range(3))

    async def at() -> int:
        return next(seen)

    look = Look(at, "test")
    assert [await look.within(5) for _ in range(3)] == [0, 1, 2]


async def test_who_does_not_answer_is_asked_once_and_told_later() -> None:
    asked, answer = 0, asyncio.Event()

    async def at() -> int:
        nonlocal asked
        asked += 1
        await answer.wait()
        return asked

    look = Look(at, "test")
    assert [await look.within(0.01) for _ in range(3)] == [None, None, None]
    answer.set()
    assert await look.within(5) == 1
    assert await look.within(5) == 2


@pytest.mark.parametrize("error", [OSError("disk"), RecordsUnavailable("busy")])
async def test_what_cannot_be_seen_is_nothing(error: Exception) -> None:
    async def at() -> int:
        raise error

    assert await Look(at, "test").within(5) is None
