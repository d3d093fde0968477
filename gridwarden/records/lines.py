"""Lines of the stored ledger, and what is known of gateways from them. Each call is one bounded query or two."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, Select, func, literal, select, tuple_

from gridwarden.platform import OURSELVES
from gridwarden.records import aside, schema
from gridwarden.records.transaction import LEDGER_COLUMNS

_ledger = schema.ledger.c
_letter = schema.dead_letter.c
_SUMS = (
    *(func.sum(_ledger[name]).label(name) for name in LEDGER_COLUMNS),
    func.max(_ledger.last_received_at_ms).label("last_received_at_ms"),
)
NOBODY = ""
"""The gateway of what names none, and of what was counted before there were lines for each."""


class By(StrEnum):
    """What a line is for; each is finer than the one before."""

    BROKER = "broker"
    LANE = "lane"
    GATEWAY = "gateway"

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """What tells two lines apart, in the order of the lines."""
        wanted = {By.BROKER: 1, By.LANE: 2, By.GATEWAY: 3}[self]
        return (_ledger.broker, _ledger.lane, _ledger.gateway)[:wanted]


def lines(connection: Connection, by: By, after: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Lines in order, after the one of the key ``after`` (empty: from the first)."""
    query = select(*by.columns, *_SUMS).group_by(*by.columns).order_by(*by.columns).limit(limit)
    if after:
        query = query.where(tuple_(*by.columns) > tuple(after))
    return _all(connection, query)


def lines_of(connection: Connection, gateway: str) -> list[dict[str, Any]]:
    """The lines of one gateway."""
    query = select(*By.GATEWAY.columns, *_SUMS).where(_ledger.gateway == gateway).group_by(*By.GATEWAY.columns)
    return _all(connection, query.order_by(*By.GATEWAY.columns))


def gateways(connection: Connection, after: str, limit: int) -> list[dict[str, Any]]:
    """Gateways by name, each with its brokers, its counts and how many of its dead letters are open; not ourselves."""
    named = (_ledger.gateway > max(after, NOBODY)) & (_ledger.broker != OURSELVES)
    query = select(_ledger.gateway, *_SUMS).where(named).group_by(_ledger.gateway).order_by(_ledger.gateway)
    found = _all(connection, query.limit(limit))
    names = [one["gateway"] for one in found]
    brokers: dict[str, list[str]] = {}
    pairs = select(_ledger.gateway, _ledger.broker).where(_ledger.gateway.in_(names)).distinct()
    for gateway, broker in connection.execute(pairs.order_by(_ledger.broker)):
        brokers.setdefault(gateway, []).append(broker)
    opened = open_letters(connection, names)
    return [one | {"brokers": brokers[one["gateway"]], "dead_letters": opened.get(one["gateway"], 0)} for one in found]


def open_letters(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Kept dead letters of these gateways that no retry has settled; who has none is left out."""
    query = (
        select(_letter.gateway, func.count()).where(_letter.gateway.in_(names), aside.IS_OPEN).group_by(_letter.gateway)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def dead_letters_of(connection: Connection, gateway: str, limit: int) -> list[dict[str, Any]]:
    """The newest dead letters of a gateway."""
    table = schema.dead_letter
    query = select(table).where(table.c.gateway == gateway).order_by(table.c.dead_letter_id.desc())
    return _all(connection, query.limit(limit))


def quarantine_of(connection: Connection, gateway: str, limit: int) -> list[dict[str, Any]]:
    """The newest quarantined readings of a gateway."""
    table = schema.quarantine
    query = select(table).where(table.c.gateway == gateway).order_by(table.c.quarantine_id.desc())
    return _all(connection, query.limit(limit))


def readings(connection: Connection) -> int:
    """Readings that the ledger says lie in blocks, or have lain there."""
    in_all = select(func.coalesce(func.sum(_ledger.stored + _ledger.quarantined), literal(0)))
    return int(connection.execute(in_all).scalar_one())


def imbalance(connection: Connection) -> int:
    """Readings that do not add up, line by line: two lines that are off both ways do not make up for each other."""
    accounted = _ledger.stored + _ledger.duplicate + _ledger.dead_lettered + _ledger.quarantined
    query = select(func.coalesce(func.sum(func.abs(_ledger.received - accounted)), 0))
    return int(connection.execute(query).scalar_one())


def aside_imbalance(connection: Connection) -> int:
    """Dead letters and quarantined readings that are counted and not there, or the other way round."""
    recount = aside.recount(connection)
    counted = select(*(func.coalesce(func.sum(_ledger[name]), 0) for name in recount))
    found = connection.execute(counted).one()
    return sum(abs(int(told) - there) for told, there in zip(found, recount.values(), strict=True))


def _all(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]
