"""Segments: found by their index, merged when small, deleted when old, and left out when they can't be read."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.config import StorageConfig
from homeostat.core.models import TraceQuery
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.layout import SegmentInfo
from homeostat.store.telemetry.maintenance import expired, over_bound, to_compact
from homeostat.store.telemetry.schema import SPAN_SCHEMA
from homeostat.store.telemetry.segment import GROUP_ROWS, SPAN_LAYOUT, Segment, write_segment
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from homeostat.store.telemetry.text_hash import hash_texts
from support.spans import NOON, HandClock, S, body, table, trace_hex

WHOLE_DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


def _store(directory: Path, clock: HandClock | None = None, **config: object) -> EmbeddedTelemetryStore:
    storage = StorageConfig.model_validate({"path": directory, "min_free_mib": 1, **config})
    store = EmbeddedTelemetryStore(storage, clock or HandClock())
    for record in list(store.replay()):
        store.add(decode([record.payload]).spans, record.seq)
    return store


def _segment(store: EmbeddedTelemetryStore, spans: Sequence[S]) -> None:
    payload = body(spans)
    store.add(decode([payload]).spans, store.append([payload]))
    store.seal()
    assert store.flush()


def _files(directory: Path, suffix: str) -> list[Path]:
    return sorted((directory / "telemetry" / "segments").glob(f"*{suffix}"))


def test_a_segment_of_many_row_groups_gives_each_trace_back_exactly(tmp_path: Path) -> None:
    spans = [S(trace=1 + n // 7, span=n + 1, at=n / 1000, attributes={"n": f"v{n}"}) for n in range(3 * GROUP_ROWS)]
    info = write_segment(tmp_path, "00000001-1", [table(spans[::2]), table(spans[1::2])], 1)
    segment = Segment(tmp_path, info)
    assert info.rows == len(spans)
    for trace in (1, 2, 1171, 2341, 1 + (len(spans) - 1) // 7):
        rows = segment.traces([trace], SPAN_SCHEMA.names).to_pylist()
        expected = list(range(7 * (trace - 1), min(7 * trace, len(spans))))
        assert sorted(int.from_bytes(row["span_id"], "big") - 1 for row in rows) == expected
    assert segment.traces([999_999], ["trace_id"]).num_rows == 0
    groups = segment.index.groups_with("n", "v20000")
    assert 0 < len(groups) < 3, f"one group has it, {groups} may"
    assert segment.index.groups_with("n", "never") in ([], [0], [1], [2])


def test_a_segment_is_plain_parquet_that_any_tool_can_read(tmp_path: Path) -> None:
    write_segment(tmp_path, "00000001-1", [table([S(attributes={"k": "v"})])], 1)
    (row,) = pq.read_table(tmp_path / "00000001-1.parquet").to_pylist()
    assert row["service"] == "shop"
    assert row["attributes"] == [("k", "v")]


def test_many_distinct_names_are_stored_as_text_and_read_back(tmp_path: Path) -> None:
    spans = [S(trace=n, span=n, name=f"GET /{n}", attributes={f"key{n}": "v"}) for n in range(1, 3000)]
    segment = Segment(tmp_path, write_segment(tmp_path, "00000001-1", [table(spans)], 1))
    rows = segment.read(SPAN_SCHEMA.names)
    assert rows.schema.equals(SPAN_SCHEMA)
    assert {row["name"] for row in rows.to_pylist()} == {span.name for span in spans}
    assert segment.index.groups_with("key77", "v") == [0]


def _reference_hash(text: str) -> int:
    data = text.encode()
    mask = (1 << 64) - 1
    value = (len(data) ^ 0xCBF29CE484222325) * 0x100000001B3 & mask
    for start in range(0, len(data), 8):
        value = (value ^ int.from_bytes(data[start : start + 8], "little")) * 0x100000001B3 & mask
    return value


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, 5))
@settings(deadline=None)
def test_texts_hash_as_the_definition_says_also_in_a_slice(texts: list[str], skip: int) -> None:
    hashes = hash_texts(pa.array(texts, type=pa.string())[skip:])
    assert hashes.tolist() == [_reference_hash(text) for text in texts[skip:]]


async def test_an_unreadable_segment_is_reported_and_the_others_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = _store(tmp_path)
    for trace in (1, 2, 3):
        _segment(store, [S(trace, trace, at=trace)])
    victim = _files(tmp_path, ".parquet")[1]
    victim.write_bytes(b"no parquet at all")
    with caplog.at_level(logging.ERROR):
        found = (await store.search(TraceQuery(**WHOLE_DAY))).traces
        assert await store.trace(trace_hex(3)) is not None
        assert await store.trace(trace_hex(2)) is None
    assert [summary.trace_id for summary in found] == [trace_hex(3), trace_hex(1)]
    assert victim.name in caplog.text


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
async def test_an_index_that_is_lost_is_made_anew(tmp_path: Path, damage: str) -> None:
    _segment(_store(tmp_path), [S(n, n, at=n, attributes={"order": f"o{n}"}) for n in range(1, 50)])
    (index,) = _files(tmp_path, ".idx")
    whole = index.read_bytes()
    match damage:
        case "missing":
            index.unlink()
        case "cut":
            index.write_bytes(whole[:10])
        case _:
            index.write_bytes(b"x" * len(whole))
    store = _store(tmp_path)
    assert await store.trace(trace_hex(7)) is not None
    found = (await store.search(TraceQuery(**WHOLE_DAY, attributes={"order": "o9"}))).traces
    assert [summary.trace_id for summary in found] == [trace_hex(9)]
    assert index.read_bytes() == whole


async def test_a_catalogue_that_is_lost_is_made_anew_from_the_segments(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for trace in (1, 2):
        _segment(store, [S(trace, trace, at=trace)])
    (catalogue,) = _files(tmp_path, "catalogue.json")
    catalogue.write_text("{ not json")
    again = _store(tmp_path)
    assert len((await again.search(TraceQuery(**WHOLE_DAY))).traces) == 2
    _segment(again, [S(3, 3)])
    assert len((await _store(tmp_path).search(TraceQuery(**WHOLE_DAY))).traces) == 3


async def test_a_segment_that_no_catalogue_names_is_from_a_crash_and_its_spans_are_still_in_the_log(
    tmp_path: Path,
) -> None:
    store = _store(tmp_path)
    payload = body([S(1, 1)])
    store.add(decode([payload]).spans, store.append([payload]))
    directory = tmp_path / "telemetry" / "segments"
    write_segment(directory, "00000001-1", [decode([payload]).spans], 1)  # and then the power went
    again = _store(tmp_path)
    assert _files(tmp_path, ".parquet") == []
    trace = await again.trace(trace_hex(1))
    assert trace is not None
    assert len(trace.spans) == 1


async def test_small_segments_are_merged_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number in range(20):
        _segment(store, [S(number + 1, 1, at=number), S(100, number + 1, at=number)])
    assert len(_files(tmp_path, ".parquet")) < 10
    assert len(_files(tmp_path, ".idx")) == len(_files(tmp_path, ".parquet"))
    for opened in (store, _store(tmp_path)):
        assert len((await opened.search(TraceQuery(**WHOLE_DAY, limit=100))).traces) == 21
        trace = await opened.trace(trace_hex(100))
        assert trace is not None
        assert len(trace.spans) == 20


async def test_spans_past_their_retention_go_and_do_not_come_back(tmp_path: Path) -> None:
    clock = HandClock()
    store = _store(tmp_path, clock, retention=timedelta(hours=1))
    _segment(store, [S(1, 1)])
    clock.advance(3 * 3600)
    _segment(store, [S(2, 2, at=3 * 3600)])
    assert await store.trace(trace_hex(1)) is None
    again = _store(tmp_path, clock, retention=timedelta(hours=1))
    assert await again.trace(trace_hex(1)) is None
    assert await again.trace(trace_hex(2)) is not None


def _info(name: str, rows: int, newest: int, size: int = 100) -> SegmentInfo:
    return SegmentInfo(name=name, rows=rows, min_start_ns=0, max_start_ns=newest, bytes=size, last_seq=newest)


def test_beyond_the_bound_in_bytes_the_oldest_segments_go_first_whichever_lane_they_are_of() -> None:
    traces, logs = [_info("c", 1, 30), _info("a", 1, 10), _info("b", 1, 20)], [_info("l", 1, 15)]

    def gone(max_bytes: int) -> list[list[str]]:
        return [[info.name for info in lane] for lane in over_bound([traces, [], logs], max_bytes)]

    assert gone(400) == [[], [], []]
    assert gone(350) == [["a"], [], []]
    assert gone(250) == [["a"], [], ["l"]]
    assert gone(150) == [["a", "b"], [], ["l"]]


def test_a_segment_is_past_its_time_when_all_of_it_is() -> None:
    segments = [_info("c", 1, 30), _info("a", 1, 10)]
    assert [info.name for info in expired(segments, oldest_ns=15)] == ["a"]


def test_only_runs_of_small_neighbours_are_merged() -> None:
    small = [_info(f"s{number}", 100, number) for number in range(8)]
    large = _info("large", 90_000, 4)
    assert to_compact(small) == small
    assert to_compact(small[:7]) == []
    assert to_compact([*small[:4], large, *small[4:]]) == []
    heavy = [_info(f"h{number}", 20_000, number) for number in range(20)]
    assert to_compact(heavy) == heavy[:5], "six would be too much to sort at once"


def test_a_failed_compaction_leaves_the_catalogue_as_it_was(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, SPAN_LAYOUT)
    info = write_segment(tmp_path, catalogue.next_name(1), [table([S()])], 1)
    catalogue.advance([info], checkpoint=1)
    before = catalogue.state
    temporary = tmp_path / "catalogue.json.tmp"
    temporary.mkdir()  # writing it fails
    with pytest.raises(IsADirectoryError):
        catalogue.replace({info.name}, [])
    assert catalogue.state == before
    temporary.rmdir()
    assert Catalogue(tmp_path, SPAN_LAYOUT).state == before


async def test_while_a_disk_takes_no_segments_everything_stays_readable_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    payload = body([S(1, 1)])
    store.add(decode([payload]).spans, store.append([payload]))
    store.seal()
    directory = tmp_path / "telemetry" / "segments"
    blocked = directory / "00000001-1.parquet.tmp"
    blocked.mkdir()
    assert not store.flush()
    assert store.status().state == "failing"
    assert "EISDIR" in store.status().detail
    assert await store.trace(trace_hex(1)) is not None
    blocked.rmdir()
    assert store.flush()
    assert await store.trace(trace_hex(1)) is not None
    assert np.all([path.exists() for path in _files(tmp_path, ".parquet")])
    assert store.spans_stored == 1
