"""The control API of a world, on the loopback interface: what runs, restart, kill, slow down, statistics.

Homeostat restarts services through it, scenarios inject their faults through it. Served by ``supervisor``.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from homeostat.core.errors import ActionError, BadRequestError, NotFoundError
from homeostat.core.models import Model
from homeostat.core.ports import Clock
from homeostat.world.config import GeneratorConfig, WorldConfig
from homeostat.world.fleet import Fleet, PidConflictError
from homeostat.world.generator import Generator
from homeostat.world.ledger import SERIES_S, Ledger
from homeostat.world.slowness import LEASE_S_MAX, SlowPlan
from homeostat.world.stats import WorldState

BODY_BYTES_MAX = 64 << 10
Json = dict[str, object]
BodyT = TypeVar("BodyT", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RestartBody(_Body):
    """Restart only while the process is still ``expected_pid``; None: whatever it is."""

    expected_pid: int | None = Field(default=None, ge=1)


class SlowBody(_Body):
    """Stopped for ``stop_ms``, running for ``run_ms``, in turns."""

    stop_ms: int = Field(ge=10, le=30_000)
    run_ms: int = Field(ge=1, le=30_000)
    lease_s: float = Field(default=300.0, gt=0, le=LEASE_S_MAX)


class GeneratorBody(_Body):
    """What to change of the generator; None leaves it."""

    enabled: bool | None = None
    interval_ms: int | None = None
    batch_size: int | None = None
    think_time_ms: int | None = None
    timeout_ms: int | None = None
    customers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ControlApi:
    """The routes and what they need."""

    config: WorldConfig
    fleet: Fleet
    ledger: Ledger
    generator: Generator
    clock: Clock
    started_at: float  # monotonic

    def routes(self) -> list[Route]:
        """For the supervisor's application."""
        one = "/world/services/{name}"
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/world", _guarded(self.world), methods=["GET"]),
            Route("/world/stats", _guarded(self.stats), methods=["GET"]),
            Route("/world/generator", _guarded(self.generator_view), methods=["GET"]),
            Route("/world/generator", _guarded(self.generator_change), methods=["POST"]),
            Route(one, _guarded(self.service), methods=["GET"]),
            Route(f"{one}/restart", _guarded(self.restart), methods=["POST"]),
            Route(f"{one}/kill", _guarded(self.kill), methods=["POST"]),
            Route(f"{one}/slow", _guarded(self.slow), methods=["POST"]),
            Route(f"{one}/slow", _guarded(self.unslow), methods=["DELETE"]),
        ]

    async def health(self, request: Request) -> Response:
        """200 as soon as requests are served."""
        return JSONResponse({"status": "ok", "pid": os.getpid()})

    async def world(self, request: Request) -> Response:
        """All services."""
        state = WorldState(
            pid=os.getpid(),
            seed=self.config.seed,
            run_dir=str(self.config.run_dir),
            uptime_s=round(self.clock.monotonic() - self.started_at, 3),
            error_scope=self.config.error_scope.value,
            services=tuple(self.fleet.view(name) for name in self.fleet.names()),
        )
        return JSONResponse(_json(state))

    async def service(self, request: Request) -> Response:
        """One service."""
        return JSONResponse(_json(self.fleet.view(_name(request))))

    async def restart(self, request: Request) -> Response:
        """Compare and swap: 409 with the present pid when somebody was faster."""
        body = await _read(request, RestartBody)
        previous = self.fleet.view(_name(request)).last_pid
        view = await self.fleet.restart(_name(request), body.expected_pid)
        return JSONResponse({"previous_pid": previous, **_json(view)})

    async def kill(self, request: Request) -> Response:
        """SIGKILL."""
        pid = await self.fleet.kill(_name(request))
        return JSONResponse({"service": _name(request), "killed_pid": pid})

    async def slow(self, request: Request) -> Response:
        """SIGSTOP and SIGCONT in turns, for ``lease_s`` seconds at most."""
        body = await _read(request, SlowBody)
        plan = SlowPlan(body.stop_ms, body.run_ms, body.lease_s)
        return JSONResponse(_json(await self.fleet.slow(_name(request), plan)))

    async def unslow(self, request: Request) -> Response:
        """Call a slowness back."""
        ended = await self.fleet.unslow(_name(request))
        return JSONResponse({"ended": ended, **_json(self.fleet.view(_name(request)))})

    async def stats(self, request: Request) -> Response:
        """Journeys, errors and money; ``?series_s=`` limits the series."""
        text = request.query_params.get("series_s", str(SERIES_S))
        if not text.isdigit():
            raise BadRequestError(f"series_s is {text!r}. Write a number of seconds.")
        return JSONResponse(_json(self.ledger.snapshot(int(text))))

    async def generator_view(self, request: Request) -> Response:
        """The generator's settings."""
        return JSONResponse(self.generator.config.model_dump(mode="json"))

    async def generator_change(self, request: Request) -> Response:
        """Change some of them, with effect from the next batch."""
        change = (await _read(request, GeneratorBody)).model_dump(exclude_none=True)
        try:
            self.generator.update(GeneratorConfig.model_validate(self.generator.config.model_dump() | change))
        except ValidationError as error:
            raise BadRequestError(_told(error)) from None
        return await self.generator_view(request)


def _json(model: Model) -> Json:
    return model.model_dump(mode="json")


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _read(request: Request, model: type[BodyT]) -> BodyT:
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > BODY_BYTES_MAX:
            raise BadRequestError(f"A request may have {BODY_BYTES_MAX} bytes.")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise BadRequestError(_told(error)) from None


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Our errors as status codes: 404, 409 (with the present pid where that is the reason), 422."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NotFoundError as error:
            return JSONResponse({"detail": str(error)}, status_code=404)
        except PidConflictError as error:
            return JSONResponse({"detail": str(error), "pid": error.present}, status_code=409)
        except ActionError as error:
            return JSONResponse({"detail": str(error)}, status_code=503)
        except BadRequestError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)

    return guarded
