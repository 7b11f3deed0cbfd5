"""``script/bench query``: questions over ten million stored spans and a day of rollups, in milliseconds of CPU.

The spans are made by the ingest path's own decoder and written by the store; the clock of the bench's world stands at
the end of the fifteen minutes in which all of them started, so a search has to consider every one. They go past the
write-ahead log, which no question reads. The rollups are of a hundred services over 24 hours, opened as after a
restart.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from bench._history import a_day
from bench._log_export import log_export
from bench._payload import Again, payload
from bench.slo import slo_30d
from homeostat.core.analysis import Split
from homeostat.core.config import StorageConfig
from homeostat.core.models import TraceQuery
from homeostat.observe.analysis.bottlenecks import bottlenecks
from homeostat.observe.analysis.differences import differences
from homeostat.observe.analysis.latency import latency
from homeostat.observe.decode.traces import decode
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.store import EmbeddedTelemetryStore

TRACES_PER_ROUND: Final = 10_000  # ten spans each
WINDOW: Final = timedelta(minutes=15)
REPEATS: Final = 7
GROUP: Final = 8


def _fill(store: EmbeddedTelemetryStore, end: datetime, rounds: int) -> list[str]:
    """Store the spans; gives some trace ids. Each round covers its own share of the window."""
    share = WINDOW / rounds
    known: list[str] = []
    seq = 0
    for number in range(rounds):
        start_ns = int((end - WINDOW + number * share).timestamp() * 1e9)
        made = payload(
            TRACES_PER_ROUND // 4, start_ns=start_ns, length_ns=int(share.total_seconds() * 1e9), seed=number
        )
        bodies = [body for again in range(4) for body in Again(made).round(number * 4 + again)]
        for at in range(0, len(bodies), GROUP):
            group = bodies[at : at + GROUP]
            spans = decode(group).spans
            if at == 0:
                known += [trace_id.hex() for trace_id in spans["trace_id"][:40:20].to_pylist()]
            seq += 1
            store.add(spans, seq)
            if store.is_due:
                store.seal()
                store.flush()
    store.seal()
    store.flush()
    return known


async def _cpu_ms(ask: Callable[[], Awaitable[object]]) -> float:
    """Median over some repetitions; the first, which opens files, is counted as well."""
    taken: list[float] = []
    for _ in range(REPEATS):
        before = time.process_time()
        await ask()
        taken.append((time.process_time() - before) * 1000)
    return statistics.median(taken)


def _duckdb_cpu_ms(segments: Path, trace_id: str, start_ns: int) -> tuple[float, float]:
    """The same two questions asked of the same files with SQL: trace by id, and the newest failures of a service."""
    connection = duckdb.connect(config={"threads": 2})
    files = str(segments / "*.parquet")
    by_id = f"SELECT * FROM read_parquet('{files}') WHERE trace_id = from_hex('{trace_id}')"
    failures = (
        f"SELECT trace_id, max(start_ns) AS newest FROM read_parquet('{files}') "
        f"WHERE service = 'payment' AND status_code = 2 AND start_ns >= {start_ns} "
        "GROUP BY trace_id ORDER BY newest DESC LIMIT 20"
    )
    taken: list[float] = []
    for sql in (by_id, failures):
        connection.execute(sql).fetchall()
        before = time.process_time()
        connection.execute(sql).fetchall()
        taken.append((time.process_time() - before) * 1000)
    return taken[0], taken[1]


async def _of_names_and_populations(store: EmbeddedTelemetryStore, window: TraceQuery) -> dict[str, float]:
    """Names of what is stored, pages, and questions over many traces."""
    page = await store.search(window)
    following = window.model_copy(update={"cursor": page.next_cursor})
    many = await store.search(window.model_copy(update={"limit": 300}))
    ids = [summary.trace_id for summary in many.traces]
    traces = await store.traces(ids)

    async def split() -> object:
        return differences(traces[:150], traces[150:], Split.LATENCY)

    async def rank() -> object:
        return bottlenecks(traces)

    return {
        "services_cpu_ms": await _cpu_ms(lambda: store.services(window.start)),
        "operations_cpu_ms": await _cpu_ms(lambda: store.operations("payment", window.start)),
        "search_15min_next_page_cpu_ms": await _cpu_ms(lambda: store.search(following)),
        "read_300_traces_cpu_ms": await _cpu_ms(lambda: store.traces(ids)),
        "differences_300_traces_cpu_ms": await _cpu_ms(split),
        "bottlenecks_300_traces_cpu_ms": await _cpu_ms(rank),
    }


async def _of_rollups(now: datetime) -> dict[str, float]:
    """Percentiles of each minute of a day, for one service, and who called whom in an hour."""
    end = now.replace(second=0, microsecond=0)
    end_s = int(end.timestamp())
    with a_day(end) as rollups:

        async def percentiles() -> object:
            rows = rollups.minutes("service-7", end_s - 86_400, end_s)
            return latency(
                rows,
                service="service-7",
                operation=None,
                start_s=end_s - 86_400,
                end_s=end_s,
                step_s=60,
                reach=rollups.reach(),
            )

        async def dependencies() -> object:
            return rollups.edges(end_s - 3_600, end_s)

        async def minutes() -> object:
            return rollups.minutes("service-7", end_s - 86_400, end_s)

        async def series() -> object:
            return rollups.series("service-7", end_s - 86_400, end_s, 60)

        async def window() -> object:
            return rollups.window(end_s - 60, end_s)

        return {
            "percentiles_per_minute_cpu_ms": await _cpu_ms(percentiles),
            "dependency_map_cpu_ms": await _cpu_ms(dependencies),
            "minutes_24h_cpu_ms": await _cpu_ms(minutes),
            "series_24h_cpu_ms": await _cpu_ms(series),
            "window_60s_cpu_ms": await _cpu_ms(window),
        }


async def _of_history(now: datetime) -> dict[str, float]:
    """Everything that rollups answer."""
    numbers = await _of_rollups(now)
    month = await slo_30d(now)
    kinds = ("availability", "latency")
    return numbers | {
        "minutes_30d_cpu_ms": month["minutes_30d_cpu_ms"],
        "slo_30d_cpu_ms": month["slo_30d_cpu_ms"],
        "slo_30d_cold_cpu_ms": max(month[f"slo_30d_{kind}_cold_cpu_ms"] for kind in kinds),
    }


async def _measure(spans: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        storage = StorageConfig(path=Path(directory))
        store = EmbeddedTelemetryStore(storage, SystemClock())
        list(store.replay())
        end = datetime.now(UTC)
        known = _fill(store, end, spans // (TRACES_PER_ROUND * 10))
        store.close()
        store = EmbeddedTelemetryStore(storage, SystemClock())  # as after a restart: nothing is opened yet
        list(store.replay())
        chance = random.Random(1)
        window = TraceQuery(start=end - WINDOW, end=end)
        sample = await store.trace(known[0])
        assert sample is not None
        order = sample.spans[0].attributes["order.id"]

        def search(**conditions: object) -> Callable[[], Awaitable[object]]:
            query = TraceQuery.model_validate({**window.model_dump(), **conditions})
            return lambda: store.search(query)

        segments = Path(directory) / "telemetry" / "segments"
        numbers: dict[str, float] = {
            "spans": spans,
            "segments": len(list(segments.glob("*.parquet"))),
            "bytes_per_span": sum(path.stat().st_size for path in segments.iterdir()) / spans,
            "trace_by_id_cpu_ms": await _cpu_ms(lambda: store.trace(chance.choice(known))),
            "trace_by_id_unknown_cpu_ms": await _cpu_ms(lambda: store.trace(f"{chance.getrandbits(128):032x}")),
            "search_15min_cpu_ms": await _cpu_ms(search()),
            "search_15min_service_cpu_ms": await _cpu_ms(search(service="payment")),
            "search_15min_errors_cpu_ms": await _cpu_ms(search(service="payment", errors_only=True)),
            "search_15min_rare_slow_cpu_ms": await _cpu_ms(search(min_duration_ms=900.0)),
            "search_15min_attribute_cpu_ms": await _cpu_ms(search(attributes={"order.id": order})),
            "search_15min_attribute_common_cpu_ms": await _cpu_ms(search(attributes={"region": "eu-1"})),
            "search_15min_attribute_of_none_cpu_ms": await _cpu_ms(search(attributes={"order.id": "o-none"})),
            "search_15min_text_common_cpu_ms": await _cpu_ms(search(text="eu-1")),
            "search_15min_text_and_attribute_cpu_ms": await _cpu_ms(
                search(text=order, attributes={"order.id": order})
            ),
            "search_15min_nothing_matches_cpu_ms": await _cpu_ms(search(min_duration_ms=1e9)),
            "examples_cpu_ms": await _cpu_ms(
                lambda: store.example_traces("payment", end - timedelta(minutes=1), errors=True)
            ),
        }
        numbers |= await _of_names_and_populations(store, window)
        numbers |= await _of_history(end)
        numbers |= await log_export()
        by_id, failures = _duckdb_cpu_ms(segments, known[1], int((end - WINDOW).timestamp() * 1e9))
        numbers["duckdb_trace_by_id_cpu_ms"] = by_id
        numbers["duckdb_search_errors_cpu_ms"] = failures
        numbers["ratio_trace_by_id_to_duckdb"] = by_id / numbers["trace_by_id_cpu_ms"]
        numbers["ratio_search_errors_to_duckdb"] = failures / numbers["search_15min_errors_cpu_ms"]
        return {name: round(value, 1) for name, value in numbers.items()}


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.query", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--spans", type=int, default=10_000_000, help="stored before asking (default 10 million)")
    parser.add_argument(
        "--only",
        choices=["history", "logs"],
        help="only what rollups answer, or the export of logs: no spans are stored",
    )
    options = parser.parse_args(argv)
    if options.only:
        found = asyncio.run(log_export() if options.only == "logs" else _of_history(datetime.now(UTC)))
        numbers = {name: round(value, 2) for name, value in found.items()}
    else:
        numbers = asyncio.run(_measure(options.spans))
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:40} {value:>14,}")


if __name__ == "__main__":
    main()
