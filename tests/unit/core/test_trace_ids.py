"""How a trace id may be written."""

import pytest

from homeostat.core.trace_ids import full_trace_id


@pytest.mark.parametrize(
    "text",
    [
        "5af7183fb1d4cf5f",
        " 5AF7183FB1D4CF5F\n",
        "0" * 16 + "5af7183fb1d4cf5f",
        "00000000-0000-0000-5af7-183fb1d4cf5f",
    ],
)
def test_short_ids_blanks_dashes_and_capitals_mean_the_same_trace(text: str) -> None:
    assert full_trace_id(text) == "00000000000000005af7183fb1d4cf5f"


@pytest.mark.parametrize("text", ["", "-", "5af7183fb1d4cf5", "5af7183fb1d4cf5f0", "g" * 16, "\u0661" * 16, "f" * 64])
def test_anything_else_is_none(text: str) -> None:
    assert full_trace_id(text) is None
