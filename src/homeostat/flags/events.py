"""A flag change as a CUSTOM_DEPLOYMENT event, and how Dynatrace is told of it. Used by ``service``.

``POST <environment>/api/v2/events/ingest`` with an API token. Sending is bounded in time and in size, follows no
redirect, and its failure is a result, not an error: a flag changes whether or not anybody can be told.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import urlsplit

import anyio
import httpx2

from homeostat.core.config import DynatraceConfig
from homeostat.core.models import DeploymentEvent, FlagChange, Model

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 10.0
"""For the whole exchange. It happens in the background: nobody waits this long."""

BODY_CHARS_MAX = 2048
"""Of the answer's body; the rest is not read."""

EVENT_TIMEOUT_MIN = 15
"""For how long Dynatrace relates problems to the event."""

_ENTITY_SELECTOR = 'type("PROCESS_GROUP_INSTANCE"),entityName.equals("BizObs-MainServer")'
_ENVIRONMENT_VARIABLES = ("DT_ENVIRONMENT", "DYNATRACE_URL")
_TOKEN_VARIABLES = ("DT_PLATFORM_TOKEN", "DYNATRACE_TOKEN")

NO_CREDENTIALS = "no_credentials"


class RemediationType(StrEnum):
    """How a flag came to be changed."""

    TOGGLE = "feature_flag_toggle"
    BULK = "bulk_feature_flag_toggle"
    RECOVERY = "auto_recovery"


class EventResult(Model):
    """What became of an event: ``status`` and ``body`` of the answer, or the ``reason`` why there is none."""

    success: bool
    reason: str | None = None
    status: int | None = None
    body: str | None = None

    @property
    def detail(self) -> str:
        """In one line, for the audit."""
        return self.reason or f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class DynatraceTarget:
    """An environment that may be told, and the token for it."""

    environment: str
    token: str = field(repr=False)


def find_target(
    config: DynatraceConfig,
    environ: Mapping[str, str],
    *,
    environment: str | None = None,
    token: str | None = None,
) -> DynatraceTarget | EventResult:
    """Where to send: what a request names, else the configuration, else the environment variables.

    A result instead of a target says why nothing can be sent. An environment that a request names is never given the
    configured token: whoever can reach the API could have it sent to a server of their own.
    """
    own_environment = config.environment or _first(environ, _ENVIRONMENT_VARIABLES)
    own_token = config.token or _first(environ, _TOKEN_VARIABLES)
    if environment and not token and _base(environment) != _base(own_environment or ""):
        return EventResult(success=False, reason=f"{NO_CREDENTIALS}: dtEnvironment needs a dtToken of its own")
    chosen, secret = environment or own_environment, token or own_token
    if not chosen or not secret:
        return EventResult(success=False, reason=NO_CREDENTIALS)
    problem = _problem_of(chosen)
    if problem:
        return EventResult(success=False, reason=f"invalid_environment: {problem}")
    if not secret.isascii() or not secret.isprintable():
        return EventResult(success=False, reason="invalid_token: it has characters that no token has")
    return DynatraceTarget(_base(chosen), secret)


def deployment_event(change: FlagChange, kind: RemediationType) -> DeploymentEvent:
    """The event for a change. Properties are texts, as the interface asks."""
    return DeploymentEvent(
        title=f"Feature Flag Changed: {change.flag}",
        timeout=EVENT_TIMEOUT_MIN,
        entitySelector=_ENTITY_SELECTOR,
        properties={
            "deployment.name": f"Feature Flag: {change.flag}",
            "deployment.version": iso(change.time),
            "deployment.source": change.triggered_by,
            "feature.flag": change.flag,
            "previous.value": _text(change.previous_value),
            "new.value": _text(change.new_value),
            "change.reason": change.reason or "Not specified",
            "triggered.by": change.triggered_by,
            "problem.id": change.problem_id or "N/A",
            "remediation.type": kind.value,
            "application": "BizObs",
        },
    )


async def send(client: httpx2.AsyncClient, target: DynatraceTarget, event: DeploymentEvent) -> EventResult:
    """Send one event; returns within ``SEND_TIMEOUT_S`` whatever the other side does."""
    headers = {"Authorization": f"Api-Token {target.token}"}
    url = f"{target.environment}/api/v2/events/ingest"
    try:
        with anyio.fail_after(SEND_TIMEOUT_S):
            async with client.stream("POST", url, json=event.model_dump(), headers=headers) as response:
                body = ""
                async for text in response.aiter_text():
                    body += text
                    if len(body) >= BODY_CHARS_MAX:
                        break
                return EventResult(
                    success=response.is_success, status=response.status_code, body=body[:BODY_CHARS_MAX]
                )
    except TimeoutError:
        return EventResult(success=False, reason="timeout")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        logger.warning("flag change not sent to %s: %s", target.environment, error)
        return EventResult(success=False, reason=f"unreachable: {error or type(error).__name__}")


def iso(time: datetime) -> str:
    """As JavaScript's ``toISOString`` writes it: UTC, milliseconds and a Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _problem_of(environment: str) -> str | None:
    try:
        parts = urlsplit(environment)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        return "it must be an http or https URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "it must have no user, query or fragment"
    return None


def _base(environment: str) -> str:
    return environment.strip().rstrip("/")


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _text(value: bool) -> str:
    return "true" if value else "false"
