"""CEL over spans, one after the other: for the few traces that nothing cheaper has decided. Used by ``sampler``.

The library is only loaded when a policy asks for it.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.observe.decode.serialized import whole
from homeostat.observe.sampling.batches import Batch
from homeostat.store.telemetry.schema import KINDS, STATUSES

logger = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]

_COLUMNS = (
    *("name", "service", "kind", "status_code", "status_message", "duration_ns", "parent_span_id", "trace_state"),
    *("attributes", "resource"),
)


class Expressions:
    """Compiled expressions. One that fails on a span (an attribute that isn't there) does not match it."""

    def __init__(self) -> None:
        self._programs: dict[str, Any] = {}
        self._reported: set[str] = set()

    def matching(self, expression: str, batches: Iterable[Batch], rows_asked: Mask) -> Mask:
        """One flag a row: whether a span of the trace matches. Asks until one does."""
        matched = np.zeros(len(rows_asked), dtype=np.bool_)
        for batch in batches:
            asked = np.flatnonzero((rows_asked & ~matched)[batch.rows])
            if not len(asked):
                continue
            spans = whole(batch.spans.take(pa.array(asked))).select(list(_COLUMNS)).to_pylist()
            for row, span in zip(batch.rows[asked].tolist(), spans, strict=True):
                if not matched[row] and self._holds(expression, _variables(span)):
                    matched[row] = True
        return matched

    def _holds(self, expression: str, variables: Mapping[str, object]) -> bool:
        program = self._programs.get(expression)
        if program is None:
            import cel

            program = self._programs[expression] = cel.compile(expression)
        try:
            return program.execute(dict(variables)) is True
        except (KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
            if expression not in self._reported:
                self._reported.add(expression)
                logger.info(
                    "The sampling policy %r fails on some spans, which then do not match: %s", expression, error
                )
            return False


def _variables(span: Mapping[str, Any]) -> Mapping[str, object]:
    pairs: Sequence[tuple[str, str]] = span["attributes"] or ()
    return {
        "name": span["name"],
        "service": span["service"],
        "kind": KINDS[span["kind"]],
        "status": STATUSES[span["status_code"]],
        "status_message": span["status_message"] or "",
        "duration_ms": span["duration_ns"] / 1e6,
        "root": span["parent_span_id"] is None,
        "trace_state": span["trace_state"] or "",
        "attributes": dict(pairs),
        "resource": json.loads(span["resource"]),
    }
