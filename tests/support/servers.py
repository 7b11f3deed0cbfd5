"""Real servers for tests, each on a free port of its own: Debian's Redis and PostgreSQL, skipped by name."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

REDIS = shutil.which("redis-server")
PG_BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)
READY_WITHIN_S = 30.0

needs_redis = pytest.mark.skipif(REDIS is None, reason="no redis-server here: apt-get install redis-server")
needs_postgres = pytest.mark.skipif(PG_BIN is None, reason="no PostgreSQL here: apt-get install postgresql")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the server did not listen in time")


def stopped(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis without persistence; yields its port."""
    assert REDIS is not None
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--slowlog-log-slower-than", "0"]
    process = subprocess.Popen([REDIS, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        until_listening(port, process)
        yield port
    finally:
        stopped(process)


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL with pg_stat_statements; yields its DSN. It refuses to run as root, so it runs as ``postgres``."""
    assert PG_BIN is not None
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="homeostat-pg-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        if as_user:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [PG_BIN, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user,
        )  # fmt: skip
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options |= {"shared_preload_libraries": "pg_stat_statements"}
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        command = [PG_BIN.with_name("postgres"), "-D", data, "-p", str(port), *arguments]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **as_user)
        try:
            until_listening(port, process)
            asked = [PG_BIN.with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + READY_WITHIN_S
            while subprocess.run(asked, check=False).returncode:
                assert time.monotonic() < deadline, "PostgreSQL was not ready in time"
                time.sleep(0.05)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(2)  # fast shutdown: sessions are ended
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            stopped(process)
