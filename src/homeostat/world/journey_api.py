"""The original's journey API, ``/api/journey-simulation``, field by field, over journeys that really run.

Differences on purpose: a chained journey runs all of its steps; ``status`` says ``failed`` when it failed;
``additionalFields`` holds what the caller sent and what was measured, no invented business figures.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from homeostat.core.errors import BadRequestError, HomeostatError
from homeostat.core.ports import Ids
from homeostat.world.breakers import BreakerAdmin
from homeostat.world.generator import Generator
from homeostat.world.journeys import CURRENCY, template_named
from homeostat.world.requests import CUSTOMERS_MAX, SimulationBody, read_simulation
from homeostat.world.runner import JourneyOrder, JourneyOutcome, JourneyRunner

PREFIX = "/api/journey-simulation"
BODY_BYTES_MAX = 1 << 20
THINK_MS = 250
THINK_MS_BATCH = 100

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class JourneyApi:
    """The routes and what they need."""

    runner: JourneyRunner
    generator: Generator
    breakers: BreakerAdmin
    ids: Ids
    seed: int

    def routes(self) -> list[Route]:
        """For the supervisor's application."""
        post, get = ["POST"], ["GET"]
        return [
            Route(f"{PREFIX}/simulate-journey", _guarded(self.simulate_journey, "success"), methods=post),
            Route(f"{PREFIX}/simulate-multiple-journeys", _guarded(self.simulate_multiple, "success"), methods=post),
            Route(f"{PREFIX}/simulate-batch-chained", _guarded(self.simulate_batch, "ok"), methods=post),
            Route(f"{PREFIX}/continuous-generation/status", self.status, methods=get),
            Route(f"{PREFIX}/continuous-generation/stop/{{company}}", self.stop_company, methods=post),
            Route(f"{PREFIX}/continuous-generation/stop-all", self.stop_all, methods=post),
            Route(f"{PREFIX}/admin/circuit-breakers", self.circuit_breakers, methods=get),
            Route(f"{PREFIX}/admin/reset-circuit-breakers", _guarded(self.reset_breakers, "success"), methods=post),
        ]

    # -- simulations --------------------------------------------------------------------------------------

    async def simulate_journey(self, request: Request) -> Response:
        """One journey of one customer."""
        body = read_simulation(await _body(request))
        order = self._order(body, _forwarded(request.headers), think_ms=THINK_MS)
        outcome = await self.runner.run(order)
        answer = JSONResponse({"success": True, "journey": self._journey(body, outcome)})
        answer.headers["x-correlation-id"] = order.correlation_id
        return answer

    async def simulate_multiple(self, request: Request) -> Response:
        """The same journey for up to five customers, side by side."""
        body = read_simulation(await _body(request))
        if body.customers > CUSTOMERS_MAX:
            return _too_many("success", body.customers)
        if body.named_steps is None:
            raise BadRequestError("Missing aiJourney.steps or journey.steps array")
        outcomes = await self._run_all(body, _forwarded(request.headers), THINK_MS)
        done = [outcome for outcome in outcomes if outcome.completed]
        summary: Json = {
            "customersProcessed": len(outcomes),
            "successfulCustomers": len(done),
            "failedCustomers": len(outcomes) - len(done),
            "successRate": f"{100.0 * len(done) / len(outcomes):.1f}%",
            "averageCompletionTime": f"{round(sum(o.duration_ms for o in done) / len(done))}ms" if done else "N/A",
            "averageStepsCompleted": round(sum(_completed(o) for o in done) / len(done)) if done else 0,
        }
        return JSONResponse(
            {
                "success": True,
                "loadTestSummary": summary,
                "correlationIds": [outcome.order.correlation_id for outcome in outcomes],
                "errors": [
                    f"Customer {number}: {outcome.error}"
                    for number, outcome in enumerate(outcomes, 1)
                    if not outcome.completed
                ],
                "sampleJourney": _sample(done[0]) if done else None,
                "detailedResults": [_detail(number, outcome) for number, outcome in enumerate(outcomes, 1)],
            }
        )

    async def simulate_batch(self, request: Request) -> Response:
        """Chained journeys of up to five customers; a short answer."""
        body = read_simulation(await _body(request))
        if body.customers > CUSTOMERS_MAX:
            return _too_many("ok", body.customers)
        outcomes = await self._run_all(body, _forwarded(request.headers), THINK_MS_BATCH)
        completed = sum(outcome.completed for outcome in outcomes)
        return JSONResponse(
            {
                "ok": True,
                "summary": {
                    "customers": len(outcomes),
                    "completed": completed,
                    "failed": len(outcomes) - completed,
                },
                "sample": [_batch_entry(number, outcome) for number, outcome in enumerate(outcomes, 1)],
            }
        )

    async def _run_all(self, body: SimulationBody, headers: Mapping[str, str], think_ms: int) -> list[JourneyOutcome]:
        outcomes: dict[int, JourneyOutcome] = {}

        async def one(number: int) -> None:
            order = self._order(body, headers, think_ms=think_ms, customer_number=number)
            outcomes[number] = await self.runner.run(order)

        # What can be wrong is found before the customers set off: it is then one error and not a group of them.
        await self.runner.prepare(body.planned())
        async with anyio.create_task_group() as tasks:
            for number in range(1, body.customers + 1):
                tasks.start_soon(one, number)
        return [outcomes[number] for number in sorted(outcomes)]

    def _order(
        self, body: SimulationBody, headers: Mapping[str, str], *, think_ms: int, customer_number: int = 1
    ) -> JourneyOrder:
        several = body.customers > 1
        journey_id = body.journey_id or body.told.journey_id or self.ids.new("journey")
        journey_id = f"{journey_id}_{customer_number}" if several else journey_id
        customer = body.customer_name or body.company_name
        customer_id = body.customer_id or self.ids.new("customer")
        return JourneyOrder(
            journey_id=journey_id,
            chance_key=journey_id,
            name=body.journey_name,
            customer_id=f"{customer_id}_{customer_number}" if several else customer_id,
            customer=customer,
            company=body.company_name,
            correlation_id=self._correlation(headers, customer_number, several=several),
            steps=body.planned(),
            amount_cents=self._amount_cents(body, journey_id),
            chained=body.chained,
            think_time_ms=think_ms if body.think_time_ms is None else body.think_time_ms,
            errors_simulated=body.errors_simulated,
            headers=headers,
        )

    def _correlation(self, headers: Mapping[str, str], customer_number: int, *, several: bool) -> str:
        given = headers.get("x-correlation-id")
        if not given:
            return self.ids.new("correlation")
        return f"{given}-{customer_number}" if several else given

    def _amount_cents(self, body: SimulationBody, key: str) -> int | None:
        """What the caller says it is worth, else the template's amount, else nothing is known."""
        fields = body.told.additional_fields | body.additional_fields
        for name in ("transactionValue", "orderTotal"):
            value = fields.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                return round(value * 100)
        template = template_named(body.journey_name)
        return template.amounts.cents(self.seed, key) if template else None

    def _journey(self, body: SimulationBody, outcome: JourneyOutcome) -> Json:
        order, told = outcome.order, body.told
        return {
            "journeyId": order.journey_id,
            "customerId": order.customer_id,
            "correlationId": order.correlation_id,
            "traceId": outcome.trace_id,
            "status": "completed" if outcome.completed else "failed",
            "error": outcome.error,
            "totalSteps": len(order.steps),
            "completedSteps": _completed(outcome),
            "stepNames": [planned.step.name for planned in order.steps],
            "steps": _steps(outcome),
            "additionalFields": told.additional_fields | body.additional_fields | _measured(outcome),
            "customerProfile": told.customer_profile | body.customer_profile,
            "traceMetadata": told.trace_metadata | body.trace_metadata,
            "sources": list(told.sources),
            "provider": told.provider or "unknown",
            "continuousGeneration": self._continuous(order.customer, order.company),
        }

    # -- continuous generation ----------------------------------------------------------------------------

    def _continuous(self, *names: str) -> Json:
        wanted = {name.lower() for name in names}
        entry = next((item for item in self.generator.companies() if item.name.lower() in wanted), None)
        return {
            "active": entry is not None and entry.active,
            "company": entry.name if entry else names[-1],
            "method": "generator",
            "scenario": entry.journey if entry else None,
            "ratePerMinute": round(entry.rate_per_minute, 2) if entry else 0,
        }

    async def status(self, request: Request) -> Response:
        """Who is sent on journeys all the time, and how often."""
        journeys: Json = {
            item.name: {
                "active": True,
                "ratePerMinute": round(item.rate_per_minute, 2),
                "scenario": item.journey,
            }
            for item in self.generator.companies()
            if item.active
        }
        return JSONResponse(
            {"ok": True, "method": "generator", "activeJourneys": len(journeys), "journeys": journeys}
        )

    async def stop_company(self, request: Request) -> Response:
        """No more journeys of one customer."""
        company = str(request.path_params["company"])
        stopped = self.generator.stop_company(company)
        message = f"No more journeys of {company}" if stopped else "No active journeys found"
        return JSONResponse({"ok": True, "stopped": stopped, "company": company, "message": message})

    async def stop_all(self, request: Request) -> Response:
        """No more journeys at all, until the generator is enabled again."""
        stopped = self.generator.stop_all()
        return JSONResponse(
            {"ok": True, "stopped": stopped, "message": f"Stopped the journeys of {stopped} customers"}
        )

    # -- circuit breakers ---------------------------------------------------------------------------------

    async def circuit_breakers(self, request: Request) -> Response:
        """Every breaker of every service."""
        return JSONResponse({"breakers": await self.breakers.all()})

    async def reset_breakers(self, request: Request) -> Response:
        """Close all breakers, or those towards ``serviceName``."""
        raw = await _body(request)
        name = _service_name(raw)
        count = await self.breakers.reset(name)
        if name is None:
            return JSONResponse({"success": True, "message": f"Reset {count} circuit breaker(s)"})
        if count == 0:
            return JSONResponse({"success": False, "message": f"No circuit breaker found for {name}"})
        return JSONResponse({"success": True, "message": f"Circuit breaker reset for {name}"})


def _service_name(raw: bytes) -> str | None:
    try:
        told = json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None
    name = told.get("serviceName") if isinstance(told, dict) else None
    if name is not None and not isinstance(name, str):
        raise BadRequestError("serviceName is not a text.")
    return name


def _guarded(
    endpoint: Callable[[Request], Awaitable[Response]], flag: str
) -> Callable[[Request], Awaitable[Response]]:
    """Errors in the original's shape: ``{success|ok: false, error}``."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BadRequestError as error:
            return JSONResponse({flag: False, "error": str(error)}, status_code=400)
        except HomeostatError as error:
            return JSONResponse({flag: False, "error": str(error)}, status_code=500)

    return guarded


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise BadRequestError(f"A request may have {BODY_BYTES_MAX} bytes. Send less.")
        parts.append(part)
    return b"".join(parts)


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    kept = ("traceparent", "tracestate", "x-correlation-id")
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in kept or name.lower().startswith("x-dynatrace")
    }


def _too_many(flag: str, requested: int) -> Response:
    return JSONResponse(
        {
            flag: False,
            "error": f"Customer limit exceeded. Maximum allowed: {CUSTOMERS_MAX}, requested: {requested}",
            "maxCustomers": CUSTOMERS_MAX,
            "requestedCustomers": requested,
        },
        status_code=400,
    )


def _completed(outcome: JourneyOutcome) -> int:
    return sum(result.completed for result in outcome.results)


def _steps(outcome: JourneyOutcome) -> list[Json]:
    """Every planned step; those behind a failure are ``skipped``."""
    tried = {result.number: result for result in outcome.results}
    listed: list[Json] = []
    for number, planned in enumerate(outcome.order.steps, 1):
        result = tried.get(number)
        entry: Json = {
            "stepName": planned.step.name,
            "serviceName": result.service if result else planned.step.service,
            "status": ("completed" if result.completed else "failed") if result else "skipped",
            "stepNumber": number,
            "httpStatus": result.http_status if result else None,
        }
        if result:
            entry |= {"answeredStatus": result.answered_status, "processingTime": result.duration_ms, **result.error}
            if result.cache:
                entry["cache"] = result.cache
        listed.append(entry)
    return listed


def _measured(outcome: JourneyOutcome) -> Json:
    order = outcome.order
    fields: Json = {
        "hasError": not outcome.completed,
        "journeyDurationMs": outcome.duration_ms,
        "stepsCompleted": _completed(outcome),
    }
    if order.amount_cents is not None:
        amount = order.amount_cents / 100
        fields |= {
            "transactionValue": amount,
            "currency": CURRENCY,
            "revenue": amount if outcome.completed else 0.0,
            "revenueLost": 0.0 if outcome.completed else amount,
        }
    return fields


def _detail(number: int, outcome: JourneyOutcome) -> Json:
    return {
        "customerIndex": number,
        "correlationId": outcome.order.correlation_id,
        "status": "completed" if outcome.completed else "failed",
        "completedSteps": _completed(outcome),
        "totalSteps": len(outcome.order.steps),
        "totalTime": outcome.duration_ms,
    }


def _sample(outcome: JourneyOutcome) -> Json:
    return {
        "execution": "\n".join(
            f"Step {result.number}: {result.service} ({result.duration_ms:.1f}ms)" for result in outcome.results
        ),
        "servicesUsed": " → ".join(result.service for result in outcome.results),
        "correlationId": outcome.order.correlation_id,
    }


def _batch_entry(number: int, outcome: JourneyOutcome) -> Json:
    failed = outcome.failed_step
    last = failed or (outcome.results[-1] if outcome.results else None)
    return {
        "index": number,
        "status": "completed" if outcome.completed else "failed",
        "service": last.service if last else None,
        "httpStatus": last.http_status if last else None,
        "error": outcome.error,
    }
