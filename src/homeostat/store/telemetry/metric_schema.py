"""The columns of a metric point, in memory and on disk: what ``observe.decode.metrics`` makes and segments hold.

One row is one data point. What identifies its series (name, resource, scope, labels) repeats and is a dictionary;
JSON objects have their keys sorted, so that equal series have equal texts.
"""

from typing import Final

import pyarrow as pa

from homeostat.store.telemetry.schema import ATTRIBUTES, WORD

EXEMPLAR: Final = pa.struct(
    [
        ("time_ns", pa.int64()),
        ("value", pa.float64()),
        ("trace_id", pa.binary()),  # empty: none
        ("span_id", pa.binary()),
        ("attributes", ATTRIBUTES),
    ]
)

QUANTILE: Final = pa.struct([("quantile", pa.float64()), ("value", pa.float64())])

METRIC_SCHEMA: Final = pa.schema(
    [
        ("name", WORD),
        ("type", pa.int8()),  # an index of METRIC_TYPES
        ("unit", WORD),
        ("description", WORD),
        ("temporality", pa.int8()),  # the OTLP enum: 0 unspecified (gauge, summary), 1 delta, 2 cumulative
        ("monotonic", pa.bool_()),
        ("service", WORD),
        ("resource", WORD),  # a JSON object, keys sorted
        ("scope", WORD),
        ("scope_version", WORD),
        ("scope_attributes", WORD),
        ("labels", WORD),  # the point's attributes: a JSON object, keys sorted
        ("time_ns", pa.int64()),  # Unix time
        ("start_ns", pa.int64()),  # 0: not said
        ("value", pa.float64()),  # gauge and sum; null for the others and for a point with no recorded value
        ("count", pa.uint64()),  # histograms and summary; null for the others, and so on
        ("sum", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bounds", pa.list_(pa.float64())),  # upper edges of a histogram's buckets but the last
        ("bucket_counts", pa.list_(pa.uint64())),
        ("scale", pa.int32()),  # exponential histogram: base = 2 ** 2 ** -scale
        ("zero_count", pa.uint64()),
        ("zero_threshold", pa.float64()),
        ("positive_offset", pa.int32()),
        ("positive_counts", pa.list_(pa.uint64())),
        ("negative_offset", pa.int32()),
        ("negative_counts", pa.list_(pa.uint64())),
        ("quantiles", pa.list_(QUANTILE)),  # summary
        ("flags", pa.uint32()),  # bit 0: no recorded value
        ("exemplars", pa.list_(EXEMPLAR)),
    ]
)

METRIC_TYPES: Final = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
TEMPORALITY_DELTA: Final = 1
NO_RECORDED_VALUE: Final = 1
