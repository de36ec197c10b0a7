"""The table of documented checks names tests that there are, and gives reasons for the others."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.models.documented_checks import DIFFERENT, HELD, NOT_APPLICABLE

TESTS = Path(__file__).parents[1]


def names_of_tests(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_check_is_held_by_a_test_that_there_is() -> None:
    named = [test for tests in HELD.values() for test in tests]
    for test in named:
        file, _, name = test.partition("::")
        assert name in names_of_tests(file), test
    assert all(HELD.values())


def test_every_other_check_has_its_reason_and_one_place() -> None:
    assert all(len(reason) > 15 for reason in [*NOT_APPLICABLE.values(), *DIFFERENT.values()])
    places = Counter([*HELD, *NOT_APPLICABLE, *DIFFERENT])
    assert set(places.values()) == {1}


def test_counts() -> None:
    """As the documentation gives them (docs/documented.md)."""
    counts = {
        suite: tuple(
            sum(name == suite for name, _ in table) for table in (HELD, NOT_APPLICABLE, DIFFERENT)
        )
        for suite in ("hiera", "backbone", "mixin")
    }
    assert counts == {"hiera": (17, 5, 0), "backbone": (6, 0, 0), "mixin": (34, 62, 1)}
