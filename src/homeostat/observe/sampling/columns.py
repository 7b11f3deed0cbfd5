"""Reads the columns of a batch of spans that sampling works with, as numpy arrays. Used by ``sampler``."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.observe.sampling import tracestate
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.text_hash import Hashes, hash_texts, mix

_SPAN_BYTES = 68  # ids, times and numbers of a span, as the Collector counts them

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def first_places(codes: npt.NDArray[np.int32], distinct: int) -> npt.NDArray[np.int64]:
    """Where each code occurs first."""
    places = np.empty(distinct, dtype=np.int64)
    places[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return places


class Strata:
    """Service and operation of spans as one number, which sorts spans of one service together."""

    def __init__(self, spans: pa.RecordBatch) -> None:
        self._words = [spans.column(column) for column in ("service", "name")]
        self._hashes = [mix(hash_texts(words.dictionary)) for words in self._words]

    def at(self, places: npt.NDArray[np.int64]) -> Hashes:
        """Those of some spans."""
        service, name = (
            hashes[words.indices.to_numpy(zero_copy_only=False)[places]]
            for words, hashes in zip(self._words, self._hashes, strict=True)
        )
        return (service & np.uint64(0xFFFFFFFF00000000)) | (name >> np.uint64(32))


def head_probability(spans: pa.RecordBatch) -> Floats | None:
    """With which probability each span's trace was sampled before; NaN where it doesn't say. None: none says."""
    states = spans.column("trace_state")
    if pc.max(pc.binary_length(states)).as_py() in {None, 0}:
        return None
    encoded = pc.dictionary_encode(pc.fill_null(states, ""))
    of_text = [tracestate.probability(text) for text in encoded.dictionary.to_pylist()]
    if all(value is None for value in of_text):
        return None
    values = np.array([np.nan if value is None else value for value in of_text])
    return values[encoded.indices.to_numpy(zero_copy_only=False)]


def roots(spans: pa.RecordBatch) -> Mask:
    """Spans without a parent."""
    return spans.column("parent_span_id").is_null().to_numpy(zero_copy_only=False)


def sizes(spans: pa.RecordBatch) -> Counts:
    """What each span weighs, bytes: fixed fields, texts, attributes with their keys, events and links."""
    total = np.full(spans.num_rows, _SPAN_BYTES, dtype=np.int64)
    for name in ("name", "trace_state", "status_message"):
        total += _text_bytes(spans.column(name))
    total += _map_bytes(spans.column("attributes"))
    for name, fixed in (("events", 12), ("links", 28)):
        lists = spans.column(name)
        if not len(lists.values):
            continue
        offsets = lists.offsets.to_numpy()
        items = lists.values
        weight = np.full(len(items), fixed, dtype=np.int64) + _map_bytes(items.field("attributes"))
        if name == "events":
            weight += _text_bytes(items.field("name"))
        total += _summed(weight, offsets)
    return total


def _text_bytes(texts: pa.Array) -> Counts:
    if pa.types.is_dictionary(texts.type):
        of_word = pc.fill_null(pc.binary_length(texts.dictionary), 0).to_numpy(zero_copy_only=False)
        return of_word.astype(np.int64)[texts.indices.to_numpy(zero_copy_only=False)]
    return pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _map_bytes(maps: pa.MapArray) -> Counts:
    return _summed(_text_bytes(maps.keys) + _text_bytes(maps.items), maps.offsets.to_numpy())


def _summed(weights: Counts, offsets: npt.NDArray[np.int32]) -> Counts:
    """The sum of each list's weights."""
    running = np.concatenate([[0], np.cumsum(weights)])
    return running[offsets[1:]] - running[offsets[:-1]]
