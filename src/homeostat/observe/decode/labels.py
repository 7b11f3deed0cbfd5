"""The labels of metric points as text. A series sends the same bytes again and again, so they are read once.

Called by ``decode.metrics`` only.
"""

import json
from typing import Final

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode.common import json_object
from homeostat.observe.decode.values import plain
from homeostat.store.telemetry.arrow import pc

_KNOWN_BYTES_MAX: Final = 16 << 20
_LABELS_COST: Final = 200  # bytes of an entry beside its texts


class Labels:
    """Serialized ``KeyValue`` lists -> JSON objects, keys sorted. Bounded in bytes; forgets all when full."""

    def __init__(self, bytes_max: int = _KNOWN_BYTES_MAX) -> None:
        self._known: dict[tuple[bytes, ...], str] = {}
        self._bytes_left = self._bytes_max = bytes_max

    def column(self, attributes: pa.ListArray) -> pa.DictionaryArray:
        """One text per row. Raises TelemetryRejectedError when a row's bytes are no key values."""
        codes: dict[str, int] = {}
        rows = [codes.setdefault(self._text(tuple(row)), len(codes)) for row in attributes.to_pylist()]
        return pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), pa.array(list(codes), pa.string()))

    def _text(self, row: tuple[bytes, ...]) -> str:
        text = self._known.get(row)
        if text is None:
            text = json_object(dict(_pair(raw) for raw in row))
            self._bytes_left -= 2 * len(text) + _LABELS_COST
            if self._bytes_left < 0:
                self._known.clear()
                self._bytes_left = self._bytes_max
            self._known[row] = text
        return text


def _pair(raw: bytes) -> tuple[str, str]:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError as error:
        raise TelemetryRejectedError(f"A metric point's attribute is not valid protobuf: {error}") from error
    return pair.key, _text(pair.value)


def _text(value: AnyValue) -> str:
    """As ``values.value_text`` writes it."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "array_value" | "kvlist_value":
            return json.dumps(plain(value))
        case "bytes_value":
            return str(plain(value))
        case None:
            return ""
        case _:
            return pc.cast(pa.scalar(plain(value)), pa.string()).as_py()
