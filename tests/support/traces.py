"""Traces as models, in few words, for tests of what is computed from them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from hypothesis import strategies as st

from homeostat.core.models import Span, Trace

NOON_NS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 10**9


def a_span(
    span: int,
    parent: int = 0,
    service: str = "shop",
    name: str = "GET /",
    *,
    at: float = 0.0,
    ms: float = 10.0,
    kind: str = "server",
    error: bool = False,
    attributes: Mapping[str, str] | None = None,
    resource: Mapping[str, str] | None = None,
) -> Span:
    """A span that starts ``at`` milliseconds after noon."""
    start_ns = NOON_NS + round(at * 1e6)
    return Span(
        trace_id="0" * 32,
        span_id=f"{span:016x}",
        parent_span_id=f"{parent:016x}" if parent else None,
        name=name,
        kind=kind,
        service=service,
        start=datetime.fromtimestamp(start_ns / 1e9, UTC),
        start_unix_nano=start_ns,
        duration_ms=ms,
        status="error" if error else "unset",
        attributes=dict(attributes or {}),
        resource={"service.name": service, **(resource or {})},
    )


def a_trace(*spans: Span, number: int = 1, probability: float = 1.0) -> Trace:
    """These spans as one trace."""
    trace_id = f"{number:032x}"
    return Trace(
        trace_id=trace_id,
        spans=tuple(span.model_copy(update={"trace_id": trace_id}) for span in spans),
        sampling_probability=probability,
    )


SPANS = st.lists(
    st.builds(
        a_span,
        span=st.integers(1, 12),
        parent=st.integers(0, 12),
        service=st.sampled_from(["shop", "bank"]),
        kind=st.sampled_from(["server", "client", "internal"]),
        at=st.integers(-50, 200).map(float),
        ms=st.integers(0, 200).map(float),
    ),
    min_size=1,
    max_size=14,
)
"""Spans of one trace, in whatever relation."""
