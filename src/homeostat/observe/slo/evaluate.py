"""How an objective stands: pure arithmetic over its minutes. ``service`` feeds it; tests compare it with Prometheus.

Windows begin and end with whole minutes: one of five minutes is the minute that has begun and the four before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from homeostat.core.slo import BurnAlert, BurnRate, Slo, SloPoint, SloState, SloStatus
from homeostat.observe.slo.minutes import Columns, Minutes
from homeostat.observe.slo.windows import MINUTE_S, burn_windows_s, rate_window_s, rules_of

WARNING_BAND: Final = 0.5
CRITICAL_BAND: Final = 1.0
"""Percentage points below the target, of the compatible interface's rule."""

_ROUNDING: Final = 1e-7
"""What adding up shares in binary may be off by: 99.9 of 100 must meet a target of 99.9 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The minutes of one window as running sums: the sum over any part of it is one subtraction."""

    first_minute: int
    end_minute: int
    bad: np.ndarray[tuple[int], np.dtype[np.float64]]  # one entry more than there are minutes, from 0
    total: np.ndarray[tuple[int], np.dtype[np.float64]]

    def sums(self, window_s: int) -> tuple[float, float]:
        """Bad and all events of the newest ``window_s`` seconds."""
        begin = max(0, len(self.bad) - 1 - window_s // MINUTE_S)
        return float(self.bad[-1] - self.bad[begin]), float(self.total[-1] - self.total[begin])


KnownSeconds = Callable[[float, float], float]
"""For how many seconds between two Unix times anybody was counting."""


def series(slo: Slo, minutes: Minutes, now: datetime) -> Series:
    """The objective's window up to now, as events or (Timeslices) as slices."""
    end = int(now.timestamp()) // MINUTE_S + 1
    first = end - int(slo.window.total_seconds()) // MINUTE_S
    if slo.slice_target is None:
        columns = minutes.columns(first, end)
    else:
        length = slo.slice_s // MINUTE_S
        first -= first % length  # slices begin at whole multiples of their length, whenever one looks
        columns = _slices(minutes.columns(first, end), slo.slice_target, length)
    return Series(first, end, _running(columns.bad), _running(columns.total))


def evaluate(slo: Slo, minutes: Minutes, now: datetime, covered_s: float) -> SloStatus:
    """How the objective stands now. ``covered_s``: how much of its window there was anybody counting."""
    window = series(slo, minutes, now)
    bad, total = float(window.bad[-1]), float(window.total[-1])
    current = (total - bad) / total if total else None
    return SloStatus(
        slo=slo,
        time=now,
        state=state_of(current, slo.target),
        current=current,
        good=total - bad,
        total=total,
        error_budget_remaining=compatible_budget(current, slo.target),
        error_budget_true_remaining=true_budget(bad, total, slo.target),
        burn_rates=tuple(burn_rate(slo, window, length) for length in burn_windows_s(slo)),
        alerts=burn_alerts(slo, window),
        exhausted_in_s=exhausted_in_s(slo, window),
        rate_window_s=rate_window_s(slo),
        covered_s=max(0.0, min(covered_s, slo.window.total_seconds())),
    )


def unknown(slo: Slo, now: datetime, problem: str) -> SloStatus:
    """An objective that could not be evaluated."""
    return SloStatus(
        slo=slo,
        time=now,
        state=SloState.UNKNOWN,
        current=None,
        good=0,
        total=0,
        error_budget_remaining=None,
        error_budget_true_remaining=None,
        burn_rates=tuple(BurnRate(window_s=length, rate=None, good=0, total=0) for length in burn_windows_s(slo)),
        alerts=tuple(BurnAlert(rule=rule, long_rate=None, short_rate=None, firing=None) for rule in rules_of(slo)),
        exhausted_in_s=None,
        rate_window_s=rate_window_s(slo),
        covered_s=0,
        problem=problem,
    )


def state_of(current: float | None, target: float) -> SloState:
    """The compatible interface's rule: healthy at the target, warning and critical within a point below it."""
    if current is None:
        return SloState.UNKNOWN
    short = 100 * (target - current) - _ROUNDING
    if short <= 0:
        return SloState.HEALTHY
    if short <= WARNING_BAND:
        return SloState.WARNING
    return SloState.CRITICAL if short <= CRITICAL_BAND else SloState.BREACHED


def compatible_budget(current: float | None, target: float) -> float | None:
    """The compatible interface's percentage: what is below the target, in parts of what the target allows."""
    if current is None:
        return None
    consumed, allowed = max(0.0, target - current - _ROUNDING / 100), 1 - target
    return max(0.0, (allowed - consumed) / allowed * 100)


def true_budget(bad: float, total: float, target: float) -> float | None:
    """1 - bad / allowed bad events; None without events."""
    return 1 - bad / ((1 - target) * total) if total else None


def burn_rate(slo: Slo, window: Series, length_s: int) -> BurnRate:
    """The share of bad events over a window, in multiples of the share that the target allows."""
    bad, total = window.sums(length_s)
    rate = bad / total / (1 - slo.target) if total else None
    return BurnRate(window_s=length_s, rate=rate, good=total - bad, total=total)


def burn_alerts(slo: Slo, window: Series) -> tuple[BurnAlert, ...]:
    """Every rule's two rates. Firing takes both; one that is known not to burn is enough for "no"."""
    alerts: list[BurnAlert] = []
    for rule in rules_of(slo):
        rates = [burn_rate(slo, window, length).rate for length in (rule.long_window_s, rule.short_window_s)]
        burns = [None if rate is None else rate > rule.factor for rate in rates]
        firing = False if False in burns else None if None in burns else True
        alerts.append(BurnAlert(rule=rule, long_rate=rates[0], short_rate=rates[1], firing=firing))
    return tuple(alerts)


def exhausted_in_s(slo: Slo, window: Series) -> float | None:
    """When the budget is spent, if events keep coming and going bad at the rate of the last hour (scaled).

    Rolls the window forward minute by minute: new events come in, the oldest ones (and their spent budget) leave.
    0: it is spent. None: not within one window, or there were no events to take a rate from.
    """
    bad, total = float(window.bad[-1]), float(window.total[-1])
    if total and bad >= (1 - slo.target) * total:
        return 0.0
    length_s = rate_window_s(slo)
    new_bad, new_total = (amount / (length_s / MINUTE_S) for amount in window.sums(length_s))
    if not new_bad:
        return None
    ahead = np.arange(1, len(window.bad))  # minutes from now; after each of them one more has left the window
    bad_then = bad - window.bad[1:] + new_bad * ahead
    total_then = total - window.total[1:] + new_total * ahead
    spent = bad_then >= (1 - slo.target) * total_then * (1 - _ROUNDING)
    return float(np.argmax(spent) + 1) * MINUTE_S if spent.any() else None


def history(slo: Slo, minutes: Minutes, now: datetime, step_s: int, known_s: KnownSeconds) -> list[SloPoint]:
    """The window in steps, for a chart: events, burn rate, and what was left of the budget at each step's end.

    The budget is that of the whole window, so the line begins at 1 and ends at the present figure. A step in
    which nobody was counting is unknown.
    """
    window = series(slo, minutes, now)
    allowed = (1 - slo.target) * float(window.total[-1])
    step, points = step_s // MINUTE_S, list[SloPoint]()
    for begin in range(0, len(window.bad) - 1, step):
        end = min(begin + step, len(window.bad) - 1)
        time_s, end_s = ((window.first_minute + minute) * MINUTE_S for minute in (begin, end))
        total = float(window.total[end] - window.total[begin])
        bad = float(window.bad[end] - window.bad[begin])
        known = total > 0 or known_s(time_s, end_s) > 0
        points.append(
            SloPoint(
                time=datetime.fromtimestamp(time_s, UTC),
                good=total - bad if known else None,
                total=total if known else None,
                burn_rate=bad / total / (1 - slo.target) if total else None,
                budget_remaining=1 - float(window.bad[end]) / allowed if known and allowed else None,
            )
        )
    return points


def window_start(slo: Slo, now: datetime) -> datetime:
    """The moment in which the objective's window begins."""
    return now - timedelta(seconds=slo.window.total_seconds())


def _slices(columns: Columns, target: float, length: int) -> Columns:
    """Slices of ``length`` minutes: one event at the first minute of each that has any; bad below the target."""
    missing = -len(columns.total) % length  # the slice that has begun is judged by what it has
    bad, total = (np.pad(one, (0, missing)).reshape(-1, length).sum(axis=1) for one in (columns.bad, columns.total))
    counted = total > 0
    good_share = np.divide(total - bad, total, out=np.ones_like(total), where=counted)
    wide_bad, wide_total = np.zeros(len(columns.total)), np.zeros(len(columns.total))
    wide_total[::length] = counted
    wide_bad[::length] = counted & (good_share < target - _ROUNDING)
    return Columns(columns.first_minute, wide_bad, wide_total)


def _running(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate(([0.0], np.cumsum(column)))
