"""The write-ahead log gives back what was appended, whatever happened to the process or the file in between."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import StoreError, StoreFullError
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.wal import WriteAheadLog
from homeostat.store.telemetry.wal_format import HEADER_BYTES, KIND_TRACES, MARKER, Damage, Record, encode, scan

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=12)


def _log(directory: Path, *, after_seq: int = 0, min_free_bytes: int = 0) -> WriteAheadLog:
    return WriteAheadLog(directory, after_seq=after_seq, min_free_bytes=min_free_bytes)


def _reopened(directory: Path, *, after_seq: int = 0) -> tuple[WriteAheadLog, list[Record]]:
    log = _log(directory, after_seq=after_seq)
    return log, list(log.replay())


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.wal"))


@given(st.lists(PAYLOADS, max_size=5))
@settings(max_examples=40, deadline=None)
def test_what_was_appended_is_replayed_in_order(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[bytes]]
) -> None:
    directory = tmp_path_factory.mktemp("wal")
    _, records = _reopened(directory)
    assert records == []
    expected: list[bytes] = []
    for group in groups:  # a process for each group
        log, _ = _reopened(directory)
        log.append(group, KIND_TRACES)
        log.close()
        expected += group
    _, records = _reopened(directory)
    assert [record.payload for record in records] == expected
    seqs = [record.seq for record in records]
    assert seqs == sorted(set(seqs))


def test_a_replay_begins_behind_the_checkpoint_and_old_files_go(tmp_path: Path) -> None:
    log, _ = _reopened(tmp_path)
    log.append([b"a", b"b"], KIND_TRACES)
    log.rotate()
    log.append([b"c", b"d"], KIND_TRACES)
    log.close()
    assert len(_files(tmp_path)) == 2
    log, records = _reopened(tmp_path, after_seq=3)
    assert [record.payload for record in records] == [b"d"]
    assert len(_files(tmp_path)) == 1, "the file that held only a and b"
    assert log.append([b"e"], KIND_TRACES) == 5
    log.discard(4)
    log.close()
    assert [record.payload for record in _reopened(tmp_path, after_seq=4)[1]] == [b"e"]


def test_sequence_numbers_never_repeat_even_when_the_log_is_empty(tmp_path: Path) -> None:
    log, _ = _reopened(tmp_path, after_seq=41)
    assert log.append([b"x"], KIND_TRACES) == 42


@given(PAYLOADS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_torn_tail_costs_only_what_was_never_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("wal")
    log, _ = _reopened(directory)
    for payload in payloads:
        log.append([payload], KIND_TRACES)
    log.close()
    (path,) = _files(directory)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    log, records = _reopened(directory)
    ends = [HEADER_BYTES * (n + 1) + sum(map(len, payloads[: n + 1])) for n in range(len(payloads))]
    kept = sum(end <= cut for end in ends)
    assert [record.payload for record in records] == payloads[:kept]
    assert log.problems == []
    log.append([b"after"], KIND_TRACES)
    log.close()
    assert [record.payload for record in _reopened(directory)[1]] == [*payloads[:kept], b"after"]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=3, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_damage_in_the_middle_is_reported_and_the_rest_is_kept(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("wal")
    log, _ = _reopened(directory)
    log.append(payloads, KIND_TRACES)
    log.close()
    (path,) = _files(directory)
    content = bytearray(path.read_bytes())
    victim = data.draw(st.integers(0, len(payloads) - 2))
    start = sum(HEADER_BYTES + len(payload) for payload in payloads[:victim])
    place = data.draw(st.integers(start, start + HEADER_BYTES + len(payloads[victim]) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    log, records = _reopened(directory)
    assert [record.payload for record in records] == payloads[:victim] + payloads[victim + 1 :]
    assert len(log.problems) == 1
    assert "damaged from byte" in str(log.problems[0])


def test_a_marker_inside_a_payload_is_not_taken_for_a_record() -> None:
    tricky = b"".join(encode(7, KIND_TRACES, b"inner"))
    data = b"garbage" + b"".join(encode(1, KIND_TRACES, MARKER + tricky[:-1] + MARKER))
    found = [item for _, item in scan(data)]
    assert found[0] == Damage(0, 7)
    assert next(item for item in found if isinstance(item, Record)).seq == 1
    assert len(found) == 2


def test_below_the_free_space_that_was_asked_for_nothing_is_acknowledged(tmp_path: Path) -> None:
    log = _log(tmp_path, min_free_bytes=1 << 60)
    list(log.replay())
    with pytest.raises(StoreFullError, match="Make room"):
        log.append([b"x"], KIND_TRACES)
    assert _files(tmp_path) == []


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """The kernel then refuses to make files larger: short writes first, EFBIG next, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_kernel_cuts_short_is_rolled_back_and_the_log_recovers_by_itself(tmp_path: Path) -> None:
    log, _ = _reopened(tmp_path)
    log.append([b"a" * 1000], KIND_TRACES)
    with _file_size_limit(3000):
        for _ in range(2):
            with pytest.raises(StoreFullError):
                log.append([b"b" * 1500, b"b" * 1500], KIND_TRACES)
        log.append([b"c" * 100], KIND_TRACES)  # there is room for this one
    log.append([b"d" * 5000], KIND_TRACES)
    log.close()
    log, records = _reopened(tmp_path)
    assert [record.payload[:1] for record in records] == [b"a", b"c", b"d"]
    assert log.problems == []


def test_a_disk_that_fails_is_not_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = _reopened(tmp_path)
    log.append([b"a"], KIND_TRACES)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreError, match="can't be written") as raised:
            log.append([b"never acknowledged"], KIND_TRACES)
    assert not isinstance(raised.value, StoreFullError)
    log.append([b"b"], KIND_TRACES)
    log.close()
    assert [record.payload for record in _reopened(tmp_path)[1]] == [b"a", b"b"]


def test_used_and_free_bytes_are_those_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1000)
    assert disk.used_bytes(tmp_path) == 1000
    assert disk.free_bytes(tmp_path) > 0


@given(st.binary(max_size=300), st.integers(0, 200), st.data())
@settings(max_examples=60, deadline=None)
def test_a_packed_payload_is_the_same_again_and_a_damaged_one_is_none(
    piece: bytes, times: int, data: st.DataObject
) -> None:
    payload = piece * times
    written = b"".join(encode(7, KIND_TRACES, payload))
    assert [item for _, item in scan(written)] == [Record(7, KIND_TRACES, payload)]
    if len(payload) > 4_096:
        assert len(written) < len(payload) * 3 // 4 + HEADER_BYTES
    place = data.draw(st.integers(0, len(written) - 1))
    damaged = bytearray(written)
    damaged[place] ^= data.draw(st.integers(1, 255))
    assert not [item for _, item in scan(bytes(damaged)) if isinstance(item, Record)]


def test_a_payload_that_says_it_was_packed_and_was_not_is_damage() -> None:
    for payload in (b"", b"abc", b"\xff\xff\xff\xff" + b"x" * 50, (10).to_bytes(4, "little") + b"\x00" * 50):
        written = b"".join(encode(7, KIND_TRACES | 0x80, payload))
        assert [type(item) for _, item in scan(written)] == [Damage]
