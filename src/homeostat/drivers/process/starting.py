"""The two ways to start a process again: a supervisor's URL, or a command. Used by ``restart_process``."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2

from homeostat.core.config import ProcessConfig
from homeostat.core.errors import ActionError, InDoubtError
from homeostat.drivers.process.identity import ProcessIdentity, Sighting, look

START_TIMEOUT_S = 30.0
"""How long a restart may take until the new process stands in the pid file."""

LOOK_INTERVAL_S = 0.05

MARKER = "HOMEOSTAT_RUN"
"""Environment variable of a restart command: it identifies a restart that outlived the Homeostat that began it."""

_CONFLICT = 409
_ERROR_TEXT_MAX = 500  # characters of a command's or supervisor's complaint that are kept


async def by_url(url: str, expected_pid: int | None) -> str:
    """Ask a supervisor. It compares ``expected_pid`` with what runs, so that nothing is restarted twice.

    Raises ActionError when it cannot be reached or refuses, InDoubtError when it may or may not have done it.
    """
    secure = urlsplit(url).scheme != "http"  # loading certificates takes longer than a restart
    try:
        async with httpx2.AsyncClient(timeout=START_TIMEOUT_S, verify=secure, trust_env=False) as client:
            answer = await client.post(url, json={"expected_pid": expected_pid})
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
        raise ActionError(f"The supervisor at {url} could not be asked for a restart: {error!r}.") from error
    except httpx2.HTTPError as error:
        raise InDoubtError(
            f"The supervisor at {url} was asked for a restart and has not answered: {error!r}."
        ) from error
    if answer.status_code == _CONFLICT:
        return "somebody had restarted it already"
    if answer.is_server_error:
        raise InDoubtError(f"The supervisor at {url} failed ({answer.status_code}): {answer.text[:_ERROR_TEXT_MAX]}.")
    if not answer.is_success:
        raise ActionError(f"The supervisor at {url} answered {answer.status_code}: {answer.text[:_ERROR_TEXT_MAX]}.")
    return "restarted by its supervisor"


async def by_command(
    command: Sequence[str], run_id: str, process: ProcessConfig, before: ProcessIdentity | None
) -> str:
    """Run a command in a session of its own until a new process stands in the pid file.

    A command that stays in the foreground is left running: then it is the service. Raises ActionError when it cannot
    be run, InDoubtError when it fails: half of its work may be done.
    """
    with tempfile.TemporaryFile() as complaint:
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - asyncio's transport would kill the service when it is closed
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaint,  # a file: a daemon that keeps it open blocks nobody
                start_new_session=True,
                env={**os.environ, MARKER: run_id},
            )
        except OSError as error:
            raise ActionError(f"{command[0]} could not be run: {error}. Check restart.command.") from error
        with anyio.move_on_after(START_TIMEOUT_S):
            while not replaced(look(process.pid_file), before):
                if child.poll():
                    complaint.seek(0)
                    text = complaint.read()[-_ERROR_TEXT_MAX:].decode(errors="replace").strip()
                    raise InDoubtError(f"{command[0]} exited with code {child.returncode}: {text or 'no message'}.")
                await anyio.sleep(LOOK_INTERVAL_S)
    return "restarted by its command"


async def await_new(process: ProcessConfig, before: ProcessIdentity | None) -> ProcessIdentity:
    """The process that took the old one's place. Raises InDoubtError when none does in time."""
    with anyio.move_on_after(START_TIMEOUT_S):
        while True:
            seen = look(process.pid_file)
            if seen.identity is not None and replaced(seen, before):
                return seen.identity
            await anyio.sleep(LOOK_INTERVAL_S)
    raise InDoubtError(
        f"No new process of {process.name} stood in {process.pid_file} within {START_TIMEOUT_S:.0f} s. "
        "Check that the restart writes this file."
    )


def replaced(seen: Sighting, before: ProcessIdentity | None) -> bool:
    """Whether a living process other than the one before stands there."""
    return seen.alive and seen.identity != before


def marked(run_id: str) -> bool:
    """Whether any process carries the mark of this run's restart command (ours to see: same user, or root)."""
    mark = f"{MARKER}={run_id}".encode()
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                environment = (directory / "environ").read_bytes()
            except OSError:  # gone meanwhile, or somebody else's
                continue
            if mark in environment.split(b"\0"):
                return True
    return False
