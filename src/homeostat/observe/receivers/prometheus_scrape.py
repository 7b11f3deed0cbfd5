"""Fetches the metrics of targets that show them to Prometheus (``metrics.scrape``), and takes them in as OTLP.

``app`` runs ``Scraper.run``. Beside what a target shows there are, as with Prometheus, ``up``,
``scrape_duration_seconds`` and ``scrape_samples_scraped``; a series that is shown no more has "no recorded value".
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

from homeostat.background import Background
from homeostat.core.config import ScrapeTarget
from homeostat.core.errors import BadRequestError, HomeostatError
from homeostat.core.ports import Clock
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.prometheus_otlp import Family, OtlpMetrics, Resource, resource_of
from homeostat.observe.receivers.prometheus_text import SeriesKey, Shown, Translation, read

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

BODY_BYTES_MAX: Final = 16 << 20
_OUT_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
_PARSERS_MAX: Final = 2  # at once
_ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
_GAUGE: Final = Family("gauge")
_SECONDS: Final = Family("gauge", "s")


@dataclass(slots=True)
class TargetState:
    """How scraping one target goes. ``up`` None: not tried yet."""

    target: ScrapeTarget
    up: bool | None = None
    error: str = ""
    scraped_at: datetime | None = None
    duration_s: float | None = None
    samples: int = 0
    scrapes: int = 0
    failures: int = 0
    series: dict[SeriesKey, Family] = field(default_factory=dict[SeriesKey, Family])


class Scraper:
    """Scrapes every target in its interval until cancelled."""

    def __init__(
        self,
        targets: Sequence[ScrapeTarget],
        submit: Submit,
        refuse: Refuse,
        clock: Clock,
        background: Background | None = None,
    ) -> None:
        self.states = [TargetState(target) for target in targets]
        self._submit = submit
        self._refuse = refuse
        self._clock = clock
        self._background = background or Background(clock)
        self._parsers = anyio.CapacityLimiter(_PARSERS_MAX)

    async def run(self) -> None:
        """Never returns of itself while there are targets."""
        if not self.states:
            return  # a client costs a start a tenth of a second: it reads every certificate authority there is
        async with client_of_targets() as client, anyio.create_task_group() as tasks:
            for state in self.states:
                work = partial(self._keep_scraping, client, state)
                tasks.start_soon(partial(self._background.keep, "scrape", work, of=state.target.url))

    async def _keep_scraping(self, client: httpx2.AsyncClient, state: TargetState) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                await self.scrape(client, state)
            except HomeostatError as error:  # the store says no: the next scrape may be taken
                self._refuse("scrape")
                logger.warning("What %s showed was not taken: %s", state.target.url, error)
            left_s = state.target.interval.total_seconds() - (self._clock.monotonic() - began)
            await anyio.sleep(max(0.0, left_s))

    async def scrape(self, client: httpx2.AsyncClient, state: TargetState) -> None:
        """Fetch one target once and hand its metrics over. Raises what ``submit`` raises."""
        began, now = self._clock.monotonic(), self._clock.now()
        shown: Shown | None = None
        error = ""
        try:
            with anyio.fail_after(state.target.timeout.total_seconds()):
                body, content_type = await _fetch(client, state.target.url)
                shown = await self._in_thread(lambda: read(body, content_type))
        except TimeoutError:
            error = f"No answer within {state.target.timeout.total_seconds():g} s (timeout)."
        except (httpx2.HTTPError, httpx2.InvalidURL, BadRequestError, UnicodeError) as failure:
            error = str(failure) or type(failure).__name__
        duration_s = self._clock.monotonic() - began
        self._note(state, now, duration_s, shown, error)
        payloads = await self._in_thread(lambda: _payloads(state, shown, int(now.timestamp() * 1000), duration_s))
        for payload in payloads:
            await self._submit(payload)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await anyio.to_thread.run_sync(work, limiter=self._parsers)

    def _note(self, state: TargetState, now: datetime, duration_s: float, shown: Shown | None, error: str) -> None:
        if error and state.up is not False:
            logger.warning("%s can't be scraped: %s", state.target.url, error)
        state.up, state.error, state.scraped_at, state.duration_s = not error, error, now, duration_s
        state.samples = shown.samples if shown is not None else 0
        state.scrapes += 1
        state.failures += bool(error)
        if error:
            self._refuse("scrape")


def client_of_targets() -> httpx2.AsyncClient:
    """A client that asks the configured address alone: no target sends us elsewhere, nor does the environment."""
    return httpx2.AsyncClient(follow_redirects=False, trust_env=False)


async def _fetch(client: httpx2.AsyncClient, url: str) -> tuple[str, str]:
    """Text and content type. Raises httpx2.HTTPError, httpx2.InvalidURL, BadRequestError."""
    parts: list[bytes] = []
    size = 0
    async with client.stream("GET", url, headers={"accept": _ACCEPT}, timeout=None) as response:
        response.raise_for_status()
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > BODY_BYTES_MAX:
                raise BadRequestError(f"More than {BODY_BYTES_MAX >> 20} MiB are shown. Show fewer series.")
        return b"".join(parts).decode("utf-8"), response.headers.get("content-type", "")


def _payloads(state: TargetState, shown: Shown | None, time_ms: int, duration_s: float) -> list[bytes]:
    """OTLP requests of one scrape; remembers its series for the next."""
    metrics = OtlpMetrics(_OUT_BYTES_MAX)
    resource = _resource(state.target, shown)
    translation = Translation(metrics, resource, state.target.labels, time_ms)
    if shown is not None:
        translation.add(shown)
    translation.end({key: family for key, family in state.series.items() if key not in translation.series})
    translation.number("up", float(shown is not None), _GAUGE)
    translation.number("scrape_duration_seconds", duration_s, _SECONDS)
    translation.number("scrape_samples_scraped", float(shown.samples if shown is not None else 0), _GAUGE)
    state.series = translation.series
    return metrics.payloads()


def _resource(target: ScrapeTarget, shown: Shown | None) -> Resource:
    where = urlsplit(target.url)
    labels = {"job": target.service or target.job, "instance": where.netloc.rpartition("@")[2]}
    return resource_of(labels, shown.info if shown is not None else {})
