"""Segments that can't be read are set aside, never deleted, and taken back when the trouble was of the moment."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.core.config import StorageConfig
from homeostat.core.models import TraceQuery
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.spans import NOON, HandClock, S, body, trace_hex

WHOLE_DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


def _store(directory: Path) -> EmbeddedTelemetryStore:
    store = EmbeddedTelemetryStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
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


async def _found(store: EmbeddedTelemetryStore) -> list[int]:
    """Numbers of the traces that the store has, ascending."""
    summaries = (await store.search(TraceQuery(**WHOLE_DAY, limit=100))).traces
    return sorted(int(summary.trace_id, 16) for summary in summaries)


async def test_one_failed_read_without_a_catalogue_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    for trace in (1, 2, 3):
        _segment(store, [S(trace, 1, at=trace)])
    (catalogue,) = _files(tmp_path, "catalogue.json")
    catalogue.write_text("{ not json")
    victim = _files(tmp_path, ".parquet")[1]
    read_table = pq.read_table

    def fails(path: Path, columns: list[str] | None = None) -> pa.Table:
        if path.name.startswith(victim.name):
            raise OSError(5, "Input/output error")
        return read_table(path, columns=columns)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", fails)
        store = _store(tmp_path)
        assert await _found(store) == [1, 3]
        assert victim.name in store.status().detail
        assert [path.name for path in _files(tmp_path, ".unreadable")] == [f"{victim.name}.unreadable"]
        assert await _found(_store(tmp_path)) == [1, 3], "with a catalogue that does not name it, it stays as well"
    again = _store(tmp_path)
    assert await _found(again) == [1, 2, 3]
    assert again.problems == []
    assert _files(tmp_path, ".unreadable") == []


async def test_a_segment_without_its_index_is_taken_in_when_the_catalogue_is_lost(tmp_path: Path) -> None:
    _segment(_store(tmp_path), [S(1, 1)])
    for path in [*_files(tmp_path, ".idx"), *_files(tmp_path, "catalogue.json")]:
        path.unlink()
    store = _store(tmp_path)
    assert await store.trace(trace_hex(1)) is not None
    assert store.problems == []


async def test_a_name_that_is_set_aside_is_not_given_out_again(tmp_path: Path) -> None:
    _segment(_store(tmp_path), [S(1, 1)])
    (victim,) = _files(tmp_path, ".parquet")
    victim.write_bytes(b"no parquet at all")
    _files(tmp_path, "catalogue.json")[0].unlink()
    _segment(_store(tmp_path), [S(2, 2)])
    assert _files(tmp_path, ".parquet")[0].name.startswith("00000002-")
    assert [path.name for path in _files(tmp_path, ".unreadable")] == [f"{victim.name}.unreadable"]


async def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    _segment(_store(tmp_path), [S(1, 1)])
    other = tmp_path / "telemetry" / "segments" / "my-export.parquet"
    other.write_bytes(b"mine")
    assert await _found(_store(tmp_path)) == [1]
    assert other.read_bytes() == b"mine"


@pytest.mark.parametrize("damage", ["other", "gone"])
async def test_a_segment_that_can_not_be_read_does_not_stop_the_others_from_being_merged(
    tmp_path: Path, damage: str
) -> None:
    store = _store(tmp_path)
    for trace in range(1, 8):
        _segment(store, [S(trace, 1, at=trace)])
    victim = _files(tmp_path, ".parquet")[3]
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"no parquet at all")
    for trace in range(8, 11):
        _segment(store, [S(trace, 1, at=trace)])
    expected = [1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert len(_files(tmp_path, ".parquet")) < len(expected)
    assert await _found(store) == expected
    assert victim.name.split(".")[0] in store.status().detail
    assert len(_files(tmp_path, ".unreadable")) == (damage == "other")
    assert await _found(_store(tmp_path)) == expected


async def test_too_many_open_files_is_no_reason_to_set_a_segment_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    for trace in range(1, 8):
        _segment(store, [S(trace, 1, at=trace)])

    def fails(*_: object, **__: object) -> pq.ParquetFile:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", fails)
        _segment(store, [S(8, 1, at=8)])
    assert _files(tmp_path, ".unreadable") == []
    _segment(store, [S(9, 1, at=9)])
    assert len(_files(tmp_path, ".parquet")) == 1
    assert await _found(store) == list(range(1, 10))


async def test_a_segment_that_is_gone_is_reported_and_the_others_answer_after_a_restart(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for trace in (1, 2, 3):
        _segment(store, [S(trace, 1, at=trace)])
    victim = _files(tmp_path, ".parquet")[1]
    victim.unlink()
    again = _store(tmp_path)
    assert await _found(again) == [1, 3]
    assert victim.stem in again.status().detail
