"""The flags as one service sees them: polled over OFREP, kept when the flag server is away.

A poll with ``If-None-Match`` every 300 ms makes a change act well within a second and costs an unchanged service
one 304.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

import anyio

from homeostat.world.wire import HttpClient, WireError, WireResponse

log = logging.getLogger(__name__)

POLL_TIMEOUT_S = 2.0
_KEYS = {
    "errorInjectionEnabled": "errors",
    "slowResponsesEnabled": "slow_responses",
    "circuitBreakerEnabled": "circuit_breaker",
    "rateLimitingEnabled": "rate_limiting",
    "cacheEnabled": "cache",
}


@dataclass(frozen=True, slots=True)
class FlagValues:
    """What a service does where a flag is concerned. The defaults hold until the first poll: nothing is broken."""

    errors: bool = False
    slow_responses: bool = False
    circuit_breaker: bool = False
    rate_limiting: bool = False
    cache: bool = True

    def with_evaluations(self, evaluations: Mapping[str, bool]) -> "FlagValues":
        """These values with what the flag server said on top; keys that are not ours are left aside."""
        known = {_KEYS[key]: value for key, value in evaluations.items() if key in _KEYS}
        return replace(self, **known)

    def by_key(self) -> dict[str, bool]:
        """The values under the flags' public names."""
        names = {name: key for key, name in _KEYS.items()}
        return {names[item.name]: bool(getattr(self, item.name)) for item in fields(self)}


class FlagPoller:
    """Keeps ``values`` at what the flag server says. ``run`` until cancelled."""

    def __init__(self, base_url: str | None, targeting_key: str, interval_ms: int, client: HttpClient) -> None:
        self.values = FlagValues()
        self._url = f"{base_url.rstrip('/')}/ofrep/v1/evaluate/flags" if base_url else None
        self._body = json.dumps({"context": {"targetingKey": targeting_key}}).encode()
        self._interval_s = interval_ms / 1000.0
        self._client = client
        self._etag = ""
        self._away = False

    async def run(self) -> None:
        """Poll for as long as the service lives; without a flag server the fallbacks stay."""
        if self._url is None:
            return
        while True:
            await self.poll(self._url)
            await anyio.sleep(self._interval_s)

    async def poll(self, url: str) -> None:
        """Ask once. Whatever goes wrong, the last values stay."""
        headers = {"content-type": "application/json"}
        if self._etag:
            headers["if-none-match"] = self._etag
        try:
            response = await self._client.request(
                "POST", url, body=self._body, headers=headers, timeout_s=POLL_TIMEOUT_S
            )
        except WireError as error:
            if not self._away:
                log.warning("The flags stay as they are: %s", error)
            self._away = True
            return
        self._away = False
        if response.status == 200:
            self._accept(response)

    def _accept(self, response: WireResponse) -> None:
        evaluations = _evaluations(response.body)
        if evaluations is None:
            log.warning("The flag server's answer cannot be read; the flags stay as they are")
            return
        self._etag = response.headers.get("etag", "")
        values = self.values.with_evaluations(evaluations)
        if values != self.values:
            log.info("Flags are now %s", values.by_key())
        self.values = values


def _evaluations(body: bytes) -> dict[str, bool] | None:
    """Boolean evaluations by key from a bulk answer; None when it is not one."""
    try:
        raw = cast(object, json.loads(body))
    except ValueError:
        return None
    listed = cast(dict[str, object], raw).get("flags") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        return None
    found: dict[str, bool] = {}
    for item in cast(list[object], listed):
        if isinstance(item, dict):
            entry = cast(dict[str, object], item)
            key, value = entry.get("key"), entry.get("value")
            if isinstance(key, str) and isinstance(value, bool):
                found[key] = value
    return found
