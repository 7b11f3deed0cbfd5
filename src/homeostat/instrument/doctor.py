"""``homeostat instrument doctor``: what can be hooked in an environment and, with a command, what really was.

With a command the program is started with the probe in it (``bootstrap``) and stopped after a while, if it has not
ended by itself. Used by ``cli.instrument``.
"""

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx2
from pydantic import ValidationError

from homeostat.core.models import Model
from homeostat.instrument.launch import environment
from homeostat.instrument.plan import Library, LibraryState, Plan

_STDERR: Final = 2
"""Where the program prints: what the doctor says itself, JSON perhaps, stands alone on standard output."""

_STOP_WITHIN_S: Final = 10.0
_ASK_WITHIN_S: Final = 5.0


class Verdict(StrEnum):
    """What became of one library."""

    HOOKED = "hooked"
    NOT_HOOKED = "not hooked"
    READY = "ready"  # would be hooked; nothing was started
    MISSING = "missing"
    CONFLICT = "conflict"


class Finding(Model):
    """One line of the report."""

    library: str
    version: str
    package: str
    verdict: Verdict
    spans: int | None  # made by this instrumentation while the program ran; None: nothing was started
    why: str


class Endpoint(Model):
    """Whether the receiver takes telemetry."""

    address: str
    answers: bool
    detail: str


class Report(Model):
    """All that the doctor found."""

    python: str
    version: str
    way: str
    service: str
    endpoint: Endpoint
    findings: tuple[Finding, ...]
    exit_code: int | None  # of the program; None: not started, or it ran until it was stopped

    @property
    def hooked(self) -> bool:
        """Whether something of the program is (or, without a start, would be) observed.

        Parts of the standard library only count when they made spans: they can always be hooked.
        """
        good = {Verdict.HOOKED, Verdict.READY}
        return any(each.verdict in good and (each.library != "" or bool(each.spans)) for each in self.findings)


class Hook(Model):
    """What the probe says about one instrumentation."""

    name: str
    module: str
    package: str
    hooked: bool
    why: str


class ProbeReport(Model):
    """What the probe writes, one file per process."""

    pid: int
    hooks: tuple[Hook, ...]
    spans: dict[str, int]  # by instrumentation scope


def ask(endpoint: str) -> Endpoint:
    """Send an empty request of spans, which a receiver of OTLP over HTTP takes and forgets."""
    address = f"{endpoint}/v1/traces"
    try:
        headers = {"content-type": "application/x-protobuf"}
        answer = httpx2.post(address, content=b"", headers=headers, timeout=_ASK_WITHIN_S, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        detail = f"{str(error) or type(error).__name__}. Start Homeostat (homeostat up), or give --endpoint."
        return Endpoint(address=address, answers=False, detail=detail)
    if answer.is_success:
        return Endpoint(address=address, answers=True, detail=f"HTTP {answer.status_code}")
    detail = f"HTTP {answer.status_code}: this is no receiver of OTLP over HTTP (port 4318 by default)."
    return Endpoint(address=address, answers=False, detail=detail)


def examine(
    plan: Plan, command: Sequence[str], *, endpoint: str, service: str, environ: Mapping[str, str], seconds: float
) -> Report:
    """Look, and with a command start it for at most so many seconds. Raises OSError when it can't be started."""
    probes, exit_code = list[ProbeReport](), None
    if command:
        probes, exit_code = _start(plan, command, endpoint, service, environ, seconds)
    reported = {hook.package for probe in probes for hook in probe.hooks}
    rows = [each for each in plan.libraries if not probes or _can_be_hooked(each, reported)]
    return Report(
        python=plan.target.python,
        version=plan.target.version_text,
        way=plan.way,
        service=service,
        endpoint=ask(endpoint),
        findings=tuple(_finding(each, probes, plan, started=bool(command)) for each in rows),
        exit_code=exit_code,
    )


def _can_be_hooked(library: Library, reported: set[str]) -> bool:
    """Whether a package that is there hooks something itself; some (asgi, dbapi, wsgi) only serve others."""
    return library.state is not LibraryState.READY or library.package in reported


def _start(
    plan: Plan, command: Sequence[str], endpoint: str, service: str, environ: Mapping[str, str], seconds: float
) -> tuple[list[ProbeReport], int | None]:
    with tempfile.TemporaryDirectory(prefix="homeostat-doctor-") as folder:
        made = environment(plan, endpoint=endpoint, service=service, environ=environ, report=Path(folder))
        with subprocess.Popen(list(command), env=made, stdout=_STDERR) as child:
            exit_code: int | None = None
            try:
                exit_code = child.wait(seconds)
            except subprocess.TimeoutExpired:
                _stop(child)
            except BaseException:
                _stop(child)
                raise
        return _read(Path(folder)), exit_code


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _read(folder: Path) -> list[ProbeReport]:
    reports: list[ProbeReport] = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValidationError):  # another program's file: no report of ours
            reports.append(ProbeReport.model_validate_json(path.read_bytes()))
    return reports


def _finding(library: Library, probes: Sequence[ProbeReport], plan: Plan, *, started: bool) -> Finding:
    verdict, why, spans = Verdict(library.state), _why(library, plan), None
    if started and library.state is LibraryState.READY:
        hooks = [(hook, probe) for probe in probes for hook in probe.hooks if hook.package == library.package]
        spans = sum(probe.spans.get(hook.module, 0) for hook, probe in hooks)
        if any(hook.hooked for hook, _ in hooks):
            verdict, why = Verdict.HOOKED, "" if spans else "hooked; no spans of it while it ran"
        else:
            verdict = Verdict.NOT_HOOKED
            why = next((hook.why for hook, _ in hooks if hook.why), "the program did not report: did it start?")
    return Finding(
        library=library.name, version=library.version, package=library.package, verdict=verdict, spans=spans, why=why
    )


def _why(library: Library, plan: Plan) -> str:
    match library.state:
        case LibraryState.MISSING:
            return plan.target.install([library.package])
        case LibraryState.CONFLICT:
            return f"{library.package} works with {library.name}{library.needs}; {library.version} is installed"
        case LibraryState.READY:
            return ""


def as_json(report: Report) -> object:
    """For scripts."""
    return json.loads(report.model_dump_json()) | {"hooked": report.hooked}
