"""The environment in which an instrumented program runs: where it sends what, and as whom. For ``cli.instrument``.

What the user has set in ``OTEL_*`` stays; only what is missing is filled in.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from homeostat.core.errors import BadRequestError
from homeostat.instrument.bundle import make
from homeostat.instrument.command import words_of
from homeostat.instrument.plan import Plan, Way

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
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


def endpoint_of(given: str | None, data: Path, environ: Mapping[str, str]) -> str:
    """Where telemetry goes: as given, as in ``OTEL_EXPORTER_OTLP_ENDPOINT``, as a running Homeostat says in
    ``ready.json`` of its data directory, else the default port of this machine.

    Raises BadRequestError for what is no address.
    """
    endpoint = given or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _announced(data) or DEFAULT_ENDPOINT
    if not re.match(r"https?://[^/\s]+", endpoint):
        raise BadRequestError(f"{endpoint!r} is no address of an OTLP receiver. Write e.g. {DEFAULT_ENDPOINT}.")
    return endpoint.rstrip("/")


def _announced(data: Path) -> str | None:
    try:
        ready = json.loads((data / "ready.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    address = ready.get("otlp_http") if isinstance(ready, dict) else None
    return address if isinstance(address, str) else None


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
