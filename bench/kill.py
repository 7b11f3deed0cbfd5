"""Kills Homeostat with SIGKILL at random moments under load, and counts what was lost, repeated or forgotten.

While it is killed and started again, a sender posts traces and remembers which were acknowledged, and services of the
demo world are killed for Homeostat to restart. At the end every acknowledged span has to be there exactly once, every
one has to be counted in the persisted rates, and every killed service has to have been restarted exactly once. With
``--sampled`` most traces are let go: then those that are there have to be there as a whole.
Run: ``script/bench kill --kills 50 --json``.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import anyio
import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.models import TERMINAL_RUN_STATUSES, Run
from homeostat.observe import pipeline
from homeostat.runtime import SystemClock
from homeostat.world.config import GeneratorConfig
from homeostat.world.launch import start_world
from homeostat.world.rehearsal.stage import (
    READY_FILE,
    StageOptions,
    free_port,
    homeostat_config,
    spawn_homeostat,
    wait_until_ready,
)

SPANS_PER_TRACE = 20
SERVICE = "kill-bench"
SEND_PAUSE_S = 0.02
KILL_AFTER_S = (0.05, 4.0)  # after it was ready
FAULT_EVERY_S = 5.0
SETTLE_DEADLINE_S = 90.0


class Sender(threading.Thread):
    """Posts one trace a request and remembers the acknowledged ones."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._url = f"{url}/v1/traces"
        self._chance = random.Random(seed)
        self.acknowledged: list[str] = []
        self.refused = 0
        self.sent = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until told to stop; a request without an answer is neither acknowledged nor refused."""
        with httpx2.Client(timeout=5.0, trust_env=False) as client:
            while not self.stopping.wait(SEND_PAUSE_S):
                trace_id = self._chance.randbytes(16)
                self.sent += 1
                try:
                    response = client.post(
                        self._url, content=_trace(trace_id), headers={"content-type": "application/x-protobuf"}
                    )
                except httpx2.TransportError:
                    continue
                if response.status_code == httpx2.codes.OK:
                    self.acknowledged.append(trace_id.hex())
                else:
                    self.refused += 1


def _trace(trace_id: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add()
    name.key, name.value.string_value = "service.name", SERVICE
    spans = resource_spans.scope_spans.add().spans
    now = time.time_ns()
    for number in range(1, SPANS_PER_TRACE + 1):
        span = spans.add(trace_id=trace_id, span_id=number.to_bytes(8), name="work", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000
        if number > 1:
            span.parent_span_id = (1).to_bytes(8)
    return request.SerializeToString()


class Faults:
    """Kills a service of the world now and then, but none that is being healed already.

    A process that dies again while its restart is being judged is a remedy that did not help: after some of those the
    breaker stops healing, as it should, and what is counted here would be the policy and not what a crash loses.
    """

    def __init__(self, world_url: str, homeostat_url: str, seed: int) -> None:
        self._homeostat = httpx2.Client(base_url=homeostat_url, timeout=2.0, trust_env=False)
        self._client = httpx2.Client(base_url=world_url, timeout=10.0, trust_env=False)
        self._chance = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self._before = self.restarted()

    def restarted(self) -> dict[str, int]:
        """How often each service has been started again."""
        return {service["name"]: service["restarts"] for service in self._services()}

    def all_up(self) -> bool:
        """Are all processes there?"""
        return all(service["pid"] is not None for service in self._services())

    def inject(self) -> None:
        """Kill one that no open incident is about, if all are up and Homeostat answers."""
        try:
            answer = self._homeostat.get("/api/incidents", params={"open_only": True}).raise_for_status()
        except httpx2.HTTPError:
            return
        sick = {(incident["root_cause"] or {}).get("resource", "") for incident in answer.json()}
        services = self._services()
        if all(service["pid"] is not None for service in services):
            well = [service["name"] for service in services if f"process:{service['name']}" not in sick]
            if not well:
                return
            name = self._chance.choice(well)
            self._client.post(f"/world/services/{name}/kill").raise_for_status()
            self.killed[name] += 1

    def restarts(self) -> Counter[str]:
        """Restarts of each service since the beginning."""
        return Counter({name: times - self._before[name] for name, times in self.restarted().items()})

    def _services(self) -> list[dict]:
        return self._client.get("/world").raise_for_status().json()["services"]


async def _measure(folder: Path, kills: int, seed: int, *, sampled: bool) -> dict[str, float | int]:
    folder.mkdir(parents=True, exist_ok=True)
    clock, chance = SystemClock(), random.Random(seed)
    world_port, log_path = free_port(), folder / "homeostat.log"
    options = StageOptions(
        run_dir=folder,
        seed=seed,
        heal=True,
        api_port=free_port(),
        otlp_http_port=free_port(),
        otlp_grpc_port=free_port(),
    )
    config_path, ready_path = folder / "homeostat.yaml", folder / "data" / READY_FILE
    settings = json.loads(homeostat_config(options, world_port)) | {"sampling": {"enabled": sampled}}
    config_path.write_text(json.dumps(settings), encoding="utf-8")
    restart_seconds: list[float] = []
    with log_path.open("ab") as log:

        async def start() -> subprocess.Popen[bytes]:
            ready_path.unlink(missing_ok=True)
            began = time.monotonic()
            process = spawn_homeostat(config_path, log)
            await wait_until_ready(process, ready_path, log_path, clock)
            restart_seconds.append(time.monotonic() - began)
            return process

        process = await start()
        url = f"http://127.0.0.1:{options.api_port}"
        world = await start_world(
            run_dir=folder / "world",
            otlp_endpoint=f"http://127.0.0.1:{options.otlp_http_port}",
            flags_url=url,
            seed=seed,
            port=world_port,
            generator=GeneratorConfig(interval_ms=250, batch_size=4),
        )
        sender = Sender(f"http://127.0.0.1:{options.otlp_http_port}", seed)
        try:
            faults = Faults(f"http://127.0.0.1:{world_port}", url, seed)
            sender.start()
            next_fault = time.monotonic() + FAULT_EVERY_S
            for number in range(1, kills + 1):
                kill_at = time.monotonic() + chance.uniform(*KILL_AFTER_S)
                while time.monotonic() < kill_at:
                    if time.monotonic() >= next_fault:
                        faults.inject()
                        next_fault = time.monotonic() + FAULT_EVERY_S
                    await anyio.sleep(0.005)
                process.kill()
                process.wait()
                process = await start()
                print(f"kill {number} of {kills}: back after {restart_seconds[-1]:.2f} s", file=sys.stderr)
            sender.stopping.set()
            sender.join()
            await _settle(faults)
            result = _count(url, sender, faults, restart_seconds, kills, sampled=sampled)
        finally:
            await world.stop()
            process.send_signal(signal.SIGTERM)
            process.wait()
    return result | await _rates(folder / "data", sender)


async def _rates(data: Path, sender: Sender) -> dict[str, float | int]:
    """What the persisted rates say of the bench's spans: at least what was acknowledged, at most what was sent."""
    storage = StorageConfig(path=data)
    async with pipeline.running(ReceiverConfig.only(), storage, SystemClock()) as path:
        now_s = int(time.time())
        points = {point.service: point for point in path.red.window(now_s - 24 * 3600, now_s + 60)}
    counted = points[SERVICE].requests if SERVICE in points else 0
    return {
        "requests_counted": counted,
        "requests_uncounted": max(0, len(sender.acknowledged) * SPANS_PER_TRACE - counted),
        "requests_overcounted": max(0, counted - sender.sent * SPANS_PER_TRACE),
    }


async def _settle(faults: Faults) -> None:
    """Wait until everything that was killed is up again, or the time for it is over: then it counts as forgotten."""
    deadline = time.monotonic() + SETTLE_DEADLINE_S
    while time.monotonic() < deadline and not faults.all_up():
        await anyio.sleep(0.1)
    await anyio.sleep(5.0)  # a repeated effect would come late


def _count(
    url: str, sender: Sender, faults: Faults, restart_seconds: list[float], kills: int, *, sampled: bool
) -> dict[str, float | int]:
    lost = repeated = kept = 0
    with httpx2.Client(base_url=url, timeout=30.0, trust_env=False) as client:
        for trace_id in sender.acknowledged:
            answer = client.get(f"/api/traces/{trace_id}")
            spans = Counter(span["span_id"] for span in answer.json()["spans"]) if answer.is_success else Counter()
            kept += bool(spans)
            if spans or not sampled:
                lost += SPANS_PER_TRACE - len(spans)
            repeated += sum(spans.values()) - len(spans)
        runs = [Run.model_validate(row) for row in client.get("/api/runs", params={"limit": 1000}).json()]
    restarts = faults.restarts()
    ordered = sorted(restart_seconds[1:])
    return {
        "kills": kills,
        "spans_acknowledged": len(sender.acknowledged) * SPANS_PER_TRACE,
        "traces_kept": kept,
        "spans_lost": lost,
        "spans_repeated": repeated,
        "services_killed": faults.killed.total(),
        "effects_repeated": sum(max(0, restarts[name] - faults.killed[name]) for name in restarts),
        "effects_forgotten": sum(max(0, faults.killed[name] - restarts[name]) for name in restarts),
        "runs": len(runs),
        "runs_unfinished": sum(run.status not in TERMINAL_RUN_STATUSES for run in runs),
        "start_empty_s": round(restart_seconds[0], 3),
        "restart_s_p50": round(ordered[len(ordered) // 2], 3),
        "restart_s_max": round(ordered[-1], 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep data and logs in this directory")
    parser.add_argument("--sampled", action="store_true", help="with tail sampling as it is by default")
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    arguments = parser.parse_args()
    temporary = tempfile.TemporaryDirectory(prefix="homeostat-kill-", ignore_cleanup_errors=True)
    with nullcontext(arguments.keep) if arguments.keep else temporary as folder:
        measure = partial(_measure, Path(folder), arguments.kills, arguments.seed, sampled=arguments.sampled)
        result = anyio.run(measure)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>20}  {value}")
    wrong = (
        *("spans_lost", "spans_repeated", "requests_uncounted", "requests_overcounted"),
        *("effects_repeated", "effects_forgotten"),
    )
    sys.exit(int(any(result[key] for key in wrong)))


if __name__ == "__main__":
    main()
