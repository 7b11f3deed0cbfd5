"""Real processes for driver tests: started with a pid file, watched, and stopped by pid."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from homeostat.core.config import ProcessConfig, RestartConfig
from homeostat.drivers.process.identity import start_ticks


@dataclass
class Patients:
    """Starts sleeping processes that stand in pid files, and stops every one of them at the end."""

    directory: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def pid_file(self, name: str) -> Path:
        return self.directory / f"{name}.pid"

    def start(self, name: str) -> int:
        """Start a process and write its pid file (two lines, atomically). Returns the pid."""
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        self.children.append(child)
        temporary = self.directory / f"{name}.tmp"
        temporary.write_text(f"{child.pid}\n{start_ticks(child.pid)}\n")
        temporary.replace(self.pid_file(name))
        return child.pid

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a process, and reap it when it is ours."""
        os.kill(pid, number)
        for child in self.children:
            if child.pid == pid:
                child.wait(10)

    def stop(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait(10)
        for pid in self._daemons():
            os.kill(pid, signal.SIGKILL)

    def _daemons(self) -> list[int]:
        """Processes that restart commands have left behind: they carry our directory in their arguments."""
        mark = str(self.directory).encode()
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            pid = int(path.parent.name)
            try:
                ours = any(part.startswith(mark) for part in path.read_bytes().split(b"\0"))
            except OSError:
                continue
            if ours and pid != os.getpid():
                found.append(pid)
        return found

    def config(self, name: str, **restart: object) -> ProcessConfig:
        return ProcessConfig(
            name=name,
            pid_file=self.pid_file(name),
            restart=RestartConfig.model_validate(restart) if restart else None,
        )

    def restart_command(self, name: str) -> tuple[str, ...]:
        """A command that starts a daemon, writes the pid file and ends."""
        script = (
            "import os, subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)', sys.argv[1]],"
            " start_new_session=True)\n"
            "open(sys.argv[1] + '.tmp', 'w').write(str(child.pid))\n"
            "os.replace(sys.argv[1] + '.tmp', sys.argv[1])\n"
        )
        return (sys.executable, "-S", "-c", script, str(self.pid_file(name)))


@contextmanager
def supervised(patients: Patients, name: str) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A supervisor's URL: compares the expected pid, restarts, answers. Yields the URL and the requests it got."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            present = int(patients.pid_file(name).read_text().split()[0])
            if body["expected_pid"] not in (None, present):
                self.send_response(409)
            else:
                if start_ticks(present) is not None:
                    patients.kill(present)
                patients.start(name)
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/restart", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
