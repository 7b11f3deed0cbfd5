"""Sends one customer on one journey and says what became of it. Used by the generator and by the journey API.

One journey is one trace: the root span "journey <name>" and the customer's calls belong to the service ``customers``,
the rest to the services that were called.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio
from opentelemetry.trace import Span, SpanKind

from homeostat.core.ports import Clock
from homeostat.world.customers import ErrorHint, InjectedError
from homeostat.world.journeys import CURRENCY, Step
from homeostat.world.ledger import Ledger
from homeostat.world.messages import Hop, StepRequest, StepResult, decode_results
from homeostat.world.telemetry import (
    REQUEST_START_HEADER,
    Telemetry,
    child_context,
    context_in,
    headers_out,
    mark_failed,
    request_start,
    trace_id_of,
)
from homeostat.world.wire import HttpClient, WireError

CUSTOMERS_SERVICE = "customers"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and, perhaps, a wish for how it goes."""

    step: Step
    hint: ErrorHint | None = None


@dataclass(frozen=True, slots=True)
class JourneyOrder:
    """A journey to be made."""

    journey_id: str
    chance_key: str
    name: str
    customer_id: str
    customer: str
    company: str
    correlation_id: str
    steps: tuple[PlannedStep, ...]
    amount_cents: int | None = None
    chained: bool = True
    think_time_ms: int = 0
    errors_simulated: bool = True
    timeout_ms: int = 5_000
    headers: Mapping[str, str] = field(default_factory=dict)  # trace context and x-dynatrace*, handed on


@dataclass(frozen=True, slots=True)
class JourneyOutcome:
    """What became of it. ``results`` holds the steps that were tried; those after a failure were never reached."""

    order: JourneyOrder
    completed: bool
    results: tuple[StepResult, ...]
    duration_ms: float
    trace_id: str
    timed_out: bool = False

    @property
    def failed_step(self) -> StepResult | None:
        """The step in which it failed, as far as one can tell."""
        return None if self.completed else next((result for result in self.results if not result.completed), None)

    @property
    def error(self) -> str | None:
        """One sentence, None when it completed."""
        if self.completed:
            return None
        failed = self.failed_step
        if failed is None:
            return "The journey did not complete"
        return str(failed.error.get("errorMessage") or f"{failed.service} answered {failed.answered_status}")


@dataclass(frozen=True, slots=True)
class _Called:
    ok: bool
    results: tuple[StepResult, ...]
    timed_out: bool = False


class JourneyRunner:
    """``locate`` starts a service when need be and answers ``(service name, port)``."""

    def __init__(
        self,
        *,
        locate: Callable[[str], Awaitable[tuple[str, int]]],
        client: HttpClient,
        telemetry: Telemetry,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._locate = locate
        self._client = client
        self._telemetry = telemetry
        self._ledger = ledger
        self._clock = clock

    async def prepare(self, steps: tuple[PlannedStep, ...]) -> None:
        """Have every service of these steps running. Raises BadRequestError when the world has no room for them."""
        for planned in steps:
            await self._locate(planned.step.service)

    async def run(self, order: JourneyOrder) -> JourneyOutcome:
        """Make the journey and count it. Raises BadRequestError when the world has no room for its services."""
        hops = [await self._hop(planned) for planned in order.steps]
        if order.chained and order.think_time_ms:
            # The services call each other without a pause, so the customer thinks before setting off:
            # inside the chain the waiting would look like slowness of a service.
            await anyio.sleep(order.think_time_ms * (len(hops) - 1) / 1000.0)
        self._ledger.in_flight += 1
        try:
            outcome = await self._make(order, tuple(hops))
        finally:
            self._ledger.in_flight -= 1
        self._ledger.record(
            customer=order.customer,
            journey=order.name,
            completed=outcome.completed,
            amount_cents=order.amount_cents,
            duration_ms=outcome.duration_ms,
            timed_out=outcome.timed_out,
        )
        return outcome

    async def _hop(self, planned: PlannedStep) -> Hop:
        service, port = await self._locate(planned.step.service)
        return Hop(planned.step.name, planned.step.slug, service, port, planned.hint)

    async def _make(self, order: JourneyOrder, hops: tuple[Hop, ...]) -> JourneyOutcome:
        began = self._clock.monotonic()
        root = self._telemetry.tracer.start_span(
            f"journey {order.name}",
            context=context_in(order.headers),
            kind=SpanKind.INTERNAL,
            attributes={**_attributes(order), **_money(order)},
        )
        try:
            called = await (self._chain(root, order, hops) if order.chained else self._one_by_one(root, order, hops))
            outcome = JourneyOutcome(
                order,
                completed=called.ok,
                results=called.results,
                duration_ms=round((self._clock.monotonic() - began) * 1000.0, 3),
                trace_id=trace_id_of(root.get_span_context()),
                timed_out=called.timed_out,
            )
            if not called.ok:
                failed = outcome.failed_step
                mark_failed(
                    root, str(failed.error.get("errorType", "error")) if failed else "error", outcome.error or ""
                )
            return outcome
        finally:
            root.end()

    async def _chain(self, root: Span, order: JourneyOrder, hops: tuple[Hop, ...]) -> _Called:
        return await self._call(root, order, _request(order, hops, 1, len(hops)))

    async def _one_by_one(self, root: Span, order: JourneyOrder, hops: tuple[Hop, ...]) -> _Called:
        """The customer's own software calls each service in turn; a failed step ends the journey."""
        results: tuple[StepResult, ...] = ()
        for number, hop in enumerate(hops, 1):
            if number > 1 and order.think_time_ms:
                await anyio.sleep(order.think_time_ms / 1000.0)
            called = await self._call(root, order, _request(order, (hop,), number, len(hops)))
            results += called.results
            if not called.ok:
                return _Called(False, results, called.timed_out)
        return _Called(True, results)

    async def _call(self, root: Span, order: JourneyOrder, request: StepRequest) -> _Called:
        hop = request.hops[0]
        url = f"http://127.0.0.1:{hop.port}/process/{hop.slug}"
        span = self._telemetry.tracer.start_span(
            "POST",
            context=child_context(root),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "url.full": url,
                "server.address": "127.0.0.1",
                "server.port": hop.port,
                "peer.service": hop.service,
                **_attributes(order),
            },
        )
        headers = {"content-type": "application/json", "x-correlation-id": order.correlation_id}
        headers |= {name: value for name, value in order.headers.items() if name.startswith("x-dynatrace")}
        try:
            response = await self._client.request(
                "POST",
                url,
                body=request.encode(),
                headers=headers | headers_out(span) | {REQUEST_START_HEADER: request_start(self._clock)},
                timeout_s=order.timeout_ms / 1000.0,
            )
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                mark_failed(span, str(response.status), f"{hop.service} answered {response.status}")
        except WireError as error:
            mark_failed(span, error.kind, str(error))
            injected = InjectedError(True, error.kind, 504 if error.kind == "timeout" else 502, str(error))
            status = injected.http_status
            lost = StepResult(
                request.number, hop.step, hop.service, False, status, status, 0.0, error=injected.fields()
            )
            return _Called(False, (lost,), timed_out=error.kind == "timeout")
        finally:
            span.end()
        return _Called(response.status < 400, decode_results(response.body))


def _request(order: JourneyOrder, hops: tuple[Hop, ...], number: int, total: int) -> StepRequest:
    return StepRequest(
        journey_id=order.journey_id,
        chance_key=order.chance_key,
        journey_name=order.name,
        customer_id=order.customer_id,
        customer=order.customer,
        company=order.company,
        number=number,
        steps_total=total,
        budget_ms=order.timeout_ms,
        hops=hops,
        errors_simulated=order.errors_simulated,
        chained=order.chained,
    )


def _attributes(order: JourneyOrder) -> dict[str, str]:
    return {
        "journey.id": order.journey_id,
        "journey.name": order.name,
        "customer.id": order.customer_id,
        "customer.name": order.customer,
    }


def _money(order: JourneyOrder) -> dict[str, str | float]:
    if order.amount_cents is None:
        return {}
    return {"journey.amount": order.amount_cents / 100, "journey.currency": CURRENCY}
