"""What a service does with one step: limit, (be slow,) fail or work, then call the next step. All of it traced.

An error in step k answers with its own status; the services of the steps before it saw their call fail and
answer 502, so the trace shows the whole way. Used by ``service``, one ``StepServer`` per process.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from opentelemetry.trace import Span, SpanKind

from homeostat.core.ports import Clock
from homeostat.world.breaker import Breaker
from homeostat.world.catalog import Catalog, is_read_step
from homeostat.world.chance import share
from homeostat.world.customers import ErrorScope, InjectedError, decide
from homeostat.world.flags import FlagPoller
from homeostat.world.messages import Hop, StepRequest, StepResult, decode_results
from homeostat.world.ratelimit import TokenBucket
from homeostat.world.telemetry import (
    REQUEST_START_HEADER,
    Telemetry,
    arrival_unix_nano,
    child_context,
    context_in,
    headers_out,
    mark_failed,
    request_start,
)
from homeostat.world.wire import HttpClient, WireError

SLOW_STEPS = ("payment", "transfer", "purchase")
"""``slowResponsesEnabled`` slows steps whose name contains one of these words ..."""
SLOW_SHARE = 0.5
"""... in this share of the requests, seeded per journey ..."""
SLOW_MS = (800.0, 1_500.0)
"""... by a time between these."""

BUDGET_SHARE = 0.9
"""A service waits this share of its caller's patience for the next one, so that the innermost gives up first."""


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """An HTTP answer in the making."""

    status: int
    results: tuple[StepResult, ...]
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class _Onward:
    """What became of the call to the next step."""

    failed: bool
    status: int  # what we answer because of it
    results: tuple[StepResult, ...]
    error_type: str = ""
    message: str = ""


class StepServer:
    """Serves the steps of one service."""

    def __init__(
        self,
        *,
        service: str,
        seed: int,
        scope: ErrorScope,
        error_customers: tuple[str, ...],
        rate_limit_per_s: float,
        cache_ttl_s: float,
        flags: FlagPoller,
        client: HttpClient,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._service = service
        self._seed = seed
        self._scope = scope
        self._error_customers = frozenset(name.lower() for name in error_customers)
        self._flags = flags
        self._client = client
        self._telemetry = telemetry
        self._clock = clock
        self._bucket = TokenBucket(rate_limit_per_s, clock)
        self._catalog = Catalog(service, seed, cache_ttl_s, clock)
        self._breakers: dict[str, Breaker] = {}

    async def serve(self, path: str, request: StepRequest, headers: Mapping[str, str]) -> StepAnswer:
        """One request to ``path``, in a SERVER span."""
        hop = request.hops[0]
        span = self._telemetry.tracer.start_span(
            f"POST {path}",
            context=context_in(headers),
            kind=SpanKind.SERVER,
            start_time=arrival_unix_nano(headers, self._clock),
            attributes={
                "http.request.method": "POST",
                "http.route": path,
                "url.path": path,
                "url.scheme": "http",
                "server.address": "127.0.0.1",
                "server.port": hop.port,
                **_journey_attributes(request),
            },
        )
        began = self._clock.monotonic()
        try:
            answer = await self._step(span, request, headers)
            span.set_attribute("http.response.status_code", answer.status)
            duration_s = self._clock.monotonic() - began
            self._telemetry.served(span, path, answer.status, duration_s, _said(request, answer, duration_s))
            return answer
        finally:
            span.end()

    def breakers(self) -> list[dict[str, str | int | None]]:
        """Every breaker of this process, in the original's field names."""
        views = [breaker.view() for breaker in self._breakers.values()]
        return [
            {
                "serviceName": view.service,
                "state": view.state.value,
                "failureCount": view.failure_count,
                "lastFailureTime": view.last_failure.isoformat() if view.last_failure else None,
                "threshold": view.threshold,
                "timeout": view.timeout_ms,
                "caller": self._service,
            }
            for view in views
        ]

    def reset_breakers(self, service: str | None = None) -> int:
        """Close them all, or the one towards ``service``; returns how many there were."""
        names = [name for name in self._breakers if service in (None, name)]
        for name in names:
            del self._breakers[name]
        return len(names)

    # -- one step -----------------------------------------------------------------------------------------

    async def _step(self, span: Span, request: StepRequest, headers: Mapping[str, str]) -> StepAnswer:
        flags, began = self._flags.values, self._clock.monotonic()
        hop = request.hops[0]
        if flags.rate_limiting and not self._bucket.take():
            return self._rate_limited(span, request, began)
        if flags.slow_responses:
            await self._be_slow(span, request)
        error = self._decide(request, enabled=flags.errors)
        if error.has_error:
            return self._injected(span, request, error, began)
        cache: str | None = None
        if is_read_step(hop.step):
            cache = self._catalog.look_up(hop.slug, request.chance_key, use_cache=flags.cache).source
            span.set_attribute("app.cache", cache)
        own_ms = self._since_ms(began)
        if len(request.hops) == 1 or not request.chained:
            return StepAnswer(200, (self._result(request, 200, 200, own_ms, cache=cache),))
        onward = await self._call_next(span, request, headers, breaker_on=flags.circuit_breaker)
        if onward.failed:
            mark_failed(span, onward.error_type, onward.message)
        own = self._result(request, 200, onward.status, own_ms, cache=cache)
        return StepAnswer(onward.status, (own, *onward.results))

    async def _be_slow(self, span: Span, request: StepRequest) -> None:
        step = request.hops[0].step.lower()
        if not any(word in step for word in SLOW_STEPS):
            return
        if share(self._seed, "slow", request.chance_key, request.number) >= SLOW_SHARE:
            return
        low, high = SLOW_MS
        delay_ms = low + (high - low) * share(self._seed, "slow-ms", request.chance_key, request.number)
        span.set_attribute("app.slowed_ms", round(delay_ms, 1))
        await anyio.sleep(delay_ms / 1000.0)

    def _decide(self, request: StepRequest, *, enabled: bool) -> InjectedError:
        hop = request.hops[0]
        wanted = not self._error_customers or request.customer.lower() in self._error_customers
        return decide(
            seed=self._seed,
            key=request.chance_key,
            step=hop.step,
            step_number=request.number,
            steps_total=request.steps_total,
            customers=(request.customer, request.company),
            scope=self._scope,
            enabled=enabled and wanted and request.errors_simulated,
            hint=hop.hint,
        )

    def _injected(self, span: Span, request: StepRequest, error: InjectedError, began: float) -> StepAnswer:
        mark_failed(span, error.error_type, error.error_message)
        span.set_attribute("app.error.severity", error.severity)
        status = error.http_status
        return StepAnswer(status, (self._result(request, status, status, self._since_ms(began), error=error),))

    def _rate_limited(self, span: Span, request: StepRequest, began: float) -> StepAnswer:
        error = InjectedError(True, "rate_limited", 429, f"{self._service} takes no more requests for the moment")
        mark_failed(span, error.error_type, error.error_message)
        result = self._result(request, 429, 429, self._since_ms(began), error=error)
        return StepAnswer(429, (result,), retry_after_s=self._bucket.retry_after_s())

    # -- the call to the next step ------------------------------------------------------------------------

    async def _call_next(
        self, parent: Span, request: StepRequest, headers: Mapping[str, str], *, breaker_on: bool
    ) -> _Onward:
        budget_ms = max(50, int(request.budget_ms * BUDGET_SHARE))
        onward, hop = request.onward(budget_ms), request.hops[1]
        breaker = self._breakers.setdefault(hop.service, Breaker(hop.service, self._clock))
        if not breaker_on:
            breaker.reset()
        path = f"/process/{hop.slug}"
        span = self._telemetry.tracer.start_span(
            "POST",
            context=child_context(parent),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "url.full": f"http://127.0.0.1:{hop.port}{path}",
                "server.address": "127.0.0.1",
                "server.port": hop.port,
                "peer.service": hop.service,
                **_journey_attributes(onward),
            },
        )
        try:
            if breaker_on and not breaker.allow():
                message = f"The circuit to {hop.service} is open"
                mark_failed(span, "circuit_open", message)
                return _broken(onward, 503, "circuit_open", message)
            return await self._guarded_call(span, breaker, onward, hop, headers)
        finally:
            span.end()

    async def _guarded_call(
        self, span: Span, breaker: Breaker, onward: StepRequest, hop: Hop, headers: Mapping[str, str]
    ) -> _Onward:
        healthy = False
        try:
            response = await self._client.request(
                "POST",
                f"http://127.0.0.1:{hop.port}/process/{hop.slug}",
                body=onward.encode(),
                headers=_forwarded(headers) | headers_out(span) | {REQUEST_START_HEADER: request_start(self._clock)},
                timeout_s=onward.budget_ms / 1000.0,
            )
            results = decode_results(response.body)
            # A callee that did its own part and reports that somebody behind it failed is not the broken one:
            # counting that would open every circuit up to the customer.
            healthy = response.status < 500 or (bool(results) and results[0].completed)
        except WireError as error:
            status = 504 if error.kind == "timeout" else 502
            mark_failed(span, error.kind, str(error))
            return _broken(onward, status, error.kind, str(error))
        finally:
            # Also when cancelled: a trial call that never reports would keep the circuit open for good.
            if healthy:
                breaker.succeeded()
            else:
                breaker.failed()
        span.set_attribute("http.response.status_code", response.status)
        if response.status < 400:
            return _Onward(False, 200, results)
        message = f"{hop.service} answered {response.status}"
        mark_failed(span, str(response.status), message)
        return _Onward(True, 502, results, "downstream_error", message)

    # -- small things -------------------------------------------------------------------------------------

    def _since_ms(self, began: float) -> float:
        return round((self._clock.monotonic() - began) * 1000.0, 3)

    def _result(
        self,
        request: StepRequest,
        http_status: int,
        answered_status: int,
        duration_ms: float,
        *,
        cache: str | None = None,
        error: InjectedError | None = None,
    ) -> StepResult:
        return StepResult(
            number=request.number,
            step=request.hops[0].step,
            service=self._service,
            completed=error is None,
            http_status=http_status,
            answered_status=answered_status,
            duration_ms=duration_ms,
            cache=cache,
            error=error.fields() if error else {},
        )


def _said(request: StepRequest, answer: StepAnswer, duration_s: float) -> str:
    """A served request as a line of a log."""
    what = f"{request.hops[0].step} of {request.customer_id}"
    if answer.status < 400:
        return f"{what} done in {duration_s * 1000:.1f} ms"
    why = next((result.error["errorMessage"] for result in answer.results if result.error), "a later step failed")
    return f"{what} failed with {answer.status}: {why}"


def _journey_attributes(request: StepRequest) -> dict[str, str | int]:
    return {
        "journey.id": request.journey_id,
        "journey.name": request.journey_name,
        "journey.step": request.hops[0].step,
        "journey.step.number": request.number,
        "customer.id": request.customer_id,
        "customer.name": request.customer,
    }


def _broken(request: StepRequest, status: int, error_type: str, message: str) -> _Onward:
    """The outcome of a step whose service did not answer, written by its caller."""
    hop = request.hops[0]
    error = InjectedError(True, error_type, status, message)
    lost = StepResult(request.number, hop.step, hop.service, False, status, status, 0.0, error=error.fields())
    return _Onward(True, status, (lost,), error_type, message)


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that travel along the whole chain, beside the trace context."""
    kept = {
        name: value for name, value in headers.items() if name == "x-correlation-id" or name.startswith("x-dynatrace")
    }
    return {"content-type": "application/json", **kept}
