"""A real telemetry path with every receiver on, in a process of its own, for ``bench.fuzz``.

``python -m bench._fuzz_target DIRECTORY PORT`` scrapes what is shown on the port, and prints its own ports as JSON.
Then each line of its input is a question that a
line answers: ``trace HEX`` (is it stored?), ``counters``. When the input ends, it stops as ``homeostat up`` does.
"""

import faulthandler
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

import anyio
import anyio.to_thread
import uvloop

from homeostat.core.config import ReceiverConfig, ScrapeTarget, StorageConfig
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.pipeline import Pipeline, running
from homeostat.observe.receivers.prometheus_scrape import Scraper
from homeostat.runtime import SystemClock

STALL_S = 5.0


async def _answer(pipeline: Pipeline, question: str) -> object:
    match question.split():
        case ["trace", trace_id]:
            return await pipeline.store.trace(trace_id) is not None
        case ["counters"]:
            return pipeline.counters.model_dump()
        case _:
            return None


async def _beat() -> None:
    """Say in the log where every thread is, when the event loop stands still."""
    while True:
        faulthandler.dump_traceback_later(STALL_S)
        await anyio.sleep(1)


async def _run(directory: Path, shown: int) -> None:
    receivers = ReceiverConfig.model_validate(
        {name: 0 for name in ReceiverConfig.model_fields if name.endswith("_port")}
    )
    storage = StorageConfig(path=directory, max_gib=1)
    clock, url = SystemClock(), f"http://127.0.0.1:{shown}/metrics"
    target = ScrapeTarget.model_validate({"job": "fuzz", "url": url, "interval": "5ms", "timeout": "5s"})
    async with (
        running(receivers, storage, clock, sampling=SamplingConfig()) as pipeline,
        anyio.create_task_group() as tasks,
    ):
        scraper = Scraper((target,), pipeline.submitters.metrics, pipeline.refuse, clock)
        tasks.start_soon(scraper.run)
        tasks.start_soon(_beat)
        ports = {"otlp_http": pipeline.http_port, "otlp_grpc": pipeline.grpc_port, **asdict(pipeline.foreign)}
        print(json.dumps(ports), flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            print(json.dumps(await _answer(pipeline, line)), flush=True)
        tasks.cancel_scope.cancel()
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(_run(Path(sys.argv[1]), int(sys.argv[2])))
