"""The analysis of a trace that came as columns. ``GET /api/traces/{id}/analysis`` answers it.

Analysis asks a span for its ids, names, times and status only: reading the attributes of ten thousand spans for it
took five times as long as the analysis.
"""

from homeostat.core.analysis import TraceAnalysis
from homeostat.core.models import Span, Trace
from homeostat.core.trace_columns import NO_PARENT, SPAN_ID_DIGITS, TraceColumns
from homeostat.observe.analysis.times import analyse
from homeostat.store.telemetry.schema import KINDS, STATUSES

_NS_PER_MS = 1e6
_UNKNOWN_ID = ""
"""Of a parent that is not stored: no span has it."""


def analyse_columns(columns: TraceColumns, *, only_shifted: bool = False) -> TraceAnalysis:
    """What ``analyse`` gives of the same trace."""
    return analyse(_bare(columns), only_shifted=only_shifted)


def _bare(columns: TraceColumns) -> Trace:
    """The trace without attributes, events and links. Not validated once more: the store has made the columns."""
    digits = columns.span_ids
    ids = [digits[at : at + SPAN_ID_DIGITS] for at in range(0, len(digits), SPAN_ID_DIGITS)]
    spans = tuple(
        Span.model_construct(
            trace_id=columns.trace_id,
            span_id=ids[place],
            parent_span_id=_parent_id(ids, columns.parents[place]),
            name=columns.names[columns.name[place]],
            kind=KINDS[columns.kind[place]],
            service=columns.services[columns.service[place]],
            start=columns.start,
            start_unix_nano=columns.start_unix_nano + columns.start_ns[place],
            duration_ms=columns.duration_ns[place] / _NS_PER_MS,
            status=STATUSES[columns.status[place]],
        )
        for place in range(len(ids))
    )
    return Trace.model_construct(trace_id=columns.trace_id, spans=spans)


def _parent_id(ids: list[str], parent: int) -> str | None:
    if parent >= 0:
        return ids[parent]
    return None if parent == NO_PARENT else _UNKNOWN_ID
