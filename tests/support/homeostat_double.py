"""What a world talks to, as a real HTTP server: takes and keeps what comes over OTLP, serves flags over OFREP.

Runs in a thread of its own, so that a test may block and it still answers. Can be stopped and started again on the
same port, as Homeostat is when it is killed.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ALL_OFF = {
    "errorInjectionEnabled": False,
    "slowResponsesEnabled": False,
    "circuitBreakerEnabled": False,
    "rateLimitingEnabled": False,
    "cacheEnabled": True,
}


@dataclass(frozen=True)
class SeenSpan:
    """One received span."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int  # 1 internal, 2 server, 3 client
    service: str
    error: bool
    duration_ms: float
    attributes: dict[str, Any] = field(repr=False)


class HomeostatDouble:
    """``url`` serves both OTLP and OFREP."""

    def __init__(self) -> None:
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port = self._reservation.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags = dict(ALL_OFF)
        self.bodies: list[bytes] = []
        self.logs: list[bytes] = []
        self.metrics: list[bytes] = []
        self.trace_status = 200
        self.polls_not_modified = 0
        self.targeting_keys: set[str] = set()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            loop="asyncio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    def close(self) -> None:
        self.stop()
        self._reservation.close()

    def spans(self) -> list[SeenSpan]:
        return [span for body in list(self.bodies) for span in _spans(body)]

    def wait_for(self, condition: Callable[[list[SeenSpan]], bool], timeout_s: float = 10.0) -> list[SeenSpan]:
        """The spans as soon as they fulfil the condition; fails the test with what there is otherwise."""
        deadline = time.monotonic() + timeout_s
        while True:
            spans = self.spans()
            if condition(spans):
                return spans
            assert time.monotonic() < deadline, f"not within {timeout_s} s; {len(spans)} spans: {spans[:40]}"
            time.sleep(0.05)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        status, answer, etag = 404, b"{}", ""
        if scope["path"] == "/v1/traces":
            status, answer = self.trace_status, b""
            if status == 200:
                self.bodies.append(body)
        elif scope["path"] in {"/v1/logs", "/v1/metrics"}:
            status, answer = 200, b""
            (self.logs if scope["path"] == "/v1/logs" else self.metrics).append(body)
        elif scope["path"] == "/ofrep/v1/evaluate/flags":
            status, answer, etag = self._evaluate(body, headers)
        sent = [(b"content-type", b"application/json"), (b"etag", etag.encode())]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": answer})

    def _evaluate(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        self.targeting_keys.add(json.loads(body)["context"]["targetingKey"])
        etag = '"' + "".join("1" if value else "0" for value in self.flags.values()) + '"'
        if headers.get("if-none-match") == etag:
            self.polls_not_modified += 1
            return 304, b"", etag
        listed = [{"key": key, "value": value, "reason": "STATIC"} for key, value in self.flags.items()]
        return 200, json.dumps({"flags": listed}).encode(), etag


def _spans(body: bytes) -> list[SeenSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    found: list[SeenSpan] = []
    for resource_spans in request.resource_spans:
        resource = {item.key: _value(item.value) for item in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                found.append(
                    SeenSpan(
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        name=span.name,
                        kind=span.kind,
                        service=str(resource["service.name"]),
                        error=span.status.code == 2,
                        duration_ms=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
                        attributes={item.key: _value(item.value) for item in span.attributes},
                    )
                )
    return found


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
