"""Real programs under real auto-instrumentation: what they send arrives in a running pipeline."""

import json
import os
import re
import socket
import subprocess
import sys
import venv
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.abc
import httpx2
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogQuery
from homeostat.core.models import TraceQuery
from homeostat.instrument.launch import DEFAULT_ENDPOINT, endpoint_of, service_of
from homeostat.instrument.packages import Known
from homeostat.instrument.plan import Way, make_plan
from homeostat.instrument.target import Target, interpreter_of, look
from homeostat.observe import pipeline
from homeostat.runtime import SystemClock
from support.servers import needs_postgres, needs_redis, postgres_server, redis_server

CLI = [sys.executable, "-m", "homeostat.cli.main", "instrument"]
WITHIN_S = 60.0
SHOP = """
import os, sys, threading
import flask, psycopg2, redis, requests
from werkzeug.serving import make_server

app = flask.Flask("shop")

@app.get("/order/<int:number>")
def order(number):
    redis.Redis(port=int(os.environ["REDIS_PORT"])).incr("orders")
    with psycopg2.connect(os.environ["DSN"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s + 1", (number,))
        return str(cursor.fetchone()[0])

server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(requests.get(f"http://127.0.0.1:{server.port}/order/41").text)
server.shutdown()
sys.exit(7)
"""


async def _run(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    with anyio.fail_after(WITHIN_S):
        return await anyio.run_process([*CLI, *arguments], check=False, cwd=folder, env=os.environ | environ)


def _receiving(folder: Path) -> object:
    storage = StorageConfig(path=folder / "data")
    return pipeline.running(ReceiverConfig.only(otlp_http_port=0), storage, SystemClock())


@needs_redis
@needs_postgres
async def test_spans_of_a_shop_arrive_with_their_service_and_their_parents(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with redis_server(tmp_path) as port, postgres_server() as dsn:
        async with _receiving(tmp_path) as observed:
            given = {"REDIS_PORT": str(port), "DSN": dsn}
            endpoint = f"http://127.0.0.1:{observed.http_port}"
            ran = await _run(
                "--endpoint", endpoint, "--", sys.executable, "shop.py", folder=tmp_path, **given
            )  # fmt: skip
            assert ran.returncode == 7, ran.stderr
            assert ran.stdout.strip() == b"42"
            assert f"of shop go to {endpoint}".encode() in ran.stderr
            now = SystemClock().now()
            query = TraceQuery(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5), service="shop")
            found = (await observed.store.search(query)).traces
            traces = [await observed.store.trace(each.trace_id) for each in found]
            (trace,) = [each for each in traces if each is not None and len(each.spans) > 2]
            spans = {span.name: span for span in trace.spans}
            server = spans["GET /order/<int:number>"]
            assert server.parent_span_id == spans["GET"].span_id
            assert spans["INCRBY"].parent_span_id == server.span_id
            assert spans["SELECT"].parent_span_id == server.span_id
            metrics = {each.name for each in await observed.metrics.metrics(now - timedelta(minutes=5))}
            assert "http.server.request.duration" in metrics or "http.server.duration" in metrics


async def test_the_doctor_names_what_was_hooked_and_counts_its_spans(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import flask\napp = flask.Flask('a')\napp.add_url_rule('/', view_func=lambda: 'hi')\n"
        "assert app.test_client().get('/').text == 'hi'\n"
    )
    async with _receiving(tmp_path) as observed:
        endpoint = f"http://127.0.0.1:{observed.http_port}"
        ran = await _run(
            "doctor", "--json", "--seconds", "120", "--endpoint", endpoint, "--", sys.executable, "app.py",
            folder=tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="redis",
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    rows = {row["library"]: row for row in report["findings"] if row["library"]}
    assert rows["flask"]["verdict"] == "hooked"
    assert rows["flask"]["spans"] == 1
    assert rows["redis"]["verdict"] == "not hooked"
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in rows["redis"]["why"]
    assert report["endpoint"]["answers"] is True
    assert report["exit_code"] == 0


async def test_what_a_program_logs_is_sent_and_still_printed_as_before(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import logging\nlogging.getLogger('quiet').propagate = False\n"
        "logging.getLogger('quiet').warning('kept to itself')\nlogging.getLogger('shop').warning('stock is low')\n"
        "logging.error('no stock')\n"
    )
    plain = await anyio.run_process([sys.executable, "app.py"], cwd=tmp_path)
    async with _receiving(tmp_path) as observed:
        endpoint = f"http://127.0.0.1:{observed.http_port}"
        ran = await _run("--service", "a", "--endpoint", endpoint, "--", sys.executable, "app.py", folder=tmp_path)
        now = SystemClock().now()
        page = await observed.logs.logs(LogQuery(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5)))
    assert plain.stderr == b"kept to itself\nstock is low\nERROR:root:no stock\n"
    printed = [
        line for line in ran.stderr.splitlines(keepends=True) if line in plain.stderr.splitlines(keepends=True)
    ]
    assert b"".join(printed) == plain.stderr
    assert [record.body for record in page.records if "stock" in record.body] == ["no stock", "stock is low"]


async def test_a_log_that_cannot_be_kept_as_it_was_is_not_told_as_missing_telemetry(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['homeostat_instrument_logs'] = None\n")
    (tmp_path / "till.py").write_text(
        "from opentelemetry import trace\nwith trace.get_tracer('till').start_as_current_span('pay'): pass\n"
    )
    async with _receiving(tmp_path) as observed:
        endpoint = f"http://127.0.0.1:{observed.http_port}"
        ran = await _run(
            "--endpoint", endpoint, "--", sys.executable, "till.py", folder=tmp_path, PYTHONPATH=str(tmp_path)
        )
        now = SystemClock().now()
        query = TraceQuery(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5), service="till")
        assert len((await observed.store.search(query)).traces) == 1
    assert b"telemetry is sent, but the program may print its log differently" in ran.stderr
    assert b"without telemetry" not in ran.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "1", "app:app"],
        ["flask", "--app", "app", "run", "--port", "0"],
    ],
    ids=["gunicorn", "flask"],
)
async def test_a_server_that_starts_the_program_itself_is_hooked_also_in_its_workers(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "app.py").write_text(
        "import flask\napp = flask.Flask('a')\napp.add_url_rule('/hello', view_func=lambda: 'hi')\n"
    )
    program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    async with _receiving(tmp_path) as observed:
        endpoint = f"http://127.0.0.1:{observed.http_port}"
        asked = ["doctor", "--json", "--seconds", "60", "--service", "served", "--endpoint", endpoint, "--", *program]
        environ = os.environ | {"OTEL_BSP_SCHEDULE_DELAY": "100", "TMPDIR": str(tmp_path)}
        with anyio.fail_after(WITHIN_S):
            async with await anyio.open_process([*CLI, *asked], cwd=tmp_path, env=environ) as doctor:
                await _ask(doctor, "/hello")
                now = SystemClock().now()
                query = TraceQuery(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5), service="served")
                while not (found := (await observed.store.search(query)).traces):
                    await anyio.sleep(0.05)
                while not any('flask": 1' in path.read_text() for path in tmp_path.glob("homeostat-doctor-*/*.json")):
                    await anyio.sleep(0.05)
                _the_server_of(doctor.pid).terminate()
                report = json.loads(await _text_of(doctor))
    assert [(each.root_service, each.root_operation) for each in found] == [("served", "GET /hello")]
    (flask,) = [row for row in report["findings"] if row["library"] == "flask"]
    assert (flask["verdict"], flask["spans"], flask["why"]) == ("hooked", 1, "")


async def _ask(doctor: anyio.abc.Process, path: str) -> None:
    """One request to the server, as soon as it says where it listens."""
    assert doctor.stderr is not None
    said = b""
    while (address := re.search(rb"http://127\.0\.0\.1:[1-9]\d*", said)) is None:
        said += await doctor.stderr.receive()
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(address[0].decode() + path)).text == "hi"


async def _text_of(doctor: anyio.abc.Process) -> bytes:
    assert doctor.stdout is not None
    return b"".join([part async for part in doctor.stdout])


def _the_server_of(doctor_pid: int) -> psutil.Process:
    (server,) = psutil.Process(doctor_pid).children()
    return server


async def test_nothing_hooked_is_exit_code_one_and_a_closed_port_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("print('alone')\n")
    ran = await _run(
        "doctor", "--endpoint", "http://127.0.0.1:9", "--", sys.executable, "app.py", folder=tmp_path,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*", OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )  # fmt: skip
    assert ran.returncode == 1
    assert b"Nothing was hooked" in ran.stdout
    assert b"does not answer" in ran.stdout


async def test_a_program_of_another_environment_uses_our_instrumentation_but_its_own_libraries(
    tmp_path: Path,
) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    (site / "flask").mkdir()  # not ours: it must win
    (site / "flask" / "__init__.py").write_text("WHOSE = 'the program'\n")
    (tmp_path / "app.py").write_text(
        "import flask, sqlite3, sys\nprint(flask.WHOSE)\nsqlite3.connect(':memory:').cursor().execute('select 1')\n"
        "try:\n    import fastapi\nexcept ImportError:\n    print('no fastapi')\n"
    )
    async with _receiving(tmp_path) as observed:
        endpoint = f"http://127.0.0.1:{observed.http_port}"
        ran = await _run(
            "--service", "far", "--endpoint", endpoint, "--", str(python), "app.py", folder=tmp_path,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split(b"\n")[:2] == [b"the program", b"no fastapi"]
        assert b"bundled instrumentation" in ran.stderr
        now = SystemClock().now()
        query = TraceQuery(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5), service="far")
        assert (await observed.store.search(query)).traces


def _target(version: tuple[int, int, int] = sys.version_info[:3], **packages: str) -> Target:
    named = {name.replace("_", "-"): each for name, each in packages.items()}
    return Target(
        python="/venv/bin/python",
        implementation="cpython",
        version=version,
        prefix="/venv",
        packages=named,
    )


def test_another_python_version_is_refused_with_the_command_that_helps() -> None:
    with pytest.raises(BadRequestError, match=r"cpython 3\.8\.1.*pip install .*opentelemetry-instrumentation-flask"):
        make_plan(_target((3, 8, 1), flask="3.0.0"))


def test_an_api_of_another_version_is_refused_with_the_command_that_helps() -> None:
    with pytest.raises(BadRequestError, match=r"opentelemetry-api 1\.1\.0.*pip install"):
        make_plan(_target(opentelemetry_api="1.1.0"))


def test_a_library_too_old_for_what_we_bring_is_refused() -> None:
    with pytest.raises(BadRequestError, match=r"protobuf 3\.1\.0"):
        make_plan(_target(protobuf="3.1.0"))


def test_versions_that_the_instrumentation_does_not_know_are_a_conflict() -> None:
    (flask,) = [each for each in make_plan(_target(flask="0.1")).libraries if each.name == "flask"]
    assert flask.state == "conflict"
    assert make_plan(_target()).way is Way.BUNDLED


def test_our_own_environment_is_recognised() -> None:
    assert look(sys.executable).is_ours


def test_the_interpreter_of_a_script_is_read_from_its_first_line(tmp_path: Path) -> None:
    script = tmp_path / "flask"
    script.write_text(f"#!{sys.executable}\nprint(1)\n")
    script.chmod(0o755)
    assert interpreter_of([str(script), "run"]) == sys.executable
    script.write_text(f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nprint(1)\n")
    assert interpreter_of([str(script)]) == sys.executable


@pytest.mark.parametrize("first_line", ["#!/bin/bash", "", "\x7fELF"])
def test_what_is_no_python_is_refused(tmp_path: Path, first_line: str) -> None:
    script = tmp_path / "tool"
    script.write_text(f"{first_line}\n")
    script.chmod(0o755)
    with pytest.raises(BadRequestError, match="no Python program"):
        interpreter_of([str(script)])
    with pytest.raises(BadRequestError, match="no command"):
        interpreter_of([str(tmp_path / "nothing")])


def test_the_service_is_named_after_the_project_the_script_or_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "parcel"
    folder.mkdir()
    assert service_of(["python", "checkout.py"], folder, {}) == "checkout"
    assert service_of(["python", "app.py"], folder, {}) == "parcel"
    (folder / "pyproject.toml").write_text('[project]\nname = "courier"\n')
    assert service_of(["python", "app.py"], folder, {}) == "courier"
    (folder / "pyproject.toml").write_text("[project\n")
    assert service_of(["flask", "run"], folder, {}) == "parcel"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("gunicorn -b 127.0.0.1:0 billing.wsgi:app", "billing"),
        ("gunicorn -b localhost:8000 shop:app", "shop"),
        ("gunicorn --bind unix:/tmp/s shop:app", "shop"),
        ("gunicorn --bind=localhost:http shop:app", "shop"),
        ("gunicorn --config python:conf shop:app", "shop"),
        ("gunicorn -c gunicorn.conf.py shop:create_app()", "shop"),
        ("gunicorn --config python:conf", "folder"),
        ("uvicorn --reload shop:app --host localhost", "shop"),
        ("python -u -m uvicorn --factory shop:app", "shop"),
        ("flask --app shop run", "shop"),
        ("flask --app=src/shop.py:app run --debug", "shop"),
        ("celery -A shop.tasks worker", "shop"),
        ("celery -A shop", "shop"),
        ("python -m mailer --template a:b", "mailer"),
        ("python -W ignore::UserWarning -um mailer", "mailer"),
        ("python -X dev shop.py other.py", "shop"),
        ("python3.13 manage.py runserver localhost:8000", "folder"),
        ("python -c pass", "folder"),
        ("python -m", "folder"),
        ("uv run -- python shop.py", "shop"),
        ("./shop.py", "shop"),
        ("flask --app", "folder"),
    ],
)
def test_what_a_command_runs_is_told_from_the_values_of_its_options(command: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert service_of(command.split(), folder, {}) == name


@given(st.lists(st.text(max_size=10) | st.sampled_from(["python", "-m", "-A", "--app", "--", "a:b", "="])))
def test_any_command_has_a_name(command: list[str]) -> None:
    assert service_of(command, Path(), {})


def test_a_service_name_that_is_set_is_not_guessed(tmp_path: Path) -> None:
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test, service.name = the%20till,odd"}
    assert service_of(["python", "shop.py"], tmp_path, attributes) == "the till"
    assert service_of(["python", "shop.py"], tmp_path, attributes | {"OTEL_SERVICE_NAME": "desk"}) == "desk"
    assert service_of(["python", "shop.py"], tmp_path, {"OTEL_RESOURCE_ATTRIBUTES": "a=b"}) == "shop"


def test_the_endpoint_is_the_given_one_else_the_one_of_the_running_homeostat(tmp_path: Path) -> None:
    assert endpoint_of(None, tmp_path, {}) == DEFAULT_ENDPOINT
    (tmp_path / "ready.json").write_text('{"otlp_http": "http://127.0.0.1:7"}')
    assert endpoint_of(None, tmp_path, {}) == "http://127.0.0.1:7"
    assert endpoint_of(None, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://far:1/"}) == "http://far:1"
    with pytest.raises(BadRequestError, match="no address"):
        endpoint_of("far:1", tmp_path, {})
    for text in ("[]", "{", '{"otlp_http": null}'):
        (tmp_path / "ready.json").write_text(text)
        assert endpoint_of(None, tmp_path, {}) == DEFAULT_ENDPOINT


def test_the_homeostat_that_is_meant_is_the_one_of_its_url(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"url": "http://127.0.0.1:4000", "otlp_http": "http://127.0.0.1:7"}')
    assert endpoint_of(None, tmp_path, {}, "http://localhost:4000/") == "http://127.0.0.1:7"
    assert endpoint_of(None, tmp_path, {}, "http://far.example:4000") == "http://far.example:4318"
    assert endpoint_of(None, tmp_path, {}, "http://[fd00::1]:4000") == "http://[fd00::1]:4318"
    assert endpoint_of("http://given:1", tmp_path, {}, "http://far.example:4000") == "http://given:1"
    with pytest.raises(BadRequestError, match="no address of a Homeostat"):
        endpoint_of(None, tmp_path, {}, "http://far:port")


def test_the_storage_path_of_the_configuration_leads_to_the_running_homeostat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    (tmp_path / "else").mkdir()
    (tmp_path / "else/ready.json").write_text(f'{{"otlp_http": "http://127.0.0.1:{port}"}}')
    (tmp_path / "homeostat.yaml").write_text("storage: {path: else}")
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "HOMEOSTAT_URL"):
        monkeypatch.delenv(name, raising=False)
    program = [sys.executable, "-c", "pass"]
    words = [sys.executable, "-m", "homeostat.cli.main", "instrument", "--", *program]
    subprocess.run(words, check=True, env=dict(os.environ) | {"OTEL_SDK_DISABLED": "true"}, timeout=60)
    said = capfd.readouterr().err
    assert f"go to http://127.0.0.1:{port} (" in said
    assert said.count("nothing listens there now") == 1
    assert "--endpoint" in said


@given(st.text(max_size=20))
def test_any_version_text_fits_or_does_not(version: str) -> None:
    assert Known("flask", ">=1.0", "x", "1").fits(version) in {True, False}
