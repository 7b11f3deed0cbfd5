"""When a signal is called good, bad, or neither."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.config import DetectConfig
from homeostat.core.models import Signal
from homeostat.heal.judge import P95_SAMPLES_MIN, Opened, Word, error_rate, latency, leans_good

DETECT = DetectConfig()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rate(errors: int, requests: int) -> Signal:
    value = errors / requests if requests else None
    return Signal(
        resource="service:web", name="error_rate", value=value, unit="ratio", time=NOW, sample_size=requests
    )


def p95(value: float | None, requests: int) -> Signal:
    return Signal(
        resource="service:web", name="latency_p95_ms", value=value, unit="ms", time=NOW, sample_size=requests
    )


@pytest.mark.parametrize(
    ("errors", "requests", "observed", "word"),
    [
        (0, 0, 0.3, Word.UNKNOWN),
        (0, 10, 0.3, Word.UNKNOWN),  # ten good requests may be luck
        (0, 20, 0.3, Word.GOOD),  # but not twenty, where three of ten failed
        (0, 20, 0.06, Word.UNKNOWN),  # a weak fault takes more evidence to be called gone
        (0, 60, 0.06, Word.GOOD),
        (3, 20, 0.3, Word.UNKNOWN),
        (30, 100, 0.3, Word.BAD),
        (5, 100, 0.3, Word.UNKNOWN),  # on the threshold itself nobody can say
    ],
)
def test_errors_are_judged_by_an_interval(errors: int, requests: int, observed: float, word: Word) -> None:
    assert error_rate(rate(errors, requests), Opened(observed), DETECT).word is word


@pytest.mark.parametrize(
    ("value", "requests", "baseline", "word"),
    [
        (None, 0, 10.0, Word.UNKNOWN),
        (20.0, P95_SAMPLES_MIN - 1, 10.0, Word.UNKNOWN),
        (20.0, P95_SAMPLES_MIN, 10.0, Word.GOOD),
        (900.0, 30, 10.0, Word.BAD),
        (900.0, 100, 700.0, Word.GOOD),  # slow, but that is how this service is
    ],
)
def test_latency_is_good_below_its_threshold_or_near_its_baseline(
    value: float | None, requests: int, baseline: float, word: Word
) -> None:
    assert latency(p95(value, requests), Opened(1200.0, baseline), DETECT).word is word


def test_what_would_not_let_the_issue_close_is_not_called_good_however_surely_it_is_below_the_threshold() -> None:
    found = error_rate(rate(70, 2000), Opened(0.3), DETECT)
    assert found.word is Word.UNKNOWN
    assert "its issue closes at 2.5%" in found.reason
    assert error_rate(rate(50, 2000), Opened(0.3), DETECT).word is Word.GOOD
    assert latency(p95(400.0, 2000), Opened(1200.0, 10.0), DETECT).word is Word.UNKNOWN
    assert latency(p95(333.0, 2000), Opened(1200.0, 10.0), DETECT).word is Word.GOOD


def test_at_the_end_a_signal_leans_to_one_side_where_there_are_enough_requests() -> None:
    assert leans_good(rate(2, 100), Opened(0.3), DETECT) is True
    assert leans_good(rate(4, 100), Opened(0.3), DETECT) is False
    assert leans_good(rate(0, 19), Opened(0.3), DETECT) is None
    assert leans_good(p95(400.0, 100), Opened(1200.0, 10.0), DETECT) is False
    assert leans_good(p95(None, 0), Opened(1200.0, 10.0), DETECT) is None


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.06, 1.0))
def test_what_is_called_good_is_below_what_closes_the_issue(errors: int, requests: int, observed: float) -> None:
    errors = min(errors, requests)
    if error_rate(rate(errors, requests), Opened(observed), DETECT).word is Word.GOOD:
        assert errors <= requests * DETECT.error_rate.close_percent / 100
        assert requests >= DETECT.error_rate.min_requests


@given(st.integers(0, 50), st.integers(51, 500), st.floats(0.06, 1.0))
def test_one_more_error_never_makes_a_bad_signal_good(errors: int, requests: int, observed: float) -> None:
    order = [Word.GOOD, Word.UNKNOWN, Word.BAD]
    fewer = error_rate(rate(errors, requests), Opened(observed), DETECT).word
    more = error_rate(rate(errors + 1, requests), Opened(observed), DETECT).word
    assert order.index(more) >= order.index(fewer)
