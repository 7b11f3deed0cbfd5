"""No trace is half kept: whatever the batches, the order, the lateness, the memory and the restarts."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.sampling import SamplingConfig
from homeostat.observe.sampling.sampler import Sampler
from support.sampled import P, decided, forgetful, policy, reasons, sampler, span_ids, spans
from support.sampled_log import Logged

HALF = policy("probabilistic", sampling_percentage=50)
ERRORS = policy("status_code", "errors", status_codes=["ERROR"])

Step = tuple[str, list[P] | float | None]

_SPANS = st.builds(
    lambda trace, span, error: P(trace, span, span - 1, status=2 * error, service=f"s{trace % 3}"),
    st.integers(1, 12),
    st.integers(1, 6),
    st.booleans(),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.lists(_SPANS, min_size=1, max_size=8)),
        st.tuples(st.just("wait"), st.floats(0.05, 5)),
        st.tuples(st.just("seal"), st.none()),
        st.tuples(st.just("kill"), st.none()),
        st.tuples(st.just("force"), st.none()),
    ),
    max_size=25,
)


def _run(logged: Logged, steps: Sequence[Step]) -> None:
    for what, value in steps:
        match what, value:
            case "submit", list():
                logged.submit(spans(*value))
            case "wait", float():
                logged.now_s += value
                logged.due()
            case "seal", _:
                logged.seal()
            case "kill", _:
                logged.kill()
            case _:
                logged.due(force=True)
    logged.due(force=True)


def _assert_whole(logged: Logged) -> None:
    """Every span of the log is there, or none of its trace; no trace has two probabilities."""
    sent: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for trace, span in span_ids(logged.log):
        sent[trace][span] += 1
    stored: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for trace, span in span_ids(logged.stored):
        stored[trace][span] += 1
    for trace, found in stored.items():
        assert found == sent[trace], f"trace {trace}: sent {sent[trace]}, stored {found}"
    if logged.stored:
        reasons(pa.concat_tables(logged.stored))  # asserts that a trace has one of each


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_no_trace_is_half_kept_and_none_is_stored_twice(steps: list[Step]) -> None:
    logged = Logged(lambda: sampler(HALF, ERRORS, decision_wait="3s"))
    _run(logged, steps)
    _assert_whole(logged)
    assert logged.sampler.pending_traces == 0
    assert logged.sampler.pending_bytes == 0


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_no_span_is_stored_twice_however_few_decisions_are_remembered(steps: list[Step]) -> None:
    config = SamplingConfig.model_validate(
        {"policies": [policy("always_sample")], "decision_wait": "1000s", "quiet_traces_per_second": 0}
    )
    logged = Logged(lambda: Sampler(forgetful(config), seed=7))
    logged.submit(spans(P(50, 2, 1)))  # waits for its root: the log is always read from here
    ending: list[Step] = [("wait", 2.0), ("seal", None), ("kill", None)]
    _run(logged, [step for given in [*steps, *ending] for step in (given, ("wait", 0.6))])
    sent = Counter(span_ids(logged.log))
    twice = {span: count for span, count in Counter(span_ids(logged.stored)).items() if count > sent[span]}
    assert not twice


def test_a_trace_that_was_stored_is_not_stored_again_when_its_decision_is_forgotten() -> None:
    config = SamplingConfig.model_validate({"policies": [policy("always_sample")], "decision_wait": "100s"})
    logged = Logged(lambda: Sampler(forgetful(config)))
    logged.submit(spans(P(50, 2, 1)))  # waits for its root: the log is read again from here
    for trace in range(1, 8):
        logged.submit(spans(P(trace)))
        logged.now_s += 2.0
        logged.due()
    logged.submit(spans(P(1, 3, 1)))  # late, and its decision is forgotten: from now on a trace of its own
    logged.seal()
    logged.kill()
    assert logged.sampler.pending_traces == 2
    logged.due(force=True)
    assert sorted(span_ids(logged.stored)) == [(1, 1), (1, 3), *((trace, 1) for trace in range(2, 8)), (50, 2)]


def test_nothing_pending_is_forgotten_by_a_kill() -> None:
    logged = Logged(lambda: sampler(policy("always_sample")))
    logged.submit(spans(P(1, 2, 1), P(2)))
    logged.now_s += 2.0
    logged.due()
    logged.seal()
    assert logged.replay_from == 1
    logged.submit(spans(P(1)))
    logged.kill()
    logged.due(force=True)
    assert sorted(span_ids(logged.stored)) == [(1, 1), (1, 2), (2, 1)]


def test_late_spans_go_the_way_of_their_trace_also_after_a_restart() -> None:
    logged = Logged(lambda: sampler(ERRORS))
    logged.submit(spans(P(1, status=2), P(2)))
    logged.now_s += 2.0
    logged.due()
    logged.seal()
    logged.kill()
    logged.submit(spans(P(1, 2, 1), P(2, 2, 1, status=2), P(3, 1, status=2)))
    assert sorted(span_ids(logged.stored)) == [(1, 1), (1, 2)]
    counters = logged.sampler.counters
    assert (counters.late_spans_kept, counters.late_spans_dropped) == (1, 1)


def test_a_trace_is_decided_a_moment_after_its_root_and_without_one_after_the_wait() -> None:
    by = sampler(policy("always_sample"), decide_after_root="1s", decision_wait="10s")
    by.take(spans(P(1, 2, 1), P(2, 2, 1)), 1, 1, 100.0)
    by.take(spans(P(1)), 2, 2, 105.0)
    assert by.due(105.9) is None
    assert set(decided(by.due(106.3))) == {1}
    assert by.oldest_pending_seq() == 1
    assert by.due(109.9) is None
    assert set(decided(by.due(110.3))) == {2}
    assert by.oldest_pending_seq() is None


def test_a_wall_clock_that_is_set_back_delays_nothing() -> None:
    by = sampler(policy("always_sample"))
    by.take(spans(P(1)), 1, 1, 1000.0)
    assert by.due(10.0) is None
    assert set(decided(by.due(11.1))) == {1}


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_memory_stays_within_its_bound_and_nothing_is_lost(data: st.DataObject) -> None:
    by = sampler(policy("always_sample"), max_pending_mib=1)
    kept = sent = 0
    for number in range(data.draw(st.integers(3, 12))):
        count = data.draw(st.integers(1, 60))
        batch = spans(
            *(P(data.draw(st.integers(1, 200)), 2, 1, attributes={"text": "x" * 8000}) for _ in range(count))
        )
        late = by.take(batch, number, number, number / 10)
        made = by.due(number / 10)
        sent += count
        kept += (0 if late is None else late.num_rows) + (0 if made is None else made.spans_kept)
        assert by.pending_bytes <= 1 << 20
    last = by.due(99.0, force=True)
    assert kept + (0 if last is None else last.spans_kept) == sent


def test_too_many_traces_are_decided_oldest_first() -> None:
    by = sampler(policy("always_sample"), num_traces=100)
    by.take(spans(*(P(trace, 2, 1) for trace in range(1, 101))), 1, 1, 0.0)
    assert by.due(0.05) is None
    by.take(spans(*(P(trace, 2, 1) for trace in range(101, 111))), 2, 2, 0.06)
    assert set(decided(by.due(0.07))) == set(range(1, 21))
    assert by.counters.traces_decided_early == 20
    assert by.oldest_pending_seq() == 1


def test_pending_tables_show_what_is_undecided_and_what_is_just_leaving() -> None:
    by = sampler(ERRORS)
    by.take(spans(P(1), P(2, 2, 1), P(3, status=2)), 1, 1, 0.0)
    by.take(spans(P(4, 2, 1)), 2, 2, 1.0)
    assert set(decided(by.due(1.5))) == {3}
    shown = sorted(span_ids(by.pending_tables()))
    assert shown == [(2, 2), (3, 1), (4, 2)], "until the next call nobody knows whether queries see the third"
    by.due(1.6)
    assert sorted(span_ids(by.pending_tables())) == [(2, 2), (4, 2)]


def test_small_rests_of_batches_are_put_together() -> None:
    by = sampler(policy("always_sample"))
    for number in range(40):
        traces = [P(100 * number + part, 1, 0) for part in range(1, 20)]
        by.take(spans(*traces, P(100 * number + 50, 2, 1)), number, number, 0.0)
    made = by.due(2.0)
    assert made is not None
    assert made.spans_kept == 40 * 19
    by.due(2.0)
    assert len(by.pending_tables()) == 1
    assert by.oldest_pending_seq() == 0
    assert sorted(span_ids(by.pending_tables())) == [(100 * number + 50, 2) for number in range(40)]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32), percentage=st.sampled_from([5.0, 10.0, 33.3]))
def test_weighted_counts_are_true(seed: int, percentage: float) -> None:
    """A tenth of 4,000 traces of different services and sizes, in rounds as they come, represents all of them."""
    chance = np.random.default_rng(seed)
    by = sampler(policy("probabilistic", sampling_percentage=percentage), ERRORS)
    true: Counter[str] = Counter()
    weighted: defaultdict[str, float] = defaultdict(float)
    trace = 0
    tables: list[pa.Table] = []
    for number in range(8):
        batch: list[P] = []
        for _ in range(500):
            trace += 1
            service = f"s{int(chance.integers(3))}"
            size = int(chance.integers(1, 5))
            true["traces"] += 1
            true["spans"] += size
            true[service] += 1
            failed = 2 * int(chance.random() < 0.02)
            batch += [P(trace, span, span - 1, service=service, status=failed) for span in range(1, size + 1)]
        by.take(spans(*batch), number, number, float(2 * number))
        made = by.due(2 * number + 1.5)
        assert made is not None
        tables.append(made.spans)
    for row in pa.concat_tables(tables).select(["service", "parent_span_id", "sampling_probability"]).to_pylist():
        weight = 1 / row["sampling_probability"]
        weighted["spans"] += weight
        if row["parent_span_id"] is None:
            weighted["traces"] += weight
            weighted[row["service"]] += weight
    assert weighted["traces"] == pytest.approx(true["traces"], rel=0.01)
    assert weighted["spans"] == pytest.approx(true["spans"], rel=0.05)
    for service in ("s0", "s1", "s2"):
        assert weighted[service] == pytest.approx(true[service], rel=0.03)


def test_the_same_input_gives_the_same_decisions_whatever_the_seed() -> None:
    def run(seed: int) -> dict[int, tuple[float, str]]:
        by = Sampler(SamplingConfig(quiet_traces_per_second=0), seed=seed)
        by.take(spans(*(P(trace) for trace in range(1, 300))), 1, 1, 0.0)
        return decided(by.due(2.0))

    assert run(1) == run(2)
    assert len(run(1)) == 30
