"""A day of rollups for ``bench.query``: a hundred services that call each other, written, merged and opened again."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.observe.presence import Presence
from homeostat.observe.red import RED_COLUMNS, Red
from homeostat.observe.rollup_restoring import restore
from homeostat.observe.rollups import Rollups
from homeostat.observe.trace_keeper import TraceKeeper
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.schema import KIND_CLIENT, KIND_SERVER, SPAN_SCHEMA
from homeostat.store.telemetry.segment import SPAN_LAYOUT

SERVICES: Final = 100
HOURS: Final = 24
_CALLS_PER_MINUTE: Final = 4  # of each service
_RETENTION: Final = timedelta(days=30)


class _Clock:
    """Stands where the history has got to."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


def _calls(hour_ns: int, seed: int, services: int) -> pa.Table:
    """An hour in which every service calls its neighbour: a client and a server span for each call."""
    chance = np.random.default_rng(seed)
    calls = services * _CALLS_PER_MINUTE * 60
    caller = np.tile(np.arange(services), _CALLS_PER_MINUTE * 60)
    starts = hour_ns + np.repeat(np.arange(calls // services), services) * (3_600_000_000_000 * services // calls)
    durations = (chance.lognormal(16, 1, calls)).astype(np.int64)
    ids = (np.arange(2 * calls, dtype=np.uint64) + np.uint64(seed * 2 * calls + 1)).astype(">u8")
    client, server = ids[:calls], ids[calls:]
    zeros = np.zeros(calls, dtype=">u8")
    traces = np.stack([zeros, client], axis=1)
    both = np.concatenate([traces, traces])
    names = pa.array([f"service-{number}" for number in range(services)])
    columns = {
        "trace_id": _binary(both.tobytes(), 16, 2 * calls),
        "span_id": _binary(ids.tobytes(), 8, 2 * calls),
        "parent_span_id": pa.concat_arrays([pa.nulls(calls, pa.binary(8)), _binary(client.tobytes(), 8, calls)]),
        "service": _words(np.concatenate([caller, (caller + 1) % services]), names),
        "name": _words(np.repeat([0, 1], calls), pa.array(["GET", "GET /items"])),
        "scope": _words(np.zeros(2 * calls, dtype=np.int64), pa.array(["bench"])),
        "kind": pa.array(np.repeat(np.array([KIND_CLIENT, KIND_SERVER], dtype=np.int8), calls)),
        "start_ns": pa.array(np.concatenate([starts, starts + 1_000_000])),
        "duration_ns": pa.array(np.concatenate([durations + 2_000_000, durations])),
        "status_code": pa.array(np.where(chance.random(2 * calls) < 0.01, 2, 0).astype(np.int8)),
    }
    assert len(server) == calls
    schema = pa.schema([SPAN_SCHEMA.field(name) for name in RED_COLUMNS])
    return pa.Table.from_arrays([columns[name] for name in RED_COLUMNS], schema=schema)


def _binary(data: bytes, width: int, rows: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(data)])


def _words(codes: np.ndarray, words: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), words)


def _open(directory: Path, clock: _Clock) -> tuple[Red, Catalogue, Rollups, TraceKeeper]:
    catalogue = Catalogue(directory / "segments", SPAN_LAYOUT)
    red = Red(clock)
    presence = Presence(directory / "presence.json", clock, int(_RETENTION.total_seconds()))
    rollups = Rollups(red, catalogue, presence, clock, _RETENTION)
    red.begin_delta()
    now_s = int(clock.now().timestamp())
    restore(red, catalogue.attachment_dir, catalogue.state.attachments, now_s)
    presence.begin(now_s, alive_until_s=red.latest_s())
    return red, catalogue, rollups, TraceKeeper(red, rollups, presence, clock)


def _settle(rollups: Rollups) -> None:
    """Wait until everything is merged that can be."""
    rollups.tend()
    while (merging := rollups.merging) is not None:
        merging.result()
        rollups.tend()


@contextmanager
def written(end: datetime, *, hours: int, services: int) -> Generator[Path]:
    """A directory with rollups up to ``end``, merged as they would be by then."""
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "store"
        clock = _Clock(end - timedelta(hours=hours))
        _, catalogue, rollups, keeper = _open(directory, clock)
        for hour in range(hours):
            start_ns = int((end - timedelta(hours=hours - hour)).timestamp()) * 10**9
            clock.time = end - timedelta(hours=hours - hour - 1)
            keeper.count(_calls(start_ns, hour, services))
            extras = keeper.on_seal(hour + 1)
            attachments = extras.write(catalogue.attachment_dir)
            catalogue.advance([], checkpoint=hour + 1, replay_from=extras.replay_from, attachments=attachments)
            _settle(rollups)
        rollups.close()
        yield directory


@contextmanager
def opened(directory: Path, end: datetime) -> Generator[Rollups]:
    """The rollups of a directory as after a restart."""
    _, _, rollups, _ = _open(directory, _Clock(end))
    yield rollups
    rollups.close()


@contextmanager
def a_day(end: datetime, *, hours: int = HOURS, services: int = SERVICES) -> Generator[Rollups]:
    """Rollups as after a restart at ``end``, a day (or so many hours) after the first span."""
    with written(end, hours=hours, services=services) as directory, opened(directory, end) as rollups:
        yield rollups
