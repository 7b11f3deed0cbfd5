"""How ``bench.fuzz`` reaches each receiver: the client, the good payload, the ways to be rude to its port."""

import gzip
import http.client
import http.server
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import cramjam
import grpc

from bench import _fuzz_mutations as mutations
from bench import _fuzz_payloads as payloads

ANSWER_S: Final = 60.0
"""No answer for so long is a hang: the machine may be busy with other things as well."""

HOST: Final = "127.0.0.1"
_REQUEST_BYTES_MAX: Final = 16 << 20  # receivers.max_request_mib
_DATAGRAM_BYTES_MAX: Final = 65_000
_GRPC_BAD: Final = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})

Mutate = Callable[[random.Random, bytes, list[bytes]], bytes]


class HangError(Exception):
    """Nothing was answered in time."""


class BadAnswerError(Exception):
    """An answer that says that something went wrong inside."""


class Sender(Protocol):
    """A client of one receiver."""

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        """Whether it was taken. Raises HangError, BadAnswerError, OSError."""
        ...

    def close(self) -> None: ...


class HttpSender:
    """One connection that is kept while the receiver keeps it."""

    def __init__(self, port: int, path: str, content_type: str, extra: dict[str, str] | None = None) -> None:
        self._path, self._headers = path, {"Content-Type": content_type, **(extra or {})}
        self._connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        headers = self._headers | ({"Content-Encoding": "gzip"} if packed else {})
        try:
            self._connection.request("POST", self._path, payload, headers)
            response = self._connection.getresponse()
            response.read()
        except TimeoutError as error:
            self._connection.close()
            raise HangError from error
        except (OSError, http.client.HTTPException):
            self._connection.close()  # refused in the middle of a large body: as good as an answer
            return False
        if response.status >= 500 and response.status != 503:
            raise BadAnswerError(f"status {response.status}")
        return 200 <= response.status < 300

    def close(self) -> None:
        self._connection.close()


class GrpcSender:
    """Raw bytes in a unary call."""

    def __init__(self, port: int, method: str) -> None:
        self._channel = grpc.insecure_channel(f"{HOST}:{port}", options=[("grpc.max_send_message_length", -1)])
        self._call = self._channel.unary_unary(method)

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
        try:
            self._call(payload, timeout=ANSWER_S, compression=compression)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise HangError from error
            if code in _GRPC_BAD:
                raise BadAnswerError(f"{code.name}: {error.details()}") from error
            return False
        return True

    def close(self) -> None:
        self._channel.close()


class UdpSender:
    """Datagrams: nobody answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = (HOST, port)

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        self._socket.sendto(payload[:_DATAGRAM_BYTES_MAX], self._address)
        return False

    def close(self) -> None:
        self._socket.close()


class SnappySender(HttpSender):
    """Remote-write: everything is packed with Snappy; ``packed``: it is already, more or less."""

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        return super().send(payload if packed else snappy(payload))


def snappy(payload: bytes) -> bytes:
    """One Snappy block."""
    return bytes(cramjam.snappy.compress_raw(payload))


class _Shown(http.server.ThreadingHTTPServer):
    """What the target scrapes."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Show)
        self.changed = threading.Condition()
        self.scrapes = 0
        self.body = payloads.exposition(b"")
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """The scraper hung up in the middle of a bomb."""


class _Show(http.server.BaseHTTPRequestHandler):
    server: _Shown

    def do_GET(self) -> None:
        with self.server.changed:
            body = self.server.body
            self.server.scrapes += 1
            self.server.changed.notify_all()
        self.send_response(200)
        kind = "application/openmetrics-text; version=1.0.0" if body.endswith(b"# EOF\n") else "text/plain"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


SHOWN: Final[dict[int, _Shown]] = {}
"""By port."""


def show() -> int:
    """Start showing something to scrape; gives the port."""
    server = _Shown()
    port = int(server.server_address[1])
    SHOWN[port] = server
    return port


class ScrapeSender:
    """Shows a payload until it has been fetched, and the scraper has come again after it."""

    def __init__(self, port: int) -> None:
        self._server = SHOWN[port]

    def send(self, payload: bytes, *, packed: bool = False) -> bool:
        server = self._server
        with server.changed:
            server.body = payload
            seen = server.scrapes + 1  # the one that is on its way may bring the former body
            if not server.changed.wait_for(lambda: server.scrapes > seen, ANSWER_S):
                raise HangError
        return True

    def close(self) -> None:
        self._server.body = payloads.exposition(b"")


@dataclass(frozen=True)
class Receiver:
    """One receiver, as the fuzzer sees it."""

    name: str
    port: str  # its name among the target's ports
    encoding: str  # protobuf, json, thrift, text
    good: Callable[[bytes], bytes]  # a payload of the trace id
    connect: Callable[[int], Sender]
    pack: Callable[[bytes], bytes] | None = gzip.compress  # None: the transport packs, or nobody does
    bomb_bytes: int = _REQUEST_BYTES_MAX
    is_datagram: bool = False
    is_polite: bool = False  # its port is ours

    @property
    def mutate(self) -> Mutate:
        """The changes that know the encoding."""
        by_name = {"protobuf": mutations.by_protobuf, "json": mutations.by_json, "text": mutations.by_text}
        return by_name.get(self.encoding, mutations.by_bytes)

    def bad(self, chance: random.Random, seeds: list[bytes]) -> tuple[bytes, bool]:
        """A bad payload, and whether it is packed."""
        draw = chance.random()
        if draw < 0.004 and self.pack is gzip.compress:
            return chance.choice(mutations.gzip_bombs(self.bomb_bytes))(), True
        if draw < 0.010:
            bomb = chance.choice(mutations.bombs(self.encoding, self.bomb_bytes))()
            return (self.pack(bomb), True) if self.pack and chance.random() < 0.5 else (bomb, False)
        mutate = mutations.by_bytes if chance.random() < 0.3 else self.mutate
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 2, 3))):
            data = mutate(chance, data, seeds)
        if self.pack is None or chance.random() > 0.1:
            return data, False
        packed = self.pack(data)
        return (packed if chance.random() < 0.5 else mutations.by_bytes(chance, packed, seeds)), True


def _http(path: str, content_type: str) -> Callable[[int], Sender]:
    return lambda port: HttpSender(port, path, content_type)


def _otlp_grpc(signal: str) -> Callable[[int], Sender]:
    package = f"opentelemetry.proto.collector.{signal}.v1.{signal.capitalize()}Service"
    return lambda port: GrpcSender(port, f"/{package}/Export")


_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_GRPC_BOMB: Final = 4 << 20

RECEIVERS: Final = (
    Receiver("otlp_http_traces", "otlp_http", "protobuf", payloads.otlp_traces, _http("/v1/traces", _PROTOBUF)),
    Receiver(
        "otlp_http_metrics",
        "otlp_http",
        "protobuf",
        lambda _: payloads.otlp_metrics(),
        _http("/v1/metrics", _PROTOBUF),
    ),
    Receiver("otlp_http_logs", "otlp_http", "protobuf", lambda _: payloads.otlp_logs(), _http("/v1/logs", _PROTOBUF)),
    Receiver("otlp_json_traces", "otlp_http", "json", payloads.otlp_traces_json, _http("/v1/traces", _JSON)),
    Receiver(
        "otlp_json_metrics",
        "otlp_http",
        "json",
        lambda _: payloads.otlp_metrics_json(),
        _http("/v1/metrics", _JSON),
    ),
    Receiver("otlp_json_logs", "otlp_http", "json", lambda _: payloads.otlp_logs_json(), _http("/v1/logs", _JSON)),
    Receiver("otlp_grpc_traces", "otlp_grpc", "protobuf", payloads.otlp_traces, _otlp_grpc("trace"), pack=None),
    Receiver(
        "otlp_grpc_metrics",
        "otlp_grpc",
        "protobuf",
        lambda _: payloads.otlp_metrics(),
        _otlp_grpc("metrics"),
        pack=None,
    ),
    Receiver(
        "otlp_grpc_logs", "otlp_grpc", "protobuf", lambda _: payloads.otlp_logs(), _otlp_grpc("logs"), pack=None
    ),
    Receiver(
        "jaeger_grpc",
        "jaeger_grpc",
        "protobuf",
        payloads.jaeger_proto,
        lambda port: GrpcSender(port, "/jaeger.api_v2.CollectorService/PostSpans"),
        pack=None,
        bomb_bytes=_GRPC_BOMB,
    ),
    Receiver(
        "jaeger_http",
        "jaeger_http",
        "thrift",
        payloads.thrift_http,
        _http("/api/traces?format=jaeger.thrift", "application/x-thrift"),
    ),
    Receiver(
        "jaeger_udp_compact",
        "jaeger_udp_compact",
        "thrift",
        payloads.thrift_compact,
        UdpSender,
        pack=None,
        bomb_bytes=_DATAGRAM_BYTES_MAX,
        is_datagram=True,
    ),
    Receiver(
        "jaeger_udp_binary",
        "jaeger_udp_binary",
        "thrift",
        payloads.thrift_binary,
        UdpSender,
        pack=None,
        bomb_bytes=_DATAGRAM_BYTES_MAX,
        is_datagram=True,
    ),
    Receiver(
        "prometheus_write",
        "otlp_http",
        "protobuf",
        payloads.remote_write,
        lambda port: SnappySender(port, "/api/v1/write", _PROTOBUF, {"Content-Encoding": "snappy"}),
        pack=snappy,
    ),
    Receiver(
        "prometheus_write_2",
        "otlp_http",
        "protobuf",
        payloads.remote_write_2,
        lambda port: SnappySender(
            port, "/api/v1/write", f"{_PROTOBUF};proto=io.prometheus.write.v2.Request", {"Content-Encoding": "snappy"}
        ),
        pack=snappy,
    ),
    Receiver(
        "prometheus_scrape", "prometheus_scrape", "text", payloads.exposition, ScrapeSender, pack=None, is_polite=True
    ),
    Receiver("zipkin_json", "zipkin", "json", payloads.zipkin_json, _http("/api/v2/spans", _JSON)),
    Receiver("zipkin_proto", "zipkin", "protobuf", payloads.zipkin_proto, _http("/api/v2/spans", _PROTOBUF)),
)


@contextmanager
def rudeness(chance: random.Random, port: int, count: int) -> Iterator[None]:
    """Connections that never say what they want, cut ones, and such that talk something else."""
    held: list[socket.socket] = []
    openings = (
        b"",
        b"P",
        b"POST /v1/traces HTTP/1.1\r\nhost: h\r\n",
        b"POST /v1/traces HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(200),
        os.urandom(500),
    )
    try:
        for _ in range(count):
            with suppress(OSError):
                connection = socket.create_connection((HOST, port), timeout=ANSWER_S)
                connection.sendall(chance.choice(openings))
                if chance.random() < 0.5:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()
                else:
                    held.append(connection)
        yield
    finally:
        for connection in held:
            connection.close()
