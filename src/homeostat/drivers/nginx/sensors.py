"""Makes server spans from the access log of one nginx. Built by ``drivers.sources`` from ``watch.nginx``.

``LOG_FORMAT`` is what ``homeostat instrument nginx`` prints: without times of requests there is no span.
"""

import json
import math
from typing import Any, Final, cast

import anyio.to_thread
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.core.config import NginxWatch
from homeostat.drivers.nginx.tail import Tail
from homeostat.drivers.telemetry import Attribute, Attributes, Metrics, Spans, UnreachableError, parent_in

LOG_FORMAT: Final = """log_format homeostat escape=json '{"time":"$msec","duration":"$request_time",'
    '"method":"$request_method","path":"$uri","status":"$status","bytes":"$body_bytes_sent","host":"$host","scheme":"$scheme",'
    '"client":"$remote_addr","traceparent":"$http_traceparent","request":"$request_id",'
    '"upstream":"$upstream_addr","upstream_time":"$upstream_response_time"}';"""
_INTERVAL_S: Final = 0.5
_LATEST_S: Final = 1e10
_STATUS_MAX: Final = 999

METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
"""Those of RFC 9110 and RFC 5789. Names of operations must be few, and nginx logs any word that a client makes up."""

_OTHER_METHOD: Final = "_OTHER"
_ANY_METHOD: Final = "HTTP"
"""What the semantic conventions for HTTP say instead of another method, as an attribute and in a span's name."""

_ORIGINAL_CHARS_MAX: Final = 32


class NginxReader:
    """One access log."""

    def __init__(self, watch: NginxWatch) -> None:
        self._watch = watch
        self._tail = Tail(watch.access_log)
        self._requests = 0
        self._not_understood = 0
        self.name = f"nginx ({watch.access_log})"

    @property
    def resource(self) -> Attributes:
        """Of everything that comes of it."""
        return {"service.name": self._watch.service}

    @property
    def interval_s(self) -> float:
        """Between two looks."""
        return _INTERVAL_S

    async def close(self) -> None:
        """Let go of the file."""
        self._tail.close()

    async def read(self, metrics: Metrics, spans: Spans) -> None:
        """Add the requests since the last look. Raises UnreachableError."""
        try:
            lines = await anyio.to_thread.run_sync(self._tail.read)
        except OSError as error:
            raise UnreachableError(f"{error}. Look at watch.nginx.access_log and who may read it.") from error
        for identity, line in lines:
            if request_span(line, identity, spans):
                self._requests += 1
            elif line.strip():
                self._not_understood += 1
        metrics.total("nginx.requests", self._requests, "{request}")
        metrics.total("nginx.access_log.not_understood", self._not_understood + self._tail.cut, "{line}")
        if self._not_understood and not self._requests:
            raise UnreachableError("its lines have another format: homeostat instrument nginx prints the one needed.")


def request_span(line: bytes, identity: str, spans: Spans) -> bool:
    """Add the span of one line; False: it is none of ours."""
    try:
        given = json.loads(line)
        entry = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        end_s, duration_s, status = float(entry["time"]), float(entry["duration"]), int(entry["status"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return False
    if not (
        math.isfinite(end_s) and 0 < end_s < _LATEST_S and math.isfinite(duration_s) and 0 <= duration_s <= end_s
    ):
        return False
    if not 0 <= status <= _STATUS_MAX:
        return False
    end_ns = round(end_s * 1000) * 1_000_000
    method, attributes = _method(str(entry.get("method") or ""))
    attributes["http.response.status_code"] = status
    names = {"path": "url.path", "scheme": "url.scheme", "host": "server.address", "client": "client.address"}
    names |= {"request": "nginx.request_id", "upstream": "nginx.upstream.address"}
    attributes |= {name: str(entry[key]) for key, name in names.items() if entry.get(key)}
    spans.add(
        method,  # without the path: it has ids in it, and names of operations are few
        f"{identity} {entry.get('request', '')}",
        end_ns - round(duration_s * 1000) * 1_000_000,
        end_ns,
        attributes,
        kind=Span.SpanKind.SPAN_KIND_SERVER,
        parent=parent_in(str(entry.get("traceparent", ""))),
        error=status >= 500,
    )
    return True


def _method(given: str) -> tuple[str, dict[str, Attribute]]:
    """What to call the span, and what to say of the method."""
    if given in METHODS:
        return given, {"http.request.method": given}
    attributes: dict[str, Attribute] = {"http.request.method": _OTHER_METHOD}
    if given:
        attributes["http.request.method_original"] = given[:_ORIGINAL_CHARS_MAX]
    return _ANY_METHOD, attributes
