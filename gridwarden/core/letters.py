"""Dead letters that a broker delivers again: what is kept already is not set aside once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from gridwarden.records.transaction import Tally, Transaction

KnownLetters = Callable[[Collection[str]], set[str]]


def forget_known(doubted: Iterable[tuple[str, Tally]], transaction: Transaction, known_letters: KnownLetters) -> None:
    """Take out of ``transaction`` the redelivered letters that are known, and count them as duplicates.

    Known is what the records hold or are about to, and what stands in this transaction before it. A new message that
    looks the same is none of these: it is received, and its letter counts one more.

    Args:
        doubted: key of each redelivered letter, and where it was counted.
        transaction: it holds them all, among others.
        known_letters: those of some keys that are kept already.
    """
    doubted = list(doubted)
    known = known_letters(frozenset(key for key, _ in doubted))
    left = Counter(letter.key for letter in transaction.dead_letters)
    for key, tally in doubted:
        if key in known or left[key] > 1:
            left[key] -= 1
            tally.dead_lettered -= 1
            tally.duplicate += 1
    kept = []
    for letter in transaction.dead_letters:
        if left[letter.key] > 0:
            left[letter.key] -= 1
            kept.append(letter)
    transaction.dead_letters = kept
