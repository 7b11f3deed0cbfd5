"""An Alertmanager's interface, version 2: alerts are posted to it, silences are read from it.

Everything is bounded in time and size and follows no redirect; what goes wrong is a NotifyError that says what to do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import anyio
import httpx2
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from homeostat.core.errors import NotifyError

TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 4 << 20
BATCH_MAX: Final = 200
"""Alerts in one request."""


class _Theirs(BaseModel):
    """What they answer may have more fields than we know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Matcher(_Theirs):
    """One condition of a silence."""

    name: str
    value: str
    isRegex: bool = False  # noqa: N815 - the interface's names
    isEqual: bool = True  # noqa: N815


class SilenceStatus(_Theirs):
    """active | pending | expired"""

    state: str


class Silence(_Theirs):
    """Somebody does not want to hear of some alerts for some time."""

    id: str
    status: SilenceStatus
    startsAt: AwareDatetime  # noqa: N815
    endsAt: AwareDatetime  # noqa: N815
    createdBy: str = ""  # noqa: N815
    comment: str = ""
    matchers: tuple[Matcher, ...] = ()


class PostedAlert(BaseModel):
    """One alert as it is sent. ``ends_at`` in the future: it fires, unless it is not repeated until then."""

    model_config = ConfigDict(frozen=True)

    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime
    ends_at: datetime
    generator_url: str | None = None

    def wire(self) -> dict[str, object]:
        """Under the interface's names."""
        found: dict[str, object] = {
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": _rfc3339(self.starts_at),
            "endsAt": _rfc3339(self.ends_at),
        }
        return found | ({"generatorURL": self.generator_url} if self.generator_url else {})


_Silences = TypeAdapter(list[Silence])


class Alertmanager:
    """One Alertmanager. ``url`` may have a path (its ``--web.route-prefix``)."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._base = url.rstrip("/")
        self._client = client

    async def post(self, alerts: Sequence[PostedAlert]) -> None:
        """Send these. Raises NotifyError; then some may have been taken, and sending all again does no harm."""
        for first in range(0, len(alerts), BATCH_MAX):
            body = [alert.wire() for alert in alerts[first : first + BATCH_MAX]]
            await self._ask("POST", "/api/v2/alerts", json=body)

    async def silences(self) -> list[Silence]:
        """All that it knows. Raises NotifyError."""
        body = await self._ask("GET", "/api/v2/silences")
        try:
            return _Silences.validate_json(body)
        except ValidationError as error:
            raise NotifyError(
                f"What {self._base} answers is no list of silences. Is alerting.alertmanager_url an Alertmanager's?"
            ) from error

    async def _ask(self, method: str, path: str, *, json: object = None) -> bytes:
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with self._client.stream(method, f"{self._base}{path}", json=json) as response:
                    body = await _body(response)
                    if response.is_success:
                        return body
                    raise NotifyError(
                        f"The Alertmanager at {self._base} refused with HTTP {response.status_code}: "
                        f"{body[:300].decode(errors='replace').strip() or response.reason_phrase}"
                    )
        except TimeoutError as error:
            raise NotifyError(f"The Alertmanager at {self._base} did not answer within {TIMEOUT_S:g} s.") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NotifyError(
                f"The Alertmanager at {self._base} cannot be reached ({error or type(error).__name__}). "
                "Start it, or set alerting.alertmanager_url."
            ) from error


async def _body(response: httpx2.Response) -> bytes:
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            raise NotifyError(
                f"{response.url} answers more than {ANSWER_BYTES_MAX >> 20} MiB, and is not read further."
            )
    return body


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
