"""A request that would become far more than it looks is found before it does."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.observe.decode import counting, traces
from homeostat.observe.decode.common import Decoded
from homeostat.observe.decode.counting import LOG_LEVELS, METRIC_LEVELS, TRACE_LEVELS, Levels, has_too_many_rows
from homeostat.observe.decode.logs import decode_logs
from homeostat.observe.decode.metrics import decode_metrics
from support.spans import S, body


def _decode_metrics(requests: list[bytes]) -> Decoded:
    return decode_metrics(requests, now_ns=1)


def _decode_logs(requests: list[bytes]) -> Decoded:
    return decode_logs(requests, now_ns=1)


def _field(number: int, content: bytes) -> bytes:
    size, head = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + content


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "ROWS_MAX", 10)
    monkeypatch.setattr(counting, "SCAN_BYTES_MIN", 20)


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    ("bomb", "levels"),
    [
        (b"\x0a\x00" * 11, TRACE_LEVELS),
        (_field(1, b"\x12\x00" * 10), TRACE_LEVELS),
        (_field(1, _field(2, b"\x12\x00" * 9)), LOG_LEVELS),
        (_field(1, _field(2, _field(2, _field(7, b"\x0a\x00" * 7)))), METRIC_LEVELS),
        (_field(1, _field(2, _field(2, _field(5, b"\x0a\x00") * 4))), METRIC_LEVELS),
    ],
)
def test_rows_on_every_level_count(bomb: bytes, levels: Levels) -> None:
    assert has_too_many_rows(bomb, levels)


@pytest.mark.usefixtures("ten")
def test_what_lies_elsewhere_does_not_count() -> None:
    assert not has_too_many_rows(_field(1, _field(1, b"\x0a\x00" * 50)), TRACE_LEVELS)  # attributes of a resource
    assert not has_too_many_rows(body([S(1, number) for number in range(1, 9)]), TRACE_LEVELS)
    assert has_too_many_rows(body([S(1, number) for number in range(1, 10)]), TRACE_LEVELS)


@pytest.mark.usefixtures("ten")
def test_points_of_a_metric_count_one_by_one() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m", unit="1", description="what")
    for number in range(6):
        metric.sum.data_points.add(as_int=number, time_unix_nano=1)
    assert not has_too_many_rows(request.SerializeToString(), METRIC_LEVELS)
    metric.sum.data_points.add(as_int=7)
    assert has_too_many_rows(request.SerializeToString(), METRIC_LEVELS)


@given(st.binary(min_size=21, max_size=200))
def test_noise_is_left_to_the_decoder(noise: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "SCAN_BYTES_MIN", 20)
        assert not has_too_many_rows(noise, METRIC_LEVELS)


def test_fields_that_nobody_knows_are_not_walked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FIELDS_MAX", 1_000)
    assert has_too_many_rows(b"\x78\x00" * (1 << 20), TRACE_LEVELS)
    assert has_too_many_rows(_field(1, b"\x78\x00" * (1 << 20)), TRACE_LEVELS)
    assert not has_too_many_rows(bytes(1 << 20), TRACE_LEVELS)  # field 0 is not protobuf


def test_an_endless_number_is_left_to_the_decoder() -> None:
    assert not has_too_many_rows(b"\xff" * (4 << 20), TRACE_LEVELS)


@pytest.mark.parametrize("decoder", [traces.decode, _decode_metrics, _decode_logs])
def test_a_length_beyond_all_memory_is_a_malformed_request_and_not_the_end(
    decoder: Callable[[list[bytes]], Decoded],
) -> None:
    beyond = b"\x0a" + b"\xff" * 9 + b"\x01"  # 2**64 - 1: ptars panics
    refused, kept = decoder([beyond, b""]).outcomes
    assert refused.error is not None
    assert kept.error is None
