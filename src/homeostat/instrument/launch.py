"""The environment in which an instrumented program runs: where it sends what, and as whom. For ``cli.instrument``.

What the user has set in ``OTEL_*`` stays; only what is missing is filled in.
"""

import json
import os
import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from homeostat.core.errors import BadRequestError
from homeostat.instrument.bundle import make
from homeostat.instrument.command import words_of
from homeostat.instrument.plan import Plan, Way
from homeostat.net import in_address

DEFAULT_PORT: Final = 4318
DEFAULT_ENDPOINT: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
_THIS_MACHINE: Final = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}
_LISTENS_WITHIN_S: Final = 1.0
BOOTSTRAP: Final = Path(__file__).parent / "bootstrap"
_SAYS_NOTHING: Final = {
    "",
    "app",
    "main",
    "server",
    "wsgi",
    "asgi",
    "manage",
    "run",
    "__main__",
    "index",
    "application",
}


def endpoint_of(given: str | None, data: Path, environ: Mapping[str, str], url: str | None = None) -> str:
    """Where telemetry goes: as given, as in ``OTEL_EXPORTER_OTLP_ENDPOINT``, as a running Homeostat says in
    ``ready.json`` of its data directory, else the default port, of the host in ``url`` or of this machine.

    ``url``: where the Homeostat that is meant answers (its API); None: the one of the data directory, whichever.
    Raises BadRequestError for what is no address.
    """
    endpoint = (
        given
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or _announced(data, url)
        or _beside(url)
        or DEFAULT_ENDPOINT
    )
    if not re.match(r"https?://[^/\s]+", endpoint):
        raise BadRequestError(f"{endpoint!r} is no address of an OTLP receiver. Write e.g. {DEFAULT_ENDPOINT}.")
    return endpoint.rstrip("/")


def _announced(data: Path, url: str | None) -> str | None:
    """The OTLP address in ``ready.json``, when that is the Homeostat of ``url``."""
    try:
        ready = json.loads((data / "ready.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(ready, dict) or (url and _place(str(ready.get("url"))) != _place(url)):
        return None
    address = ready.get("otlp_http")
    return address if isinstance(address, str) else None


def _beside(url: str | None) -> str | None:
    """The default port of the host in ``url``."""
    host = _place(url)[0] if url else ""
    return f"http://{in_address(host)}:{DEFAULT_PORT}" if host else None


def _place(url: str) -> tuple[str, int | None]:
    """Host and port; this machine under its various names is one host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadRequestError(
            f"{url!r} is no address of a Homeostat ({error}). Write e.g. http://host:4000."
        ) from error
    return "127.0.0.1" if host in _THIS_MACHINE else host, port or (443 if parts.scheme == "https" else 80)


def refusal_of(endpoint: str) -> str | None:
    """Why nothing can be sent to an endpoint now; None when somebody listens."""
    try:
        host, port = urlsplit(endpoint).hostname, _place(endpoint)[1]
        with socket.create_connection((host or "", port or DEFAULT_PORT), timeout=_LISTENS_WITHIN_S):
            return None
    except (OSError, UnicodeError, OverflowError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def service_of(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> str:
    """A name for the service: as ``OTEL_*`` says, else the project's, the script's or module's, else the folder's."""
    if given := environ.get("OTEL_SERVICE_NAME") or _among_attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")):
        return given
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project")
        name = project.get("name") if isinstance(project, dict) else None
        if isinstance(name, str) and name:
            return name
    except (OSError, ValueError):
        pass  # no project file, or not one that can be read: the command says more
    for word in words_of(command):
        if word not in _SAYS_NOTHING:
            return word
    return folder.resolve().name or "python"


def _among_attributes(text: str) -> str:
    """``service.name`` in the form of ``OTEL_RESOURCE_ATTRIBUTES``: pairs between commas, values percent-encoded."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return next((unquote(value.strip()) for key, _, value in reversed([*pairs]) if key.strip() == "service.name"), "")


def environment(
    plan: Plan, *, endpoint: str, service: str, environ: Mapping[str, str], report: Path | None = None
) -> dict[str, str]:
    """All of the program's environment variables."""
    made = dict(environ)
    made["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    made["OTEL_SERVICE_NAME"] = service
    defaults = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
        "OTEL_METRIC_EXPORT_INTERVAL": "15000",  # ms; a minute is long to wait for a first point
    }
    for key, value in defaults.items():
        made.setdefault(key, value)
    path = [str(BOOTSTRAP), *(part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
    made["PYTHONPATH"] = os.pathsep.join(path)
    made["HOMEOSTAT_INSTRUMENT_PREFIX"] = plan.target.prefix
    if plan.way is Way.BUNDLED:
        made["HOMEOSTAT_INSTRUMENT_BUNDLE"] = str(make())
    if report is not None:
        made["HOMEOSTAT_INSTRUMENT_REPORT"] = str(report)
    return made
