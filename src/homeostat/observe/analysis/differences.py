"""What is different about the slow traces (or the failed, or those of another time).

Every attribute, resource attribute, operation and failed operation is a feature that a trace has or has not. Features
are ranked by how much more of the traces in question have them than of the others; a test says which differences are
more than chance, corrected for how many were looked at.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from homeostat.core.analysis import Difference, Differences, FeatureKind, OperationDifference, Split
from homeostat.core.models import Trace
from homeostat.observe.analysis.population import Member, Operation, Work, group_of, members_of
from homeostat.observe.analysis.significance import benjamini_hochberg, effective_size, two_shares

FALSE_DISCOVERY_RATE = 0.05
"""Of the differences that are called significant, at most this share is chance."""

_FEATURES_MAX = 50_000
_COMMON_SHARE = 0.02
"""What fewer than this share of either side has (an order's number) explains nothing and is not tested."""

_TRACES_MIN = 3
"""What fewer traces of a side have is an anecdote."""

_NUMBERS_MIN = 10
"""An attribute with more different numbers than this is compared by size."""

_CUTS = (0.5, 0.75, 0.9)
_EXAMPLES = 3
_VALUE_CHARS_MAX = 500

Feature = tuple[FeatureKind, str, str, str, str]
"""Kind, service, key, relation, value."""


@dataclass(slots=True)
class _Seen:
    """Which members of each side have a feature, by position."""

    affected: set[int] = field(default_factory=set)
    baseline: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Sides:
    affected: Sequence[Member]
    baseline: Sequence[Member]
    affected_weight: float
    baseline_weight: float
    affected_size: float  # effective
    baseline_size: float

    @classmethod
    def of(cls, affected: Sequence[Member], baseline: Sequence[Member]) -> "_Sides":
        weights = [[member.weight for member in side] for side in (affected, baseline)]
        return cls(affected, baseline, *map(sum, weights), *map(effective_size, weights))


def differences(
    affected: Sequence[Trace],
    baseline: Sequence[Trace],
    split: Split,
    *,
    threshold_ms: float | None = None,
    limit: int = 30,
    notes: Sequence[str] = (),
) -> Differences:
    """Rank what sets ``affected`` apart from ``baseline``. Either may be empty: then nothing is significant."""
    sides = _Sides.of(members_of(affected), members_of(baseline))
    seen, left_out = _features(sides)
    ranked = _best_cuts(sorted(_judged(sides, seen), key=_clearest))
    told = list(notes)
    if left_out:
        told.append(f"Only the first {_FEATURES_MAX} attributes and values were compared.")
    if not sides.affected or not sides.baseline:
        told.append("One side has no traces, so there is nothing to compare. Widen the time or move the threshold.")
    return Differences(
        split=split,
        threshold_ms=threshold_ms,
        affected=group_of(sides.affected),
        baseline=group_of(sides.baseline),
        differences=tuple(ranked[:limit]),
        operations=_operations(sides)[:limit],
        notes=tuple(told),
    )


def _clearest(found: Difference) -> tuple[bool, float, bool, float]:
    """Of two that say the same (a value of two is more common, the other rarer) the more common comes first."""
    return not found.significant, -abs(found.separation), found.separation < 0, found.p_value


def _best_cuts(ranked: Sequence[Difference]) -> list[Difference]:
    """Of several cuts through the numbers of an attribute only the clearest."""
    told: set[tuple[str, str]] = set()
    kept: list[Difference] = []
    for found in ranked:
        if found.relation == ">=":
            if (found.service, found.key) in told:
                continue
            told.add((found.service, found.key))
        kept.append(found)
    return kept


def _features(sides: _Sides) -> tuple[dict[Feature, _Seen], bool]:
    """Who has what, the numbers put into classes; and whether there was too much of it."""
    seen: dict[Feature, _Seen] = {}
    numbers: dict[tuple[FeatureKind, str, str], list[tuple[float, bool, int]]] = {}
    left_out = False
    for is_affected, members in ((True, sides.affected), (False, sides.baseline)):
        for position, member in enumerate(members):
            for feature in set(_features_of(member.trace)):
                if feature not in seen and len(seen) >= _FEATURES_MAX:
                    left_out = True
                    continue
                entry = seen.setdefault(feature, _Seen())
                (entry.affected if is_affected else entry.baseline).add(position)
                if (number := _number(feature)) is not None:
                    numbers.setdefault(feature[:3], []).append((number, is_affected, position))
    for key, found in numbers.items():
        _add_cuts(seen, key, found)
    return seen, left_out


def _features_of(trace: Trace) -> Iterator[Feature]:
    for span in trace.spans:
        yield FeatureKind.OPERATION, span.service, span.name, "", ""
        if span.status == "error":
            yield FeatureKind.ERROR, span.service, span.name, "", ""
        for key, value in span.attributes.items():
            yield FeatureKind.ATTRIBUTE, span.service, key, "=", value[:_VALUE_CHARS_MAX]
        for key, value in span.resource.items():
            yield FeatureKind.RESOURCE, span.service, key, "=", value[:_VALUE_CHARS_MAX]


def _number(feature: Feature) -> float | None:
    kind, _, _, _, value = feature
    if kind is not FeatureKind.ATTRIBUTE or not value or value[0] not in "-0123456789":
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _add_cuts(
    seen: dict[Feature, _Seen],
    key: tuple[FeatureKind, str, str],
    found: list[tuple[float, bool, int]],
) -> None:
    """``key >= x`` for some x, where an attribute has many different numbers."""
    values = sorted(number for number, _, _ in found)
    if len(set(values)) <= _NUMBERS_MIN:
        return
    for cut in sorted({values[int(share * len(values))] for share in _CUTS}):
        entry = seen.setdefault((*key, ">=", f"{cut:.12g}"), _Seen())
        for number, is_affected, position in found:
            if number >= cut:
                (entry.affected if is_affected else entry.baseline).add(position)


def _judged(sides: _Sides, seen: dict[Feature, _Seen]) -> list[Difference]:
    """Shares and their significance of every feature that is common enough on either side."""
    kept: list[tuple[Feature, _Seen, float, float, float]] = []
    for feature, entry in seen.items():
        if max(len(entry.affected), len(entry.baseline)) < _TRACES_MIN:
            continue
        affected = _share(sides.affected, entry.affected, sides.affected_weight)
        baseline = _share(sides.baseline, entry.baseline, sides.baseline_weight)
        if max(affected, baseline) < _COMMON_SHARE or affected == baseline:
            continue
        p_value = two_shares(
            affected * sides.affected_size, sides.affected_size, baseline * sides.baseline_size, sides.baseline_size
        )
        kept.append((feature, entry, affected, baseline, p_value))
    q_values = benjamini_hochberg([p_value for *_, p_value in kept])
    return [
        Difference(
            kind=feature[0],
            service=feature[1],
            key=feature[2],
            relation=feature[3],
            value=feature[4],
            affected_share=affected,
            baseline_share=baseline,
            affected_traces=len(entry.affected),
            baseline_traces=len(entry.baseline),
            separation=affected - baseline,
            p_value=p_value,
            q_value=q_value,
            significant=q_value <= FALSE_DISCOVERY_RATE,
            example_trace_ids=_examples(sides, entry, more=affected > baseline),
        )
        for (feature, entry, affected, baseline, p_value), q_value in zip(kept, q_values, strict=True)
    ]


def _share(members: Sequence[Member], positions: set[int], weight: float) -> float:
    if not weight:
        return 0.0
    return min(1.0, sum(members[position].weight for position in positions) / weight)


def _examples(sides: _Sides, entry: _Seen, *, more: bool) -> tuple[str, ...]:
    members, positions = (sides.affected, entry.affected) if more else (sides.baseline, entry.baseline)
    return tuple(members[position].trace.trace_id for position in sorted(positions)[:_EXAMPLES])


def _operations(sides: _Sides) -> tuple[OperationDifference, ...]:
    """Calls and self time per trace, in the baseline (left) and in the traces in question (right)."""
    names = dict.fromkeys(
        name for side in (sides.affected, sides.baseline) for member in side for name in member.work
    )
    found: list[OperationDifference] = []
    for service, operation in names:
        left = _per_trace(sides.baseline, sides.baseline_weight, (service, operation))
        right = _per_trace(sides.affected, sides.affected_weight, (service, operation))
        found.append(OperationDifference.between(service, operation, left, right))
    return tuple(sorted(found, key=lambda entry: -entry.delta_self_ms))


_NONE = Work()


def _per_trace(members: Sequence[Member], weight: float, name: Operation) -> tuple[float, float]:
    if not weight:
        return 0.0, 0.0
    calls = sum(member.weight * member.work.get(name, _NONE).spans for member in members)
    own = sum(member.weight * member.work.get(name, _NONE).self_ms for member in members)
    return calls / weight, own / weight
