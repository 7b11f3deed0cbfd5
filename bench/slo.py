"""``script/bench slo``: one service's objective over 30 days of minutes, in milliseconds of CPU.

The month is written by the rollups themselves, merged as they merge it, and opened again as after a restart. Warm is
what every evaluation costs (``slo.interval``): newest minutes read, budget, burn rates, alerts and forecast computed.
Cold is the first one after a restart, which reads all 43,200 minutes from files: opened anew for each, under a name
that nothing is remembered of. The month ends in the last hour of a week, when there are most files.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench._history import opened, written
from homeostat.core.slo import Sli, SliKind, Slo
from homeostat.observe.slo.sources import RedSource
from homeostat.observe.slo.tracker import Tracker
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.rollup_merge import HOUR_S, WEEK_S

DAYS: Final = 30
SERVICE: Final = "service-0"
REPEATS: Final = 15
COLD_REPEATS: Final = 7
STEP_S: Final = 10_800
REQUESTS_PER_MINUTE: Final = 8  # four calls of the history: each a root span and a server span


async def _cpu_ms(ask: Callable[[], Awaitable[object]], repeats: int = REPEATS) -> float:
    """Median of the process's CPU time, threads included."""
    taken: list[float] = []
    for _ in range(repeats):
        before = time.process_time()
        await ask()
        taken.append((time.process_time() - before) * 1000)
    return statistics.median(taken)


def _slo(kind: SliKind, now: datetime) -> Slo:
    sli = Sli(kind=kind, threshold_ms=25.0 if kind is SliKind.LATENCY else None)
    return Slo(
        id=f"slo-{kind.value}",
        name=kind.value,
        service=SERVICE,
        target=0.98,
        window=timedelta(days=DAYS),
        sli=sli,
        created_at=now,
    )


async def _cold(directory: Path, slo: Slo, now: datetime, end: datetime) -> float:
    """Median over restarts."""
    taken: list[float] = []
    for repeat in range(COLD_REPEATS):
        copy = shutil.copytree(directory, directory.with_name(f"{slo.id}-{repeat}"))
        with opened(copy, end) as rollups:
            taken.append(await _cpu_ms(lambda: Tracker(slo, RedSource(slo, rollups)).look(now), 1))
        shutil.rmtree(copy)
    return statistics.median(taken)


async def _of(directory: Path, kind: SliKind, now: datetime, end: datetime) -> dict[str, float]:
    """Cold, warm and the page's history of one objective."""
    slo = _slo(kind, now)
    with opened(directory, end) as rollups:
        tracker = Tracker(slo, RedSource(slo, rollups))
        first = await tracker.look(now)
        expected = DAYS * 24 * 60 * REQUESTS_PER_MINUTE
        assert first.total == expected, f"{first.total} of {expected} requests were counted"

        async def history() -> object:
            return tracker.points(now, STEP_S)

        return {
            f"slo_30d_{kind.value}_cold_cpu_ms": await _cold(directory, slo, now, end),
            f"slo_30d_{kind.value}_cpu_ms": await _cpu_ms(lambda: tracker.look(now)),
            f"slo_30d_{kind.value}_history_cpu_ms": await _cpu_ms(history),
        }


async def slo_30d(now: datetime) -> dict[str, float]:
    """Every figure; ``slo_30d_cpu_ms`` is the dearer of the two kinds, warm."""
    now_s = int(now.timestamp())
    end_s = now_s - now_s % WEEK_S - HOUR_S
    end = datetime.fromtimestamp(end_s, UTC)
    with written(end, hours=DAYS * 24, services=1) as directory:
        at = end - timedelta(seconds=1)
        with opened(directory, end) as rollups:

            async def minutes() -> object:
                return rollups.minutes(SERVICE, end_s - DAYS * 86_400, end_s)

            figures = {"minutes_30d_cpu_ms": await _cpu_ms(minutes)}
        for kind in (SliKind.AVAILABILITY, SliKind.LATENCY):
            figures |= await _of(directory, kind, at, end)
    warm = max(figures["slo_30d_availability_cpu_ms"], figures["slo_30d_latency_cpu_ms"])
    return {"slo_30d_minutes": DAYS * 24 * 60, "slo_30d_cpu_ms": warm, **figures}


def main() -> None:
    """Print the figures, for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="a flat object")
    wanted = parser.parse_args()
    found = asyncio.run(slo_30d(SystemClock().now().astimezone(UTC)))
    figures = {name: round(value, 3) for name, value in found.items()}
    if wanted.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:40} {value:>12,.3f}")


if __name__ == "__main__":
    main()
