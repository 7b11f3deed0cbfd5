"""Zipkin's v2 JSON: a list of spans. Called by ``zipkin_http``.

The shape is that of openzipkin/zipkin-api, zipkin2-api.yaml. Optional members may be null; unknown ones are ignored.
"""

import binascii
from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers import zipkin_model as model

SPANS_MAX: Final = 200_000
"""In one request."""

OBJECTS_MAX: Final = 400_000
"""Of { and [ in one request: an empty object is two bytes on the wire and several hundred in memory."""

VALUES_MAX: Final = 2_000_000
"""Of commas in one request."""

_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_ERRORS_SHOWN: Final = 3
_TIME_MAX_US: Final = (1 << 63) // 1000


def _text(value: object) -> object:
    return "" if value is None else value


def _number(value: object) -> object:
    return 0 if value is None else value


def _address(value: str) -> str:
    """As given, if it is an address; else nothing."""
    try:
        return str(ip_address(value)) if value else ""
    except ValueError:
        return ""


_Text = Annotated[str, BeforeValidator(_text)]
_Time = Annotated[int, BeforeValidator(_number), Field(ge=0, le=_TIME_MAX_US)]
_Flag = Annotated[bool, BeforeValidator(bool)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, coerce_numbers_to_str=True, extra="ignore")


class _Endpoint(_Part):
    service_name: _Text = ""
    ipv4: Annotated[_Text, AfterValidator(_address)] = ""
    ipv6: Annotated[_Text, AfterValidator(_address)] = ""
    port: Annotated[int, BeforeValidator(_number), Field(ge=0, le=65535)] = 0


class _Annotation(_Part):
    timestamp: _Time = 0
    value: _Text = ""


class _Span(_Part):
    trace_id: str = Field(max_length=2 * _TRACE_ID_BYTES)
    id: str = Field(max_length=2 * _SPAN_ID_BYTES)
    parent_id: Annotated[_Text, Field(max_length=2 * _SPAN_ID_BYTES)] = ""
    kind: Literal["CLIENT", "SERVER", "PRODUCER", "CONSUMER"] | None = None
    name: _Text = ""
    timestamp: _Time = 0
    duration: _Time = 0
    local_endpoint: _Endpoint | None = None
    remote_endpoint: _Endpoint | None = None
    annotations: list[_Annotation] | None = None
    tags: dict[str, _Text] | None = None
    shared: _Flag = False


_SPANS: Final = TypeAdapter(Annotated[list[_Span], Field(max_length=SPANS_MAX)])


def spans_of(body: bytes) -> list[model.Span]:
    """The spans of a request. Raises TelemetryRejectedError, naming the places that are wrong."""
    if body.count(b"{") + body.count(b"[") > OBJECTS_MAX or body.count(b",") > VALUES_MAX:
        raise TelemetryRejectedError(f"More than {OBJECTS_MAX} objects or {VALUES_MAX} values. Send smaller batches.")
    try:
        return [_span(span) for span in _SPANS.validate_json(body)]
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        shown = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
            for problem in problems[:_ERRORS_SHOWN]
        )
        raise TelemetryRejectedError(f"The body is not a list of Zipkin v2 spans: {shown}") from error


def _identifier(text: str, width: int) -> bytes:
    """Hexadecimal, 64 bits where 128 are possible included. None stays none."""
    if not text:
        return b""
    try:
        return binascii.unhexlify(text.rjust(2 * width, "0"))
    except ValueError as error:  # also what is not ASCII
        raise TelemetryRejectedError(f"{text!r} is not a hexadecimal id.") from error


def _span(span: _Span) -> model.Span:
    return model.Span(
        trace_id=_identifier(span.trace_id, _TRACE_ID_BYTES),
        span_id=_identifier(span.id, _SPAN_ID_BYTES),
        parent_id=_identifier(span.parent_id, _SPAN_ID_BYTES),
        kind=span.kind or "",
        name=span.name,
        time_us=span.timestamp,
        duration_us=span.duration,
        local=_endpoint(span.local_endpoint),
        remote=_endpoint(span.remote_endpoint),
        annotations=[model.Annotation(each.timestamp, each.value) for each in span.annotations or ()],
        tags=span.tags or {},
        shared=span.shared,
    )


def _endpoint(endpoint: _Endpoint | None) -> model.Endpoint:
    if endpoint is None:
        return model.Endpoint()
    return model.Endpoint(endpoint.service_name, endpoint.ipv4, endpoint.ipv6, endpoint.port)
