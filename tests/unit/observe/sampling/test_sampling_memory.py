"""The tables behind sampling behave like dicts, within their bounds, and come back from bytes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import StoreCorruptError
from homeostat.core.sampling import SamplingDecision
from homeostat.observe.sampling import attributes
from homeostat.observe.sampling.attributes import Finder
from homeostat.observe.sampling.chance import Systematic, fitting
from homeostat.observe.sampling.decisions import DecisionCache
from homeostat.observe.sampling.keys import ABSENT, KeyTable, normal
from homeostat.observe.sampling.tracestate import entry, probability
from homeostat.store.telemetry.schema import ATTRIBUTES
from support.sampled import P, policy, sampler, spans

_KEYS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 30), unique=True, max_size=60)


def _keys(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return normal(np.array(values, dtype=np.uint64))


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), _KEYS), max_size=8), asked=_KEYS, seed=st.integers(0, 2**64 - 1))
def test_a_key_table_is_a_dict(steps: list[tuple[bool, list[int]]], asked: list[int], seed: int) -> None:
    table, model, number = KeyTable(seed), dict[int, int](), 0
    for puts, values in steps:
        keys = np.unique(_keys(values))
        if puts:
            numbers = np.arange(number, number + len(keys), dtype=np.int32)
            table.put(keys, numbers)
            model |= dict(zip(keys.tolist(), numbers.tolist(), strict=True))
            number += len(keys)
        else:
            table.remove(keys)
            for key in keys.tolist():
                model.pop(key, None)
    wanted = _keys(asked)
    assert table.find(wanted).tolist() == [model.get(key, ABSENT) for key in wanted.tolist()]
    assert dict(zip(*(part.tolist() for part in table.items()), strict=True)) == model


def test_a_key_table_grows_over_many_keys() -> None:
    table = KeyTable(3)
    keys = np.arange(1, 50_001, dtype=np.uint64)
    for start in range(0, len(keys), 999):
        part = keys[start : start + 999]
        table.put(part, part.astype(np.int32))
    assert (table.find(keys) == keys.astype(np.int32)).all()
    assert (table.find(keys + np.uint64(50_000)) == ABSENT).all()


def test_the_decision_cache_forgets_the_oldest_and_stays_within_its_size() -> None:
    cache = DecisionCache(1000, 1000, seed=1)
    for start in range(0, 20_000, 100):
        keys = np.arange(start + 1, start + 101, dtype=np.uint64)
        kept = keys % 2 == 0
        cache.put(keys, kept, np.full(100, 0.5, np.float32), np.full(100, 3, np.uint16))
    assert len(cache) <= 2000
    newest = cache.find(np.arange(19_001, 20_001, dtype=np.uint64))
    assert (newest.kept ^ newest.dropped).all()
    assert set(newest.probability[newest.kept].tolist()) == {0.5}
    assert set(newest.reason[newest.kept].tolist()) == {3}
    oldest = cache.find(np.arange(1, 1001, dtype=np.uint64))
    assert not (oldest.kept | oldest.dropped).any()


def test_a_decision_that_is_asked_for_lives_longer() -> None:
    cache = DecisionCache(1000, 1000, seed=1)
    wanted = np.array([77], dtype=np.uint64)
    cache.put(wanted, np.array([True]), np.array([0.25], np.float32), np.array([2], np.uint16))
    for start in range(1000, 11_000, 100):
        keys = np.arange(start, start + 100, dtype=np.uint64)
        cache.put(keys, np.ones(100, np.bool_), np.ones(100, np.float32), np.zeros(100, np.uint16))
        assert cache.find(wanted).probability[0] == 0.25


def test_what_a_sampler_decided_is_known_after_a_restart_under_other_policies() -> None:
    before = sampler(
        policy("status_code", "errors", status_codes=["ERROR"]), policy("latency", "slow", threshold_ms=99)
    )
    before.take(spans(P(1, status=2), P(2), P(3, ms=100)), 1, 1, 0.0)
    before.due(5.0)
    after = sampler(policy("latency", "slow", threshold_ms=99), policy("probabilistic", "new", sampling_percentage=1))
    after.restore(before.snapshot())
    found = [after.decision(trace.to_bytes(16, "big")) for trace in (1, 2, 3, 4)]
    kept = [SamplingDecision(True, 1.0, "errors"), SamplingDecision(True, 1.0, "slow")]
    assert found == [kept[0], SamplingDecision(False, 0.0, ""), kept[1], None]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: str) -> None:
    before = sampler()
    before.take(spans(P(1, status=2)), 1, 1, 0.0)
    before.due(5.0)
    whole = before.snapshot()
    middle = len(whole) // 2
    bad = {
        "cut": whole[:-9],
        "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "other": b"{}" * 40,
    }[damage]
    after = sampler()
    with pytest.raises(StoreCorruptError, match="can't be read back"):
        after.restore(bad)
    assert after.decision((1).to_bytes(16, "big")) is None
    after.restore(whole)
    assert after.decision((1).to_bytes(16, "big")) is not None


TEXT = st.text(max_size=4)

needs_compiled = pytest.mark.skipif(
    attributes.key_places is None, reason="there is no C compiler here, so nothing was compiled"
)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_compiled), False])
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.tuples(st.sampled_from(["a", "bb", "key.eight", "http.route", "x" * 300, "ä"]), TEXT))),
    skip=st.integers(0, 3),
)  # fmt: skip
def test_attributes_are_found_where_they_are(rows: list[list[tuple[str, str]]], skip: int, *, compiled: bool) -> None:
    column = pa.array(rows, ATTRIBUTES).slice(min(skip, len(rows)))
    rows = rows[skip:]
    if not rows:
        return
    wanted = ["bb", "http.route", "x" * 300, "x" * 299 + "y", "ä", "absent"]
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(attributes, "key_places", None)
        found = Finder(wanted).find(column)
    for key in wanted:
        expected = [(number, value) for number, row in enumerate(rows) for name, value in row if name == key]
        if key not in found:
            assert not expected
            continue
        values = found[key].texts.take(pa.array(found[key].codes)).to_pylist()
        assert list(zip(found[key].rows(np.ones(len(values), np.bool_)).tolist(), values, strict=True)) == expected


@needs_compiled
@pytest.mark.parametrize(
    ("offsets", "data"), [([0, 9], b"\x0a\x01a"), ([0, 3], b"\x0a\x02a"), ([3, 0], b"\x0a\x01a"), ([0, 1], b"\x0a")]
)
def test_an_attribute_outside_the_data_is_an_error_and_not_read(offsets: list[int], data: bytes) -> None:
    assert attributes.key_places is not None
    room = np.empty(4, np.int32)
    places = np.array(offsets, np.int32), np.frombuffer(data, np.uint8)
    with pytest.raises(ValueError, match="outside"):
        attributes.key_places.find(*places, True, b"a", np.array([1], np.int32), room, room.copy())


@given(sizes=st.lists(st.integers(0, 20), max_size=40), room=st.integers(0, 100))
def test_what_fits_is_taken_as_one_by_one_would(sizes: list[int], room: int) -> None:
    expected: list[bool] = []
    left = room
    for size in sizes:
        expected.append(size <= left)
        left -= size if size <= left else 0
    assert fitting(np.array(sizes, dtype=np.int64), room).tolist() == expected


@given(rounds=st.lists(st.integers(0, 200), max_size=30), share=st.floats(0.01, 1.0))
def test_of_each_service_the_share_is_kept_to_within_one(rounds: list[int], share: float) -> None:
    choice = Systematic(share, salt=5)
    total, chosen = 0, 0
    for number, count in enumerate(rounds):
        keys = np.arange(1000 * number + 1, 1000 * number + 1 + count, dtype=np.uint64)
        taken = choice.choose(np.full(count, 7 << 32, np.uint64), np.ones(count, np.int64), keys)
        total, chosen = total + count, chosen + int(taken.sum())
        assert abs(chosen - share * total) <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("ot=th:8", 0.5),
        ("ot=th:0", 1.0),
        ("ot=th:fffffffffffffe", 2 / 2**56),
        ("a=b, ot=rv:00;th:c", 0.25),
        ("ot=th:", None),
        ("ot=th:123456789abcdef", None),
        ("ot=th:G", None),
        ("xot=th:8", None),
        ("", None),
    ],
)
def test_the_threshold_of_a_trace_state_is_read(state: str, expected: float | None) -> None:
    assert probability(state) == expected


def test_an_entry_of_a_trace_state_is_found_by_its_whole_key() -> None:
    assert entry("ab=1,b=2, c=3=4", "b") == "2"
    assert entry("ab=1, c=3=4", "c") == "3=4"
    assert entry("ab=1", "b") is None
