"""A flag service over a real store, and a little Dynatrace to send events to."""

import json
import threading
from collections.abc import AsyncGenerator, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dynatrace_double import Dynatrace

from homeostat.core.ports import StateStore
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[StateStore, None]:
    async with open_state(tmp_path / "state.db", SystemClock()).opened() as opened:
        yield opened


@pytest.fixture
def dynatrace() -> Generator[Dynatrace, None, None]:
    double = Dynatrace()
    double.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            double.received.append((self.path, self.headers["Authorization"], json.loads(body)))
            double.gate.wait(timeout=20)
            self.send_response(double.status)
            if double.location:
                self.send_header("Location", double.location)
            self.end_headers()
            self.wfile.write(double.answer.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield double
    double.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()
