"""What an objective must be beyond its shape, said with the key and the remedy. Used wherever one is made."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final, NamedTuple

from homeostat.core.errors import BadRequestError
from homeostat.core.slo import Sli, SliKind, Slo
from homeostat.observe.slo.windows import DAY_S, MINUTE_S

WINDOW_MIN: Final = timedelta(hours=1)
WINDOW_MAX: Final = timedelta(days=90)
TARGET_MAX: Final = 0.999999


class Complaint(NamedTuple):
    """One thing wrong: where, what, and the remedy."""

    key: str
    message: str
    remedy: str


def complaints(slo: Slo) -> list[Complaint]:
    """Everything wrong with an objective whose fields have the right shape."""
    return [*_window(slo), *_slices(slo), *_rules(slo), *_sli(slo.sli)]


def refuse_bad(slo: Slo) -> None:
    """Raises BadRequestError that names everything wrong."""
    found = complaints(slo)
    if found:
        raise BadRequestError("; ".join(f"{key}: {message}. {remedy}" for key, message, remedy in found))


def _window(slo: Slo) -> Iterator[Complaint]:
    if not WINDOW_MIN <= slo.window <= WINDOW_MAX:
        what = f"{slo.window} is not between one hour and 90 days"
        yield Complaint("window", what, "Choose 30 days, for example")
    elif slo.window.total_seconds() % MINUTE_S:
        yield Complaint("window", "it is not a whole number of minutes", "Events are kept by the minute: round it")
    if slo.target > TARGET_MAX:
        what = f"{slo.target * 100:g} % leaves less than one bad event in a million"
        yield Complaint("target", what, "Promise 99.9999 % at most")


def _slices(slo: Slo) -> Iterator[Complaint]:
    if slo.slice_s < MINUTE_S or slo.slice_s % MINUTE_S or slo.slice_s > DAY_S:
        what = f"{slo.slice_s} s is not a whole number of minutes, at most a day"
        yield Complaint("slice_s", what, "Choose 60 or 300, for example")
    elif slo.window.total_seconds() % slo.slice_s:
        yield Complaint("slice_s", "the window is not a whole number of slices", "Choose 60 or 300, for example")


def _rules(slo: Slo) -> Iterator[Complaint]:
    for place, rule in enumerate(slo.rules):
        for key, length in (("long_window_s", rule.long_window_s), ("short_window_s", rule.short_window_s)):
            if length % MINUTE_S:
                yield Complaint(f"rules.{place}.{key}", f"{length} is not whole minutes", "Use multiples of 60")
        if rule.short_window_s >= rule.long_window_s:
            what = "it is not shorter than the long window"
            yield Complaint(f"rules.{place}.short_window_s", what, "A twelfth of the long one is usual")
        if rule.long_window_s > slo.window.total_seconds():
            what = "it is longer than the objective's window"
            yield Complaint(f"rules.{place}.long_window_s", what, "Choose a part of the window")


def _sli(sli: Sli) -> Iterator[Complaint]:
    needed: dict[SliKind, tuple[str, ...]] = {
        SliKind.AVAILABILITY: (),
        SliKind.LATENCY: ("threshold_ms",),
        SliKind.METRIC_RATIO: ("total",),
        SliKind.METRIC_THRESHOLD: ("metric", "comparison", "threshold"),
        SliKind.HEALING: (),
    }
    allowed = {"kind", *needed[sli.kind]}
    if sli.kind in {SliKind.AVAILABILITY, SliKind.LATENCY}:
        allowed |= {"service", "operation"}
    if sli.kind is SliKind.METRIC_RATIO:
        allowed |= {"good", "bad"}
        if (sli.good is None) == (sli.bad is None):
            yield Complaint("sli", "a ratio needs one of good and bad", "Give the one that is counted")
    for key in needed[sli.kind]:
        if getattr(sli, key) is None:
            yield Complaint(f"sli.{key}", f"{sli.kind} needs it", f"Add {key}")
    for key in sorted(Sli.model_fields.keys() - allowed):
        if getattr(sli, key) is not None:
            yield Complaint(f"sli.{key}", f"{sli.kind} does not use it", "Leave it out, or choose another kind")
