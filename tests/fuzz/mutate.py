"""Makes inputs out of good ones: bytes, text and trees of values, each slightly or grossly wrong. Repeatable from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from gridwarden.errors import ConfigError
from gridwarden.plain_yaml import parse_yaml
from tests.fuzz.target import CUT, Shape, Target

POOL = 100
"""Inputs kept to go on from …"""
KEPT_BYTES = 8 * 1024
"""… and how long each may be: the fuzzer's own memory is bounded too."""
OUTCOMES = 1_000


class Raw(str):
    """A piece of JSON as it is to be written, right or wrong."""

    __slots__ = ()


NUMBERS = ("0", "-0", "-1", "1", "0.5", "-0.0", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-Infinity", "2147483648", "9007199254740993",
           "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e308", "1.7976931348623157e308", "5e-324",
           "9" * 400, "9" * 5000, "-" + "9" * 5000, "0." + "1" * 3000, "1795327200000", "253402300800000", "-62135596800001", "1e15", "00", "1.", ".5", "0x10")  # fmt: skip
TEXTS = ("", " ", "\x00", "a\x00b", "\ud800", "\udfff", "\u2028", "\u202e", "\ufeff", "é", "e\u0301", "𝔘", "火警", "🔥" * 40, "x" * 200, "x" * 70_000, "'", '"', "\\", "\n",
         "../../../../etc/passwd", "/dev/zero", "%00", "%s%n", "{{7*7}}", "${x}", "__class__", "__proto__", "constructor", "null", "true", "NaN", "1e999",
         "2026-11-22T06:00:00.123Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+23:59", "0001-01-01T00:00:00+14:00", "2026-02-30", "24:00", "1d", "-1h", "999999999d", "²", "١٢", "x'; DROP TABLE x; --")  # fmt: skip
SNIPPETS = (b"\x00", b"\xff", b"\xfe\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b"[" * 300, b"{" * 60, b'{"a":' * 200, b"]" * 50,
            b"\\ud800", b"\\u0000", b"&a [*a]", b"!!python/object/apply:os.system [x]", b"<<: ", b"- " * 100, b"? ", b"# ", b"'", b'"', b",", b":", b"%", b"|", b">", b"\x1f\x8b")  # fmt: skip


class Mutator:
    """Inputs for one target, the same ones for the same seed and the same outcomes."""

    def __init__(self, target: Target, seed: object) -> None:
        self._target = target
        self._random = Random(f"{seed}/{target.name}")
        self._pool: list[bytes] = [*target.examples, *(path.read_bytes() for path in target.found())]
        self._own = len(self._pool)
        self._trees = [tree for example in target.examples for tree in _trees(example, target.shape)]
        self._leaves = [leaf for tree in self._trees for leaf in _nodes(tree)][:2000]
        self._keys = sorted({key for tree in self._trees for key in _keys(tree)}) or ["x"]
        self._seen: set[str] = set()

    @property
    def outcomes(self) -> int:
        """How many different ones were seen."""
        return len(self._seen)

    def learn(self, data: bytes, outcome: str) -> None:
        """Keep an input that came to something new."""
        if outcome in self._seen or len(self._seen) >= OUTCOMES or len(data) > KEPT_BYTES:
            return
        self._seen.add(outcome)
        if len(self._pool) < self._own + POOL:
            self._pool.append(data)
        else:
            self._pool[self._own + self._random.randrange(POOL)] = data

    def make(self) -> bytes:
        """The next input."""
        random = self._random
        data = random.choice(self._pool)
        if self._trees and random.random() < 0.65:
            data = self._of_trees(data)
        if random.random() < 0.5 or not self._trees:
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                data = random.choice(_BYTES)(self, data)
        return data[: self._target.limit]

    def _of_trees(self, data: bytes) -> bytes:
        """Each part that is a tree with something changed in it."""
        shape = self._target.shape
        made = []
        for part in data.split(CUT):
            try:
                tree = _read(part, shape)
            except (ValueError, RecursionError, ConfigError):
                made.append(part)
                continue
            for _ in range(self._random.choice((1, 1, 2, 3))):
                tree = self._changed(tree)
            made.append(self._text(tree))
        return CUT.join(made)

    def _changed(self, tree: Any) -> Any:
        """Something in it is something else."""
        random = self._random
        places: list[tuple[Any, Any]] = [(None, None)]
        stack, seen = [tree], 0
        while stack and seen < 400:
            node, seen = stack.pop(), seen + 1
            items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
            for key, value in items:
                places.append((node, key))
                stack.append(value)
        holder, key = random.choice(places)
        if holder is None:
            return self._value(tree) if random.random() < 0.2 else tree
        what = random.randrange(10)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[random.choice((*self._keys, *TEXTS))] = holder.pop(key)
        elif what == 2 and isinstance(holder, dict):
            holder[random.choice((*self._keys, *TEXTS))] = self._value(holder[key])
        elif what == 3 and isinstance(holder, list):
            holder.extend(deepcopy(holder[key]) for _ in range(random.choice((1, 2, 50))))
        else:
            holder[key] = self._value(holder[key])
        return tree

    def _value(self, old: Any) -> Any:
        """Something else in the place of ``old``."""
        random = self._random
        match random.randrange(12):
            case 0 | 1:
                return Raw(random.choice(NUMBERS))
            case 2 | 3:
                return random.choice(TEXTS)
            case 4:
                return random.choice((None, True, False, [], {}, "", 0))
            case 5:
                return [old]
            case 6:
                return {random.choice(self._keys): old}
            case 7:
                depth = random.choice((3, 13, 40, 300, 2000))
                return Raw("[" * depth + "]" * depth)
            case 8:
                return str(old)[:100]
            case 9 if isinstance(old, str):
                return self._text_of(old)
            case 9 if type(old) in {int, float} and abs(old) < 2**64:
                return old * random.choice((-1, 10, 1000, 0.5, 1e9)) + random.choice((0, 1, -1))
            case _:
                return deepcopy(random.choice(self._leaves))

    def _text_of(self, old: str) -> str:
        random = self._random
        place = random.randrange(len(old) + 1)
        match random.randrange(4):
            case 0:
                return old[:place] + random.choice(TEXTS) + old[place:]
            case 1:
                return old[:place]
            case 2:
                return old * random.choice((2, 10, 100))
            case _:
                return old[:place] + random.choice(self._keys) + old[place + random.randrange(5) :]

    def _text(self, tree: Any) -> bytes:
        """As JSON, which is YAML too; now and then with a key that stands twice."""
        pieces: list[str] = []
        self._write(tree, pieces)
        return "".join(pieces).encode("utf-8", "surrogatepass")

    def _write(self, node: Any, pieces: list[str]) -> None:
        if isinstance(node, Raw):
            pieces.append(node)
        elif isinstance(node, dict):
            items = list(node.items())
            if items and self._random.random() < 0.03:
                items.append(self._random.choice(items))
            pieces.append("{")
            for number, (key, value) in enumerate(items):
                pieces += (", " if number else "", _quoted(str(key)), ": ")
                self._write(value, pieces)
            pieces.append("}")
        elif isinstance(node, list):
            pieces.append("[")
            for number, value in enumerate(node):
                pieces.append(", " if number else "")
                self._write(value, pieces)
            pieces.append("]")
        else:
            pieces.append(_quoted(node) if isinstance(node, str) else json.dumps(node, default=str))

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._random.randrange(len(data) + 1)
        return start, min(len(data), start + self._random.choice((1, 1, 2, 4, 8, 32, 256)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\x80"
        place = self._random.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << self._random.randrange(8))]) + data[place + 1 :]

    def _cut(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _end(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data) + 1)]

    def _again(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[start:end] * self._random.choice((2, 3, 20, 1000)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._word() + data[start if self._random.random() < 0.5 else end :]

    def _word(self) -> bytes:
        random = self._random
        kind = random.randrange(4)
        if kind == 0 and self._target.words:
            return random.choice(self._target.words)
        if kind == 1:
            return random.choice(NUMBERS).encode()
        if kind == 2:
            return random.choice(TEXTS).encode("utf-8", "surrogatepass")
        return random.choice(SNIPPETS)

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._pool)
        return data[: self._slice(data)[0]] + other[self._slice(other)[0] :]

    def _noise(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._random.randbytes(self._random.choice((1, 2, 4, 16))) + data[end:]


_BYTES: Sequence[Callable[[Mutator, bytes], bytes]] = (
    Mutator._flip, Mutator._flip, Mutator._cut, Mutator._end, Mutator._again, Mutator._insert, Mutator._insert, Mutator._splice, Mutator._noise,
)  # fmt: skip


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=bool(len(text) % 2))


def _read(part: bytes, shape: Shape) -> Any:
    if shape is Shape.JSON:
        return json.loads(part)
    if shape is Shape.YAML:
        return parse_yaml(part)
    raise ValueError(shape)


def _trees(example: bytes, shape: Shape) -> list[Any]:
    found = []
    for part in example.split(CUT):
        try:
            found.append(_read(part, shape))
        except (ValueError, RecursionError, ConfigError):
            continue
    return [tree for tree in found if isinstance(tree, dict | list)]


def _nodes(tree: Any) -> list[Any]:
    found, stack = [], [tree]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
    return found


def _keys(tree: Any) -> set[str]:
    return {str(key) for node in _nodes(tree) if isinstance(node, dict) for key in node}
