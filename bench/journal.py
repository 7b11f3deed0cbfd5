"""Journal throughput: durable three-step runs a second, beside what one flush to the disk costs here.

A run is eight records, as the healing runner writes them: creation, intent and result of three steps, verdict. Each
append returns after its transaction is on disk; with many runs at once they share transactions. Run:
``script/bench journal --json``.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio

from homeostat.core.models import EffectClass, PlanStep, Run, RunStatus
from homeostat.core.ports import Journal
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state

STEPS = 3
FLUSHES = 50
STATUSES = (RunStatus.AWAITING_APPROVAL, *(RunStatus.INTENT, RunStatus.ACTED) * STEPS, RunStatus.VERIFIED)


def make_run(number: int) -> Run:
    """A run of the size that the runner writes."""
    return Run(
        id=f"run-{number:08}",
        incident_id=f"incident-{number // 4:08}",
        issue_id=f"issue-{number // 4:08}",
        plan_id=f"plan-{number:08}",
        plan_digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        step=PlanStep(
            action="disable_flag",
            resource="flag:errorInjectionEnabled",
            parameters={"value": False},
            why="81 % of the errors of service:payment began with this flag's change",
            confidence=0.82,
        ),
        effect=EffectClass.IDEMPOTENT,
        status=STATUSES[0],
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        before={"value": True},
    )


async def write_runs(journal: Journal, first: int, count: int, concurrent: int) -> list[float]:
    """Latency of every append in milliseconds."""
    latencies: list[float] = []
    places = anyio.Semaphore(concurrent)

    async def one(number: int) -> None:
        async with places:
            run = make_run(number)
            for status in STATUSES:
                start = time.perf_counter()
                await journal.append(run.model_copy(update={"status": status}))
                latencies.append((time.perf_counter() - start) * 1e3)

    async with anyio.create_task_group() as group:
        for number in range(first, first + count):
            group.start_soon(one, number)
    return latencies


def flush_ms(folder: Path) -> float:
    """Median of one 4 KiB append with ``fdatasync``: the price of one durable write by itself."""
    times: list[float] = []
    with (folder / "flush").open("ab", buffering=0) as file:
        for _ in range(FLUSHES):
            start = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


async def measure(folder: Path, runs: int, concurrent: int) -> dict[str, float | int]:
    """The figures of one round."""
    path = folder / "state.db"
    async with open_state(path, SystemClock()).opened() as store:
        await write_runs(store, 0, concurrent, concurrent)  # warm: compiled statements, pages in the file
        start, cpu = time.perf_counter(), time.process_time()
        latencies = await write_runs(store, concurrent, runs, concurrent)
        took, cpu_took = time.perf_counter() - start, time.process_time() - cpu
        kept = len(await store.runs(limit=runs + concurrent + 1))
    start = time.perf_counter()
    async with open_state(path, SystemClock()).opened():
        reopen_ms = (time.perf_counter() - start) * 1e3
    if kept != runs + concurrent:
        sys.exit(f"{kept} runs kept of {runs + concurrent}")
    flush = flush_ms(folder)
    ordered = sorted(latencies)
    return {
        "concurrent": concurrent,
        "runs": runs,
        "runs_per_second": round(runs / took, 1),
        "records_per_second": round(len(latencies) / took, 1),
        "cpu_us_per_record": round(cpu_took / len(latencies) * 1e6, 1),
        "append_p50_ms": round(statistics.median(ordered), 2),
        "append_p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
        "bytes_per_record": round(path.stat().st_size / ((runs + concurrent) * len(STATUSES)), 1),
        "flush_ms": round(flush, 3),
        "records_per_flush_time": round(len(latencies) / took * flush / 1e3, 2),
        "reopen_ms": round(reopen_ms, 1),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--concurrent", type=int, default=128)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = asyncio.run(measure(Path(folder), arguments.runs, arguments.concurrent))
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
