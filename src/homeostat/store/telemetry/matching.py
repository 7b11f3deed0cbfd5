"""Which spans a search means, as masks over columns. Used by ``query`` for hot tables and segments alike."""

import json
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.models import TraceQuery
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.rows import to_ns
from homeostat.store.telemetry.schema import STATUS_ERROR, column

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SpanFilter:
    """Conditions that hold together on one span. Start times are in ``[start_ns, end_ns)``."""

    start_ns: int
    end_ns: int
    service: str | None = None
    operation: str | None = None
    min_duration_ns: int | None = None
    max_duration_ns: int | None = None
    errors_only: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    text: str | None = None

    @classmethod
    def of(cls, query: TraceQuery) -> "SpanFilter":
        """The conditions of a search."""
        return cls(
            start_ns=to_ns(query.start),
            end_ns=to_ns(query.end),
            service=query.service,
            operation=query.operation,
            min_duration_ns=None if query.min_duration_ms is None else round(query.min_duration_ms * 1e6),
            max_duration_ns=None if query.max_duration_ms is None else round(query.max_duration_ms * 1e6),
            errors_only=query.errors_only,
            attributes=query.attributes,
            text=query.text or None,
        )

    @property
    def columns(self) -> list[str]:
        """What ``mask`` reads, the attributes and the events of the spans left out."""
        names = ["start_ns"]
        if self.service is not None:
            names.append("service")
        if self.operation is not None:
            names.append("name")
        if self.min_duration_ns is not None or self.max_duration_ns is not None:
            names.append("duration_ns")
        if self.errors_only:
            names.append("status_code")
        if self.attributes or self.text is not None:
            names.append("resource")
        if self.text is not None:
            names += ["name", "status_message"]
        return list(dict.fromkeys(names))

    @property
    def deep_columns(self) -> list[str]:
        """What ``deep_mask`` reads beside: the columns that cost the most, so only for rows that are left."""
        if self.text is not None:
            return ["attributes", "events"]
        return ["attributes"] if self.attributes else []

    def mask(self, table: pa.Table) -> Mask:
        """The rows on which every condition holds but those on attributes and text."""
        start = column(table, "start_ns").to_numpy()
        mask: Mask = (start >= self.start_ns) & (start < self.end_ns)
        if self.service is not None:
            mask &= _equals(column(table, "service"), self.service)
        if self.operation is not None:
            mask &= _equals(column(table, "name"), self.operation)
        if self.min_duration_ns is not None:
            mask &= column(table, "duration_ns").to_numpy() >= self.min_duration_ns
        if self.max_duration_ns is not None:
            mask &= column(table, "duration_ns").to_numpy() <= self.max_duration_ns
        if self.errors_only:
            mask &= column(table, "status_code").to_numpy() == STATUS_ERROR
        return mask

    def deep_mask(self, table: pa.Table, deep: pa.Table) -> Mask:
        """The rows on which the conditions on attributes and text hold, of two tables with the same rows."""
        mask = np.ones(table.num_rows, dtype=np.bool_)
        for key, value in self.attributes.items():
            mask &= resource_mask(table, key, value) | attribute_mask(column(deep, "attributes"), key, value)
        if self.text is not None and mask.any():
            mask &= _shallow_text(table, self.text) | _deep_text(deep, self.text)
        return mask


def _equals(words: pa.DictionaryArray, text: str) -> Mask:
    """Where a dictionary column holds a text: one look into the dictionary, then numbers only."""
    return _codes_in(words, np.flatnonzero(pc.equal(words.dictionary, text).to_numpy(zero_copy_only=False)))


def _codes_in(words: pa.DictionaryArray, codes: npt.NDArray[np.int64]) -> Mask:
    if not len(codes):
        return np.zeros(len(words), dtype=np.bool_)
    return np.isin(words.indices.to_numpy(), codes.astype(np.int32))


def resource_mask(table: pa.Table, key: str, value: str) -> Mask:
    """The rows whose resource has the attribute."""
    words = column(table, "resource")
    has = [json.loads(text).get(key) == value for text in words.dictionary.to_pylist()]
    return _codes_in(words, np.flatnonzero(has))


def attribute_mask(attributes: pa.MapArray, key: str, value: str) -> Mask:
    """The rows whose own attributes have the pair."""
    mask = np.zeros(len(attributes), dtype=np.bool_)
    if not len(attributes):
        return mask
    offsets, keys, items = _pairs_of(attributes)
    pairs = pc.and_(pc.equal(items, value), pc.equal(keys, key)).to_numpy(zero_copy_only=False)
    found = np.flatnonzero(pairs) + int(offsets[0])
    mask[np.searchsorted(offsets, found, side="right") - 1] = True
    return mask


def _contains(texts: pa.Array, text: str) -> Mask:
    """Where a text occurs, case-insensitive; nowhere in a null."""
    return pc.fill_null(pc.match_substring(texts, text, ignore_case=True), False).to_numpy(zero_copy_only=False)


def _shallow_text(table: pa.Table, text: str) -> Mask:
    """The rows whose name, status message or resource holds the text."""
    names, resources = column(table, "name"), column(table, "resource")
    mask = _codes_in(names, np.flatnonzero(_contains(names.dictionary, text)))
    wanted = text.lower()
    has = [
        any(wanted in part.lower() for pair in json.loads(entry).items() for part in pair)
        for entry in resources.dictionary.to_pylist()
    ]
    mask |= _codes_in(resources, np.flatnonzero(has))
    return mask | _contains(column(table, "status_message"), text)


def _deep_text(deep: pa.Table, text: str) -> Mask:
    """The rows with an attribute (its key or value), or an event (its name or attributes), that holds the text."""
    mask = _map_text(column(deep, "attributes"), text)
    events = column(deep, "events")
    flat = events.flatten()
    if not len(flat):
        return mask
    hits = _contains(pc.struct_field(flat, "name"), text) | _map_text(pc.struct_field(flat, "attributes"), text)
    lengths = pc.fill_null(pc.list_value_length(events), 0).to_numpy(zero_copy_only=False)
    mask[np.repeat(np.arange(len(events)), lengths)[hits]] = True
    return mask


def _map_text(attributes: pa.MapArray, text: str) -> Mask:
    """The rows of a map column in which a key or a value holds the text."""
    mask = np.zeros(len(attributes), dtype=np.bool_)
    if not len(attributes):
        return mask
    offsets, keys, items = _pairs_of(attributes)
    words = pc.dictionary_encode(keys)
    hits = _codes_in(words, np.flatnonzero(_contains(words.dictionary, text))) | _contains(items, text)
    mask[np.searchsorted(offsets, np.flatnonzero(hits) + int(offsets[0]), side="right") - 1] = True
    return mask


def _pairs_of(attributes: pa.MapArray) -> tuple[npt.NDArray[np.int32], pa.Array, pa.Array]:
    """Offsets of the rows of a map column, and the keys and values from the first offset to the last."""
    offsets = attributes.offsets.to_numpy()
    first, last = int(offsets[0]), int(offsets[-1])
    keys, items = attributes.keys, attributes.items
    if len(keys) != last - first:  # a slice: pyarrow gives the children whole in one version and sliced in another
        keys, items = keys.slice(first, last - first), items.slice(first, last - first)
    return offsets, keys, items
