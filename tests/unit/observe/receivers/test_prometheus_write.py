"""Prometheus remote-write becomes OTLP metrics, by the rules of OpenTelemetry's compatibility specification."""

import struct
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import cramjam
import httpx2
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat import serving as http_server
from homeostat.core.errors import StoreFullError, TelemetryRejectedError
from homeostat.net import bind, bound_port
from homeostat.observe.decode.metrics import decode_metrics
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import prometheus_write
from homeostat.observe.receivers.otlp_http import OtlpHttp
from homeostat.observe.receivers.prometheus_otlp import STALE_BITS, Family, is_stale
from homeostat.observe.receivers.prometheus_proto import METADATA_1, SERIES_1, SERIES_2, dense
from homeostat.observe.receivers.prometheus_write import PATH, Families, PrometheusWrite, read_1, read_2
from homeostat.observe.receivers.submit import Submitters

MIB = 1 << 20
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
NOW_MS = 1_772_366_400_000


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def part(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def series_1(labels: dict[str, str], *samples: float, at: int = NOW_MS) -> Any:
    series = SERIES_1()
    for name, value in labels.items():
        series.labels.add(name=name, value=value)
    for value in samples:
        series.samples.add(value=value, timestamp=at)
    return series


def request_1(*series: Any, metadata: tuple[Any, ...] = ()) -> bytes:
    parts = [part(1, one.SerializeToString()) for one in series]
    return b"".join([*parts, *(part(3, one.SerializeToString()) for one in metadata)])


def rows_1(body: bytes, families: Families | None = None) -> list[dict[str, Any]]:
    written = read_1(body, 16 * MIB, families or Families())
    return rows_of(written.metrics.payloads())


def rows_of(payloads: list[bytes]) -> list[dict[str, Any]]:
    decoded = decode_metrics(payloads)
    assert all(outcome.error is None and not outcome.rejected for outcome in decoded.outcomes)
    return decoded.table.to_pylist()


def test_a_sample_is_a_point_of_the_service_that_its_job_names() -> None:
    labels = {"__name__": "http_requests_total", "job": "prod/shop", "instance": "10.0.0.1:80", "code": "200"}
    (row,) = rows_1(request_1(series_1(labels, 7.0)))
    assert (row["name"], row["type"], row["monotonic"], row["temporality"]) == ("http_requests_total", 1, True, 2)
    assert (row["service"], row["labels"], row["value"]) == ("shop", '{"code": "200"}', 7.0)
    assert row["time_ns"] == NOW_MS * 1_000_000
    assert '"service.namespace": "prod"' in row["resource"]
    assert '"service.instance.id": "10.0.0.1:80"' in row["resource"]


@pytest.mark.parametrize(
    ("name", "kind", "is_sum"),
    [
        ("a_total", None, True),
        ("a_bucket", None, True),
        ("a_count", None, True),
        ("temperature", None, False),
        ("requests", "counter", True),
        ("open_count", "gauge", False),
    ],
)
def test_what_only_grows_is_told_by_metadata_and_else_by_the_name(name: str, kind: str | None, is_sum: bool) -> None:
    kinds = {"counter": 1, "gauge": 2}
    about = [METADATA_1(type=kinds[kind], metric_family_name=name, help="h", unit="u")] if kind else []
    (row,) = rows_1(request_1(series_1({"__name__": name}, 1.0), metadata=tuple(about)))
    assert (row["type"], row["monotonic"]) == ((1, True) if is_sum else (0, False))
    assert (row["unit"], row["description"]) == (("u", "h") if kind else ("", ""))


@pytest.mark.parametrize("at", [-(2**63), -1, 0, 2**63 - 1])
def test_times_that_can_not_be_lie_at_the_edge(at: int) -> None:
    (row,) = rows_1(request_1(series_1({"__name__": "x"}, 1.0, at=at)))
    assert 0 <= row["time_ns"] < 2**63


def test_metadata_of_one_request_counts_for_the_next() -> None:
    families = Families()
    rows_1(request_1(metadata=(METADATA_1(type=2, metric_family_name="open_count"),)), families)
    (row,) = rows_1(request_1(series_1({"__name__": "open_count"}, 1.0)), families)
    assert row["type"] == 0


def test_the_staleness_marker_is_no_recorded_value() -> None:
    assert is_stale(STALE)
    assert not is_stale(float("nan"))
    (row,) = rows_1(request_1(series_1({"__name__": "up"}, STALE)))
    assert (row["value"], row["flags"]) == (None, 1)


def test_exemplars_carry_their_trace() -> None:
    series = series_1({"__name__": "x_bucket", "le": "1"}, 3.0)
    exemplar = series.exemplars.add(value=0.7, timestamp=NOW_MS)
    exemplar.labels.add(name="trace_id", value="5b8efff798038103d269b633813fc60c")
    exemplar.labels.add(name="user", value="7")
    (row,) = rows_1(request_1(series))
    (found,) = row["exemplars"]
    assert (found["trace_id"].hex(), found["value"]) == ("5b8efff798038103d269b633813fc60c", 0.7)
    assert found["attributes"] == [("user", "7")]


def test_target_info_describes_the_resource_and_scope_labels_name_the_scope() -> None:
    target = {"job": "shop", "instance": "i"}
    info = series_1({"__name__": "target_info", **target, "host_name": "h1"}, 1.0)
    scoped = series_1({"__name__": "g", **target, "otel_scope_name": "lib", "otel_scope_version": "2"}, 1.0)
    rows = rows_1(request_1(info, scoped))
    assert '"host_name": "h1"' in rows[1]["resource"]
    assert (rows[1]["scope"], rows[1]["scope_version"], rows[1]["labels"]) == ("lib", "2", "{}")


def test_a_native_histogram_is_an_exponential_one() -> None:
    series = series_1({"__name__": "latency"})
    native = series.histograms.add(count_int=9, sum=12.5, schema=3, zero_count_int=1, timestamp=NOW_MS)
    native.positive_spans.add(offset=2, length=2)
    native.positive_spans.add(offset=1, length=1)
    native.positive_deltas.extend([3, -1, 1])
    (row,) = rows_1(request_1(series))
    assert (row["type"], row["count"], row["sum"], row["scale"], row["zero_count"]) == (3, 9, 12.5, 3, 1)
    assert (row["positive_offset"], row["positive_counts"]) == (1, [3, 2, 0, 3])


def test_a_native_histogram_with_its_own_bounds_is_an_explicit_one() -> None:
    series = series_1({"__name__": "latency"})
    native = series.histograms.add(count_int=5, sum=2.0, schema=-53, timestamp=NOW_MS, custom_values=[0.1, 1.0])
    native.positive_spans.add(offset=0, length=2)
    native.positive_deltas.extend([2, 1])
    (row,) = rows_1(request_1(series))
    assert (row["type"], row["bounds"], row["bucket_counts"]) == (2, [0.1, 1.0], [2, 3, 0])


@pytest.mark.parametrize(
    ("spans", "deltas"),
    [
        ([(0, 2**31)], []),
        ([(0, 1), (2**31 - 1, 1)], [1, 1]),
        ([(0, 1), (-1, 1)], [1, 1]),
        ([(0, 2)], [1, -2]),
        ([(0, 2)], [2**62, 2**62]),
    ],
)
def test_a_native_histogram_that_is_nonsense_is_counted_and_costs_nothing(
    spans: list[tuple[int, int]], deltas: list[int]
) -> None:
    series = series_1({"__name__": "latency"})
    native = series.histograms.add(count_int=1, schema=3, timestamp=NOW_MS)
    for offset, length in spans:
        native.positive_spans.add(offset=offset, length=length)
    native.positive_deltas.extend(deltas)
    written = read_1(request_1(series), 16 * MIB, Families())
    assert (written.refused, written.metrics.payloads()) == (1, [])
    assert dense(native.positive_spans, native.positive_deltas, 10_000) is None


def request_2(symbols: list[str], *series: Any) -> bytes:
    return b"".join(
        [*(part(4, symbol.encode()) for symbol in symbols), *(part(5, one.SerializeToString()) for one in series)]
    )


SYMBOLS = ["", "__name__", "x_total", "job", "shop", "help text", "seconds"]


def test_version_2_looks_its_labels_up_and_says_what_a_series_is() -> None:
    series = SERIES_2(labels_refs=[1, 2, 3, 4], created_timestamp=NOW_MS - 5000)
    series.samples.add(value=3, timestamp=NOW_MS)
    series.metadata.type, series.metadata.help_ref, series.metadata.unit_ref = 1, 5, 6
    written = read_2(request_2(SYMBOLS, series), 16 * MIB)
    (row,) = rows_of(written.metrics.payloads())
    assert (row["name"], row["service"], row["unit"], row["description"]) == (
        "x_total",
        "shop",
        "seconds",
        "help text",
    )
    assert row["start_ns"] == (NOW_MS - 5000) * 1_000_000
    assert dict(written.headers())[b"x-prometheus-remote-write-samples-written"] == b"1"


@pytest.mark.parametrize("references", [[1], [1, 99], [99, 1], [3, 4]])
def test_references_that_name_nothing_are_refused(references: list[int]) -> None:
    series = SERIES_2(labels_refs=references)
    series.samples.add(value=3, timestamp=NOW_MS)
    with pytest.raises(TelemetryRejectedError):
        read_2(request_2(SYMBOLS, series), 16 * MIB)


def test_a_symbol_that_is_named_a_million_times_does_not_fill_the_memory() -> None:
    series = SERIES_2(labels_refs=[1, 2, 3, 4])
    for _ in range(1000):
        series.samples.add(value=3, timestamp=NOW_MS)
    with pytest.raises(TelemetryRejectedError, match="smaller batches"):
        read_2(request_2(["", "__name__", "x", "k", "v" * MIB], series), 16 * MIB)


def test_many_samples_become_several_requests_of_a_bounded_size() -> None:
    body = request_1(*(series_1({"__name__": f"m{n}", "pad": "x" * 1000}, 1.0) for n in range(9000)))
    payloads = read_1(body, 64 * MIB, Families()).metrics.payloads()
    assert len(payloads) > 1
    assert max(map(len, payloads)) < 6 * MIB
    assert len(rows_of(payloads)) == 9000


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused_or_taken_and_never_crash(body: bytes) -> None:
    for read in (lambda data: read_1(data, MIB, Families()), lambda data: read_2(data, MIB)):
        try:
            payloads = read(body).metrics.payloads()
        except TelemetryRejectedError:
            continue
        for payload in payloads:
            ExportMetricsServiceRequest.FromString(payload)


def test_families_are_learned_in_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_write, "_FAMILIES_MAX", 1)
    families, interval = Families(), sys.getswitchinterval()

    def learn(thread: int) -> None:
        for number in range(3_000):
            families.learn(f"{thread}-{number}", Family("counter", "", ""))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(learn, range(4)))  # a KeyError, when one is dropped between two steps of another
    finally:
        sys.setswitchinterval(interval)


@dataclass
class _Server:
    url: str = ""
    taken: list[bytes] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    full: bool = False

    def refuse(self, reason: str, count: int = 1) -> None:
        self.refused += [reason] * count

    async def submit(self, payload: bytes) -> Receipt:
        if self.full:
            raise StoreFullError("No room. Retry later.")
        self.taken.append(payload)
        return Receipt(1, 0)

    async def post(self, content: bytes, **headers: str) -> httpx2.Response:
        given = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        async with httpx2.AsyncClient() as client:
            return await client.post(self.url, content=bytes(cramjam.snappy.compress_raw(content)), headers=given)


@asynccontextmanager
async def _serving() -> AsyncGenerator[_Server]:
    server = _Server()
    submitters = Submitters(server.submit, server.submit, server.submit)
    write = PrometheusWrite(server.submit, server.refuse, max_request_bytes=MIB)
    app = OtlpHttp(submitters, server.refuse, max_request_bytes=MIB, others={PATH: write})
    listener = bind("127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{bound_port(listener)}{PATH}"
    async with http_server.serving(app, listener):
        yield server


async def test_both_versions_are_acknowledged_with_no_content() -> None:
    series = SERIES_2(labels_refs=[1, 2])
    series.samples.add(value=3, timestamp=NOW_MS)
    async with _serving() as server:
        first = await server.post(request_1(series_1({"__name__": "up"}, 1.0)))
        second = await server.post(
            request_2(SYMBOLS, series), content_type="application/x-protobuf;proto=io.prometheus.write.v2.Request"
        )
    assert (first.status_code, second.status_code) == (204, 204)
    assert second.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert len(server.taken) == 2


async def test_histograms_that_can_not_be_are_counted_each_and_once_although_the_request_comes_again() -> None:
    broken = [series_1({"__name__": "latency"}) for _ in range(3)]
    for series in broken:
        series.histograms.add(count_int=1, schema=3, timestamp=NOW_MS).positive_spans.add(offset=0, length=2**31)
    async with _serving() as server:
        server.full = True
        for status in (503, 204):
            answer = await server.post(request_1(series_1({"__name__": "up"}, 1.0), *broken))
            assert answer.status_code == status
            server.full = False
    assert server.refused == ["full", *["prometheus_histogram"] * 3]


async def test_what_must_not_be_sent_again_and_what_may_are_told_apart() -> None:
    async with _serving() as server:
        assert (await server.post(b"\xff\xff\xff")).status_code == 400
        assert (await server.post(b"", content_type="application/json")).status_code == 415
        assert (await server.post(b"", content_type="application/x-protobuf;proto=a.b")).status_code == 415
        assert (await server.post(bytes(3 * MIB))).status_code == 413
        server.full = True
        later = await server.post(request_1(series_1({"__name__": "up"}, 1.0)))
    assert (later.status_code, later.headers["retry-after"]) == (503, "5")
    assert server.refused == ["malformed", "content_type", "content_type", "too_large", "full"]


def test_the_messages_are_those_of_the_protocol() -> None:
    """Field numbers and types as the specification's .proto files have them."""
    found = {
        message.name: {field.name: (field.number, field.type) for field in message.field}
        for kind in (SERIES_1, SERIES_2)
        for message in _file_of(kind).message_type
        if message.name in {"TimeSeries", "Exemplar"}
    }
    uint32, message, int64 = 13, 11, 3
    assert found["TimeSeries"]["labels_refs"] == (1, uint32)
    assert found["TimeSeries"]["exemplars"] == (4, message)
    assert found["TimeSeries"]["created_timestamp"] == (6, int64)


def _file_of(kind: Any) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    kind.DESCRIPTOR.file.CopyToProto(file)
    return file
