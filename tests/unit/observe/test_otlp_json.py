"""OTLP/JSON of every signal becomes the protobuf request: ids are hexadecimal wherever they stand."""

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode.traces import decode
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers.otlp_json import to_protobuf
from homeostat.observe.receivers.otlp_signals import LOGS, METRICS, SIGNALS, TRACES, Signal

TRACE_ID = "5b8efff798038103d269b633813fc60c"


@pytest.mark.parametrize("kind", ["gauge", "sum", "histogram", "exponentialHistogram"])
def test_ids_of_exemplars_are_hexadecimal(kind: str) -> None:
    point = {"timeUnixNano": "5", "exemplars": [{"traceId": TRACE_ID, "spanId": "EEE19B7EC3C1B174", "asDouble": 1}]}
    metric = {"name": "m", kind: {"dataPoints": [point]}}
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
    request = ExportMetricsServiceRequest.FromString(to_protobuf(body, METRICS))
    found = request.resource_metrics[0].scope_metrics[0].metrics[0]
    exemplar = getattr(found, found.WhichOneof("data")).data_points[0].exemplars[0]
    assert exemplar.trace_id.hex() == TRACE_ID
    assert exemplar.span_id.hex() == "eee19b7ec3c1b174"


@pytest.mark.parametrize("record", [{"traceId": TRACE_ID}, {"trace_id": TRACE_ID}])
def test_ids_of_log_records_are_hexadecimal(record: dict[str, str]) -> None:
    record = {**record, "body": {"stringValue": "hello"}, "severityNumber": 9}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    request = ExportLogsServiceRequest.FromString(to_protobuf(body, LOGS))
    found = request.resource_logs[0].scope_logs[0].log_records[0]
    assert (found.trace_id.hex(), found.body.string_value) == (TRACE_ID, "hello")


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'"x"', b'{"resourceSpans": 3, "resourceLogs": 3, "resourceMetrics": 3}']
)
def test_what_is_no_request_is_refused_by_name(signal: Signal, body: bytes) -> None:
    with pytest.raises(TelemetryRejectedError, match="JSON"):
        to_protobuf(body, signal)


def test_a_span_whose_id_is_not_hexadecimal_is_refused_alone() -> None:
    good = {"traceId": TRACE_ID, "spanId": "eee19b7ec3c1b174", "name": "good"}
    spans = [good, good | {"traceId": "no hex"}, good | {"spanId": "abc"}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    decoded = decode([to_protobuf(body, TRACES)])
    assert decoded.outcomes[0].accepted == 1
    assert decoded.outcomes[0].reasons == (("id_length", 2),)


def test_a_log_record_whose_id_is_not_hexadecimal_does_not_spoil_the_others() -> None:
    records = [{"traceId": "no hex", "body": {"stringValue": text}} for text in ("one", "two")]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    found = ExportLogsServiceRequest.FromString(to_protobuf(body, LOGS)).resource_logs[0].scope_logs[0].log_records
    assert [record.body.string_value for record in found] == ["one", "two"]
    assert all(len(record.trace_id) == 1 for record in found)  # which no trace has


@pytest.mark.parametrize(
    ("signal", "field"),
    [(TRACES, "rejected_spans"), (METRICS, "rejected_data_points"), (LOGS, "rejected_log_records")],
)
def test_each_signal_names_what_was_rejected_in_its_own_field(signal: Signal, field: str) -> None:
    response = signal.response_to(Receipt(accepted=3, rejected=2))
    assert getattr(response.partial_success, field) == 2
    assert response.partial_success.error_message.startswith("2 of 5 ")
    assert signal.response_to(Receipt(3, 0)) == signal.response()


@pytest.mark.parametrize("body", [b'{"resourceSpans":["\\ud800"]}', b'{"resourceSpans":[{"\\ud800":1}]}'])
def test_a_lone_surrogate_in_the_place_of_a_name_is_refused(body: bytes) -> None:
    with pytest.raises(TelemetryRejectedError):
        to_protobuf(body)


def test_a_body_of_nothing_but_objects_is_refused_before_it_is_read() -> None:
    with pytest.raises(TelemetryRejectedError, match="smaller batches"):
        to_protobuf(b'{"resourceSpans":[' + b"{}," * 700_000 + b"{}]}")
