"""OTLP metrics become columns: field by field as the official parser reads them; impossible points are counted."""

import json
import math
import random
import sys

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from homeostat.observe.decode.common import Outcome
from homeostat.observe.decode.labels import Labels
from homeostat.observe.decode.metrics import decode_metrics, metrics_decoder
from homeostat.store.telemetry.metric_schema import METRIC_SCHEMA, METRIC_TYPES
from support.otlp_values import LATEST, NANOS, SMALL, assert_same_attributes, assert_same_object, key_values
from support.spans import HandClock

FLOATS = st.floats(allow_nan=False, width=64)
COUNTS = st.lists(st.integers(0, 2**64 - 1), max_size=4)


@st.composite
def exemplars(draw: st.DrawFn) -> otlp.Exemplar:
    exemplar = otlp.Exemplar(
        time_unix_nano=draw(NANOS),
        trace_id=draw(st.sampled_from([b"", b"t" * 16])),
        span_id=draw(st.sampled_from([b"", b"s" * 8])),
        filtered_attributes=draw(key_values(1)),
    )
    if draw(st.booleans()):
        exemplar.as_double = draw(FLOATS)
    else:
        exemplar.as_int = draw(st.integers(-(2**53), 2**53))
    return exemplar


def _common(draw: st.DrawFn) -> dict[str, object]:
    return {
        "attributes": draw(key_values()),
        "time_unix_nano": draw(NANOS.filter(bool)),
        "start_time_unix_nano": draw(NANOS),
        "flags": draw(SMALL),
    }


@st.composite
def number_points(draw: st.DrawFn) -> otlp.NumberDataPoint:
    point = otlp.NumberDataPoint(**_common(draw), exemplars=draw(st.lists(exemplars(), max_size=2)))
    match draw(st.sampled_from(["int", "double", "none"])):
        case "int":
            point.as_int = draw(st.integers(-(2**53), 2**53))
        case "double":
            point.as_double = draw(FLOATS)
        case _:
            pass
    return point


@st.composite
def histogram_points(draw: st.DrawFn) -> otlp.HistogramDataPoint:
    bounds = sorted(draw(st.sets(FLOATS, max_size=3)))
    point = otlp.HistogramDataPoint(
        **_common(draw),
        count=draw(st.integers(0, 2**64 - 1)),
        explicit_bounds=bounds,
        bucket_counts=[draw(st.integers(0, 2**64 - 1)) for _ in range(len(bounds) + 1)],
        exemplars=draw(st.lists(exemplars(), max_size=2)),
    )
    for name in ("sum", "min", "max"):
        if draw(st.booleans()):
            setattr(point, name, draw(FLOATS))
    return point


@st.composite
def exponential_points(draw: st.DrawFn) -> otlp.ExponentialHistogramDataPoint:
    point = otlp.ExponentialHistogramDataPoint(
        **_common(draw),
        count=draw(st.integers(0, 2**64 - 1)),
        scale=draw(st.integers(-10, 20)),
        zero_count=draw(st.integers(0, 2**64 - 1)),
        zero_threshold=draw(FLOATS),
        exemplars=draw(st.lists(exemplars(), max_size=1)),
    )
    if draw(st.booleans()):
        point.positive.offset = draw(st.integers(-(2**31), 2**31 - 1))
        point.positive.bucket_counts.extend(draw(COUNTS))
    if draw(st.booleans()):
        point.sum = draw(FLOATS)
    return point


@st.composite
def summary_points(draw: st.DrawFn) -> otlp.SummaryDataPoint:
    point = otlp.SummaryDataPoint(**_common(draw), count=draw(st.integers(0, 2**64 - 1)), sum=draw(FLOATS))
    for quantile in draw(st.lists(st.floats(0, 1), max_size=2)):
        point.quantile_values.add(quantile=quantile, value=draw(FLOATS))
    return point


@st.composite
def metrics(draw: st.DrawFn) -> otlp.Metric:
    metric = otlp.Metric(
        name=draw(st.text(min_size=1, max_size=8)), unit=draw(st.sampled_from(["", "ms"])), description="d"
    )
    temporality = draw(st.integers(0, 2))
    match draw(st.sampled_from([*METRIC_TYPES, "none"])):
        case "gauge":
            metric.gauge.data_points.extend(draw(st.lists(number_points(), max_size=2)))
        case "sum":
            metric.sum.data_points.extend(draw(st.lists(number_points(), max_size=2)))
            metric.sum.aggregation_temporality = temporality  # pyright: ignore[reportAttributeAccessIssue]
            metric.sum.is_monotonic = draw(st.booleans())
        case "histogram":
            metric.histogram.data_points.extend(draw(st.lists(histogram_points(), max_size=2)))
            metric.histogram.aggregation_temporality = temporality  # pyright: ignore[reportAttributeAccessIssue]
        case "exponential_histogram":
            metric.exponential_histogram.data_points.extend(draw(st.lists(exponential_points(), max_size=2)))
        case "summary":
            metric.summary.data_points.extend(draw(st.lists(summary_points(), max_size=2)))
        case _:
            pass
    return metric


@st.composite
def requests(draw: st.DrawFn) -> ExportMetricsServiceRequest:
    built = ExportMetricsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = built.resource_metrics.add()
        resource.resource.attributes.extend(draw(key_values()))
        if draw(st.booleans()):
            resource.resource.attributes.add(key="service.name").value.string_value = "shop"
        for _ in range(draw(st.integers(0, 2))):
            scope = resource.scope_metrics.add()
            if draw(st.booleans()):
                scope.scope.name, scope.scope.version = "lib", "2"
            scope.metrics.extend(draw(st.lists(metrics(), max_size=3)))
    return built


def _assert_same_point(row: dict[str, object], point: object, kind: str) -> None:
    given = not point.flags & 1
    assert row["time_ns"] == min(point.time_unix_nano, LATEST)
    assert row["start_ns"] == min(point.start_time_unix_nano, LATEST)
    assert row["flags"] == point.flags
    assert_same_object(row["labels"], list(point.attributes))
    if kind in {"gauge", "sum"}:
        which = point.WhichOneof("value")
        assert row["value"] == (getattr(point, which) if which and given else None)
        assert row["count"] is None
    else:
        assert row["value"] is None
        assert row["count"] == (point.count if given else None)
        has_sum = kind == "summary" or point.HasField("sum")
        assert row["sum"] == (point.sum if has_sum and given else None)
    if kind == "histogram" and given:
        assert row["bounds"] == list(point.explicit_bounds)
        assert row["bucket_counts"] == list(point.bucket_counts)
        assert row["min"] == (point.min if point.HasField("min") else None)
    if kind == "exponential_histogram" and given:
        assert (row["scale"], row["zero_count"]) == (point.scale, point.zero_count)
        assert (row["positive_offset"] or 0) == point.positive.offset
        assert (row["positive_counts"] or []) == list(point.positive.bucket_counts)
    if kind == "summary" and given:
        assert row["quantiles"] == [{"quantile": q.quantile, "value": q.value} for q in point.quantile_values]
    if kind != "summary":
        for found, exemplar in zip(row["exemplars"] or [], point.exemplars, strict=True):
            assert found["value"] == getattr(exemplar, exemplar.WhichOneof("value"))
            assert (found["trace_id"], found["span_id"]) == (exemplar.trace_id, exemplar.span_id)
            assert_same_attributes(found["attributes"], list(exemplar.filtered_attributes))


@given(st.lists(requests(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_field_is_read_as_the_official_parser_reads_it(built: list[ExportMetricsServiceRequest]) -> None:
    decoded = decode_metrics([one.SerializeToString() for one in built])
    decoded.table.validate(full=True)
    assert decoded.table.schema == METRIC_SCHEMA
    rows = decoded.table.to_pylist()
    for number, kind in enumerate(METRIC_TYPES):
        expected = [
            (resource, scope, metric, point)
            for one in built
            for resource in one.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.WhichOneof("data") == kind
            for point in getattr(metric, kind).data_points
        ]
        found = [row for row in rows if row["type"] == number]
        assert len(found) == len(expected)
        for row, (resource, scope, metric, point) in zip(found, expected, strict=True):
            assert (row["name"], row["unit"], row["description"]) == (metric.name, metric.unit, metric.description)
            assert (row["scope"], row["scope_version"]) == (scope.scope.name, scope.scope.version)
            assert_same_object(row["resource"], list(resource.resource.attributes))
            data = getattr(metric, kind)
            assert row["temporality"] == getattr(data, "aggregation_temporality", 0)
            assert row["monotonic"] == getattr(data, "is_monotonic", False)
            _assert_same_point(row, point, kind)
    assert sum(outcome.accepted for outcome in decoded.outcomes) == len(rows)


def _one(**point: object) -> ExportMetricsServiceRequest:
    built = ExportMetricsServiceRequest()
    metric = built.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.histogram.data_points.add(count=1, time_unix_nano=1, **point)
    return built


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [([1.0], [1]), ([], [1, 2]), ([2.0, 1.0], [1, 1, 1]), ([1.0, 1.0], [1, 1, 1]), ([math.nan], [1, 1]), ([1.0], [])],
)
def test_a_histogram_that_contradicts_itself_is_dropped_and_counted_and_the_rest_is_kept(
    bounds: list[float], counts: list[int]
) -> None:
    built = _one(explicit_bounds=bounds, bucket_counts=counts)
    metric = built.resource_metrics[0].scope_metrics[0].metrics[0]
    metric.histogram.data_points.add(count=3, time_unix_nano=2, explicit_bounds=[1.0, 2.0], bucket_counts=[1, 1, 1])
    decoded = decode_metrics([built.SerializeToString()])
    assert decoded.outcomes == (Outcome(accepted=1, rejected=1),)
    assert decoded.table["time_ns"].to_pylist() == [2]


def test_points_of_a_metric_without_a_name_are_dropped_and_counted() -> None:
    built = ExportMetricsServiceRequest()
    built.resource_metrics.add().scope_metrics.add().metrics.add().gauge.data_points.add(as_int=1)
    assert decode_metrics([built.SerializeToString()]).outcomes == (Outcome(accepted=0, rejected=1),)


def test_a_point_that_does_not_say_its_time_has_the_time_of_its_arrival() -> None:
    built = ExportMetricsServiceRequest()
    built.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    clock = HandClock()
    table = metrics_decoder(clock)([built.SerializeToString()]).table
    assert table["time_ns"].to_pylist() == [int(clock.now().timestamp() * 1e9)]


def test_not_a_number_and_no_recorded_value_are_no_value() -> None:
    built = ExportMetricsServiceRequest()
    gauge = built.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge
    gauge.data_points.add(as_double=math.nan)
    gauge.data_points.add(as_double=5, flags=1)
    gauge.data_points.add(as_double=math.inf)
    assert decode_metrics([built.SerializeToString()]).table["value"].to_pylist() == [None, None, math.inf]


def test_one_malformed_request_spoils_none_of_those_it_arrives_with() -> None:
    good = _one().SerializeToString()
    decoded = decode_metrics([good, good[:-3], b"", b"\xff\xff", good])
    assert [outcome.accepted for outcome in decoded.outcomes] == [1, 0, 0, 0, 1]
    assert [outcome.error is not None for outcome in decoded.outcomes] == [False, True, False, True, False]


def test_a_label_that_is_no_key_value_refuses_its_request_alone() -> None:
    built = _one()
    point = built.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]
    point.attributes.add(key="marker")
    data = built.SerializeToString()
    place = data.index(b"marker") - 1
    broken = data[:place] + b"\x7f" + data[place + 1 :]
    with pytest.raises(DecodeError):
        ExportMetricsServiceRequest.FromString(broken)
    outcomes = decode_metrics([broken, data]).outcomes
    assert [outcome.error is not None for outcome in outcomes] == [True, False]


def test_mutated_requests_never_crash_and_none_is_refused_that_the_official_parser_takes() -> None:
    chance = random.Random(7)
    built = _one(explicit_bounds=[1.0], bucket_counts=[1, 0])
    point = built.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]
    point.attributes.add(key="k").value.string_value = "v"
    point.exemplars.add(as_int=3, trace_id=b"t" * 16)
    original = built.SerializeToString()
    for _ in range(2000):
        data = bytearray(original)
        data[chance.randrange(len(data))] = chance.randrange(256)
        accepted = decode_metrics([bytes(data)]).outcomes[0].error is None
        try:
            ExportMetricsServiceRequest.FromString(bytes(data))
        except DecodeError:
            continue
        assert accepted, bytes(data)


def test_labels_that_are_remembered_are_bounded_and_forgetting_changes_nothing() -> None:
    pairs = [[pa_pair(n)] for n in range(200)]
    column = pa.array(pairs, pa.list_(pa.binary()))
    small, large = Labels(bytes_max=2000), Labels()
    for _ in range(2):
        assert small.column(column).to_pylist() == large.column(column).to_pylist()
    assert len(small._known) < 20
    assert json.loads(small.column(column).to_pylist()[7]) == {"k": "7"}


def test_rows_that_are_remembered_count_like_their_texts() -> None:
    unknown_field = b"\xd2\x01\x90\x4e" + bytes(10_000)  # number 26, which a KeyValue does not have
    repeated = [pa_pair(n) for n in range(1000)]  # of all these one remains
    small = Labels(bytes_max=200_000)
    rows = [[unknown_field + bytes([0xD8, 1, n])] for n in range(64)] + [repeated[n:] for n in range(64)]
    for row in rows:
        text = small.column(pa.array([row], pa.list_(pa.binary()))).to_pylist()
        assert text == (['{"k": "999"}'] if row[0] in repeated else ['{"": ""}'])
        assert sum(sys.getsizeof(raw) for known in small._known for raw in known) <= 200_000
    assert small._known  # the last of them


def test_a_row_larger_than_all_that_may_be_remembered_is_read_and_forgets_nothing() -> None:
    small = Labels(bytes_max=2000)
    for row in ([pa_pair(1)], [pa_pair(n) for n in range(1000)]):
        small.column(pa.array([row], pa.list_(pa.binary())))
    assert list(small._known) == [(pa_pair(1),)]


_KEY_ONLY, _VALUE_ONLY = KeyValue(key="k"), KeyValue(value=AnyValue(string_value="v"))
_PARTS = [_KEY_ONLY.SerializeToString(), _VALUE_ONLY.SerializeToString(), b""]
_WHOLE = [b"".join(_PARTS[:2]), *_PARTS]


@given(
    st.lists(st.lists(st.sampled_from(_WHOLE), max_size=3), min_size=1, max_size=200),
    st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_labels_are_told_apart_by_where_one_ends_and_not_by_their_bytes_alone(
    rows: list[list[bytes]], start: int
) -> None:
    column = pa.array(rows, pa.list_(pa.binary())).slice(start)
    expected: list[dict[str, str]] = []
    for row in rows[start:]:
        pairs = [KeyValue.FromString(raw) for raw in row]
        expected.append({pair.key: pair.value.string_value for pair in pairs})
    assert list(map(json.loads, Labels().column(column).to_pylist())) == expected


def pa_pair(number: int) -> bytes:
    built = otlp.NumberDataPoint()
    built.attributes.add(key="k").value.int_value = number
    return built.attributes[0].SerializeToString()
