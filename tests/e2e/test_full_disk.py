"""A disk that really is full, under a real ``homeostat up``: it says so, refuses for now, and loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.e2e

DISK_MIB = 48
DEADLINE_S = 30.0
CONFIG = """
server: {port: 0, jaeger_query_port: null, prometheus_port: null}
receivers:
  otlp_http_port: 0
  otlp_grpc_port: null
  jaeger_grpc_port: null
  jaeger_http_port: null
  jaeger_udp_compact_port: null
  jaeger_udp_binary_port: null
  zipkin_port: null
storage: {path: %s, min_free_mib: 8}
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory; skipped, by name, where mounting is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "homeostat-test", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def _trace(trace_id: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "full-disk"
    now = time.time_ns()
    span = resource_spans.scope_spans.add().spans.add(trace_id=trace_id, span_id=b"12345678", name="work", kind=2)
    span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000
    return request.SerializeToString()


def test_a_full_disk_refuses_for_now_says_so_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    config = tmp_path / "homeostat.yaml"
    config.write_text(CONFIG % (small_disk / "data"), encoding="utf-8")
    command = [sys.executable, "-m", "homeostat.cli.main", "up", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ready_file = small_disk / "data" / "ready.json"
        _eventually(lambda: ready_file.exists() and ready_file.stat().st_size > 0, "ready")
        ready = json.loads(ready_file.read_text(encoding="utf-8"))
        with httpx2.Client(timeout=10.0, trust_env=False) as client:

            def send(trace_id: bytes) -> httpx2.Response:
                return client.post(
                    f"{ready['otlp_http']}/v1/traces",
                    content=_trace(trace_id),
                    headers={"content-type": "application/x-protobuf"},
                )

            def storage() -> str:
                return client.get(f"{ready['url']}/api/overview").json()["storage"]["state"]

            before = os.urandom(16)
            assert send(before).status_code == 200
            ballast = small_disk / "ballast"
            ballast.write_bytes(bytes((DISK_MIB - 6) << 20))
            refused = send(os.urandom(16))
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            _eventually(lambda: storage() == "full", "the overview says that the disk is full")
            ballast.unlink()
            after = os.urandom(16)
            _eventually(lambda: send(after).status_code == 200, "it goes on by itself when there is room")
            _eventually(lambda: storage() == "ok", "the overview says that all is well")
            for trace_id in (before, after):
                spans = client.get(f"{ready['url']}/api/traces/{trace_id.hex()}").json()["spans"]
                assert len(spans) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
