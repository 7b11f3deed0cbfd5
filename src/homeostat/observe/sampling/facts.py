"""What policies want to know of single spans, found once when a batch comes in: one bit a policy and span.

A trace then only has to remember the bits that any of its spans had. Texts are matched once per distinct value.
Used by ``sampler``; the policies that ask are made by ``policies``.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.sampling import (
    BooleanAttributeSettings,
    EndpointSettings,
    NumericAttributeSettings,
    StringAttributeSettings,
    SubPolicy,
)
from homeostat.observe.sampling import tracestate
from homeostat.observe.sampling.attributes import Finder
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import STATUSES

Bits = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

Match = Callable[[pa.StringArray], Mask]
"""Which of some distinct texts match."""

_NUMBER: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
_REMEMBERED_MAX: Final = 4096  # texts
_FEW: Final = 256  # distinct texts in a batch; more of them look like ids, which do not come again


@dataclass(frozen=True, slots=True)
class _AttributeFact:
    bit: int
    keys: tuple[str, ...]
    match: Match
    in_resource: bool = True


def _mask(values: pa.BooleanArray) -> Mask:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)


def remembering(match: Match) -> Match:
    """The same, asked once about texts that come again and again: compiling an expression costs more than them."""
    known: dict[str, bool] = {}

    def remembered(texts: pa.StringArray) -> Mask:
        if len(texts) > _FEW:
            return match(texts)
        given = texts.to_pylist()
        fresh = [text for text in given if text not in known]
        if fresh:
            if len(known) > _REMEMBERED_MAX:
                known.clear()
                fresh = given
            known.update(zip(fresh, match(pa.array(fresh, pa.string())).tolist(), strict=True))
        return np.fromiter((known[text] for text in given), np.bool_, len(given))

    return remembered


def numbers_between(low: float | None, high: float | None) -> Match:
    """Texts that are numbers within the bounds."""

    def match(texts: pa.StringArray) -> Mask:
        is_number = pc.match_substring_regex(texts, _NUMBER)
        numbers = pc.cast(pc.if_else(is_number, texts, pa.scalar(None, pa.string())), pa.float64())
        inside = is_number
        if low is not None:
            inside = pc.and_(inside, pc.greater_equal(numbers, low))
        if high is not None:
            inside = pc.and_(inside, pc.less_equal(numbers, high))
        return _mask(inside)

    return match


def one_of(values: Sequence[str]) -> Match:
    """Texts that are one of these; the empty text never matches."""
    wanted = pa.array([value for value in values if value], pa.string())
    return lambda texts: _mask(pc.is_in(texts, value_set=wanted))


def matching(expressions: Sequence[str]) -> Match:
    """Texts in which one of these RE2 expressions is found; the empty text never matches."""
    expression = "|".join(f"(?:{one})" for one in expressions)
    pc.match_substring_regex(pa.array([""]), expression)  # raises pa.ArrowInvalid for what RE2 does not know
    return lambda texts: _mask(pc.match_substring_regex(texts, expression)) & _mask(pc.not_equal(texts, ""))


def below(paths: Sequence[str]) -> Match:
    """Texts that name one of the paths or something below it: a path, a URL, or a span name with a path in it."""
    bare = [path.rstrip("/") for path in paths]
    alternatives = "|".join(re.escape(path) for path in bare)
    exactly = remembering(matching([rf"(?:^|\s|://[^/\s]+)(?:{alternatives})(?:$|[/?#\s])"]))

    def match(texts: pa.StringArray) -> Mask:
        """Where paths are like ids hardly any has one of these in it: looking for that is cheap."""
        matched = np.zeros(len(texts), dtype=np.bool_)
        for path in bare:
            matched |= _mask(pc.match_substring(texts, path))
        maybe = np.flatnonzero(matched)
        if len(maybe):
            matched[maybe] = exactly(texts.take(pa.array(maybe)))
        return matched

    return match


class Facts:
    """Finds the bits of all policies that look at spans. ``ask`` first, then ``bits`` for each batch."""

    def __init__(self) -> None:
        self._count = 0
        self._statuses = np.zeros(len(STATUSES), dtype=np.uint64)
        self._attributes: list[_AttributeFact] = []
        self._states: list[tuple[int, str, frozenset[str]]] = []
        self._names: list[tuple[int, Match]] = []
        self._flags_bit: int | None = None
        self._finder = Finder([])
        self._resources: dict[str, int] = {}

    def ask(self, policy: SubPolicy) -> int:
        """The bit that answers a policy which looks at spans."""
        bit = self._count
        self._count += 1
        match policy.type:
            case "status_code":
                assert policy.status_code is not None
                for code in policy.status_code.status_codes:
                    self._statuses[STATUSES.index(code.lower())] |= np.uint64(1 << bit)
            case "trace_state":
                assert policy.trace_state is not None
                values = frozenset(value for value in policy.trace_state.values if value)
                self._states.append((bit, policy.trace_state.key, values))
            case "trace_flags":
                self._flags_bit = bit
            case "endpoint":
                assert policy.endpoint is not None
                self._ask_endpoint(bit, policy.endpoint)
            case _:
                settings = policy.numeric_attribute or policy.boolean_attribute or policy.string_attribute
                assert settings is not None
                self._attributes.append(_AttributeFact(bit, (settings.key,), _matcher(settings)))
        self._finder = Finder(sorted({key for fact in self._attributes for key in fact.keys}))
        return bit

    def _ask_endpoint(self, bit: int, settings: EndpointSettings) -> None:
        match = below(settings.paths)
        self._attributes.append(_AttributeFact(bit, settings.keys, match, in_resource=False))
        self._names.append((bit, match))

    def bits(self, spans: pa.RecordBatch) -> Bits:
        """One number per span."""
        bits = self._statuses[spans.column("status_code").to_numpy(zero_copy_only=False)]
        if self._attributes:
            self._of_attributes(spans.column("attributes"), bits)
            self._of_words(spans.column("resource"), self._resource_bits, bits)
        if self._names:
            self._of_words(spans.column("name"), self._name_bits, bits)
        if self._states:
            self._of_states(spans.column("trace_state"), bits)
        if self._flags_bit is not None:
            flags = pc.fill_null(spans.column("flags"), 0).to_numpy(zero_copy_only=False)
            bits |= (flags & 1).astype(np.uint64) << np.uint64(self._flags_bit)
        return bits

    def _of_attributes(self, attributes: pa.MapArray, bits: Bits) -> None:
        for key, found in self._finder.find(attributes).items():
            for fact in self._attributes:
                if key in fact.keys and (matched := fact.match(found.texts)).any():
                    bits[found.rows(matched[found.codes])] |= np.uint64(1 << fact.bit)

    def _of_words(self, words: pa.DictionaryArray, of: Callable[[pa.StringArray], Bits], bits: Bits) -> None:
        of_word = of(words.dictionary)
        if of_word.any():
            bits |= of_word[words.indices.to_numpy(zero_copy_only=False)]

    def _name_bits(self, names: pa.StringArray) -> Bits:
        bits = np.zeros(len(names), dtype=np.uint64)
        for bit, match in self._names:
            bits[match(names)] |= np.uint64(1 << bit)
        return bits

    def _resource_bits(self, resources: pa.StringArray) -> Bits:
        texts = resources.to_pylist()
        if len(self._resources) > _REMEMBERED_MAX:
            self._resources.clear()
        for text in texts:
            if text not in self._resources:
                self._resources[text] = self._of_resource(json.loads(text))
        return np.fromiter((self._resources[text] for text in texts), np.uint64, len(texts))

    def _of_resource(self, attributes: dict[str, str]) -> int:
        bits = 0
        for fact in self._attributes:
            values = [attributes[key] for key in fact.keys if key in attributes]
            if fact.in_resource and values and fact.match(pa.array(values, pa.string())).any():
                bits |= 1 << fact.bit
        return bits

    def _of_states(self, states: pa.StringArray, bits: Bits) -> None:
        encoded = pc.dictionary_encode(pc.fill_null(states, ""))
        texts = encoded.dictionary.to_pylist()
        for bit, key, values in self._states:
            matched = np.fromiter((tracestate.entry(text, key) in values for text in texts), np.bool_, len(texts))
            if matched.any():
                bits[matched[encoded.indices.to_numpy(zero_copy_only=False)]] |= np.uint64(1 << bit)


def _matcher(settings: NumericAttributeSettings | BooleanAttributeSettings | StringAttributeSettings) -> Match:
    match settings:
        case NumericAttributeSettings():
            return remembering(numbers_between(settings.min_value, settings.max_value))
        case BooleanAttributeSettings():
            return one_of(["true" if settings.value else "false"])
        case StringAttributeSettings():
            return (
                remembering(matching(settings.values)) if settings.enabled_regex_matching else one_of(settings.values)
            )
