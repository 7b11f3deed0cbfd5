"""OTLP/JSON -> protobuf bytes, so that everything behind the receiver knows one encoding.

The mapping is protobuf's own JSON mapping with the exceptions of the OTLP specification ("JSON Protobuf Encoding"):
ids are hexadecimal, not base64, and unknown fields are ignored.
"""

import base64
import json
from collections.abc import Iterator

from google.protobuf import json_format

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers.otlp_signals import TRACES, Signal, Steps

_ID_KEYS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")

Object = dict[str, object]


def to_protobuf(body: bytes, signal: Signal = TRACES) -> bytes:
    """The serialized export request. Raises TelemetryRejectedError when the body isn't one."""
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TelemetryRejectedError(
                f"The body is not a JSON object. Send an {signal.request.DESCRIPTOR.name} in OTLP's JSON encoding."
            )
        for steps in signal.id_holders:
            for holder in _holders(document, steps):
                _hex_to_base64(holder)
        request = json_format.ParseDict(document, signal.request(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise TelemetryRejectedError(f"The body is not OTLP/JSON: {error}") from error
    return request.SerializeToString()


def _holders(parent: Object, steps: Steps) -> Iterator[Object]:
    if not steps:
        yield parent
        return
    for name in {steps[0], _camel(steps[0])}:
        inner = parent.get(name)
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, dict):
                yield from _holders(item, steps[1:])


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _hex_to_base64(holder: Object) -> None:
    for key in _ID_KEYS:
        value = holder.get(key)
        if isinstance(value, str):
            holder[key] = base64.b64encode(bytes.fromhex(value)).decode("ascii")
