"""What the store says of itself: full only for lack of room, and only as long as that lasts."""

import errno
import os
from pathlib import Path

import pytest

from homeostat.core.config import StorageConfig
from homeostat.core.errors import StoreError, StoreFullError
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry import disk, layout
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.spans import HandClock, S, body

PAYLOAD = body([S(1, 1)])


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedTelemetryStore:
    opened = EmbeddedTelemetryStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    assert list(opened.replay()) == []
    return opened


def _append(store: EmbeddedTelemetryStore) -> None:
    store.add(decode([PAYLOAD]).spans, store.append([PAYLOAD]))


def _fail(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(owner, name, fails)


def test_room_that_was_made_is_seen_although_nothing_is_sent(
    store: EmbeddedTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: 1000)
        with pytest.raises(StoreFullError):
            _append(store)
        assert store.status().state == "full"
    assert store.status().state == "ok"


def test_a_quota_that_the_free_bytes_do_not_show_stays_full_until_an_append_works(
    store: EmbeddedTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _fail(patch, os, "fdatasync", errno.EDQUOT)
        with pytest.raises(StoreFullError):
            _append(store)
    assert store.status().state == "full"
    _append(store)
    assert store.status().state == "ok"


def test_an_append_does_not_hide_that_segments_can_not_be_written(
    store: EmbeddedTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(store)
    store.seal()
    with monkeypatch.context() as patch:
        _fail(patch, layout, "write", errno.EIO)
        assert not store.flush()
        _append(store)
    status = store.status()
    assert (status.state, "EIO" in status.detail) == ("failing", True)
    assert store.flush()
    assert store.status().state == "ok"


def test_a_flush_that_works_does_not_hide_that_the_log_fails(
    store: EmbeddedTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _fail(patch, os, "fdatasync", errno.EIO)
        with pytest.raises(StoreError):
            _append(store)
    assert store.flush()
    status = store.status()
    assert (status.state, os.strerror(errno.EIO) in status.detail) == ("failing", True)
    _append(store)
    assert store.status().state == "ok"


def test_a_disk_without_room_for_segments_is_full(
    store: EmbeddedTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(store)
    store.seal()
    _fail(monkeypatch, layout, "write", errno.ENOSPC)
    assert not store.flush()
    assert store.status().state == "full", "however much the disk says is free"
