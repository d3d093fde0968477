"""Small integers for the names that repeat in every row. Rows carry four bytes, a table carries the name once."""

from __future__ import annotations

import duckdb
import numpy as np

Name = tuple[str, ...]


class Names:
    """The keys of one dictionary table. New keys count only once the caller's transaction has committed.

    For the writing thread only.
    """

    def __init__(self, table: str, key_column: str, columns: tuple[str, ...]) -> None:
        self._table = table
        self._columns = (key_column, *columns)
        self.known: dict[Name, int] = {}
        self._fresh: dict[Name, int] = {}

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the table anew and forget what did not commit."""
        rows = connection.execute(f"SELECT {', '.join(self._columns)} FROM {self._table}").fetchall()  # noqa: S608
        self.known = {tuple(names): key for key, *names in rows}
        self._fresh = {}

    def key_of(self, name: Name) -> int:
        """The key of ``name``, a fresh one where it has none yet."""
        key = self.known.get(name)
        if key is None:
            key = self._fresh.setdefault(name, len(self.known) + len(self._fresh))
        return key

    def save(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write the fresh keys, inside the caller's transaction."""
        if not self._fresh:
            return
        columns = zip(*self._fresh, strict=True)
        block = dict(zip(self._columns[1:], (np.array(column, dtype=object) for column in columns), strict=True))
        block[self._columns[0]] = np.fromiter(self._fresh.values(), dtype="int32")
        connection.register("fresh_names", block)
        connection.execute(f"INSERT INTO {self._table} BY NAME SELECT * FROM fresh_names")  # noqa: S608
        connection.unregister("fresh_names")

    def settle(self) -> dict[Name, int]:
        """The transaction has committed; returns the names that are new by it."""
        fresh, self._fresh = self._fresh, {}
        self.known.update(fresh)
        return fresh
