"""ClickHouse's HTTP interface in front of the engine in this process, for tests of the client.

The engine, its SQL, its formats and its parameters are the real ones; only the transport is this file's.
"""

import gzip
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import parse_qsl, urlsplit

from homeostat.store.clickhouse.engine import quoted
from support.clickhouse import session

_lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/"):
            fields |= _form(kind, body)
            body = b""
        try:
            sql = fields.get("query", "") or body.decode(errors="replace")
            if sql.startswith("CREATE") and not getattr(self.server, "may_create", True):
                raise RuntimeError("Code: 497. DB::Exception: default: Not enough privileges. (ACCESS_DENIED)")
            with _lock:
                self._answer(200, _run(fields, body))
        except RuntimeError as error:  # the answer of a server to what it can not do
            self._answer(400, str(error).encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        match self.headers.get("Content-Encoding"):
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
            case _:
                return body

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", "1")
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests show nothing of it."""


def _form(kind: str, body: bytes) -> dict[str, str]:
    parsed: Message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in parsed.get_payload():  # pyright: ignore[reportGeneralTypeIssues]
        assert isinstance(part, Message)
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(value, bytes)
        fields[name] = value.decode()
    return fields


def _run(fields: dict[str, str], body: bytes) -> bytes:
    chosen = session()
    if "database" in fields:
        chosen.query(f"USE {quoted(fields['database'])}")
    sql = fields.get("query", "")
    parameters = {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")}
    if not sql and body.startswith(b"INSERT"):  # the statement's line stands before the rows
        head, _, body = body.partition(b"\n")
        return _insert(head.decode(), body, fields)
    sql = sql or body.decode()
    form = fields.get("default_format", "TabSeparated")
    head, _, last = sql.rstrip().rpartition("FORMAT ")
    if head and last.isidentifier():
        sql, form = head, last
    return chosen.query(sql, form, params=parameters).bytes()


def _insert(sql: str, body: bytes, fields: dict[str, str]) -> bytes:
    head, _, form = sql.strip().partition(" FORMAT ")
    table, _, columns = head.partition("(")
    names = columns.rpartition(")")[0]
    token = fields["insert_deduplication_token"]
    with NamedTemporaryFile(suffix=".arrow") as file:
        Path(file.name).write_bytes(body)
        session().query(
            f"{table} ({names}) SELECT {names} FROM file('{file.name}', {form.split()[0]})\n"
            f"SETTINGS insert_deduplication_token = '{token}'"
        )
    return b""


@contextmanager
def serving(*, may_create: bool = True) -> Iterator[str]:
    """The URL of a server on an ephemeral port; its user may lack the right to make databases and tables."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.may_create = may_create  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
