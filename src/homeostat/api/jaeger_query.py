"""Jaeger's query interface on a port of its own, so that Grafana's Jaeger data source works unchanged.

``/api/services``, ``/api/services/{service}/operations``, ``/api/operations``, ``/api/traces``, ``/api/traces/{id}``
and ``/api/dependencies``, with Jaeger's envelope and errors. ``server`` serves it on ``server.jaeger_query_port``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypedDict

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from homeostat.api.errors import status_of
from homeostat.api.jaeger_model import JaegerTrace, trace_json
from homeostat.api.jaeger_parameters import Search, search_of, trace_id_of, window_of
from homeostat.api.security import BrowserGate, HostRule
from homeostat.core.errors import BadRequestError, HomeostatError, NotFoundError
from homeostat.core.models import Trace
from homeostat.core.ports import Clock, RedReader, TelemetryStore

log = logging.getLogger(__name__)

_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAGES_MAX: Final = 20  # of a search whose conditions the store knows only in part
_PAGE: Final = 100
_IDS_MAX: Final = 100


class _Error(TypedDict, total=False):
    code: int
    msg: str
    traceID: str


@dataclass(frozen=True, slots=True)
class _Answers:
    """The routes, over a store and the rollups."""

    telemetry: TelemetryStore
    red: RedReader
    clock: Clock

    async def services(self, request: Request) -> Response:
        """Names of the services with a stored span."""
        names = await self.telemetry.services(_ALWAYS)
        return _answer(names, total=len(names))

    async def operations_of_path(self, request: Request) -> Response:
        """Names of the operations of a service."""
        names = sorted({name for name, _ in await self.telemetry.operations(request.path_params["service"], _ALWAYS)})
        return _answer(names, total=len(names))

    async def operations(self, request: Request) -> Response:
        """Operations of a service with their kinds."""
        service, kind = request.query_params.get("service", ""), request.query_params.get("spanKind", "")
        if not service:
            raise BadRequestError("parameter 'service' is required")
        found = [
            {"name": name, "spanKind": "" if one == "unspecified" else one}
            for name, one in await self.telemetry.operations(service, _ALWAYS)
            if kind in {"", one}
        ]
        return _answer(found, total=len(found))

    async def traces(self, request: Request) -> Response:
        """A search, or several traces by id."""
        given = request.query_params
        if ids := given.getlist("traceID"):
            return await self._by_ids(ids)
        found = await self._searched(search_of(given, self.clock.now()))
        return _answer(await anyio.to_thread.run_sync(_as_json, found))

    async def trace(self, request: Request) -> Response:
        """One trace."""
        found = await self.telemetry.trace(trace_id_of(request.path_params["trace_id"]))
        if found is None:
            raise NotFoundError("trace not found")
        return _answer(await anyio.to_thread.run_sync(_as_json, [found]))

    async def dependencies(self, request: Request) -> Response:
        """Who called whom how often; of every span, whatever was sampled."""
        start_s, end_s = window_of(request.query_params, self.clock.now())
        edges = await anyio.to_thread.run_sync(self.red.edges, start_s, end_s)
        service = request.query_params.get("service", "")
        return _answer(
            [
                {"parent": edge.caller, "child": edge.callee, "callCount": edge.requests}
                for edge in edges
                if not service or service in {edge.caller, edge.callee}
            ]
        )

    async def _by_ids(self, ids: Sequence[str]) -> Response:
        if len(ids) > _IDS_MAX:
            raise BadRequestError(f"{len(ids)} trace ids are too many; ask for up to {_IDS_MAX}")
        wanted = list(dict.fromkeys(map(trace_id_of, ids)))
        found = await self.telemetry.traces(wanted)
        stored = {trace.trace_id for trace in found}
        errors = [_Error(msg="trace not found", traceID=one) for one in wanted if one not in stored]
        return _answer(await anyio.to_thread.run_sync(_as_json, found), errors=errors or None)

    async def _searched(self, search: Search) -> list[Trace]:
        """The newest traces that match, page after page where conditions are left that the store does not know."""
        found: list[Trace] = []
        query = search.query
        if search.conditions:
            query = query.model_copy(update={"limit": max(search.limit, _PAGE)})
        for _ in range(_PAGES_MAX):
            page = await self.telemetry.search(query)
            traces = await self.telemetry.traces([summary.trace_id for summary in page.traces])
            found += [trace for trace in traces if _holds(search, trace)]
            if len(found) >= search.limit or page.next_cursor is None:
                break
            query = query.model_copy(update={"cursor": page.next_cursor})
        return found[: search.limit]


def _holds(search: Search, trace: Trace) -> bool:
    """Whether a span of the trace that the store may have meant fulfils the other conditions too."""
    if not search.conditions:
        return True
    query = search.query
    return any(
        span.service == query.service
        and query.operation in {None, span.name}
        and (not query.errors_only or span.status == "error")
        and (query.min_duration_ms is None or span.duration_ms >= query.min_duration_ms)
        and (query.max_duration_ms is None or span.duration_ms <= query.max_duration_ms)
        and all(span.attributes.get(key, span.resource.get(key)) == value for key, value in query.attributes.items())
        and all(condition(span) for condition in search.conditions)
        for span in trace.spans
    )


def _as_json(traces: Sequence[Trace]) -> list[JaegerTrace]:
    return list(map(trace_json, traces))


def _answer(data: object, *, total: int = 0, errors: Sequence[_Error] | None = None, status: int = 200) -> Response:
    """Jaeger's envelope. It fills in ``total`` for names only."""
    return JSONResponse({"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors}, status)


def _failed(status: int, message: str) -> Response:
    return _answer(None, errors=[_Error(code=status, msg=message)], status=status)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HomeostatError)
    status = status_of(error)
    if status >= 500:
        log.error("Jaeger query %s: %s", request.url.path, error)
    return _failed(status, str(error))


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(error.status_code, f"{request.method} {request.url.path}: {error.detail}")


async def _unexpected(request: Request, error: Exception) -> Response:
    return _failed(500, f"Homeostat failed at this ({type(error).__name__}). The log has the traceback.")


def jaeger_query_app(
    telemetry: TelemetryStore, red: RedReader, clock: Clock, *, host: str, allowed_hosts: Sequence[str] = ()
) -> Starlette:
    """The ASGI app. Like the main one it answers only under names of this machine or those that are allowed."""
    answers = _Answers(telemetry, red, clock)
    app = Starlette(
        routes=[
            Route("/api/services", answers.services),
            Route("/api/services/{service:path}/operations", answers.operations_of_path),
            Route("/api/operations", answers.operations),
            Route("/api/traces", answers.traces),
            Route("/api/traces/{trace_id}", answers.trace),
            Route("/api/dependencies", answers.dependencies),
        ],
        exception_handlers={HomeostatError: _ours, HTTPException: _of_http, Exception: _unexpected},
    )
    app.add_middleware(BrowserGate, rule=HostRule.of(host, allowed_hosts))
    return app
