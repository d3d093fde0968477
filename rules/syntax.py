"""The text of an expression to its syntax tree: bounded, parsed, never run. Pure."""

from __future__ import annotations

import ast
import warnings

from gridwarden.errors import ConfigError

MAX_LENGTH = 2000
"""Longest expression, characters."""
MAX_DEPTH = 30
"""Deepest nesting of an expression."""


def parse(text: str, max_depth: int = MAX_DEPTH) -> ast.expr:
    """The tree of one expression, which is not run and may still hold what the language does not have.

    Raises:
        ConfigError: not one expression of Python, or nested too deep.
    """
    line = text.strip().replace("\n", " ")
    if "#" in line and "\n" in text.strip():
        raise ConfigError("a comment inside an expression of several lines; write it in front of the key")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python would only warn of ("1or 2") is no expression of ours
            tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"not an expression: {error.msg}", place=f"column {error.offset or 1}") from error
    except (ValueError, MemoryError, RecursionError, Warning) as error:
        raise ConfigError(f"not an expression: {error or type(error).__name__}") from error
    _check_depth(tree, max_depth)
    return tree


def _check_depth(tree: ast.expr, max_depth: int) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(max_depth):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ConfigError(f"nested more than {max_depth} deep")


def refused(node: ast.AST, reason: str) -> ConfigError:
    """What is wrong with the part of the expression at ``node``."""
    return ConfigError(reason, place=f"column {getattr(node, 'col_offset', 0) + 1}")
