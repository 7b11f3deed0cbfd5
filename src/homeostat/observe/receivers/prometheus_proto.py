"""The protobuf messages of Prometheus remote-write, versions 1 and 2. For ``prometheus_write``.

https://prometheus.io/docs/specs/remote_write_spec/ and https://prometheus.io/docs/specs/remote_write_spec_2_0/
"""

from collections.abc import Iterator
from typing import Any, Final

from homeostat.observe.receivers.protobuf import Field, Fields, message_class

_SPAN: Final[Fields] = (("offset", 1, Field.TYPE_SINT32), ("length", 2, Field.TYPE_UINT32))
_HISTOGRAM: Final[Fields] = (
    ("count_int", 1, Field.TYPE_UINT64),
    ("count_float", 2, Field.TYPE_DOUBLE),
    ("sum", 3, Field.TYPE_DOUBLE),
    ("schema", 4, Field.TYPE_SINT32),
    ("zero_threshold", 5, Field.TYPE_DOUBLE),
    ("zero_count_int", 6, Field.TYPE_UINT64),
    ("zero_count_float", 7, Field.TYPE_DOUBLE),
    ("negative_spans", 8, "BucketSpan*"),
    ("negative_deltas", 9, Field.TYPE_SINT64),
    ("negative_counts", 10, Field.TYPE_DOUBLE),
    ("positive_spans", 11, "BucketSpan*"),
    ("positive_deltas", 12, Field.TYPE_SINT64),
    ("positive_counts", 13, Field.TYPE_DOUBLE),
    ("reset_hint", 14, Field.TYPE_INT32),
    ("timestamp", 15, Field.TYPE_INT64),
    ("custom_values", 16, Field.TYPE_DOUBLE),
)
_COUNT_MAX: Final = 2**63 - 1
_LISTS: Final = {
    f"Histogram.{name}"
    for name in ("negative_deltas", "negative_counts", "positive_deltas", "positive_counts", "custom_values")
}

# What is known of messages made at run time is in the tables here, not in their types: hence Any.
SERIES_1: Final[Any] = message_class(
    "homeostat.prometheus.v1",
    {
        "Label": (("name", 1, Field.TYPE_STRING), ("value", 2, Field.TYPE_STRING)),
        "Sample": (("value", 1, Field.TYPE_DOUBLE), ("timestamp", 2, Field.TYPE_INT64)),
        "Exemplar": (("labels", 1, "Label*"), ("value", 2, Field.TYPE_DOUBLE), ("timestamp", 3, Field.TYPE_INT64)),
        "BucketSpan": _SPAN,
        "Histogram": _HISTOGRAM,
        "TimeSeries": (
            ("labels", 1, "Label*"),
            ("samples", 2, "Sample*"),
            ("exemplars", 3, "Exemplar*"),
            ("histograms", 4, "Histogram*"),
        ),
    },
    "TimeSeries",
    repeated=_LISTS,
)
"""One time series of a version 1 ``WriteRequest`` (its field 1)."""

METADATA_1: Final[Any] = message_class(
    "homeostat.prometheus.metadata",
    {
        "MetricMetadata": (
            ("type", 1, Field.TYPE_INT32),
            ("metric_family_name", 2, Field.TYPE_STRING),
            ("help", 4, Field.TYPE_STRING),
            ("unit", 5, Field.TYPE_STRING),
        )
    },
    "MetricMetadata",
)
"""What a version 1 ``WriteRequest`` says about a family (its field 3)."""

SERIES_2: Final[Any] = message_class(
    "homeostat.prometheus.v2",
    {
        "Sample": (
            ("value", 1, Field.TYPE_DOUBLE),
            ("timestamp", 2, Field.TYPE_INT64),
            ("start_timestamp", 3, Field.TYPE_INT64),
        ),
        "Exemplar": (
            ("labels_refs", 1, Field.TYPE_UINT32),
            ("value", 2, Field.TYPE_DOUBLE),
            ("timestamp", 3, Field.TYPE_INT64),
        ),
        "BucketSpan": _SPAN,
        "Histogram": (*_HISTOGRAM, ("start_timestamp", 17, Field.TYPE_INT64)),
        "Metadata": (
            ("type", 1, Field.TYPE_INT32),
            ("help_ref", 3, Field.TYPE_UINT32),
            ("unit_ref", 4, Field.TYPE_UINT32),
        ),
        "TimeSeries": (
            ("labels_refs", 1, Field.TYPE_UINT32),
            ("samples", 2, "Sample*"),
            ("histograms", 3, "Histogram*"),
            ("exemplars", 4, "Exemplar*"),
            ("metadata", 5, "Metadata"),
            ("created_timestamp", 6, Field.TYPE_INT64),
        ),
    },
    "TimeSeries",
    repeated={*_LISTS, "TimeSeries.labels_refs", "Exemplar.labels_refs"},
)
"""One time series of a version 2 ``Request`` (its field 5; field 4 are the symbols)."""

TYPE_NAMES: Final = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
"""What the numbers of ``type`` mean, in both versions."""


def dense(spans: Any, deltas: Any, buckets_max: int) -> tuple[int, list[int]] | None:
    """The buckets of a native histogram without gaps: index of the first one, and counts. None: not possible.

    A span is a gap and a run of buckets; each count is the difference to the one before.
    """
    counts: list[int] = []
    first, current, values = 0, 0, iter(deltas)
    for number, span in enumerate(spans):
        if number == 0:
            first = span.offset
        elif span.offset < 0 or len(counts) + span.offset > buckets_max:
            return None
        else:
            counts += [0] * span.offset
        if len(counts) + span.length > buckets_max:
            return None
        for delta in _take(values, span.length):
            current += delta
            if not 0 <= current <= _COUNT_MAX:
                return None
            counts.append(current)
    return first, counts


def _take(values: Iterator[int], count: int) -> Iterator[int]:
    for _ in range(count):
        value = next(values, None)
        if value is None:
            return
        yield value
