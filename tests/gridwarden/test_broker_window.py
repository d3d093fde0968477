"""The window follows the size of what waits, and gives way where sessions are cut off."""

from __future__ import annotations

import pytest

from gridwarden.broker.config_file import MAX_ACK_PENDING
from gridwarden.broker.window import LEAST_MESSAGES, QUIET_LOOKS, WINDOW_BYTES, Window


@pytest.mark.parametrize(
    ("mean_bytes", "wanted"),
    [(240, MAX_ACK_PENDING), (1_870, MAX_ACK_PENDING), (4_000, 2_000), (36_000, 125), (10**6, LEAST_MESSAGES)],
)
def test_it_holds_so_many_bytes_of_messages_of_the_mean_size(mean_bytes: int, wanted: int) -> None:
    messages = Window().look(50_000, 50_000 * mean_bytes, 0)
    assert messages == wanted
    assert messages == LEAST_MESSAGES or messages * mean_bytes <= WINDOW_BYTES


def test_it_grows_again_when_what_waits_is_small() -> None:
    window = Window()
    assert window.look(1_000, 1_000 * 36_000, 0) == 125
    assert window.look(10_000, 10_000 * 200, 0) == MAX_ACK_PENDING


def test_a_few_messages_do_not_move_it() -> None:
    window = Window()
    assert window.look(0, 0, 0) == MAX_ACK_PENDING
    assert window.look(5_000, 5_000 * 36_000, 0) == 125
    assert window.look(3, 600, 0) == 125


def test_large_messages_before_many_small_ones_are_found_out_by_the_sessions_they_cost() -> None:
    window = Window()
    waiting = (1_000_000, 1_000_000 * 400)
    assert window.look(*waiting, 0) == MAX_ACK_PENDING
    assert [window.look(*waiting, cuts) for cuts in range(1, 8)] == [4_000, 4_000, 2_000, 1_000, 500, 250, 125]
    assert window.look(*waiting, 7) == 125, "no further one was cut off"


def test_after_quiet_it_grows_step_by_step() -> None:
    window = Window()
    waiting = (1_000_000, 1_000_000 * 2_000)
    assert [window.look(*waiting, cuts) for cuts in (1, 2)] == [2_000, 1_000]
    seen = {window.look(*waiting, 2) for _ in range(3 * QUIET_LOOKS)}
    assert seen == {1_000, 2_000, 4_000}


def test_a_broker_that_was_started_again_counts_from_nothing() -> None:
    window = Window()
    window.look(1_000, 1_000, 5)
    assert window.look(1_000, 2_000_000, 0) == 2_000
    assert window.look(1_000, 2_000_000, 1) == 1_000
