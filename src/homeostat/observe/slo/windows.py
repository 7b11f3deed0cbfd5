"""Which windows burn rates are measured over, and which rates alert. Used by ``evaluate`` and ``prometheus``."""

from datetime import timedelta
from typing import Final

from homeostat.core.models import Severity
from homeostat.core.slo import BurnRule, Slo

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400

BURN_WINDOWS_S: Final = (300, 1_800, HOUR_S, 2 * HOUR_S, 6 * HOUR_S, DAY_S, 3 * DAY_S)

STANDARD_WINDOW: Final = timedelta(days=30)
"""The window for which the standard table is made."""

STANDARD_RULES: Final = (
    BurnRule(severity=Severity.CRITICAL, long_window_s=HOUR_S, short_window_s=300, factor=14.4),
    BurnRule(severity=Severity.CRITICAL, long_window_s=6 * HOUR_S, short_window_s=1_800, factor=6.0),
    BurnRule(severity=Severity.MEDIUM, long_window_s=DAY_S, short_window_s=2 * HOUR_S, factor=3.0),
    BurnRule(severity=Severity.MEDIUM, long_window_s=3 * DAY_S, short_window_s=6 * HOUR_S, factor=1.0),
)
"""Google's Site Reliability Workbook, chapter "Alerting on SLOs", for 30 days: 2 % of the budget spent in one hour
or 5 % in six page somebody; 10 % in a day or in three make a ticket."""

_UNITS: Final = ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m"))


def rules_of(slo: Slo) -> tuple[BurnRule, ...]:
    """The objective's own rules, or the standard table with its windows scaled to the objective's.

    Scaling the windows and not the factors keeps the share of the budget that each rule stands for. Windows are whole
    minutes; a short one has at least one, a long one at least two.
    """
    rules = slo.rules or tuple(_scaled(rule, slo.window / STANDARD_WINDOW) for rule in STANDARD_RULES)
    return tuple(rule if rule.name else rule.model_copy(update={"name": _name(rule)}) for rule in rules)


def burn_windows_s(slo: Slo) -> tuple[int, ...]:
    """The windows that are always told, as far as they are shorter than the objective's."""
    return tuple(window for window in BURN_WINDOWS_S if window < slo.window.total_seconds())


def rate_window_s(slo: Slo) -> int:
    """What "the present rate" is measured over: the long window of the first rule."""
    return rules_of(slo)[0].long_window_s


def duration_text(seconds: int) -> str:
    """``5m``, ``1h``, ``3d``: as Prometheus and OpenSLO write a duration. Whole minutes only."""
    if seconds % MINUTE_S:
        return f"{seconds}s"
    return next(f"{seconds // unit}{letter}" for unit, letter in _UNITS if not seconds % unit)


def _scaled(rule: BurnRule, scale: float) -> BurnRule:
    short_s = max(MINUTE_S, round(rule.short_window_s * scale / MINUTE_S) * MINUTE_S)
    long_s = max(2 * short_s, round(rule.long_window_s * scale / MINUTE_S) * MINUTE_S)
    return rule.model_copy(update={"long_window_s": long_s, "short_window_s": short_s})


def _name(rule: BurnRule) -> str:
    """``page 14.4x 1h/5m``."""
    word = "page" if rule.severity is Severity.CRITICAL else "ticket" if rule.severity is Severity.MEDIUM else "alert"
    return f"{word} {rule.factor:g}x {duration_text(rule.long_window_s)}/{duration_text(rule.short_window_s)}"
