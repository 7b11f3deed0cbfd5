"""``script/bench world``: what the demo world costs beside the system that watches it, and how fast it obeys.

The default traffic of the demo (8 journeys every 250 ms, five services each) runs against a sink that takes the spans
and serves the flags. Only the CPU of the world's own processes counts.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeostat.world.config import GeneratorConfig
from homeostat.world.launch import WorldHandle, start_world

TRAFFIC: Final = GeneratorConfig(interval_ms=250, batch_size=8)
WARM_UP_S: Final = 3.0
MEASURED_S: Final = 10.0
RESTARTS: Final = 20
FLAG_CHANGES: Final = 20


class Sink(ThreadingHTTPServer):
    """Takes OTLP traces and answers OFREP polls."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = 0
        self.errors_on = False
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Services that are killed reset their connections: that is the point here, not news."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sink: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            count = sum(
                len(scope.spans)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans
                for scope in resource.scope_spans
            )
            with sink.lock:
                sink.spans += count
            self._answer(200, b"", "")
            return
        etag = f'"{sink.errors_on}"'
        if self.headers.get("if-none-match") == etag:
            self._answer(304, b"", etag)
        else:
            flags = [{"key": "errorInjectionEnabled", "value": sink.errors_on}]
            self._answer(200, json.dumps({"flags": flags}).encode(), etag)

    def _answer(self, status: int, body: bytes, etag: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", etag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


async def _steady(world: WorldHandle, sink: Sink) -> dict[str, float]:
    await anyio.sleep(WARM_UP_S)
    root = psutil.Process(world.pid)
    processes = [root, *root.children(recursive=True)]
    cpu, spans, began = _cpu_s(processes), sink.spans, time.perf_counter()
    before = await world.client.stats()
    await anyio.sleep(MEASURED_S)
    took = time.perf_counter() - began
    after = await world.client.stats()
    services = await world.client.services()
    return {
        "cores": round((_cpu_s(processes) - cpu) / took, 3),
        "journeys_per_s": round((after.journeys - before.journeys) / took, 1),
        "spans_per_s": round((sink.spans - spans) / took, 1),
        "errors_without_a_fault": after.errors,
        "service_rss_mb_max": max(service.rss_mb or 0.0 for service in services),
    }


async def _restarts(world: WorldHandle) -> dict[str, float]:
    took_ms: list[float] = []
    names = [service.name for service in await world.client.services()]
    for number in range(RESTARTS):
        name = names[number % len(names)]
        await world.client.kill(name)
        began = time.perf_counter()
        await world.client.restart(name)
        took_ms.append((time.perf_counter() - began) * 1000.0)
    return {
        "restart_after_crash_ms_p50": round(statistics.median(took_ms), 1),
        "restart_after_crash_ms_max": round(max(took_ms), 1),
    }


async def _flags(world: WorldHandle, sink: Sink) -> dict[str, float]:
    """From the change at the flag server to the moment when the last service has it."""
    took_ms: list[float] = []
    ports = [service.port for service in await world.client.services()]
    async with httpx2.AsyncClient() as client:
        for _ in range(FLAG_CHANGES):
            sink.errors_on = not sink.errors_on
            began = time.perf_counter()
            waiting = list(ports)
            while waiting:
                told = (await client.get(f"http://127.0.0.1:{waiting[0]}/health")).json()
                if told["flags"]["errorInjectionEnabled"] is sink.errors_on:
                    waiting.pop(0)
                else:
                    await anyio.sleep(0.005)
            took_ms.append((time.perf_counter() - began) * 1000.0)
    return {"flag_acts_ms_p50": round(statistics.median(took_ms), 1), "flag_acts_ms_max": round(max(took_ms), 1)}


async def measure() -> dict[str, float]:
    """One world from its start to its end."""
    sink = Sink()
    with tempfile.TemporaryDirectory() as run_dir:
        began = time.perf_counter()
        world = await start_world(
            run_dir=Path(run_dir), otlp_endpoint=sink.url, flags_url=sink.url, generator=TRAFFIC
        )
        start_s = round(time.perf_counter() - began, 2)
        try:
            result = {"services": float(len(await world.client.services())), "start_s": start_s}
            result |= await _steady(world, sink)
            result |= await _flags(world, sink)
            result |= await _restarts(world)
        finally:
            await world.stop()
            sink.shutdown()
    return result


def main() -> None:
    """Prints the numbers, as one flat JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat object")
    as_json = parser.parse_args().json
    result = anyio.run(measure)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value:g}")


if __name__ == "__main__":
    main()
