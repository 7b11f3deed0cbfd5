"""A real telemetry path with every receiver on, in a process of its own, for ``bench.fuzz``.

``python -m bench._fuzz_target DIRECTORY`` prints its ports as JSON. Then each line of its input is a question that a
line answers: ``trace HEX`` (is it stored?), ``counters``. When the input ends, it stops as ``homeostat up`` does.
"""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

import anyio
import anyio.to_thread
import uvloop

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.pipeline import Pipeline, running
from homeostat.runtime import SystemClock


async def _answer(pipeline: Pipeline, question: str) -> object:
    match question.split():
        case ["trace", trace_id]:
            return await pipeline.store.trace(trace_id) is not None
        case ["counters"]:
            return pipeline.counters.model_dump()
        case _:
            return None


async def _run(directory: Path) -> None:
    receivers = ReceiverConfig.model_validate(
        {name: 0 for name in ReceiverConfig.model_fields if name.endswith("_port")}
    )
    storage = StorageConfig(path=directory, max_gib=1)
    async with running(receivers, storage, SystemClock(), sampling=SamplingConfig()) as pipeline:
        ports = {"otlp_http": pipeline.http_port, "otlp_grpc": pipeline.grpc_port, **asdict(pipeline.foreign)}
        print(json.dumps(ports), flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            print(json.dumps(await _answer(pipeline, line)), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(_run(Path(sys.argv[1])))
