"""What the command line says when something is wrong: in its own words, with its documented exit codes."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from homeostat.cli.client import ApiClient
from homeostat.cli.main import app
from homeostat.cli.metrics import head_of
from homeostat.core.errors import HomeostatError, NotFoundError


@contextmanager
def answering(status: int, body: str) -> Generator[str]:
    """A server that has one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_download_that_nobody_answers_says_so_and_leaves_no_file(nobody: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["logs", "export", str(tmp_path / "out.csv"), "--url", nobody])
    assert isinstance(done.exception, ConnectionError)
    assert "No Homeostat answers at" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_file_name_that_says_no_format_is_refused(nobody: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["logs", "export", str(tmp_path / "out.xyz"), "--url", nobody])
    assert done.exit_code == 2
    assert ".ndjson, .csv and .parquet" in done.output
    done = CliRunner().invoke(app, ["logs", "export", str(tmp_path / "out.xyz"), "--format", "csv", "--url", nobody])
    assert isinstance(done.exception, ConnectionError)


def test_an_objectives_file_that_is_not_there_is_named(nobody: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["slo", "import", str(tmp_path / "nofile.yaml"), "--url", nobody])
    assert isinstance(done.exception, HomeostatError)
    assert str(done.exception).startswith(f"{tmp_path / 'nofile.yaml'} cannot be read: No such file")


def test_problems_of_objectives_have_their_places_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "slos.yaml"
    file.write_text("x")
    with answering(
        400, r'{"detail": "body:7: spec: unknown key. A.\nbody:9: kind: missing. The body: 3. B."}'
    ) as url:
        done = CliRunner().invoke(app, ["slo", "import", str(file), "--url", url])
        said = CliRunner().invoke(app, ["slo", "import", "-", "--url", url], input="x")
    first, second = str(done.exception).splitlines()
    assert first == f"{file}:7: spec: unknown key. A."
    assert second.startswith(f"{file}:9: kind: missing. The body: 3.")
    assert str(said.exception).startswith("standard input:7: ")


def test_what_is_not_there_is_found_with_a_command() -> None:
    with (
        answering(404, '{"detail": "There is no SLO \'x\'. GET /api/slos lists them."}') as url,
        pytest.raises(NotFoundError, match="`homeostat slo list` lists them"),
    ):
        ApiClient(url).get("/api/slos/x")


@pytest.mark.parametrize(
    ("words", "option", "remedy"),
    [
        (["logs", "search", "--severity", "loud"], "--severity", "'loud' is no severity"),
        (["logs", "search", "--severity", "99"], "--severity", "0 to 24"),
        (["logs", "patterns", "--attribute", "foo"], "--attribute", "Write key=value"),
        (["traces", "search", "--attribute", "=x"], "--attribute", "Write key=value"),
        (["traces", "why-slow", "--attribute", "foo"], "--attribute", "Write key=value"),
        (["metrics", "query", "latency", "--label", "x"], "--label", "Write key=value"),
    ],
)
def test_a_wrong_value_is_a_usage_error_of_its_option(words: list[str], option: str, remedy: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert option in done.output
    assert remedy in done.output
    assert "min_severity" not in done.output


@pytest.mark.parametrize(
    ("metric", "aggregation", "head"),
    [
        (("sum", "{request}", True), None, "m: rate, request per second"),
        (("sum", "1", True), "rate", "m: rate, per second"),
        (("sum", "By", False), None, "m: last, in By"),
        (("histogram", "ms", False), None, "m: quantile 0.95, in ms"),
        (("histogram", "ms", False), "rate", "m: rate, per second"),
        (("gauge", "ms", False), "count", "m: count"),
        (("summary", "s", False), None, "m: avg, in s"),
        (("gauge", "", False), None, "m: last"),
    ],
)
def test_the_head_of_series_says_what_the_figures_are(
    metric: tuple[str, str, bool], aggregation: str | None, head: str
) -> None:
    kind, unit, monotonic = metric
    assert head_of("m", {"type": kind, "unit": unit, "monotonic": monotonic}, aggregation, 0.95) == head


def test_a_metric_that_is_not_there_fails_and_names_the_list() -> None:
    with answering(200, '{"series": [], "start": "2026-01-01T00:00:00Z", "step_s": 60}') as url:
        done = CliRunner().invoke(app, ["metrics", "query", "nope", "--url", url])
    assert done.exit_code == 1
    assert "metrics list" in done.stderr
