"""OTLP logs become columns: field by field as the official parser reads them; no record is lost for a bad id."""

import json
import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from homeostat.observe.counters import Counters
from homeostat.observe.decode.common import Outcome
from homeostat.observe.decode.logs import decode_logs, logs_decoder
from homeostat.store.telemetry.log_schema import LOG_SCHEMA
from support.otlp_values import (
    LATEST,
    NANOS,
    SMALL,
    any_values,
    assert_same_attributes,
    assert_same_object,
    key_values,
    same_text,
)
from support.spans import HandClock


@st.composite
def records(draw: st.DrawFn) -> LogRecord:
    record = LogRecord(
        time_unix_nano=draw(NANOS),
        observed_time_unix_nano=draw(NANOS),
        severity_text=draw(st.sampled_from(["", "WARN"])),
        attributes=draw(key_values()),
        dropped_attributes_count=draw(SMALL),
        flags=draw(SMALL),
        trace_id=draw(st.sampled_from([b"", b"t" * 16, bytes(16)])),
        span_id=draw(st.sampled_from([b"", b"s" * 8, bytes(8)])),
        event_name=draw(st.sampled_from(["", "exception"])),
    )
    record.severity_number = draw(st.integers(0, 30))  # pyright: ignore[reportAttributeAccessIssue]
    if draw(st.booleans()):
        record.body.CopyFrom(draw(any_values()))
    return record


@st.composite
def requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    built = ExportLogsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource = built.resource_logs.add()
        resource.resource.attributes.extend(draw(key_values()))
        for _ in range(draw(st.integers(0, 2))):
            scope = resource.scope_logs.add()
            if draw(st.booleans()):
                scope.scope.name, scope.scope.version = "lib", "2"
            scope.log_records.extend(draw(st.lists(records(), max_size=3)))
    return built


@given(st.lists(requests(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_field_is_read_as_the_official_parser_reads_it(built: list[ExportLogsServiceRequest]) -> None:
    decoded = decode_logs([one.SerializeToString() for one in built])
    decoded.table.validate(full=True)
    assert decoded.table.schema == LOG_SCHEMA
    expected = [
        (resource, scope, record)
        for one in built
        for resource in one.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    rows = decoded.table.to_pylist()
    assert len(rows) == len(expected) == sum(outcome.accepted for outcome in decoded.outcomes)
    for row, (resource, scope, record) in zip(rows, expected, strict=True):
        happened, observed = record.time_unix_nano, record.observed_time_unix_nano
        assert row["time_ns"] == min(happened or observed, LATEST)
        assert row["observed_ns"] == min(observed or happened, LATEST)
        assert row["severity"] == (record.severity_number if record.severity_number <= 24 else 0)
        assert (row["severity_text"], row["event_name"]) == (record.severity_text, record.event_name)
        assert (row["flags"], row["dropped_attributes"]) == (record.flags, record.dropped_attributes_count)
        assert row["trace_id"] == (record.trace_id if any(record.trace_id) else None)
        assert row["span_id"] == (record.span_id if any(record.span_id) else None)
        assert (row["scope"], row["scope_version"]) == (scope.scope.name, scope.scope.version)
        assert same_text(row["body"], record.body)
        assert_same_attributes(row["attributes"], list(record.attributes))
        assert_same_object(row["resource"], list(resource.resource.attributes))


def _request(*records: LogRecord) -> ExportLogsServiceRequest:
    built = ExportLogsServiceRequest()
    built.resource_logs.add().scope_logs.add().log_records.extend(records)
    return built


def test_a_body_that_is_no_text_is_json() -> None:
    record = LogRecord(time_unix_nano=1)
    record.body.kvlist_value.values.add(key="user").value.array_value.values.add().int_value = 7
    table = decode_logs([_request(record).SerializeToString()]).table
    assert json.loads(table["body"][0].as_py()) == {"user": [7]}


@pytest.mark.parametrize(("trace_id", "span_id"), [(b"t", b"s" * 8), (b"t" * 17, b"s" * 8), (b"t" * 16, b"s" * 7)])
def test_an_id_of_the_wrong_length_is_left_out_and_counted_and_the_record_is_kept(
    trace_id: bytes, span_id: bytes
) -> None:
    built = _request(LogRecord(time_unix_nano=1, trace_id=trace_id, span_id=span_id), LogRecord(time_unix_nano=2))
    decoded = decode_logs([built.SerializeToString()])
    assert decoded.outcomes == (Outcome(accepted=2, reasons=(("log_record_id", 1),)),)
    assert decoded.table["trace_id"].to_pylist() == [trace_id if len(trace_id) == 16 else None, None]
    assert decoded.table["span_id"].to_pylist() == [span_id if len(span_id) == 8 else None, None]


def test_a_record_without_any_time_has_the_time_of_its_arrival() -> None:
    clock = HandClock()
    table = logs_decoder(clock)([_request(LogRecord()).SerializeToString()]).table
    assert table["time_ns"].to_pylist() == table["observed_ns"].to_pylist() == [int(clock.now().timestamp() * 1e9)]


def test_one_malformed_request_spoils_none_of_those_it_arrives_with() -> None:
    good = _request(LogRecord(time_unix_nano=1, severity_text="INFO")).SerializeToString()
    decoded = decode_logs([good, good[:-3], b"", b"\xff\xff", good])
    assert [outcome.accepted for outcome in decoded.outcomes] == [1, 0, 0, 0, 1]
    assert [outcome.error is not None for outcome in decoded.outcomes] == [False, True, False, True, False]


def test_mutated_requests_never_crash_and_none_is_refused_that_the_official_parser_takes() -> None:
    chance = random.Random(7)
    record = LogRecord(time_unix_nano=1, trace_id=b"t" * 16, span_id=b"s" * 8, severity_text="INFO")
    record.body.string_value = "hello"
    record.attributes.add(key="k").value.array_value.values.add().string_value = "v"
    original = _request(record).SerializeToString()
    for _ in range(2000):
        data = bytearray(original)
        data[chance.randrange(len(data))] = chance.randrange(256)
        accepted = decode_logs([bytes(data)]).outcomes[0].error is None
        try:
            ExportLogsServiceRequest.FromString(bytes(data))
        except DecodeError:
            continue
        assert accepted, bytes(data)


def test_ids_that_were_left_out_are_counted_by_reason() -> None:
    counters = Counters(HandClock())
    record = LogRecord(time_unix_nano=1, trace_id=b"short")
    counters.add(decode_logs([_request(record).SerializeToString()]).outcomes, "logs")
    assert counters.snapshot(stored=0, sampled_out=0, services=0).refused == {"log_record_id": 1}
    assert counters.snapshot(stored=0, sampled_out=0, services=0).log_records_received == 1
