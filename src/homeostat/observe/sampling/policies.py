"""The policies: each judges the traces of one round at once. ``build`` makes them from the configuration.

A vote is which traces a policy samples, and with which probability it would have sampled each one: the product and
the sum of those make the probability that is stored with the trace. Semantics are those of the OpenTelemetry
Collector's tail_sampling processor; docs/sampling.md has the few differences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from homeostat.core.sampling import CompositeSettings, LatencySettings, SpanCountSettings, SubPolicy
from homeostat.observe.sampling.chance import (
    PerSecond,
    Realised,
    Systematic,
    TokenBucket,
    fitting,
    fnv1a_at_most,
)
from homeostat.observe.sampling.facts import Facts
from homeostat.store.telemetry.text_hash import hash_text

Mask = npt.NDArray[np.bool_]
Chances = npt.NDArray[np.float64]

NS_PER_MS: Final = 1_000_000

FIRST: Final = 0
COSTLY: Final = 1
CHOOSING: Final = 2
"""When a policy is asked. What costs much, and what chooses a share, is asked about those only that are not kept for
sure: a share of the rest is then exact."""


@dataclass(frozen=True, slots=True)
class Round:
    """The traces that are to be decided together, in the order in which they came."""

    now_s: float
    keys: npt.NDArray[np.uint64]  # the low half of the trace id
    high: npt.NDArray[np.uint64]
    spans: npt.NDArray[np.int64]
    duration_ns: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint64]  # what Facts found in any of the spans
    size_bytes: npt.NDArray[np.int64]
    stratum: npt.NDArray[np.uint64]  # root service and operation
    matching: Callable[[str, Mask], Mask]  # traces with a span that a CEL expression matches, among some

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Vote:
    """What a policy says of each trace of a round."""

    sampled: Mask
    chance: Chances  # of being sampled, seen before the choice was made


class Judge(Protocol):
    """One policy at work."""

    @property
    def turn(self) -> int: ...
    def vote(self, traces: Round, among: Mask) -> Vote: ...
    def state(self) -> Mapping[str, float]: ...
    def restore(self, state: Mapping[str, float]) -> None: ...


class _Stateless:
    """A judge without memory that costs next to nothing."""

    turn: int = FIRST

    def state(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Nothing."""


def _certain(sampled: Mask) -> Vote:
    return Vote(sampled, sampled.astype(np.float64))


class _Always(_Stateless):
    def vote(self, traces: Round, among: Mask) -> Vote:
        return _certain(np.ones(len(traces), dtype=np.bool_))


class _Bit(_Stateless):
    """A policy about single spans."""

    def __init__(self, bit: int, invert: bool) -> None:
        self._bit = np.uint64(1 << bit)
        self._invert = invert

    def vote(self, traces: Round, among: Mask) -> Vote:
        return _certain(((traces.bits & self._bit) != 0) ^ self._invert)


class _Latency(_Stateless):
    def __init__(self, settings: LatencySettings) -> None:
        self._low, self._high = settings.threshold_ms, settings.upper_threshold_ms

    def vote(self, traces: Round, among: Mask) -> Vote:
        whole_ms = traces.duration_ns // NS_PER_MS
        if not self._high:
            return _certain(traces.duration_ns >= self._low * NS_PER_MS)
        return _certain((whole_ms > self._low) & (whole_ms <= self._high))


class _SpanCount(_Stateless):
    def __init__(self, settings: SpanCountSettings) -> None:
        self._low, self._high = settings.min_spans, settings.max_spans or np.iinfo(np.int64).max

    def vote(self, traces: Round, among: Mask) -> Vote:
        return _certain((traces.spans >= self._low) & (traces.spans <= self._high))


class _Hashed(_Stateless):
    """A share of all traces, the same wherever the salt is the same."""

    def __init__(self, salt: str, probability: float) -> None:
        self._salt, self._probability = salt, probability

    def vote(self, traces: Round, among: Mask) -> Vote:
        chosen = fnv1a_at_most(self._salt, traces.high, traces.keys, self._probability)
        return Vote(chosen, np.full(len(traces), self._probability))


class _Share(_Stateless):
    """A share of all traces, true to the number."""

    turn = CHOOSING

    def __init__(self, path: str, probability: float) -> None:
        self._choice = Systematic(probability, hash_text(path))

    def vote(self, traces: Round, among: Mask) -> Vote:
        asked = np.flatnonzero(among)
        sampled = np.zeros(len(traces), dtype=np.bool_)
        sampled[asked] = self._choice.choose(traces.stratum[asked], traces.spans[asked], traces.keys[asked])
        return Vote(sampled, np.full(len(traces), self._choice.probability))

    def state(self) -> Mapping[str, float]:
        return {f"{service:x}": carry for service, carry in self._choice.carries.items()}

    def restore(self, state: Mapping[str, float]) -> None:
        self._choice.carries = {int(service, 16): carry % 1.0 for service, carry in state.items()}


class _Limit(_Stateless):
    """What fits into an allowance of spans or bytes."""

    def __init__(self, allowance: PerSecond | TokenBucket) -> None:
        self._allowance = allowance
        self._realised = Realised()

    def vote(self, traces: Round, among: Mask) -> Vote:
        asked = np.flatnonzero(among)
        by_span = isinstance(self._allowance, PerSecond)
        sizes = (traces.spans if by_span else traces.size_bytes)[asked]
        taken = fitting(sizes, self._allowance.room(traces.now_s))
        spent = float(sizes[taken].sum())
        if isinstance(self._allowance, PerSecond):
            self._allowance.used += spent
        else:
            self._allowance.tokens -= spent
        sampled = np.zeros(len(traces), dtype=np.bool_)
        sampled[asked[taken]] = True
        return Vote(sampled, np.full(len(traces), self._realised.rate(len(asked), int(taken.sum()))))


class _Cel(_Stateless):
    turn = COSTLY

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def vote(self, traces: Round, among: Mask) -> Vote:
        return _certain(traces.matching(self._expression, among))


class _Group:
    """Judges inside another: their state is kept under their places."""

    def __init__(self, parts: Sequence[Judge]) -> None:
        self._parts = parts

    @property
    def turn(self) -> int:
        return max(part.turn for part in self._parts)

    def state(self) -> Mapping[str, float]:
        return {
            f"{place}/{key}": value for place, part in enumerate(self._parts) for key, value in part.state().items()
        }

    def restore(self, state: Mapping[str, float]) -> None:
        for place, part in enumerate(self._parts):
            prefix = f"{place}/"
            part.restore({key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)})


class _And(_Group):
    """All of them, asked one after the other; a limit is only asked about those that the ones before sampled."""

    def vote(self, traces: Round, among: Mask) -> Vote:
        sampled, chance = among.copy(), np.ones(len(traces))
        for part in self._parts:
            vote = part.vote(traces, sampled)
            sampled &= vote.sampled
            chance *= vote.chance
        return Vote(sampled, chance)


class _Not(_Group):
    def vote(self, traces: Round, among: Mask) -> Vote:
        vote = self._parts[0].vote(traces, among)
        return Vote(~vote.sampled & among, 1.0 - vote.chance)


class _Composite(_Group):
    """The first that samples a trace decides, if its part of the spans a second still has room for it."""

    def __init__(self, settings: CompositeSettings, parts: Sequence[Judge]) -> None:
        super().__init__(parts)
        names = [part.name for part in settings.ordered()]
        total = settings.max_total_spans_per_second
        percents = {part.policy: part.percent or 100 / len(names) for part in settings.rate_allocation}
        self._total = PerSecond(total)
        self._allowances = [PerSecond(total * percents[n] / 100) if n in percents else self._total for n in names]
        self._realised = [Realised() for _ in names]

    def vote(self, traces: Round, among: Mask) -> Vote:
        sampled, chance = np.zeros(len(traces), dtype=np.bool_), np.zeros(len(traces))
        left, reached = among.copy(), np.ones(len(traces))
        for part, allowance, realised in zip(self._parts, self._allowances, self._realised, strict=True):
            vote = part.vote(traces, left)
            asked = np.flatnonzero(vote.sampled & left)
            left &= ~vote.sampled
            room = min(allowance.room(traces.now_s), self._total.room(traces.now_s))
            taken = fitting(traces.spans[asked], room)
            spent = float(traces.spans[asked[taken]].sum())
            for spender in {id(one): one for one in (allowance, self._total)}.values():
                spender.used += spent
            sampled[asked[taken]] = True
            chance += reached * vote.chance * realised.rate(len(asked), int(taken.sum()))
            reached *= 1.0 - vote.chance
        return Vote(sampled, chance)


def build(policy: SubPolicy, facts: Facts, path: str) -> Judge:
    """The judge for a policy of the configuration. ``path`` names it among all: policies and those inside them."""
    parts = [build(part, facts, f"{path}/{part.name}") for part in _parts(policy)]
    match policy.type:
        case "and" | "drop":
            return _And(parts)
        case "not":
            return _Not(parts)
        case "composite":
            settings = policy.settings("composite")
            assert isinstance(settings, CompositeSettings)
            return _Composite(settings, parts)
        case "always_sample":
            return _Always()
        case _:
            return _simple(policy, facts, path)


def _parts(policy: SubPolicy) -> Sequence[SubPolicy]:
    settings = policy.settings("composite")
    return settings.ordered() if isinstance(settings, CompositeSettings) else policy.parts()


def _simple(policy: SubPolicy, facts: Facts, path: str) -> Judge:
    if policy.latency:
        return _Latency(policy.latency)
    if policy.span_count:
        return _SpanCount(policy.span_count)
    if policy.probabilistic:
        probability = policy.probabilistic.sampling_percentage / 100
        salt = policy.probabilistic.hash_salt
        return _Hashed(salt, probability) if salt else _Share(path, probability)
    if policy.rate_limiting:
        return _Limit(PerSecond(policy.rate_limiting.spans_per_second))
    if policy.bytes_limiting:
        settings = policy.bytes_limiting
        return _Limit(TokenBucket(settings.bytes_per_second, settings.burst, settings.burst))
    if policy.cel:
        return _Cel(policy.cel.expression)
    return _Bit(facts.ask(policy), is_inverted(policy))


def is_inverted(policy: SubPolicy) -> bool:
    """Whether the policy samples what does not match."""
    attribute = policy.string_attribute or policy.numeric_attribute or policy.boolean_attribute
    return attribute is not None and attribute.invert_match
