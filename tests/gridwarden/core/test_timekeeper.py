"""The steps of our own clock, in one life and over several."""

from __future__ import annotations

from gridwarden.core.timekeeper import LEAPS_KEPT, REMEMBERED, Timekeeper, boot_id
from gridwarden.records.transaction import Transaction

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOON_MS = 1_800_000_000_000


def remembered(keeper: Timekeeper) -> dict[str, str]:
    transaction = Transaction(0)
    keeper.remember(transaction)
    return transaction.remembered


def after(kept: dict[str, str], boot: str = "boot") -> Timekeeper:
    keeper = Timekeeper(boot)
    keeper.restore(kept)
    return keeper


def test_what_lies_across_a_leap_has_not_passed() -> None:
    keeper = Timekeeper()
    assert keeper.look(NOON_MS, 1_000) == 0
    assert keeper.look(NOON_MS + DAY_MS + 500, 1_500) == DAY_MS

    assert keeper.leapt_ms(NOON_MS, NOON_MS + DAY_MS + 500) == DAY_MS
    assert keeper.leapt_ms(NOON_MS, NOON_MS + DAY_MS) == DAY_MS, "it may have been right after the last look"
    assert keeper.leapt_ms(NOON_MS, NOON_MS + 400) == 0
    assert keeper.leapt_ms(NOON_MS + DAY_MS, NOON_MS + DAY_MS + 600) == 0
    assert keeper.look(NOON_MS + 1_000, 2_000) == -DAY_MS, "set back, and no leap"
    assert keeper.leapt_ms(NOON_MS, NOON_MS + 1_000) == 0


def test_the_last_leaps_are_kept_and_no_more() -> None:
    keeper = Timekeeper()
    for number in range(LEAPS_KEPT + 5):
        keeper.look(NOON_MS + number * HOUR_MS, 1_000 + number)
    assert keeper.leapt_ms(0, 2 * NOON_MS) == LEAPS_KEPT * HOUR_MS - LEAPS_KEPT


def test_it_is_written_down_when_there_is_news_and_not_with_every_transaction() -> None:
    keeper = Timekeeper("boot")
    assert remembered(keeper) == {}
    keeper.look(NOON_MS, 1_000)
    assert REMEMBERED in remembered(keeper)
    keeper.look(NOON_MS + 1_200, 2_000)
    assert remembered(keeper) == {}
    keeper.look(NOON_MS + 2_260, 3_000)
    assert REMEMBERED in remembered(keeper), "it drifts"


def test_a_clock_that_was_set_while_core_was_away_is_noticed_at_its_start() -> None:
    keeper = Timekeeper("boot")
    keeper.look(NOON_MS, 1_000)
    kept = remembered(keeper)

    assert after(kept).look(NOON_MS + 60_000, 61_000) == 0
    again = after(kept)
    assert again.look(NOON_MS + DAY_MS + 60_000, 61_000) == DAY_MS
    assert again.leapt_ms(NOON_MS, NOON_MS + DAY_MS + 60_000) == DAY_MS
    assert after(kept, "another boot").look(NOON_MS + DAY_MS, 70) == 0, "its monotonic clock began anew"
    assert after(kept | {REMEMBERED: kept[REMEMBERED].replace("boot", "")}, "").look(NOON_MS + DAY_MS, 70) == 0


def test_leaps_outlive_core() -> None:
    keeper = Timekeeper("boot")
    keeper.look(NOON_MS, 1_000)
    keeper.look(NOON_MS + DAY_MS, 1_000)
    again = after(remembered(keeper), "another boot")
    assert again.leapt_ms(NOON_MS, NOON_MS + DAY_MS) == DAY_MS


def test_this_machine_has_a_name_for_its_run_or_none() -> None:
    assert boot_id() == boot_id()
