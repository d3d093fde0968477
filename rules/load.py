"""Rule files to a rule set, all or nothing: the first thing that is wrong is refused with file, rule, key and reason.

The only module of the rules that reads files. Everything is bounded: bytes of a file, number of files, of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from gridwarden import plain_yaml
from gridwarden.errors import ConfigError
from rules import correlation, inhibit
from rules.absence import WrittenAbsence, make_absence
from rules.correlation import WrittenCorrelation, make_correlation
from rules.rule import Head, RuleSet, make_rule
from rules.written import MAX_RULES, WrittenHead, WrittenRule, WrittenRules

MAX_FILE_BYTES = 2**20
MAX_FILES = 1000
PACKS = Path(__file__).parent / "packs"
"""The shipped rules."""
TEST_SUFFIX = ".test.yaml"
"""Ending of the files that test rules; they are not rules themselves."""
_Make = Callable[[str, Any], Head]
_TYPES: dict[str, tuple[type[WrittenHead], _Make]] = {
    "rules": (WrittenRule, make_rule),
    "absences": (WrittenAbsence, make_absence),
    "correlations": (WrittenCorrelation, make_correlation),
}
"""The lists of a rule file: how what is in one is written, and what makes a rule of it."""


def load(paths: Iterable[Path], *, shipped_packs: bool = False) -> RuleSet:
    """The rules of these files and folders (searched in full for ``*.yaml``, without ``*.test.yaml``).

    With ``shipped_packs`` the shipped rules come first; a rule of ``paths`` with the id of a shipped one takes its
    place, so that a site can change a threshold or switch a rule off.

    Raises:
        ConfigError: something cannot be read or used; nothing is loaded then.
    """
    own = _load_each(paths)
    shipped = _load_each([PACKS]) if shipped_packs else {}
    rules = {**shipped, **own}
    if len(rules) > MAX_RULES:
        raise ConfigError(f"{len(rules)} rules; at most {MAX_RULES} are loaded")
    inhibit.check(rules.values())
    correlation.check(rules.values())
    return RuleSet(tuple(rules.values()))


def read_yaml(path: Path) -> Any:
    """The content of one rule or test file, see :func:`gridwarden.plain_yaml.read_yaml`."""
    return plain_yaml.read_yaml(path, MAX_FILE_BYTES)


def expand(paths: Iterable[Path], suffix: str) -> list[Path]:
    """Files as they are named, folders as their files ending in ``suffix``, sorted.

    Raises:
        ConfigError: a path does not exist, or there are too many files.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.rglob(f"*{suffix}") if file.is_file())
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError("no such file or folder", path=path)
        if len(files) > MAX_FILES:
            raise ConfigError(f"more than {MAX_FILES} files", path=path)
    return files


def read_rules(content: Any, path: Path | str | None = None) -> list[Head]:
    """The rules of one file's content, of every type.

    Raises:
        ConfigError: with the id of the rule, the key and the reason.
    """
    try:
        written = WrittenRules.model_validate(content)
    except ValidationError as error:
        _refuse(error, path, "")
    return [
        _read_rule(written.kind, key, number, raw, path)
        for key in _TYPES
        for number, raw in enumerate(getattr(written, key), start=1)
    ]


def _load_each(paths: Iterable[Path]) -> dict[str, Head]:
    rules: dict[str, Head] = {}
    files = [file for file in expand(paths, ".yaml") if not file.name.endswith(TEST_SUFFIX)]
    for path in files:
        for rule in read_rules(read_yaml(path), path):
            if rule.id in rules:
                raise ConfigError("this id is taken by another rule", path=path, place=f"rule {rule.id}")
            rules[rule.id] = rule
            if len(rules) > MAX_RULES:
                raise ConfigError(f"more than {MAX_RULES} rules", path=path)
    return rules


def _read_rule(kind: str, key: str, number: int, raw: dict[str, Any], path: Path | str | None) -> Head:
    name = raw.get("id")
    place = f"rule {name}" if isinstance(name, str) else f"{key.removesuffix('s')} number {number}"
    written, make = _TYPES[key]
    try:
        return make(kind, written.model_validate(raw))
    except ValidationError as error:
        _refuse(error, path, place)
    except ConfigError as error:
        raise ConfigError(error.reason, path=path, place=f"{place}: {error.place}") from error


def _refuse(error: ValidationError, path: Path | str | None, place: str) -> NoReturn:
    """The first of pydantic's complaints in our words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    reason = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(first["type"])
    if reason is None:
        reason = f"{first['msg'].removeprefix('Value error, ')} (got {str(first['input'])[:80]!r})"
    raise ConfigError(reason, path=path, place=": ".join(part for part in (place, key) if part)) from error
