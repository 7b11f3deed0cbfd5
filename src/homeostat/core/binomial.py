"""Exact statements about a share (errors of requests, slow ones of all) from few observations.

Used by the error-rate and the latency detectors and, to ask the same question after an act, by ``heal.judge`` and
``detect.before_after``.
Bounds are Clopper and Pearson's (Biometrika 26, 1934): they never promise more than their confidence, also at three
errors in twenty requests, where the normal approximation does. Everything here is a pure function of counts.
"""

import math

_NEGLIGIBLE = 1e-15  # a term this much smaller than the sum so far changes no decision


def tail_at_least(hits: int, total: int, share: float) -> float:
    """P(X >= hits) for X ~ Binomial(total, share)."""
    if hits <= 0:
        return 1.0
    if hits > total or share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    if hits <= total * share:  # the long side: sum the short one
        return 1.0 - _sum_down(hits - 1, total, share)
    return _sum_up(hits, total, share)


def _log_pmf(hits: int, total: int, share: float) -> float:
    choose = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
    return choose + hits * math.log(share) + (total - hits) * math.log1p(-share)


def _sum_up(hits: int, total: int, share: float) -> float:
    odds = share / (1.0 - share)
    term = math.exp(_log_pmf(hits, total, share))
    result = term
    for k in range(hits, total):
        term *= (total - k) / (k + 1) * odds
        result += term
        if term < result * _NEGLIGIBLE:
            break
    return min(1.0, result)


def _sum_down(hits: int, total: int, share: float) -> float:
    odds = (1.0 - share) / share
    term = math.exp(_log_pmf(hits, total, share))
    result = term
    for k in range(hits, 0, -1):
        term *= k / (total - k + 1) * odds
        result += term
        if term < result * _NEGLIGIBLE:
            break
    return min(1.0, result)


def lower_bound(hits: int, total: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson lower bound: the true share is above it with at least ``confidence``."""
    if hits <= 0 or total <= 0:
        return 0.0
    low, high = 0.0, hits / total
    for _ in range(40):  # 2^-40 of the share: far below what anyone reads
        middle = (low + high) / 2.0
        if tail_at_least(hits, total, middle) < 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def is_above(hits: int, total: int, share: float, alpha: float) -> bool:
    """Whether the lower bound at confidence ``1 - alpha`` is above ``share``, without computing the bound."""
    return hits > total * share and tail_at_least(hits, total, share) < alpha


def is_below(hits: int, total: int, share: float, alpha: float) -> bool:
    """Whether the upper bound at confidence ``1 - alpha`` is below ``share``."""
    return total > 0 and hits < total * share and 1.0 - tail_at_least(hits + 1, total, share) < alpha


def is_higher(hits: int, total: int, past_hits: int, past_total: int, alpha: float) -> bool:
    """Whether the share of ``hits`` in ``total`` is above that of the past, more surely than ``1 - alpha``.

    Fisher's exact test, one-sided (The Design of Experiments, 1935): the chance of so many hits or more, had all
    hits of both been dealt out among all observations of both. False where either has no observation.
    """
    if total <= 0 or past_total <= 0 or hits * past_total <= past_hits * total:
        return False
    drawn = _log_choose(total, hits) + _log_choose(past_total, past_hits)
    all_hits = hits + past_hits
    term = math.exp(drawn - _log_choose(total + past_total, all_hits))
    result = term
    for k in range(hits, min(total, all_hits)):
        term *= (total - k) * (all_hits - k) / ((k + 1) * (past_total - all_hits + k + 1))
        result += term
        if result >= alpha or term < result * _NEGLIGIBLE:
            break
    return result < alpha


def _log_choose(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


def surprise(hits: int, total: int, past_hits: float, past_total: float) -> float:
    """P(X >= hits) among ``total`` more, for a share known only from ``past_hits`` of ``past_total``.

    The posterior predictive (beta-binomial) tail under Jeffreys' prior, Beta(1/2, 1/2): with a short past it
    stays large, so a source that has just appeared surprises nobody.
    """
    if hits <= 0:
        return 1.0
    if hits > total:
        return 0.0
    a, b = past_hits + 0.5, max(0.0, past_total - past_hits) + 0.5
    log_choose = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
    term = math.exp(log_choose + _log_beta(a + hits, b + total - hits) - _log_beta(a, b))
    result = term
    for k in range(hits, total):
        term *= (total - k) / (k + 1) * (a + k) / (b + total - k - 1)
        result += term
        if term < result * _NEGLIGIBLE:
            break
    return min(1.0, result)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
