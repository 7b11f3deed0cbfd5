"""The columns of a log record, in memory and on disk: what ``observe.decode.logs`` makes and segments hold."""

from typing import Final

import pyarrow as pa

from homeostat.store.telemetry.schema import ATTRIBUTES, WORD

LOG_SCHEMA: Final = pa.schema(
    [
        ("time_ns", pa.int64()),  # Unix time; when it was observed, where the record does not say when it happened
        ("observed_ns", pa.int64()),
        ("trace_id", pa.binary(16)),  # null: none
        ("span_id", pa.binary(8)),
        ("flags", pa.uint32()),
        ("severity", pa.int8()),  # the OTLP number, 1..24; 0: not said
        ("severity_text", WORD),
        ("event_name", WORD),
        ("service", WORD),
        ("resource", WORD),  # a JSON object, keys sorted
        ("scope", WORD),
        ("scope_version", WORD),
        ("scope_attributes", WORD),
        ("body", pa.string()),  # a value that is no text: JSON
        ("attributes", ATTRIBUTES),
        ("dropped_attributes", pa.uint32()),
    ]
)


SEVERITY_WORDS: Final = (
    "unspecified",
    *(word for word in ("trace", "debug", "info", "warn", "error", "fatal") for _ in range(4)),
)
"""The names of the ranges by severity number, 0..24 (OpenTelemetry logs data model, "SeverityNumber")."""


def severity_word(number: int) -> str:
    """The name of a severity number's range, lower case."""
    return SEVERITY_WORDS[number if 1 <= number <= 24 else 0]
