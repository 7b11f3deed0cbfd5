"""Values and comments are taken out of SQL, whatever is in them and wherever the text is cut off."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.drivers.postgres.statements import operation, sanitized

PIECES = ["z", "'", '"', "$", "$1", "$$", "\\", "/*", "*/", "--", "\n", " ", "E", "7", "$t$", "é"]
LITERALS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
QUOTED: list[Callable[[str], str]] = [
    lambda text: "'" + text.replace("'", "''") + "'",
    lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    lambda text: "e'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
    lambda text: "$own$" + text + "$own$",
    lambda text: "$é1$" + text + "$é1$",
]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SET note='paid $100 to Alice Smith'", "SET note=?"),
        (r"WHERE p='C:\' AND name='Alice'", "WHERE p=? AND name=?"),
        ("SELECT \"o'k\", 'Alice'", 'SELECT "o\'k", ?'),
        ("SELECT $tag$cut off Alice", "SELECT ?"),
        ("SELECT $tag$Alice $other$ Bob$tag$, $2", "SELECT ?, $2"),
        (r"SELECT E'it\'s Alice', eE'Bob\'", "SELECT ?, eE?"),
        ("SELECT '/* Alice', 'Bob */'", "SELECT ?, ?"),
        ("/* it's /* nested */ Alice */ SELECT 1 -- Bob's", "SELECT ?"),
        ("SELECT /*/*/*deep*/*/*/ 'Alice'", "SELECT"),
        ("SELECT t1.a$b$c, 0xFF, .5e-3, 1_000 FROM t1", "SELECT t1.a$b$c, ?, ?, ? FROM t1"),
        ("SELECT a[1:2], 1E'Alice'", "SELECT a[?:?], ??"),
    ],
)
def test_what_is_a_value_is_decided_from_the_left(query: str, text: str) -> None:
    assert sanitized(query) == text


@given(st.lists(st.tuples(LITERALS, st.sampled_from(QUOTED)), min_size=1, max_size=4), st.integers(0, 200))
def test_no_text_within_any_literal_survives(values: list[tuple[str, Callable[[str], str]]], cut: int) -> None:
    query = "SELECT " + ", ".join(quote(text) for text, quote in values) + " FROM t"
    assert sanitized(query) == "SELECT " + ", ".join("?" for _ in values) + " FROM t"
    assert "z" not in sanitized(query[:cut])


def test_a_statement_of_nothing_but_a_value_has_no_operation() -> None:
    assert operation("'Alice'") == "QUERY"
