"""What was set aside is judged once more, after a codec or the registry was mended.

It goes the way of everything that comes in, with the topic, the gateway and the times it came with. In the ledger it is
received anew, from a source of its own; what was counted of the past stays as it is. What fails again stays open, and
nothing is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gridwarden.core.judge import Judge
from gridwarden.errors import Refused
from gridwarden.model import Change, DeadLetter, Operation, Reading, Retried
from gridwarden.records.aside import RETRIED_AT_ONCE
from gridwarden.records.transaction import Tally, Transaction
from ingest import intake
from ingest.session import Lane

if TYPE_CHECKING:
    from gridwarden.core.commands import Desk

SOURCE = "retry"
"""The broker of the ledger's lines of what was retried."""
NOT_ENTITLED = "not_entitled"
Taken = list[tuple[Reading, Tally]]
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it lies in the records."""

    number: int
    letter: DeadLetter
    outcome: str


@dataclass(frozen=True, slots=True)
class KeptReading:
    """An entry of the quarantine's list."""

    number: int
    reading: Reading
    outcome: str


@dataclass(slots=True)
class _Payload:
    topic: str
    payload: bytes
    received_at_ms: int


def retry_letters(desk: Desk, params: Params) -> tuple[Transaction | None, Params]:
    """Decode dead letters again, and judge what can be read now."""
    numbers = wanted(params, "letters")
    letters = _open(numbers, desk.letters, desk.retried)
    judge, taken, tallies = desk.judge, Taken(), dict[int, Tally]()
    transaction = Transaction(judge.clock.now_ms())
    outcomes = _known(numbers, desk.letters, desk.retried)
    for kept in letters:
        taking = _read(judge, kept.letter)
        if not taking.readings:
            outcomes[kept.number] = transaction.retried[kept.number] = taking.dead_letters[0].code
            continue
        tally = tallies[kept.number] = Tally(received=taking.received, dead_lettered=len(taking.dead_letters))
        taken += [(reading, tally) for reading in taking.readings]
        transaction.dead_letters += [replace(one, lane=kept.letter.lane) for one in taking.dead_letters]
    lanes = {kept.number: (kept.letter.lane, kept.letter.gateway) for kept in letters}
    if params.get("dry_run"):
        return None, _answer(outcomes | _foreseen(judge, taken, tallies))
    outcomes |= _judge(judge, taken, tallies, lanes, transaction)
    transaction.retried |= {number: outcomes[number] for number in tallies}
    return _told(transaction, transaction.retried, Operation.DEAD_LETTERS_RETRIED, params), _answer(outcomes)


def retry_quarantined(desk: Desk, params: Params) -> tuple[Transaction | None, Params]:
    """Take over the quarantined readings whose gateway may speak for their device by now."""
    numbers = wanted(params, "quarantined")
    judge, taken, tallies = desk.judge, Taken(), dict[int, Tally]()
    transaction = Transaction(judge.clock.now_ms())
    outcomes = _known(numbers, desk.quarantined, desk.released)
    lanes: dict[int, tuple[str, str]] = {}
    for kept in _open(numbers, desk.quarantined, desk.released):
        reading = intake.anew(kept.reading, judge.devices, judge.bounds)
        if not reading.entitled:
            outcomes[kept.number] = transaction.released[kept.number] = NOT_ENTITLED
            continue
        tally = tallies[kept.number] = Tally(received=1)
        taken.append((reading, tally))
        lanes[kept.number] = (Lane.TELEMETRY, reading.gateway)
    if params.get("dry_run"):
        return None, _answer(outcomes | _foreseen(judge, taken, tallies))
    outcomes |= _judge(judge, taken, tallies, lanes, transaction)
    transaction.released |= {number: outcomes[number] for number in tallies}
    return _told(transaction, transaction.released, Operation.QUARANTINE_RETRIED, params), _answer(outcomes)


def wanted(params: Params, name: str) -> list[int]:
    """The numbers that a command is about; none where it is about something else.

    Raises:
        Refused: they are no such list, or too many.
    """
    numbers = params.get(name, [])
    if (
        not isinstance(numbers, list)
        or len(numbers) > RETRIED_AT_ONCE
        or any(type(number) is not int for number in numbers)
    ):
        raise Refused("bad_parameters", f"{name}: a list of at most {RETRIED_AT_ONCE} numbers is expected")
    return numbers


def _open(numbers: Sequence[int], kept: Mapping[int, Any], retried: Mapping[int, str]) -> list[Any]:
    """Those that nobody has settled, in the order of arrival."""
    settled = set(Retried)
    found = (kept[number] for number in sorted(set(numbers)) if number in kept)
    return [one for one in found if retried.get(one.number, one.outcome) not in settled]


def _known(numbers: Sequence[int], kept: Mapping[int, Any], retried: Mapping[int, str]) -> dict[int, str]:
    """What has become of those that are settled already: nothing is done to them."""
    settled = set(Retried)
    found = {number: retried.get(number, kept[number].outcome) for number in numbers if number in kept}
    return {number: outcome for number, outcome in found.items() if outcome in settled}


def _read(judge: Judge, letter: DeadLetter) -> intake.Intake:
    # What was an element of an array is decoded as one again, so that only what was mended makes a difference.
    payload = b"[" + letter.payload + b"]" if letter.detail.startswith("readings[") else letter.payload
    message = _Payload(letter.topic, payload, letter.received_at_ms)
    return intake.read(message, letter.broker, judge.devices, judge.clock, judge.bounds)


def _judge(
    judge: Judge,
    taken: Taken,
    tallies: Mapping[int, Tally],
    lanes: Mapping[int, tuple[str, str]],
    transaction: Transaction,
) -> dict[int, str]:
    """What became of each, and all of it in ``transaction``."""
    if taken:
        judge.judged(taken, transaction)
    for number, tally in tallies.items():
        lane, gateway = lanes[number]
        transaction.tally(SOURCE, lane, judge.gateways.name(SOURCE, gateway)).add(tally)
    return {number: _outcome(tally) for number, tally in tallies.items()}


def _outcome(tally: Tally) -> str:
    if tally.stored:
        return Retried.STORED
    return Retried.QUARANTINED if tally.quarantined else Retried.DUPLICATE


def _foreseen(judge: Judge, taken: Taken, tallies: Mapping[int, Tally]) -> dict[int, str]:
    """What would become of each, one by one; nothing is changed."""
    for reading, tally in taken:
        if judge.windows.knows(reading):
            tally.duplicate += 1
        elif reading.entitled:
            tally.stored += 1
        else:
            tally.quarantined += 1
    return {number: _outcome(tally) for number, tally in tallies.items()}


def _told(transaction: Transaction, outcomes: Mapping[int, str], operation: Operation, params: Params) -> Transaction:
    if outcomes:
        detail = {"outcomes": dict(Counter(outcomes.values())), "count": len(outcomes)}
        change = Change(operation, transaction.at_ms, actor=str(params["actor"]), detail=detail)
        transaction.changes.append(change)
    return transaction


def _answer(outcomes: Mapping[int, str]) -> Params:
    return {"outcomes": [[number, str(outcome)] for number, outcome in sorted(outcomes.items())]}
