"""Many values in one line: ``0.3x5 0.12x3 _ 0.30..0.10x5``. Pure.

``0.3`` one value · ``0.3x5`` five times · ``0.30..0.10x5`` five in even steps, both ends included · ``null`` sent and of no
use · ``_`` nothing is sent then · ``_x3`` three times nothing · ``true``, ``false`` and any word for fields of such values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gridwarden.model import Value

LONGEST = 10_000
"""Most values of one series."""
NOTHING: Final = object()
"""In place of a value: nothing is sent at this time."""
_TIMES = re.compile(r"(?P<what>.+?)x(?P<times>[0-9]{1,5})")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_RAMP = re.compile(rf"(?P<first>{_NUMBER.pattern})\.\.(?P<last>{_NUMBER.pattern})")
_WORDS: dict[str, object] = {"_": NOTHING, "null": None, "true": True, "false": False}


def values_of(text: str) -> list[Value | object]:
    """The values that ``text`` stands for, :data:`NOTHING` among them.

    Raises:
        ValueError: it is no such series, or longer than may be.
    """
    values: list[Value | object] = []
    for word in text.split():
        values += _values(word)
        if len(values) > LONGEST:  # at once: a short text may ask for millions
            raise ValueError(f"more than {LONGEST} values")
    if not values:
        raise ValueError("a series of values such as '0.3x5 _ 0.12' is expected")
    return values


def _values(word: str) -> Iterator[object]:
    match = _TIMES.fullmatch(word)
    what, times = (match["what"], min(int(match["times"]), LONGEST + 1)) if match else (word, 1)
    ramp = _RAMP.fullmatch(what)
    if ramp is None:
        yield from [_value(what)] * times
    elif times < 2:  # noqa: PLR2004 - both ends
        raise ValueError(f"{word}: how many values from one end to the other? Such as 0.30..0.10x5")
    else:
        yield from _ramp(ramp["first"], ramp["last"], times)


def _ramp(first: str, last: str, times: int) -> Iterator[float]:
    """In even steps, with as many digits as are written."""
    digits = max(len(text.partition(".")[2]) for text in (first, last)) + 3
    step = (float(last) - float(first)) / (times - 1)
    for number in range(times):
        yield round(float(first) + number * step, digits)


def _value(word: str) -> object:
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word):
        return float(word) if "." in word else int(word)
    return word
