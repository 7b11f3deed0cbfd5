"""Whether a client takes gzip, by its header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.api.encoding import accepts_gzip


@pytest.mark.parametrize(
    "header", ["gzip", "deflate, GZIP;q=0.5, br", "*", "gzip; q=1.0", "br;q=0, gzip ;q = 0.001", "gzip;q=0.5, *;q=0"]
)
def test_gzip_is_taken_where_it_is_named_or_anything_is(header: str) -> None:
    assert accepts_gzip(header)


@pytest.mark.parametrize("header", ["", "identity", "gzip;q=0", "gzip; Q=0.000, *", "*;q=0.0", "x-notgzip", "br"])
def test_gzip_is_not_taken_where_it_is_not_named_or_has_no_weight(header: str) -> None:
    assert not accepts_gzip(header)


@given(st.text() | st.text(",;=q0gzip* .", max_size=40))
def test_any_header_has_an_answer(header: str) -> None:
    assert accepts_gzip(header) in {True, False}
