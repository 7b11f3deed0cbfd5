"""Makes the ASGI app of the API, the live feed and the dashboard out of its parts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI

from homeostat import __version__
from homeostat.api import (
    alertmanager,
    analysis,
    docs_page,
    events,
    incidents,
    live,
    logs,
    metric_questions,
    metrics,
    observability,
    overview,
    runs,
    scrapes,
    self_healing,
    services,
    slos,
    trace_page,
    traces,
    world_proxy,
)
from homeostat.api.context import Context
from homeostat.api.errors import RESPONSES, add_error_handlers
from homeostat.api.feeds import Feeds
from homeostat.api.pages import pages_router
from homeostat.api.parts import ApiParts
from homeostat.api.security import BrowserGate, HostRule
from homeostat.api.tally import Tally
from homeostat.api.world_proxy import world_client
from homeostat.background import Background
from homeostat.observe.patterns import PatternFinder

MILLISECONDS = 1000
BODY_BYTES_MAX = 1024 * 1024


def create_api(parts: ApiParts) -> FastAPI:
    """The app. Its lifespan has to run (uvicorn's does): the counts and the live feeds live in it."""
    app = FastAPI(
        title="Homeostat",
        version=__version__,
        docs_url=None,  # the built-in pages load scripts from elsewhere; docs_page needs none
        redoc_url=None,
        redirect_slashes=False,
        responses=RESPONSES,
        lifespan=_lifespan,
        max_body_size=BODY_BYTES_MAX,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it must not watch itself into its own store
    )
    world = world_client(parts.world_url) if parts.world_url is not None else None
    app.state.context = Context(
        parts=parts,
        tally=Tally(parts.state, parts.bus),
        world=world,
        background=parts.background or Background(parts.clock),
        patterns=PatternFinder(parts.log_masks),
        live_base=int(parts.clock.now().timestamp() * MILLISECONDS),
    )
    add_error_handlers(app)
    app.add_middleware(BrowserGate, rule=HostRule.of(parts.host, parts.allowed_hosts))
    _include(app, parts)
    return app


def _include(app: FastAPI, parts: ApiParts) -> None:
    for area in (
        overview,
        services,
        incidents,
        runs,
        traces,
        trace_page,
        analysis,
        metrics,
        metric_questions,
        logs,
        scrapes,
        live,
        world_proxy,
        docs_page,
        slos,
        events,
        alertmanager,
    ):
        app.include_router(area.router)
    app.get("/health", tags=["health"])(self_healing.health)  # where the original's clients and probes look
    for prefix in self_healing.PREFIXES:
        app.include_router(self_healing.router, prefix=prefix)
    for prefix in observability.PREFIXES:
        app.include_router(observability.router, prefix=prefix)
    for prefix in slos.PREFIXES:
        app.include_router(slos.compatible, prefix=prefix)
    for router in parts.extra_routers:
        app.include_router(router)
    app.include_router(pages_router(parts.static_dir))  # last: it answers every other path


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    here: Context = app.state.context
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.background.keep, "api_counts", here.tally.follow)
        tasks.start_soon(here.background.keep, "api_feeds", Feeds(here).run)
        yield
        tasks.cancel_scope.cancel()
    if here.world is not None:
        await here.world.aclose()
