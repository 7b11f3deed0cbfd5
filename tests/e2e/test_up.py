"""``homeostat up`` as its user meets it: it starts, it stops, and it says clearly why it cannot start."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "homeostat.cli.main"]
FREE_PORTS = """\
server: {port: 0, jaeger_query_port: null, prometheus_port: null}
receivers: {otlp_http_port: 0, otlp_grpc_port: 0, jaeger_grpc_port: 0, jaeger_http_port: 0,
  jaeger_udp_compact_port: 0, jaeger_udp_binary_port: 0, zipkin_port: 0}
storage: {path: data}
"""
DEADLINE_S = 30.0


def _write(folder: Path, text: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def _up(config: Path) -> Generator[dict[str, str]]:
    ready_file = config.parent / "data" / "ready.json"
    process = subprocess.Popen([*COMMAND, "up", "--config", str(config)], stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not ready_file.exists():
            assert process.poll() is None, "homeostat ended before it was ready"
            assert time.monotonic() < deadline, "homeostat was not ready in time"
            time.sleep(0.02)
        yield json.loads(ready_file.read_text(encoding="utf-8"))
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, output
        assert "Everything acknowledged is on disk" in output


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_a_fresh_start_answers_and_knows_nothing_yet(tmp_path: Path) -> None:
    with _up(_write(tmp_path, FREE_PORTS)) as ready:
        overview = httpx2.get(f"{ready['url']}/api/overview", timeout=30.0).json()
        assert overview["health"]["status"] == "unknown"
        assert overview["services"] == []
        assert overview["otlp"] == {"http": ready["otlp_http"], "grpc": ready["otlp_grpc"]}
        assert overview["mode"] == "observe"
        deadline = time.monotonic() + DEADLINE_S
        while not httpx2.get(f"{ready['url']}/api/self-healing/health", timeout=30.0).json()["monitoring_active"]:
            assert time.monotonic() < deadline, "the loop has not looked"
            time.sleep(0.02)
        assert httpx2.get(f"{ready['url']}/api/health", timeout=30.0).json()["status"] == "ok"


def test_every_port_that_it_listens_on_is_said(tmp_path: Path) -> None:
    config = _write(tmp_path, FREE_PORTS.replace("null", "0"))
    command = [*COMMAND, "up", "--config", str(config)]
    output = tmp_path / "said"
    with output.open("w", encoding="utf-8") as file:
        process = psutil.Popen(command, stdout=file)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not re.search("of Homeostat, for Prometheus.*\n", output.read_text(encoding="utf-8")):
            assert process.poll() is None, "it ended before it had said everything"
            assert time.monotonic() < deadline, f"it has not said everything: {output.read_text(encoding='utf-8')}"
            time.sleep(0.02)
        sockets = process.net_connections()
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_S)
    said = output.read_text(encoding="utf-8").splitlines(keepends=True)
    udp = {socket.SOCK_DGRAM}
    listening = {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN or one.type in udp}
    assert {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", "".join(said))} == listening
    assert len(listening) == 10
    assert max(map(len, said)) <= 81


def test_a_second_one_on_the_same_data_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    config = _write(tmp_path, FREE_PORTS)
    with _up(config) as ready:
        second = _run("up", "--config", str(config), folder=tmp_path)
        assert second.returncode == 1
        assert str(ready["pid"]) in second.stderr
        assert "Traceback" not in second.stderr


def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = _write(tmp_path, FREE_PORTS.replace("{port: 0,", f"{{port: {port},"))
        refused = _run("up", "--config", str(config), folder=tmp_path)
    assert refused.returncode == 2
    assert str(port) in refused.stderr
    assert str(os.getpid()) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bad_configuration_starts_nothing_and_names_everything(tmp_path: Path) -> None:
    config = _write(tmp_path, "server: {prot: 1}\nheal:\n  mode: yolo\n")
    refused = _run("up", "--config", str(config), folder=tmp_path)
    assert refused.returncode == 2
    assert "homeostat.yaml:1: server.prot" in refused.stderr
    assert "homeostat.yaml:3: heal.mode" in refused.stderr
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "homeostat-data").exists()


def test_names_of_what_is_not_there_are_found_before_anything_is_made(tmp_path: Path) -> None:
    text = FREE_PORTS + "heal:\n  rules:\n    - {action: reboot, mode: auto}\nflags:\n  initial: {nope: true}\n"
    for command in (("up", "--config"), ("check",)):
        refused = _run(*command, str(_write(tmp_path, text)), folder=tmp_path)
        assert refused.returncode == 2
        assert "homeostat.yaml:7: heal.rules.0.action: no action is named 'reboot'" in refused.stderr
        assert "homeostat.yaml:9: flags.initial.nope" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_machine_is_one_sentence(tmp_path: Path) -> None:
    for section in ("server: {port: 0", "receivers: {otlp_http_port: 0, otlp_grpc_port: 0"):
        text = FREE_PORTS.replace(section, f"{section}, host: 192.0.2.1")
        refused = _run("up", "--config", str(_write(tmp_path, text)), folder=tmp_path)
        assert refused.returncode == 1
        assert "annot assign requested address" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_check_says_that_a_good_file_is_fine(tmp_path: Path) -> None:
    config = _write(tmp_path, FREE_PORTS)
    assert "is fine" in _run("check", str(config), folder=tmp_path).stdout


def test_a_command_without_a_homeostat_says_how_to_start_one(tmp_path: Path) -> None:
    asked = _run("status", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert asked.returncode == 3
    assert "homeostat up" in asked.stderr
