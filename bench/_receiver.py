"""A real telemetry path in a process of its own, for ``bench.ingest`` and ``bench.sampling``.

``python -m bench._receiver DIRECTORY [all] [often]``: with ``all`` every trace is kept; otherwise they are sampled by
the policies that are built in. With ``often`` there are checkpoints every few seconds.

Prints ``{"port": ...}`` when it is ready. When its standard input closes it stops taking requests, settles everything
in segments and prints what it used, from ready to settled.
"""

import json
import resource
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import uvloop

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.memory import leave_alone
from homeostat.observe.pipeline import running
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.lane import FlushPolicy

OFTEN = FlushPolicy(rows=8_192, age_s=2.0)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _run(directory: Path, sampling: SamplingConfig | None, policy: FlushPolicy | None) -> None:
    receivers = ReceiverConfig.only(otlp_http_port=0)
    storage = StorageConfig(path=directory)
    async with running(receivers, storage, SystemClock(), policy=policy, sampling=sampling) as pipeline:
        leave_alone()  # as the server does
        before = _cpu_s()
        idle_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"port": pipeline.http_port}), flush=True)
        started = time.monotonic()
        await anyio.to_thread.run_sync(sys.stdin.read)
        received_s = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "cpu_s": _cpu_s() - before,
                "idle_rss_mb": idle_rss_mb,
                "peak_rss_mb": usage.ru_maxrss / 1024,
                "user_s": usage.ru_utime,
                "system_s": usage.ru_stime,
                "received_s": received_s,
                "spans_received": pipeline.counters.spans_received,
                "spans_stored": pipeline.store.spans_stored,
                "spans_sampled_out": pipeline.counters.spans_sampled_out,
                "metric_points_stored": pipeline.metrics.rows_stored,
                "log_records_stored": pipeline.logs.rows_stored,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    uvloop.run(
        _run(
            Path(sys.argv[1]),
            None if "all" in sys.argv[2:] else SamplingConfig(),
            OFTEN if "often" in sys.argv[2:] else None,
        )
    )
