"""OTLP/JSON -> protobuf bytes, so that everything behind the receiver knows one encoding.

The mapping is protobuf's own JSON mapping with the exceptions of the OTLP specification ("JSON Protobuf Encoding"):
ids are hexadecimal, not base64, and unknown fields are ignored.
"""

import base64
import json
from collections.abc import Iterator
from typing import Final

from google.protobuf import json_format

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers.otlp_signals import TRACES, Signal, Steps

_ID_KEYS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
_NO_ID = b"?"

Object = dict[str, object]

OBJECTS_MAX: Final = 300_000
"""Of { and [ in one body: each takes some 5 us and 500 bytes, and two bytes on the wire. A span has about thirty."""

VALUES_MAX: Final = 4_000_000
"""Of commas."""


def to_protobuf(body: bytes, signal: Signal = TRACES) -> bytes:
    """The serialized export request. Raises TelemetryRejectedError when the body isn't one."""
    if body.count(b"{") + body.count(b"[") > OBJECTS_MAX or body.count(b",") > VALUES_MAX:
        raise TelemetryRejectedError(f"More than {OBJECTS_MAX} objects or {VALUES_MAX} values. Send smaller batches.")
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
    except SystemError as error:  # what upb makes of a lone surrogate in the place of a name
        raise TelemetryRejectedError("The body is not OTLP/JSON: a name in it is not Unicode.") from error
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
            holder[key] = base64.b64encode(_of_hex(value)).decode("ascii")


def _of_hex(text: str) -> bytes:
    """The bytes of an id. What is not hexadecimal becomes one of an impossible length: its span alone is refused."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return _NO_ID
