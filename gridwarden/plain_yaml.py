"""YAML as people write it by hand: plain values only. No tags, anchors, merges or repeated keys; bounded in size and depth.

Without anchors a small file is a small value; without tags no object of any class comes out of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gridwarden.errors import ConfigError

MAX_DIGITS = 40
"""Longest number. What is longer no machine reads, and some forms (``1:59:59:…``) take quadratic time."""
MAX_NESTING = 12
"""Deepest nesting of lists and mappings in a file."""


def read_yaml(path: Path, max_bytes: int) -> Any:
    """The content of one YAML file.

    Raises:
        ConfigError: missing, not readable, larger than ``max_bytes``, too deep, or not such YAML.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError("is not a file", path=path)
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise ConfigError("no such file", path=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except ValueError as error:  # a name with a NUL in it
        raise ConfigError(f"no such file: {error}", path=path) from error
    if len(content) > max_bytes:
        raise ConfigError(f"larger than {max_bytes} bytes", path=path)
    return parse_yaml(content, path)


def parse_yaml(content: bytes, path: Path | str | None = None) -> Any:
    """Like :func:`read_yaml`, for bytes already read."""
    try:
        # A SafeLoader that takes less: no object of any class can come out of it.
        return yaml.load(content.decode("utf-8"), _PlainLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}" if mark else ""
        raise ConfigError(error.problem or error.context or "not YAML", path=path, place=place) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not YAML: {error}", path=path) from error


class _PlainLoader(yaml.SafeLoader):
    """YAML without what rule files have no use for and attackers have."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        reason = ""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            reason = "anchors and aliases are not read"
        elif getattr(event, "tag", None) is not None:
            reason = "tags are not read"
        elif self._depth >= MAX_NESTING:
            reason = f"nested more than {MAX_NESTING} deep"
        if reason:
            raise yaml.composer.ComposerError(None, None, reason, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _number(self, node: yaml.ScalarNode) -> Any:
        if len(node.value) > MAX_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of more than {MAX_DIGITS} digits", node.start_mark
            )
        plain = super().construct_yaml_int if node.tag.endswith(":int") else super().construct_yaml_float
        return plain(node)


for _tag in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _PlainLoader._number)  # noqa: SLF001 - ours
