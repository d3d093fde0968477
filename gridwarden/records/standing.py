"""Where the records stand by their own word, and how they go on after a loss: above every number that was given."""

from __future__ import annotations

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, func, select, text

from gridwarden.model import Change, Operation
from gridwarden.records import schema, statements
from gridwarden.records.damage import REMEMBERED, Held, Loss, Losses, missing
from gridwarden.records.database import epoch, renew_epoch
from gridwarden.records.mark import TOTALS
from gridwarden.records.transaction import Transaction

SPARE_OFFSETS = 2
SPARE_SEQS = 10_000
"""Left free after a loss: a last transaction that was killed before its mark may have been seen by somebody."""
_SET_SEQ = text("UPDATE sqlite_sequence SET seq = :seq WHERE name = 'journal'")
_ADD_SEQ = text("INSERT INTO sqlite_sequence (name, seq) SELECT 'journal', :seq WHERE NOT changes()")


def read(connection: Connection) -> tuple[Held, Losses]:
    """What the records hold, and what was ever stated as lost."""
    block, ledger = schema.intake_block.c.offset, schema.ledger.c
    first, last, count = connection.execute(select(func.min(block), func.max(block), func.count())).one()
    sums = [func.coalesce(func.sum(ledger[name]), 0) for name in TOTALS]
    totals = tuple(int(total) for total in connection.execute(select(*sums)).one())
    losses = losses_of(connection)
    seq = int(connection.execute(statements.LAST_SEQ).scalar_one())
    held = Held(epoch(connection), last or 0, seq, totals, missing(first or 0, last or 0, count, losses.gaps))
    return held, losses


def losses_of(connection: Connection) -> Losses:
    """What was ever stated as lost."""
    stored = connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == REMEMBERED)).scalar()
    return Losses(**from_json(stored)) if stored else Losses()


def next_offset(loss: Loss) -> int:
    """The offset of the transaction that states ``loss``."""
    return loss.through_offset + SPARE_OFFSETS


def statement(loss: Loss, losses: Losses, now_ms: int) -> Transaction:
    """The transaction that states ``loss``, to be committed at :func:`next_offset`."""
    transaction = Transaction(now_ms)
    transaction.changes.append(Change(Operation.DATA_LOST, now_ms, detail=loss.facts()))
    losses.add_loss(loss, next_offset(loss))
    transaction.remembered[REMEMBERED] = to_json(losses).decode()
    return transaction


def office_statement(changes: int, losses: Losses, now_ms: int) -> Transaction:
    """The transaction that states so many changes of the office as lost."""
    transaction = Transaction(now_ms)
    detail = {"what": "office", "changes": changes}
    transaction.changes.append(Change(Operation.DATA_LOST, now_ms, detail=detail))
    losses.office_changes += changes
    transaction.remembered[REMEMBERED] = to_json(losses).decode()
    return transaction


def leave_behind(connection: Connection, loss: Loss) -> None:
    """Within the transaction that states ``loss``: another identity, and journal numbers above those that were given."""
    renew_epoch(connection, next_offset(loss) - 1)
    seq = {"seq": loss.through_seq + SPARE_SEQS}
    connection.execute(_SET_SEQ, seq)
    connection.execute(_ADD_SEQ, seq)
