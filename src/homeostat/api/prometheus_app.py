"""``GET /metrics`` on a port of its own (8889), for a Prometheus that scrapes collectors there. Served by ``server``.

The text is that of the API's ``/metrics``.
"""

from typing import cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from homeostat.api.context import Context
from homeostat.api.exposition import CONTENT_TYPE
from homeostat.api.metrics import exposition
from homeostat.api.security import BrowserGate, HostRule
from homeostat.core.errors import StoreError


def prometheus_app(here: Context) -> Starlette:
    """The app. Its context is the API's, whose lifespan has to run."""
    parts = here.parts
    app = Starlette(
        routes=[Route("/metrics", _metrics)],
        middleware=[Middleware(BrowserGate, rule=HostRule.of(parts.host, parts.allowed_hosts))],
    )
    app.state.context = here
    return app


async def _metrics(request: Request) -> PlainTextResponse:
    try:
        text = await exposition(cast("Context", request.app.state.context))
    except StoreError as error:
        return PlainTextResponse(f"{error}\n", status_code=503)
    return PlainTextResponse(text, media_type=CONTENT_TYPE)
