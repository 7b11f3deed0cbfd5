"""Arbitrary OTLP attribute values for property tests, and what they are as text."""

import base64
import json

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

KEYS = st.sampled_from(["a", "http.route", "ключ", ""])
SMALL = st.integers(0, 2**32 - 1)
NANOS = st.one_of(st.integers(0, 2**64 - 1), st.integers(1_700_000_000 * 10**9, 1_800_000_000 * 10**9))
LATEST = 2**63 - 1


@st.composite
def any_values(draw: st.DrawFn, depth: int = 2) -> AnyValue:
    value = AnyValue()
    kinds = ["string", "int", "double", "bool", "bytes", "unset", *(["array", "map"] if depth else [])]
    match draw(st.sampled_from(kinds)):
        case "string":
            value.string_value = draw(st.text(max_size=12))
        case "int":
            value.int_value = draw(st.integers(-(2**63), 2**63 - 1))
        case "double":
            value.double_value = draw(st.sampled_from([0.0, 1.5, -2.25, 1e300]))
        case "bool":
            value.bool_value = draw(st.booleans())
        case "bytes":
            value.bytes_value = draw(st.binary(max_size=6))
        case "array":
            value.array_value.values.extend(draw(st.lists(any_values(depth - 1), max_size=3)))
            value.array_value.SetInParent()
        case "map":
            value.kvlist_value.values.extend(draw(key_values(depth - 1)))
            value.kvlist_value.SetInParent()
        case _:
            pass
    return value


def key_values(depth: int = 2) -> st.SearchStrategy[list[KeyValue]]:
    one = st.builds(lambda key, value: KeyValue(key=key, value=value), KEYS, any_values(depth))
    return st.lists(one, max_size=4, unique_by=lambda pair: pair.key)


def as_json(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case "array_value":
            return [as_json(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: as_json(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case None:
            return None
        case scalar:
            return getattr(value, scalar)


def same_text(text: str, value: AnyValue) -> bool:
    expected = as_json(value)
    match value.WhichOneof("value"):
        case None:
            return text == ""
        case "string_value" | "bytes_value":
            return text == expected
        case _:
            return json.loads(text) == expected


def assert_same_attributes(found: list[tuple[str, str]], expected: list[KeyValue]) -> None:
    assert [key for key, _ in found] == [pair.key for pair in expected]
    for (_, text), pair in zip(found, expected, strict=True):
        assert same_text(text, pair.value), (text, pair)


def assert_same_object(text: str, expected: list[KeyValue]) -> None:
    found = json.loads(text)
    assert list(found) == sorted(pair.key for pair in expected)
    for pair in expected:
        assert same_text(found[pair.key], pair.value), (text, pair)
