"""What the stand-in understands and says: line protocol, the texts of ``gridwarden.history.flux``, annotated CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime
from typing import Any, NamedTuple

from gridwarden.history.points import FIELDS, NUMBERS

LINE = re.compile(r'((?:\\.|[^ \\])+) ((?:"(?:\\.|[^"\\])*"|[^" ])+)(?: (-?\d+))?', re.DOTALL)
FIELD = re.compile(r'([^,=]+)=("(?:\\.|[^"\\])*"|[^,"]+)(?:,|$)', re.DOTALL)
QUERY = re.compile(
    r'from\(bucket: "(?P<bucket>[^"]*)"\) \|> range\(start: (?P<start>\S+), stop: (?P<stop>\S+)\)'
    r" \|> filter\(fn: \(r\) => (?P<where>.*?)\)(?: \|> limit\(n: (?P<limit>\d+)\))?(?P<last> \|> last\(\))?"
    r'(?P<first> \|> first\(\) \|> group\(\) \|> sort\(columns: \["_time"\]\) \|> limit\(n: 1\))?'
    r"(?: \|> map\(fn: \(r\) => \(\{r with ns: int\(v: r\._time\)\}\)\)|(?P<count> \|> count\(\)))$"
)
PARTIAL = "failure writing points to database: partial write"
SUM_UP = re.compile(
    r'from\(bucket: "([^"]*)"\) \|> range\(start: (\S+), stop: (\S+)\) \|> filter\(fn: \(r\) => r._measurement == "readings" .*\)'
    r' (.*?) \|> duplicate\(column: "_field", as: "of"\) \|> duplicate\(column: "_start", as: "_time"\)'
    r' \|> set\(key: "_measurement", value: "sums"\) \|> set\(key: "_field", value: "(\w+)"\)'
    r' \|> to\(bucket: "([^"]*)", tagColumns: \["device", "kind", "of"\]\) \|> group\(\) \|> count\(\)'
)
SUMMED = re.compile(
    r'from\(bucket: "(?P<bucket>[^"]*)"\) \|> range\(start: (?P<start>\S+), stop: (?P<stop>\S+)\)'
    r' \|> filter\(fn: \(r\) => r._measurement == "sums" and r.device == "(?P<device>[^"]*)" and r.of == "(?P<of>\w+)" and '
)
NUMERIC = {name for name, field in FIELDS.items() if field.type in NUMBERS}
DATATYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


class Key(NamedTuple):
    """A series."""

    measurement: str
    device: str
    kind: str
    field: str


def conflicts(stored: dict[Key, dict[int, Any]], key: Key, value: Any) -> bool:
    others = (v for k, v in stored.items() if (k.measurement, k.field) == (key.measurement, key.field) and v)
    return any(type(next(iter(values.values()))) is not type(value) for values in others)


def parse(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """A line by the rules of line protocol, each character accounted for."""
    found = LINE.fullmatch(line)
    assert found, line
    measurement, *tags = re.split(r"(?<!\\),", found[1])
    pairs = [re.split(r"(?<!\\)=", tag) for tag in tags]
    fields = {name: typed(text) for name, text in FIELD.findall(found[2])}
    assert len(FIELD.sub("", found[2])) == 0, line
    return measurement, {k: re.sub(r"\\(.)", r"\1", v) for k, v in pairs}, fields, int(found[3] or 0)


def typed(text: str) -> Any:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    if text in {"true", "false"}:
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


def nanoseconds(text: str) -> int:
    seconds, fraction = text.rstrip("Z").split(".")
    return round(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def one_sum(found: list[tuple[int, Any]]) -> dict[str, Any]:
    """Of values with their times in nanoseconds, in order."""
    values = [value for _, value in found]
    last_ms = found[-1][0] // 10**6
    tied = {"tied": 1} if len(found) > 1 and found[-1][0] - found[-2][0] < 10**6 else {}
    return {"min": min(values), "max": max(values), "sum": sum(values), "count": len(values), "last": values[-1],
            "last_ms": last_ms, **tied}  # fmt: skip


def csv_of(columns: list[tuple[str, str]], rows: list[tuple[Any, ...]], result: str = "_result") -> str:
    """One table of annotated CSV."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n").writerow
    write(["#datatype", "string", "long", *(datatype for _, datatype in columns)])
    write(["#group", "false", "false", *("false" for _ in columns)])
    write(["#default", result, "", *("" for _ in columns)])
    write(["", "result", "table", *(name for name, _ in columns)])
    for row in rows:
        write(["", "", 0, *row])
    return out.getvalue() + "\r\n"


def answer(tables: list[tuple[Key, list[tuple[int, Any]]]]) -> str:
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n").writerow
    for number, (key, rows) in enumerate(tables):
        counted = rows[0][0] == -1
        kind = [key.kind] if key.kind else []
        columns = [("_measurement", "string"), ("_field", "string"), ("device", "string"), *[("kind", "string") for _ in kind],
                   ("_value", DATATYPES[type(rows[0][1])]), ("ns", "long")]  # fmt: skip
        if counted:
            columns.pop()
        write(["#datatype", "string", "long", *(datatype for _, datatype in columns)])
        write(["#group", "false", "false", *(str(name not in {"_value", "ns"}).lower() for name, _ in columns)])
        write(["#default", "_result", "", *("" for _ in columns)])
        write(["", "result", "table", *(name for name, _ in columns)])
        for at_ns, value in rows:
            shown = str(value).lower() if isinstance(value, bool) else value
            row = ["", "", number, key.measurement, key.field, key.device, *kind, shown, at_ns]
            write(row[: 3 + len(columns)])
        out.write("\r\n")
    return out.getvalue()
