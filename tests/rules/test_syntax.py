"""Texts to trees: what is too deep, and what only looks like an expression."""

import ast

import pytest

from gridwarden.errors import ConfigError
from rules.syntax import MAX_DEPTH, parse, refused


def test_an_expression_may_stand_on_several_lines() -> None:
    assert ast.unparse(parse("  floor > 1\nand occupied ")) == "floor > 1 and occupied"


def test_the_depth_is_that_of_the_whole_tree() -> None:
    parse("not " * (MAX_DEPTH - 2) + "a")
    with pytest.raises(ConfigError, match=f"nested more than {MAX_DEPTH} deep"):
        parse("not " * MAX_DEPTH + "a")
    parse("not " * MAX_DEPTH + "a", 2 * MAX_DEPTH)


@pytest.mark.parametrize("text", ["a = 1", "a; b", "import os", "1or a", "a\x00", "", "(" * 300 + "a" + ")" * 300])
def test_what_is_no_single_expression_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not an expression"):
        parse(text)


def test_a_refusal_names_the_column() -> None:
    tree = parse("a and b")
    assert isinstance(tree, ast.BoolOp)
    assert str(refused(tree.values[1], "no")) == "column 7: no"
