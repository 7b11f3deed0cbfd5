"""Objectives over HTTP: Homeostat's own interface, and IAC Dharma 3.0's under both of its prefixes."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import Field

from homeostat.api.context import Context, Here
from homeostat.api.errors import CONFLICT, NOT_FOUND
from homeostat.api.slo_models import (
    CompatibleBody,
    CompatibleDeleted,
    CompatibleSlo,
    SloAnswer,
    SloDefinition,
    SloDeleted,
    SloDetail,
    SloHistory,
    SloImport,
    compatible_slo_answer,
    slo_answer,
)
from homeostat.core.errors import BadRequestError, ConfigError, StoreError
from homeostat.core.slo import Slo
from homeostat.observe.slo import SloService
from homeostat.observe.slo.definitions import HEALING_SERVICE
from homeostat.observe.slo.openslo_read import read_with_notes
from homeostat.observe.slo.openslo_write import openslo_yaml
from homeostat.observe.slo.prometheus_rules import prometheus_rules

PREFIXES = ("/api/v3/observability", "/api/observability")
YAML = "application/yaml"

router = APIRouter(prefix="/api/slos", tags=["objectives"])
compatible = APIRouter(tags=["observability (IAC Dharma 3.0)"])

SloId = Annotated[list[str] | None, Query(description="One or several; without it all.")]
_TEXT = {200: {"content": {YAML: {"schema": {"type": "string"}}}}}
_OPENSLO_BODY = {
    "requestBody": {"required": True, "content": {YAML: {"schema": {"type": "string"}}, "application/json": {}}}
}


@router.get("")
async def slos(here: Here, service: str | None = None) -> list[SloAnswer]:
    """Every objective, or those of a service, by service and name."""
    return _answers(_slos(here), service)


@router.post("", status_code=201, responses=CONFLICT)
async def make(definition: SloDefinition, here: Here) -> SloAnswer:
    """A new objective."""
    service = _slos(here)
    return await _put(service, definition.slo(service.book.new_id(), here.parts.clock.now()))


@router.post("/import", responses=CONFLICT, openapi_extra=_OPENSLO_BODY)
async def import_openslo(request: Request, here: Here, dry_run: bool = False) -> SloImport:
    """Objectives out of OpenSLO v1 text, all or none. ``dry_run``: only say what would come of it."""
    service, body = _slos(here), await request.body()
    try:
        text = body.decode()
        # a large one takes seconds
        read = await to_thread.run_sync(read_with_notes, text, "body", here.parts.clock.now())
    except UnicodeDecodeError as error:
        raise BadRequestError("The body is not UTF-8 text. Send OpenSLO v1 as YAML or JSON.") from error
    except ConfigError as error:
        raise BadRequestError(str(error)) from error
    known = {slo.id for slo in service.book.all()}
    if not dry_run:
        await service.put(read.slos)
    return SloImport(
        slos=[slo_answer(slo, None if dry_run else service.status(slo.id)) for slo in read.slos],
        created=[slo.id for slo in read.slos if slo.id not in known],
        updated=[slo.id for slo in read.slos if slo.id in known],
        notes=read.notes,
    )


@router.get("/export", responses=_TEXT | NOT_FOUND)
async def export_openslo(here: Here, id: SloId = None, service: str | None = None) -> PlainTextResponse:
    """Objectives as OpenSLO v1 YAML."""
    return PlainTextResponse(openslo_yaml(_chosen(_slos(here), id, service)), media_type=YAML)


@router.get("/rules", responses=_TEXT | NOT_FOUND)
async def rules(here: Here, id: SloId = None, service: str | None = None) -> PlainTextResponse:
    """Prometheus recording and alerting rules for a Prometheus that scrapes Homeostat."""
    return PlainTextResponse(prometheus_rules(_chosen(_slos(here), id, service)), media_type=YAML)


@router.get("/{slo_id}", responses=NOT_FOUND)
async def slo(slo_id: str, here: Here, step_s: Annotated[int | None, Query(ge=60, le=7_776_000)] = None) -> SloDetail:
    """One objective with its history and its definition."""
    service = _slos(here)
    found = service.book.get(slo_id)
    step, points = service.history(slo_id, step_s)
    return SloDetail(
        slo=slo_answer(found, service.status(slo_id)),
        definition=found,
        history=SloHistory(step_s=step, points=points),
        openslo=openslo_yaml([found]),
    )


@router.put("/{slo_id}", responses=CONFLICT)
async def put(
    slo_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], definition: SloDefinition, here: Here
) -> SloAnswer:
    """Change an objective, or make one of this id."""
    service = _slos(here)
    known = service.book.find(slo_id)
    return await _put(service, definition.slo(slo_id, known.created_at if known else here.parts.clock.now()))


@router.delete("/{slo_id}", responses=CONFLICT)
async def delete(slo_id: str, here: Here) -> SloDeleted:
    """Delete an objective."""
    await _slos(here).delete(slo_id)
    return SloDeleted(deleted=slo_id)


# -- IAC Dharma 3.0 -----------------------------------------------------------------------------------------


@compatible.get("/slos")
async def compatible_slos(here: Here, service: str = "") -> list[CompatibleSlo]:
    """Every objective; an empty ``service`` means all, as the original's clients say it."""
    all_slos = _slos(here)
    wanted = [slo for slo in all_slos.book.all() if service in {"", slo.service}]
    return [compatible_slo_answer(slo, all_slos.status(slo.id)) for slo in wanted]


@compatible.get("/slo/{slo_id}", responses=NOT_FOUND)
async def compatible_slo(slo_id: str, here: Here) -> CompatibleSlo:
    """One objective, evaluated now."""
    service = _slos(here)
    found = service.book.get(slo_id)
    await service.look([slo_id])
    return compatible_slo_answer(found, service.status(slo_id))


@compatible.post("/slo", responses=CONFLICT)
async def compatible_make(
    here: Here,
    *,
    name: str | None = None,
    service: str | None = None,
    description: str | None = None,
    target_percentage: float | None = None,
    metric: str | None = None,
    threshold: float | None = None,
    window_days: int | None = None,
    body: Annotated[CompatibleBody | None, Body()] = None,
) -> CompatibleSlo:
    """A new objective, out of query parameters or a body."""
    asked = {
        "name": name,
        "service": service,
        "description": description,
        "target_percentage": target_percentage,
        "metric": metric,
        "threshold": threshold,
        "window_days": window_days,
    }
    given = CompatibleBody.model_validate(
        {**(body.model_dump() if body else {}), **{key: value for key, value in asked.items() if value is not None}}
    )
    made = await _made(here, given)
    return compatible_slo_answer(made, _slos(here).status(made.id))


@compatible.delete("/slo/{slo_id}", responses=CONFLICT)
async def compatible_delete(slo_id: str, here: Here) -> CompatibleDeleted:
    """Delete an objective."""
    await _slos(here).delete(slo_id)
    return CompatibleDeleted(status="deleted", id=slo_id)


async def _made(here: Context, given: CompatibleBody) -> Slo:
    name, service, metric, target = given.name, given.service, given.metric, given.target_percentage
    if not name or not service or not metric or target is None:
        missing = [
            {"loc": ("query", key), "msg": "Field required, as query parameter or in the JSON body"}
            for key in ("name", "service", "target_percentage", "metric")
            if not getattr(given, key)
        ]
        raise RequestValidationError(missing)
    threshold = given.threshold
    if threshold is None:
        if metric not in {"availability", "error_rate"} and (metric, service) != ("success_rate", HEALING_SERVICE):
            what = {"loc": ("query", "threshold"), "msg": f"Field required for the metric {metric[:60]!r}"}
            raise RequestValidationError([what])
        threshold = 100 - target if metric == "error_rate" else target
    status = await _slos(here).make(
        name,
        service,
        description=given.description or "",
        target_percentage=target,
        metric=metric,
        threshold=threshold,
        window_days=30 if given.window_days is None else given.window_days,
    )
    return status.slo


def _slos(here: Context) -> SloService:
    if here.parts.slos is None:
        raise StoreError("Objectives are not evaluated by this process. Start it with `homeostat up`.")
    return here.parts.slos


def _answers(service: SloService, name: str | None) -> list[SloAnswer]:
    return [slo_answer(slo, service.status(slo.id)) for slo in service.book.all() if name in {None, "", slo.service}]


def _chosen(service: SloService, ids: list[str] | None, name: str | None) -> list[Slo]:
    chosen = [service.book.get(slo_id) for slo_id in ids] if ids else service.book.all()
    return [slo for slo in chosen if name in {None, "", slo.service}]


async def _put(service: SloService, slo: Slo) -> SloAnswer:
    await service.put([slo])
    return slo_answer(service.book.get(slo.id), service.status(slo.id))
