"""Log records: every search finds what reading all of them would, wherever they lie, page by page."""

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.core.config import StorageConfig
from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogQuery, LogRecord
from homeostat.store.telemetry import log_export
from homeostat.store.telemetry.log_export import LogExport
from homeostat.store.telemetry.log_schema import LOG_SCHEMA
from homeostat.store.telemetry.log_search import LogFilter
from homeostat.store.telemetry.log_segment import LOG_GROUP_ROWS, LogSegment
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.log_text import TextFilter, word_hashes, words_of
from homeostat.store.telemetry.text_hash import hash_text
from support.spans import NOON, HandClock, trace_hex
from support.telemetry import L, exported, logs_body, logs_table

DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


def _store(directory: Path) -> EmbeddedLogStore:
    store = EmbeddedLogStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    return store


def _put(store: EmbeddedLogStore, records: Sequence[L], *, segment: bool = False) -> None:
    store.add(logs_table(records), store.append([logs_body(records)]))
    if segment:
        store.seal()
        assert store.flush()


async def _all(store: EmbeddedLogStore, query: LogQuery) -> list[LogRecord]:
    found: list[LogRecord] = []
    while True:
        page = await store.logs(query)
        found += page.records
        if page.next_cursor is None:
            return found
        query = query.model_copy(update={"cursor": page.next_cursor})


WORDS = ("order", "refused", "Connection", "reset", "pay-42", "ÄRGER", "_id", "x")
RECORDS = st.lists(
    st.builds(
        L,
        body=st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
        at=st.integers(-3, 3).map(float),
        service=st.sampled_from(["shop", "bank"]),
        severity=st.sampled_from([0, 5, 9, 17]),
        trace=st.sampled_from([None, 1, 2]),
        attributes=st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["v", "w"]), max_size=2),
    ),
    max_size=12,
)
QUERIES = st.builds(
    LogQuery,
    start=st.sampled_from([NOON - timedelta(seconds=s) for s in (0, 2, 5)]),
    end=st.sampled_from([NOON + timedelta(seconds=s) for s in (1, 2, 5)]),
    service=st.sampled_from([None, "shop"]),
    text=st.sampled_from([None, "refused", "REFUSED order", '"connection reset"', "pay", "pay-42", "ärger", "..."]),
    min_severity=st.sampled_from([0, 9]),
    trace_id=st.sampled_from([None, trace_hex(1)]),
    attributes=st.sampled_from([{}, {"k": "v"}, {"service.name": "bank"}]),
    limit=st.integers(1, 4),
)


def _holds(record: L, query: LogQuery) -> bool:
    when = NOON + timedelta(seconds=record.at)
    terms = [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', query.text or "") if re.search(r"\w", a or b)]
    words = [rf"(?<!\w){re.escape(term.lower())}(?!\w)" for term in terms]
    return (
        query.start <= when < query.end
        and query.service in (None, record.service)
        and record.severity >= query.min_severity
        and (query.trace_id is None or (record.trace is not None and trace_hex(record.trace) == query.trace_id))
        and all(
            ({"service.name": record.service} | dict(record.attributes)).get(k) == v
            for k, v in query.attributes.items()
        )
        and all(re.search(word, record.body.lower()) for word in words)
    )


@given(st.lists(st.tuples(RECORDS, st.booleans()), max_size=4), QUERIES, st.sampled_from([0, 2_000, 1 << 26]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_search_finds_what_reading_everything_would(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[list[L], bool]], query: LogQuery, held_bytes: int
) -> None:
    store = _store(tmp_path_factory.mktemp("logs"))
    for records, as_segment in batches:
        _put(store, records, segment=as_segment)
    expected = [record for records, _ in batches for record in records if _holds(record, query)]
    found = await _all(store, query)
    assert sorted((r.time, r.body, r.service) for r in found) == sorted(
        (NOON + timedelta(seconds=record.at), record.body, record.service) for record in expected
    )
    assert [r.time for r in found] == sorted((r.time for r in found), reverse=True)
    assert len({r.id for r in found}) == len(found), "each has an id of its own, also when they say the same"
    counts = await store.log_counts(query, 1)
    assert sum(sum(step.counts.values()) for step in counts) == len(expected)
    assert len(counts) == (query.end - query.start).total_seconds()
    with patch.object(log_export, "HELD_BYTES_MAX", held_bytes):
        assert await exported(store, query) == found, "an export has the same records, ids and order"
    store.close()


async def test_pages_stay_as_they_are_while_records_arrive_and_become_segments(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [L(f"old {number}", at=number) for number in range(30)])
    query = LogQuery(**DAY, limit=7)
    first = await store.logs(query)
    _put(store, [L(f"new {number}", at=100 + number) for number in range(5)], segment=True)
    second = await store.logs(query.model_copy(update={"cursor": first.next_cursor}))
    _put(store, [L("newest", at=500)], segment=True)
    rest = await _all(store, query.model_copy(update={"cursor": second.next_cursor}))
    bodies = [record.body for record in (*first.records, *second.records, *rest)]
    assert bodies == [f"old {number}" for number in reversed(range(30))]


async def test_a_hundred_equal_records_of_one_moment_are_paged_through_once_each(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [L("same")] * 40, segment=True)
    _put(store, [L("same")] * 60)
    found = await _all(store, LogQuery(**DAY, limit=9))
    assert len(found) == 100
    assert len({record.id for record in found}) == 100


async def test_a_record_has_the_same_id_whatever_stands_beside_it(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [L(f"record {number}", at=number) for number in range(5)] + [L("of a trace", at=5, trace=1)])
    together = [record.id for record in (await store.logs(LogQuery(**DAY))).records]
    assert [record.id for record in await _all(store, LogQuery(**DAY, limit=1))] == together


async def test_after_a_restart_and_a_merge_records_have_the_same_ids(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number in range(9):
        _put(store, [L(f"record {number} {part}", at=number) for part in range(3)], segment=number < 8)
    before = [record.id for record in await _all(store, LogQuery(**DAY))]
    assert len(store.segments) == 1, "eight small ones were merged"
    store.close()
    again = EmbeddedLogStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    for record in again.replay():
        again.add(logs_table([L(f"record 8 {part}", at=8) for part in range(3)]), record.seq)
    assert [record.id for record in await _all(again, LogQuery(**DAY))] == before


async def test_of_many_row_groups_only_those_are_read_that_may_have_the_word(tmp_path: Path) -> None:
    store = _store(tmp_path)
    records = [L("all is well", at=n / 100, trace=7 if n == 10 else None) for n in range(3 * LOG_GROUP_ROWS)]
    records[2 * LOG_GROUP_ROWS + 5] = L("the Needle", at=(2 * LOG_GROUP_ROWS + 5) / 100, attributes={"rare": "yes"})
    _put(store, records, segment=True)
    (segment,) = store.parts()[1]
    assert segment.index.groups_with_word("needle") == [2]
    assert segment.index.groups_with("rare", "yes") == [2]
    assert segment.index.groups_of((7).to_bytes(16, "big")) == [0]
    (found,) = (await store.logs(LogQuery(**DAY, text="NEEDLE"))).records
    assert found.body == "the Needle"
    (found,) = (await store.logs(LogQuery(**DAY, trace_id=trace_hex(7)))).records
    assert found.trace_id == trace_hex(7)


async def test_an_index_that_is_lost_is_made_anew(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [L("needle", at=1), L("hay", at=2)], segment=True)
    (index,) = (tmp_path / "telemetry" / "logs" / "segments").glob("*.idx")
    whole = index.read_bytes()
    index.write_bytes(whole[:9])
    again = _store(tmp_path)
    assert len((await again.logs(LogQuery(**DAY, text="needle"))).records) == 1
    assert index.read_bytes() == whole


async def test_an_export_gives_everything_whatever_the_limit(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [L(f"{number}", at=number / 100) for number in range(12_000)], segment=True)
    found = await exported(store, LogQuery(**DAY, limit=3))
    assert [record.body for record in found] == [str(n) for n in reversed(range(12_000))]
    rows = [part.num_rows async for part in store.export(LogQuery(**DAY))]
    assert (len(rows) > 1, max(rows) <= log_export.PART_ROWS) == (True, True)


async def test_an_export_reads_each_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = _store(tmp_path), list[str]()
    for first in range(0, 40_000, 20_000):
        _put(store, [L(str(n), at=n / 100) for n in range(first, first + 20_000)], segment=True)
    original = LogSegment.read

    def counted(self: LogSegment, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        read.extend(f"{self.info.name} {group} {name}" for group in groups or () for name in columns)
        return original(self, columns, groups)

    monkeypatch.setattr(LogSegment, "read", counted)
    assert len(await exported(store, LogQuery(**DAY, text="39999"))) == 1
    groups = sum(-(-info.rows // LOG_GROUP_ROWS) for info in store.segments)
    assert len(read) <= groups * 2 + len(LOG_SCHEMA), "what a condition needs, and the rest where there is a match"
    read.clear()
    assert len(await exported(store, LogQuery(**DAY))) == 40_000
    assert len(set(read)) == len(read) == groups * len(LOG_SCHEMA)


def test_what_an_export_holds_is_bounded_wherever_the_records_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    tables = [logs_table([L(f"{n} {turn}", at=n + turn / 100) for n in range(500)]) for turn in range(12)]
    most = 3 * tables[0].nbytes
    monkeypatch.setattr(log_export, "HELD_BYTES_MAX", most)
    original = log_export._Pass._let_go

    def noted(self: log_export._Pass) -> None:
        original(self)
        held.append(sum(each.rows.nbytes for each in self._held))

    monkeypatch.setattr(log_export._Pass, "_let_go", noted)
    export = LogExport(LogFilter.of(LogQuery(**DAY)), lambda: (tables, []))
    found: list[int] = []
    while (parts := export.advance()) is not None:
        found += [time for part in parts for time in part["time_unix_nano"].to_pylist()]
    assert found == sorted((time for table in tables for time in table["time_ns"].to_pylist()), reverse=True)
    assert max(held) <= most


async def test_an_export_goes_on_where_it_was_when_a_segment_is_compacted_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = _store(tmp_path), list[int]()
    for first in range(0, 50, 10):
        _put(store, [L(str(n), at=n // 2) for n in range(first, first + 10)], segment=True)
    original = LogSegment.read

    def vanishing(self: LogSegment, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        calls.append(1)
        if len(calls) in {5, 6}:
            raise FileNotFoundError(self.parquet_path)
        return original(self, columns, groups)

    expected = await _all(store, LogQuery(**DAY))
    monkeypatch.setattr(LogSegment, "read", vanishing)
    assert await exported(store, LogQuery(**DAY)) == expected


@pytest.mark.parametrize("cursor", ["", "x", "1-2", "1-2-3-4", "-1-2-3", "zz-1-1", f"{1 << 70:x}-1-1"])
async def test_a_cursor_that_is_none_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(BadRequestError, match="cursor"):
        await _store(tmp_path).logs(LogQuery(**DAY, cursor=cursor))


async def test_an_id_that_is_none_and_steps_too_many_are_refused(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with pytest.raises(BadRequestError, match="trace_id"):
        await store.logs(LogQuery(**DAY, trace_id="xyz"))
    with pytest.raises(BadRequestError, match="steps"):
        await store.log_counts(LogQuery(**DAY), 1)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=6))
@settings(deadline=None, max_examples=200)
def test_every_word_of_a_body_is_found_in_it_however_it_is_written(before: str, behind: str, word: str) -> None:
    import pyarrow as pa

    body = f"{before} {word} {behind}"
    for part in words_of(body):
        wanted = TextFilter.of(part)
        assert wanted.mask(pa.array([body])).tolist() == [True], (part, wanted)
        assert set(wanted.words) <= set(words_of(body))


@given(
    st.lists(st.text(max_size=20) | st.text(st.sampled_from("aZ_9 -.\0\n"), max_size=30) | st.none(), max_size=30),
    st.integers(0, 5),
    st.integers(1, 20),
)
@settings(deadline=None, max_examples=60)
def test_the_index_holds_the_very_words_that_a_search_asks_for(
    bodies: list[str | None], skipped: int, rows: int
) -> None:
    column = pa.array(bodies, pa.string())[skipped:]
    bounds = [*range(0, len(column), rows), len(column)]
    for found, (start, stop) in zip(word_hashes(column, bounds), pairwise(bounds), strict=True):
        words = {word for body in column[start:stop].to_pylist() for word in words_of(body or "")}
        assert found.tolist() == sorted(map(hash_text, words))
