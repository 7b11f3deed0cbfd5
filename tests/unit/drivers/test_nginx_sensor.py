"""A real nginx writes its access log, which becomes spans; the log is rotated, truncated and spoiled."""

import json
import shutil
import subprocess
from pathlib import Path

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.config import load_config
from homeostat.core.config import NginxWatch
from homeostat.drivers.nginx.sensors import LOG_FORMAT, NginxReader, request_span
from homeostat.drivers.nginx.setup import configuration
from homeostat.drivers.nginx.tail import LINE_BYTES_MAX, Tail
from homeostat.drivers.telemetry import Metrics, Spans, UnreachableError
from homeostat.runtime import SystemClock
from support.servers import free_port, stopped, until_listening

NGINX = shutil.which("nginx")
TRACE, PARENT = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
LINE = '{"time":"1772366400.250","duration":"0.125","method":"GET","path":"/a","status":"503"}'


@pytest.mark.skipif(NGINX is None, reason="no nginx here: apt-get install nginx")
async def test_requests_of_a_real_nginx_are_server_spans(tmp_path: Path) -> None:
    assert NGINX is not None
    port, access_log = free_port(), tmp_path / "access.log"
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ {LOG_FORMAT}\n access_log {access_log} homeostat;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} location /bad {{ return 500; }} }} }}\n"
    )
    command = [NGINX, "-c", tmp_path / "nginx.conf", "-p", tmp_path]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - it goes on beside the test
    reader, spans = NginxReader(NginxWatch(access_log=access_log, service="edge")), Spans({"service.name": "edge"})
    try:
        until_listening(port, process)
        await reader.read(Metrics(reader.resource, SystemClock().now()), spans)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await client.get('/x"y?secret=1', headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            await client.get("/bad")
        with anyio.fail_after(20):
            while len(spans) < 2:
                await reader.read(Metrics(reader.resource, SystemClock().now()), spans)
                await anyio.sleep(0.02)
    finally:
        stopped(process)
    first, second = spans.request.resource_spans[0].scope_spans[0].spans
    assert (first.trace_id.hex(), first.parent_span_id.hex(), first.status.code) == (TRACE, PARENT, 0)
    assert second.status.code == 2
    assert "secret" not in str(spans.request)
    await reader.close()


def test_a_log_is_followed_over_rotation_truncation_and_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    tail = Tail(path)
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(b"one\ntw")
    assert [line for _, line in tail.read()] == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\n")
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"three\n")
    assert [line for _, line in tail.read()] == [b"two", b"three"]
    path.write_bytes(b"4\n")
    assert [line for _, line in tail.read()] == [b"4"]
    with path.open("ab") as file:
        file.write(b"5\n" + b"x" * (3 * LINE_BYTES_MAX) + b"\n6\n")
    assert [line for _, line in tail.read()] == [b"5", b"6"]
    assert tail.cut == 1
    tail.close()


def test_a_log_that_was_let_go_is_gone_on_with_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n" * 1000)
    tail = Tail(path)
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(b"one\ntw")
    assert [line for _, line in tail.read()] == [b"one"]
    tail.close()
    with path.open("ab") as file:
        file.write(b"o\n")
    ((identity, line),) = tail.read()
    assert (identity, line) == (f"{path.stat().st_ino} 4004", b"two")
    tail.close()
    assert tail.read() == []
    tail.close()
    path.write_bytes(b"3\n")  # truncated meanwhile
    assert [line for _, line in tail.read()] == [b"3"]
    with path.open("ab") as file:
        file.write(b"half")
    assert tail.read() == []
    tail.close()
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"4\n")
    assert [line for _, line in tail.read()] == [b"4"], "nothing of the old file is glued to the new one"
    tail.close()
    tail.close()
    assert tail.read() == []
    tail.close()


async def test_another_format_is_said(tmp_path: Path) -> None:
    reader = NginxReader(NginxWatch(access_log=tmp_path / "log"))
    spans = Spans({"service.name": "x"})
    with pytest.raises(UnreachableError, match="access_log"):
        await reader.read(Metrics({}, SystemClock().now()), spans)
    (tmp_path / "log").write_text('127.0.0.1 - - "GET / HTTP/1.1" 200\n')
    with pytest.raises(UnreachableError, match="another format"):
        await reader.read(Metrics({}, SystemClock().now()), spans)
    await reader.close()


def test_a_line_tells_start_end_and_failure() -> None:
    spans = Spans({"service.name": "x"})
    assert request_span(LINE.encode(), "1 0", spans)
    span = ExportTraceServiceRequest.FromString(spans.request.SerializeToString()).resource_spans[0].scope_spans[0]
    assert span.spans[0].end_time_unix_nano - span.spans[0].start_time_unix_nano == 125_000_000
    assert span.spans[0].status.code == 2


@given(st.binary(max_size=100) | st.sampled_from([b"[]", LINE.replace("0.125", "nan").encode(), b"[" * 9000]))
def test_any_line_is_a_span_or_none(line: bytes) -> None:
    assert request_span(line, "1 0", Spans({"service.name": "x"})) in {True, False}


def _only_span(entry: dict[str, object]) -> Span:
    spans = Spans({"service.name": "x"})
    assert request_span(json.dumps(entry).encode(), "1 0", spans)
    return (
        ExportTraceServiceRequest.FromString(spans.request.SerializeToString())
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
    )


def _attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes if each.value.string_value}


@pytest.mark.parametrize(
    ("given", "name", "attributes"),
    [
        ("PATCH", "PATCH", {"http.request.method": "PATCH"}),
        ("get", "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "get"}),
        ("X" * 100, "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "X" * 32}),
        ("\ud800", "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "?"}),
        ("", "HTTP", {"http.request.method": "_OTHER"}),
    ],
)
def test_methods_that_clients_make_up_are_no_names_of_operations(
    given: str, name: str, attributes: dict[str, str]
) -> None:
    span = _only_span(json.loads(LINE) | {"method": given})
    assert span.name == name
    assert {key: value for key, value in _attributes(span).items() if "method" in key} == attributes


@pytest.mark.parametrize(
    "spoilt",
    [
        {"status": float("inf")},
        {"status": 10**30},
        {"status": -1},
        {"time": 10**400},
        {"duration": 10**400},
        {"time": "1e999"},
    ],
    ids=str,
)
async def test_a_number_that_overflows_is_a_line_that_is_not_understood(
    spoilt: dict[str, object], tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    log.write_text("")
    reader, spans = NginxReader(NginxWatch(access_log=log)), Spans({})
    await reader.read(Metrics({}, SystemClock().now()), spans)
    log.write_text(f"{json.dumps(json.loads(LINE) | spoilt)}\n{LINE}\n")
    metrics = Metrics({}, SystemClock().now())
    await reader.read(metrics, spans)
    await reader.close()
    counted = {metric.name: metric.sum.data_points[0].as_double for metric in _metrics_of(metrics)}
    assert counted == {"nginx.requests": 1, "nginx.access_log.not_understood": 1}


def _metrics_of(metrics: Metrics) -> list[Metric]:
    return list(metrics.request.resource_metrics[0].scope_metrics[0].metrics)


ENTRIES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("time", "duration", "status", "method", "path", "request", "traceparent"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
            lambda inner: st.lists(inner, max_size=2),
            max_leaves=3,
        ),
    ),
)


@given(ENTRIES)
def test_any_entry_is_a_span_or_none(entry: dict[str, object]) -> None:
    line = json.dumps(json.loads(LINE) | entry).encode()
    assert request_span(line, "1 0", Spans({"service.name": "x"})) in {True, False}


def test_without_the_module_the_log_format_is_printed() -> None:
    assert LOG_FORMAT in configuration("edge", "127.0.0.1:4317", nginx="/nowhere") or "load_module" in configuration(
        "edge", "127.0.0.1:4317"
    )


def test_a_relative_log_is_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "homeostat.yaml").write_text("watch: {nginx: [{access_log: logs/access.log}]}\n")
    assert load_config(tmp_path / "homeostat.yaml").watch.nginx[0].access_log == tmp_path / "logs/access.log"
