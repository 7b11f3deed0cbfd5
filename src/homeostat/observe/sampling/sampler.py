"""Tail sampling of whole traces. The intake thread calls ``take`` with what has come and ``due`` after it.

A trace is decided a moment after its root has come (``decide_after_root``), at the latest ``decision_wait`` after its
first span, or sooner when memory is short: then the oldest first. What is decided once stays so: late spans go the
same way, also after a restart from ``snapshot``. One thread calls everything but ``pending_tables``.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.sampling import SamplingConfig, SamplingDecision
from homeostat.observe.decode.serialized import acknowledged_table, whole
from homeostat.observe.sampling import columns, state
from homeostat.observe.sampling.batches import Batch, Batches
from homeostat.observe.sampling.decisions import DecisionCache, Known
from homeostat.observe.sampling.expressions import Expressions
from homeostat.observe.sampling.facts import Facts
from homeostat.observe.sampling.held_back import HeldBack
from homeostat.observe.sampling.keys import ABSENT, Keys, normal
from homeostat.observe.sampling.pending import PendingTraces, Rows, Spans
from homeostat.observe.sampling.policies import Mask, Round
from homeostat.observe.sampling.rate import ArrivalRate
from homeostat.observe.sampling.verdict import Verdict, Verdicts, kept_undecided
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import SPAN_SCHEMA, id_words, trace_key

logger = logging.getLogger(__name__)

FAILURES_MAX: Final = 3
"""So often in a row policies may raise before everything that is due is kept: what is undecided is held in memory."""

ROUND_S: Final = 0.25
"""Decisions are made together, so often a second."""

_RELIEF: Final = 0.9
"""Short of memory, so much of the bound is left in use: deciding a little with each batch would cost more."""

_PROBABILITY: Final = SPAN_SCHEMA.get_field_index("sampling_probability")
_REASON: Final = SPAN_SCHEMA.get_field_index("sampling_reason")


@dataclass(frozen=True, slots=True)
class Kept:
    """What one round of decisions brought."""

    spans: pa.Table  # with probability and reason; empty when nothing is kept
    traces_kept: int
    traces_dropped: int
    spans_dropped: int
    by_policy: Mapping[str, int]  # traces that a policy decided, by its name; those that none kept under ""
    forced: bool  # because memory was short

    @property
    def spans_kept(self) -> int:
        """Spans in the table."""
        return self.spans.num_rows


@dataclass(slots=True)
class SamplerCounters:
    """Running totals, for metrics."""

    traces_kept: int = 0
    traces_dropped: int = 0
    spans_kept: int = 0
    spans_dropped: int = 0
    late_spans_kept: int = 0
    late_spans_dropped: int = 0
    traces_decided_early: int = 0  # because memory was short
    traces_kept_undecided: int = 0  # because the policies failed
    by_policy: dict[str, int] = field(default_factory=dict)


class Sampler:
    """Holds undecided traces, decides them, remembers. ``seed``: any number that senders can't guess."""

    def __init__(self, config: SamplingConfig, *, seed: int = 0) -> None:
        self.counters = SamplerCounters()
        self._config = config
        self._facts = Facts()
        self._verdicts = Verdicts(config, self._facts)
        self._expressions = Expressions()
        self._after_root_s = config.decide_after_root.total_seconds()
        self._wait_s = config.decision_wait.total_seconds()
        self._round_s = min(ROUND_S, self._after_root_s / 4)
        self._bytes_max = config.max_pending_mib << 20
        expected = int(config.expected_new_traces_per_sec * (self._after_root_s + self._round_s))
        self._pending = PendingTraces(seed, min(expected, config.num_traces))
        cache = config.decision_cache
        self._decisions = DecisionCache(cache.sampled_cache_size, cache.non_sampled_cache_size, seed)
        self._batches = Batches()
        self._leaving: pa.Table | None = None  # decided to be kept, and not yet visible elsewhere for certain
        self._rate = ArrivalRate(config.quiet_traces_per_second)
        self._reasons = list(self._verdicts.reasons)
        self._reason_texts = pa.array(self._reasons, pa.string())
        self._clock_s = 0.0  # never goes back, whatever the wall clock does
        self._last_now_s: float | None = None
        self._last_round_s = -1.0
        self._failures = 0  # of the policies, in a row
        self._held_back: HeldBack | None = None  # as the snapshot says, until all that it covers has come again

    @property
    def sees_serialized(self) -> bool:
        """Whether it makes do with spans whose attributes are serialized: no policy wants all of them."""
        return not (self._verdicts.needs_bytes or self._verdicts.needs_whole)

    # -- spans come in ----------------------------------------------------------------------------------------

    def take(
        self, spans: pa.Table, first_seq: int, last_seq: int, now_s: float, *, settled: bool = False
    ) -> pa.Table | None:
        """Hold the spans of the requests ``first_seq`` to ``last_seq``; return late ones of traces that were kept.

        ``settled``: the requests are covered by a checkpoint, so spans of decided traces are stored or dropped
        already; a request in ``held_since`` must be the first of its group. ``now_s`` is any clock in seconds.
        """
        del last_seq  # traces are remembered by the first request they may be in
        if not settled:
            self._held_back = None
        self._advance(now_s)
        late = [
            kept
            for batch in spans.to_batches()
            if batch.num_rows and (kept := self._take_batch(batch, first_seq, settled)) is not None
        ]
        return acknowledged_table(late) if late else None

    def _advance(self, now_s: float) -> None:
        self._leaving = None  # whoever calls again has put what it got where queries see it
        if self._last_now_s is not None:
            self._clock_s += max(0.0, now_s - self._last_now_s)
        self._last_now_s = now_s

    def _take_batch(self, spans: pa.RecordBatch, seq: int, settled: bool) -> pa.RecordBatch | None:
        words = id_words(spans.column("trace_id"))
        encoded = pc.dictionary_encode(pa.array(normal(words[:, 1])))
        codes, keys = encoded.indices.to_numpy(), encoded.dictionary.to_numpy()
        row_of_key = self._pending.find(keys)
        strata = columns.Strata(spans)
        late = None
        if (row_of_key == ABSENT).any():
            late = self._place(spans, strata, words[:, 0], codes, keys, row_of_key, seq, settled)
        rows = row_of_key[codes]
        held = rows != ABSENT
        if held.any():
            self._hold(spans, rows, held, strata)
        return late

    def _place(
        self,
        spans: pa.RecordBatch,
        strata: columns.Strata,
        high: npt.NDArray[np.uint64],
        codes: npt.NDArray[np.int32],
        keys: Keys,
        row_of_key: Rows,
        seq: int,
        settled: bool,
    ) -> pa.RecordBatch | None:
        """Traces that are not pending: new ones get a row, decided ones go their way."""
        absent = np.flatnonzero(row_of_key == ABSENT).astype(np.int32)
        known = self._known(keys[absent], seq, settled)
        fresh = absent[~(known.kept | known.dropped)]
        if len(fresh):
            places = columns.first_places(codes, len(keys))[fresh]
            self._rate.count(len(fresh), self._clock_s)
            row_of_key[fresh] = self._pending.add(
                keys[fresh], high[places], strata.at(places), self._clock_s, seq, quiet=self._rate.is_quiet
            )
        if settled or len(fresh) == len(absent):
            return None
        return self._late(spans, codes, absent, known, len(keys))

    def _known(self, keys: Keys, seq: int, settled: bool) -> Known:
        """What was decided about traces that are not pending."""
        if not settled or self._held_back is None:
            return self._decisions.find(keys)
        held = self._held_back.has(keys, seq)
        return Known(np.zeros_like(held), ~held, np.zeros(len(keys), np.float32), np.zeros(len(keys), np.uint16))

    def _late(
        self, spans: pa.RecordBatch, codes: npt.NDArray[np.int32], absent: Rows, known: Known, distinct: int
    ) -> pa.RecordBatch | None:
        kept, dropped = np.zeros(distinct, dtype=np.bool_), np.zeros(distinct, dtype=np.bool_)
        kept[absent], dropped[absent] = known.kept, known.dropped
        self.counters.late_spans_dropped += int(dropped[codes].sum())
        of_span = kept[codes]
        if not of_span.any():
            return None
        probability = np.zeros(distinct, dtype=np.float32)
        reason = np.zeros(distinct, dtype=np.int32)
        probability[absent], reason[absent] = known.probability, known.reason
        late = codes[of_span]
        self.counters.late_spans_kept += len(late)
        return self._marked(spans.filter(pa.array(of_span)), probability[late], reason[late])

    def _marked(
        self, spans: pa.RecordBatch, probability: npt.NDArray[np.float32], reason: npt.NDArray[np.int32]
    ) -> pa.RecordBatch:
        """The spans with what is known of their sampling."""
        arrays = spans.columns
        arrays[_PROBABILITY] = pa.array(probability, pa.float32())
        arrays[_REASON] = pa.DictionaryArray.from_arrays(pa.array(reason, pa.int32()), self._reason_texts)
        return pa.RecordBatch.from_arrays(arrays, schema=spans.schema)

    def _hold(self, spans: pa.RecordBatch, rows: Rows, held: Mask, strata: columns.Strata) -> None:
        """Fold what has a row into its trace. Spans that have none stay in the batch, unless they are many."""
        which = np.flatnonzero(held)
        of_trace = rows[which]
        start = spans.column("start_ns").to_numpy(zero_copy_only=False)[which]
        is_root = columns.roots(spans)[which]
        head = columns.head_probability(spans)
        facts = Spans(
            rows=of_trace,
            start_ns=start,
            end_ns=start + spans.column("duration_ns").to_numpy(zero_copy_only=False)[which],
            bits=self._facts.bits(spans)[which],
            size_bytes=columns.sizes(whole(spans))[which] if self._verdicts.needs_bytes else None,
            is_root=is_root,
            head=None if head is None else head[which],
        )
        self._pending.fold(facts, strata.at(which[is_root]), self._clock_s)
        self._batches.add(Batch.of(spans, rows).thinned())

    # -- decisions --------------------------------------------------------------------------------------------

    def due(self, now_s: float, *, force: bool = False) -> Kept | None:
        """Decide what is to be decided now; None when that is nothing. ``force``: everything.

        Raises what a policy raises, and holds everything on: call it again. ``FAILURES_MAX`` times in a row, and all
        is kept.
        """
        self._advance(now_s)
        short = self.pending_bytes > self._bytes_max or len(self._pending) > self._config.num_traces
        if not (force or short or self._clock_s - self._last_round_s >= self._round_s):
            return None
        self._last_round_s = self._clock_s
        pending = self._pending
        due = pending.live if force else pending.due(self._clock_s - self._after_root_s, self._clock_s - self._wait_s)
        before = int(due.sum())
        if short and not force:
            self._relieve(due)
        rows = np.flatnonzero(due).astype(np.int32)
        if not len(rows):
            return None
        self.counters.traces_decided_early += len(rows) - before
        return self._decide(rows[np.argsort(pending.columns.arrival[rows])], forced=len(rows) > before)

    def _relieve(self, due: Mask) -> None:
        """Add the oldest traces to those that are due, until what is left fits."""
        excess_traces = len(self._pending) - int(due.sum()) - int(_RELIEF * self._config.num_traces)
        if len(self._pending) > self._config.num_traces and excess_traces > 0:
            due[self._pending.oldest(excess_traces + int(due.sum()))] = True
        excess = self.pending_bytes - int(_RELIEF * self._bytes_max)
        if self.pending_bytes > self._bytes_max:
            due[self._batches.rows_of_oldest(excess)] = True

    def _decide(self, rows: Rows, *, forced: bool) -> Kept:
        traces = self._round(rows)
        verdict = self._judged(rows, traces)
        probability = verdict.probability.astype(np.float32)
        kept_spans = self._gathered(rows, verdict, probability)
        self._decisions.put(traces.keys, verdict.keep, probability, verdict.reason.astype(np.uint16))
        self._leaving = kept_spans if kept_spans.num_rows else None
        self._forget(rows)  # last: whatever failed above, nothing is lost and all of it can be tried again
        kept = int(verdict.keep.sum())
        by_reason = np.bincount(verdict.reason, minlength=len(self._reasons))
        spans_kept = int(traces.spans[verdict.keep].sum())
        made = Kept(
            spans=kept_spans,
            traces_kept=kept,
            traces_dropped=len(rows) - kept,
            spans_dropped=int(traces.spans.sum()) - spans_kept,
            by_policy={self._reasons[place]: int(by_reason[place]) for place in np.flatnonzero(by_reason)},
            forced=forced,
        )
        self._count(made)
        return made

    def _judged(self, rows: Rows, traces: Round) -> Verdict:
        """What the policies say; to keep everything when they fail again and again."""
        head = np.nan_to_num(self._pending.columns.head[rows], nan=1.0)
        try:
            verdict = self._verdicts.decide(traces, quiet=self._pending.columns.quiet[rows], head=head)
        except Exception:  # of whatever kind: a policy that fails must neither lose a trace nor hold all of them
            self._failures += 1
            if self._failures < FAILURES_MAX:
                raise
            if self._failures == FAILURES_MAX:
                logger.exception("Policies of sampling fail: every trace is kept until they work again")
            self.counters.traces_kept_undecided += len(rows)
            return kept_undecided(head)
        if self._failures >= FAILURES_MAX:
            logger.warning("The policies of sampling work again")
        self._failures = 0
        return verdict

    def _round(self, rows: Rows) -> Round:
        held = self._pending.columns
        return Round(
            now_s=self._clock_s,
            keys=held.keys[rows],
            high=held.high[rows],
            spans=held.spans[rows],
            duration_ns=held.end_ns[rows] - held.start_ns[rows],
            bits=held.bits[rows],
            size_bytes=held.size_bytes[rows],
            stratum=held.stratum[rows],
            matching=lambda expression, among: self._matching(expression, rows, among),
        )

    def _matching(self, expression: str, rows: Rows, among: Mask) -> Mask:
        asked = np.zeros(self._pending.room + 1, dtype=np.bool_)
        asked[rows[among]] = True
        return self._expressions.matching(expression, self._batches, asked)[rows]

    def _gathered(self, rows: Rows, verdict: Verdict, probability: npt.NDArray[np.float32]) -> pa.Table:
        """The spans of the traces that are kept, with what is known of their sampling."""
        room = self._pending.room + 1  # the last place is what DECIDED (-1) points to
        kept = np.zeros(room, dtype=np.bool_)
        kept[rows[verdict.keep]] = True
        of_row, why = np.zeros(room, dtype=np.float32), np.zeros(room, dtype=np.int32)
        of_row[rows], why[rows] = probability, verdict.reason
        taken: list[pa.RecordBatch] = []
        for batch in self._batches if kept.any() else ():
            of_span = kept[batch.rows]
            if of_span.all():
                taken.append(self._marked(batch.spans, of_row[batch.rows], why[batch.rows]))
            elif of_span.any():
                row = batch.rows[of_span]
                taken.append(self._marked(batch.spans.filter(pa.array(of_span)), of_row[row], why[row]))
        return acknowledged_table(taken)

    def _forget(self, rows: Rows) -> None:
        """Decided traces are held no longer."""
        decided = np.zeros(self._pending.room + 1, dtype=np.bool_)
        decided[rows], decided[-1] = True, True
        self._batches.release(decided)
        self._pending.remove(rows)

    def _count(self, made: Kept) -> None:
        totals = self.counters
        totals.traces_kept += made.traces_kept
        totals.traces_dropped += made.traces_dropped
        totals.spans_kept += made.spans_kept
        totals.spans_dropped += made.spans_dropped
        for policy, traces in made.by_policy.items():
            totals.by_policy[policy] = totals.by_policy.get(policy, 0) + traces

    # -- what is held and known -------------------------------------------------------------------------------

    def pending_tables(self) -> list[pa.Table]:
        """Spans of traces that are not decided yet, newest first. May be called by any thread.

        Those that ``due`` has just returned are among them until the next call of it or of ``take``: who reads this
        first, and then where they go, misses none, though it may see some twice.
        """
        held = self._batches.tables()
        leaving = self._leaving
        return held if leaving is None else [*held, leaving]

    @property
    def pending_traces(self) -> int:
        """Traces that are not decided yet."""
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """Memory of the spans of undecided traces."""
        return self._batches.size_bytes

    def oldest_pending_seq(self) -> int | None:
        """The oldest request whose spans are not all decided: a replay has to begin there. None: there is none."""
        return self._pending.oldest_seq()

    @property
    def held_since(self) -> frozenset[int]:
        """After ``restore``: the requests at which groups that are settled have to begin."""
        return frozenset() if self._held_back is None else self._held_back.starts

    def decision(self, trace_id: bytes) -> SamplingDecision | None:
        """What is remembered of a trace (16 bytes of id); None when nothing is."""
        known = self._decisions.find(normal(np.array([trace_key(trace_id)], dtype=np.uint64)))
        if known.kept[0]:
            return SamplingDecision(True, float(known.probability[0]), self._reasons[int(known.reason[0])])
        return SamplingDecision(False, 0.0, "") if known.dropped[0] else None

    def snapshot(self) -> bytes:
        """Decisions, carried fractions, and who is undecided.

        With a replay from ``oldest_pending_seq`` no trace is half kept, and none is stored twice.
        """
        kept, probability, reason, dropped = self._decisions.arrays()
        header = {"reasons": self._reasons, "policies": self._verdicts.state()}
        pending, since = self._pending.since()
        arrays: dict[str, npt.NDArray[Any]] = {"kept": kept, "probability": probability, "reason": reason}
        arrays |= {"dropped": dropped, "pending": pending, "pending_since": since}
        return state.pack(header, arrays)

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot, of this configuration or another. Raises StoreCorruptError, changing nothing."""
        header, arrays = state.unpack(snapshot)
        names: Sequence[str] = header["reasons"]
        place = {name: number for number, name in enumerate(self._reasons)}
        for name in names:
            if name not in place:
                place[name] = len(self._reasons)
                self._reasons.append(name)
        self._reason_texts = pa.array(self._reasons, pa.string())
        translated = np.array([place[name] for name in names], dtype=np.uint16)[arrays["reason"]]
        self._decisions.restore(arrays["kept"], arrays["probability"], translated, arrays["dropped"])
        self._verdicts.restore(header["policies"])
        if "pending" in arrays:  # a snapshot of an earlier version has none: then decisions that are known must do
            self._held_back = HeldBack.of(arrays["pending"], arrays["pending_since"])
