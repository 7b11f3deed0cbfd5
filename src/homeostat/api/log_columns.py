"""A part of a log export as texts, column by column: a model per record would cost ten times as much.

Used by ``log_export``. What it writes is what ``LogRecord.model_dump_json`` writes, byte for byte.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import pairwise
from json.encoder import encode_basestring as quoted
from typing import Any, Final

import pyarrow as pa

from homeostat.core.logs import LogTable
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import column

NDJSON_SEPARATORS: Final = (",", ":")
SPACED: Final = (", ", ": ")

Separators = tuple[str, str]


class LogColumns:
    """The columns of one part."""

    def __init__(self, part: LogTable) -> None:
        self.table = pa.table(part)

    def values(self, name: str) -> list[Any]:
        """The values as they are."""
        return column(self.table, name).to_pylist()

    def quoted(self, name: str) -> list[str]:
        """Texts as JSON, ``null`` where there is none; each different one is quoted once where they repeat."""
        texts = column(self.table, name)
        if pa.types.is_dictionary(texts.type):
            words = [quoted(word) for word in texts.dictionary.to_pylist()]
            return [words[code] for code in texts.indices.to_pylist()]
        return ["null" if text is None else quoted(text) for text in texts.to_pylist()]

    @cached_property
    def times(self) -> list[str]:
        """RFC 3339, cut to microseconds."""
        return [_time(nanoseconds // 1000) for nanoseconds in self.values("time_unix_nano")]

    def attributes(self, separators: Separators) -> list[str]:
        """A JSON object each."""
        between, behind = separators
        maps = column(self.table, "attributes")
        offsets = maps.offsets.to_pylist()
        first, last = offsets[0], offsets[-1]
        keys, items = maps.keys, maps.items
        if len(keys) != last - first:
            keys, items = keys.slice(first, last - first), items.slice(first, last - first)
        names: list[str] = keys.to_pylist()
        heads = {name: quoted(name) + behind for name in set(names)}
        pairs = [heads[name] + quoted(item) for name, item in zip(names, items.to_pylist(), strict=True)]
        found: list[str] = []
        for start, stop in pairwise(offsets):
            begin, end = start - first, stop - first
            if len(set(names[begin:end])) < end - begin:  # a name that is there twice: the last one counts
                own = dict(zip(names[begin:end], pairs[begin:end], strict=True)).values()
                found.append("{" + between.join(own) + "}")
            else:
                found.append("{" + between.join(pairs[begin:end]) + "}")
        return found

    def resources(self, separators: Separators) -> list[str]:
        """A JSON object each."""
        resource = pc.dictionary_encode(column(self.table, "resource"))
        texts = [_written(text, separators) for text in resource.dictionary.to_pylist()]
        return [texts[code] for code in resource.indices.to_pylist()]

    def resource_maps(self) -> pa.Array:
        """Maps of texts."""
        resource = pc.dictionary_encode(column(self.table, "resource"))
        maps = [list(json.loads(text).items()) for text in resource.dictionary.to_pylist()]
        return pa.array(maps, pa.map_(pa.string(), pa.string())).take(resource.indices)


@lru_cache(maxsize=4_096)
def _written(text: str, separators: Separators) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False, separators=separators)


@lru_cache(maxsize=4_096)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _time(unix_us: int) -> str:
    seconds, microseconds = divmod(unix_us, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z" if microseconds else f"{_second(seconds)}Z"


def lines(part: LogTable) -> Sequence[str]:
    """One JSON object a record, without line ends."""
    columns = LogColumns(part)
    cells = zip(
        columns.values("id"),
        columns.times,
        columns.values("time_unix_nano"),
        columns.values("severity_number"),
        columns.quoted("severity"),
        columns.quoted("service"),
        columns.quoted("body"),
        columns.quoted("trace_id"),
        columns.quoted("span_id"),
        columns.quoted("event_name"),
        columns.quoted("scope"),
        columns.attributes(NDJSON_SEPARATORS),
        columns.resources(NDJSON_SEPARATORS),
        strict=True,
    )
    return [
        f'{{"id":"{own}","time":"{time}","time_unix_nano":{nanoseconds},"severity_number":{number},'
        f'"severity":{severity},"service":{service},"body":{body},"trace_id":{trace},"span_id":{span},'
        f'"event_name":{event},"scope":{scope},"attributes":{attributes},"resource":{resource}}}'
        for own, time, nanoseconds, number, severity, service, body, trace, span, event, scope, attributes, resource
        in cells
    ]  # fmt: skip
