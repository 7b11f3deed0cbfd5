"""What the page of one trace asks for: all spans as columns at once, then one span, or a text within the trace."""

import gzip
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from homeostat.api.context import Here
from homeostat.api.encoding import accepts_gzip
from homeostat.api.errors import NOT_FOUND
from homeostat.api.trace_search import no_trace, trace_id_of
from homeostat.core.errors import NotFoundError
from homeostat.core.models import Span
from homeostat.core.trace_columns import SPAN_ID_DIGITS, SpanMatches, TraceColumns

router = APIRouter(prefix="/api/traces", tags=["traces"])

Text = Annotated[str, Query(min_length=1, max_length=1000)]

JSON: Final = "application/json"
PACK_FROM_BYTES: Final = 16 * 1024
PACK_LEVEL: Final = 1  # a third of the bytes; a higher level saves few more and takes several times as long


@router.get("/{trace_id}/columns", responses={**NOT_FOUND, 200: {"model": TraceColumns}})
async def columns(trace_id: str, here: Here, request: Request) -> Response:
    """All stored spans of a trace as columns, by start: a few bytes a span, whatever their attributes are."""
    wanted = trace_id_of(trace_id)
    found = await here.parts.telemetry.trace_columns(wanted)
    if found is None:
        raise no_trace(wanted)
    takes_gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
    return await to_thread.run_sync(_packed, found, takes_gzip)


@router.get("/{trace_id}/spans/{span_id}", responses=NOT_FOUND)
async def span(trace_id: str, span_id: str, here: Here) -> Span:
    """One stored span with its attributes, events and links."""
    wanted, wanted_span = trace_id_of(trace_id), _span_id_of(span_id)
    found = await here.parts.telemetry.span(wanted, wanted_span)
    if found is None:
        raise NotFoundError(f"There is no span {wanted_span} in trace {wanted}. It may not have arrived yet.")
    return found


@router.get("/{trace_id}/matches", responses=NOT_FOUND)
async def matches(trace_id: str, here: Here, text: Text) -> SpanMatches:
    """The spans of a trace in which a text occurs, in any case."""
    wanted = trace_id_of(trace_id)
    found = await here.parts.telemetry.spans_with(wanted, text)
    if found is None:
        raise no_trace(wanted)
    return SpanMatches(span_ids=tuple(found))


def _span_id_of(text: str) -> str:
    wanted = text.lower()
    if len(wanted) != SPAN_ID_DIGITS or not set(wanted) <= set("0123456789abcdef"):
        raise NotFoundError(f"{text[:100]!r} is not a span id. A span id is 16 hexadecimal digits.")
    return wanted


def _packed(found: TraceColumns, takes_gzip: bool) -> Response:
    """As JSON, straight from the model: the framework would look at every number once more."""
    body = found.model_dump_json().encode()
    if not takes_gzip or len(body) < PACK_FROM_BYTES:
        return Response(body, media_type=JSON, headers={"vary": "accept-encoding"})
    headers = {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Response(gzip.compress(body, PACK_LEVEL, mtime=0), media_type=JSON, headers=headers)
