"""Attributes that stay serialized until a trace is kept: nothing changes but when the map is made."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from homeostat.observe.decode import traces
from homeostat.observe.decode.serialized import is_serialized, may_stay, whole_table
from homeostat.observe.decode.traces import decode, decode_for_sampling
from homeostat.observe.sampling.attributes import Finder
from homeostat.store.telemetry.schema import SPAN_SCHEMA, column

_SCALARS = st.one_of(
    st.text(max_size=12).map(lambda text: AnyValue(string_value=text)),
    st.text("ab", min_size=100, max_size=300).map(lambda text: AnyValue(string_value=text)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: AnyValue(int_value=number)),
    st.booleans().map(lambda flag: AnyValue(bool_value=flag)),
    st.floats(allow_nan=False).map(lambda number: AnyValue(double_value=number)),
    st.binary(max_size=4).map(lambda raw: AnyValue(bytes_value=raw)),
    st.just(AnyValue()),
)
_VALUES = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=2).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
    _SCALARS.map(lambda value: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="in", value=value)]))),
)
_KEYS = st.one_of(st.sampled_from(["url.path", "http.route", ""]), st.text(max_size=9), st.just("k" * 130))
_PAIRS = st.lists(st.builds(KeyValue, key=_KEYS, value=_VALUES), max_size=4)
_PLAIN = st.builds(
    KeyValue,
    key=st.sampled_from(["url.path", "http.route", "a"]),
    value=st.one_of(
        st.text("abc/", max_size=9).map(lambda text: AnyValue(string_value=text)),
        st.integers(0, 2**40).map(lambda number: AnyValue(int_value=number)),
    ),
)


def _request(attributes: list[list[KeyValue]]) -> bytes:
    spans = [
        Span(trace_id=bytes([1] * 16), span_id=bytes([number + 1] * 8), name="n", attributes=pairs)
        for number, pairs in enumerate(attributes)
    ]
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]
    ).SerializeToString()


def _with_attribute(content: bytes) -> bytes:
    """A request with one span, 20 plain attributes and one of these bytes."""
    plain = KeyValue(key="a", value=AnyValue(string_value="b")).SerializeToString()
    span = Span(trace_id=bytes([1] * 16), span_id=bytes([2] * 8)).SerializeToString()
    for entry in [plain] * 20 + [content]:
        span += b"\x4a" + bytes([len(entry)]) + entry
    scope = b"\x12" + _length(span) + span
    resource = b"\x12" + _length(scope) + scope
    return b"\x0a" + _length(resource) + resource


def _length(content: bytes) -> bytes:
    size = len(content)
    return bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])


@settings(max_examples=25)
@given(st.lists(st.one_of(_PAIRS, st.lists(_PLAIN, max_size=6)), min_size=1, max_size=6))
def test_made_whole_the_spans_are_those_that_are_decoded_at_once(attributes: list[list[KeyValue]]) -> None:
    requests = [_request(attributes), _request([[]]), _request(attributes)]
    later = decode_for_sampling(requests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "Walk", None)
        now = decode(requests)
    assert later.outcomes == now.outcomes
    assert whole_table(later.table.to_batches()).to_pylist() == now.table.to_pylist()
    half = later.table.slice(1).to_batches()
    assert whole_table(half).to_pylist() == now.table.slice(1).to_pylist()


@settings(max_examples=25)
@given(st.lists(st.lists(_PLAIN, max_size=6), min_size=1, max_size=6))
def test_keys_are_found_alike_in_both(attributes: list[list[KeyValue]]) -> None:
    requests = [_request(attributes)]
    serialized = column(decode_for_sampling(requests).table, "attributes")
    as_map = column(decode(requests).table, "attributes")
    finder = Finder(["http.route", "url.path", "b"])
    found, expected = finder.find(serialized), finder.find(as_map)
    assert found.keys() == expected.keys()
    for key, those in expected.items():
        these = found[key]
        assert these.texts.take(pa.array(these.codes)).equals(those.texts.take(pa.array(those.codes)))
        assert these.rows(these.codes >= 0).tolist() == those.rows(those.codes >= 0).tolist()


@given(st.lists(_PLAIN, min_size=1, max_size=6))
def test_plain_attributes_stay_serialized(pairs: list[KeyValue]) -> None:
    assert is_serialized(column(decode_for_sampling([_request([pairs])]).table, "attributes"))


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=24), _PLAIN.map(lambda pair: pair.SerializeToString())), st.data())
def test_what_is_malformed_is_refused_at_once_in_either_way(content: bytes, data: st.DataObject) -> None:
    if content:
        place = data.draw(st.integers(0, len(content) - 1))
        content = content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]
    request = _with_attribute(content)
    later = decode_for_sampling([request])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "Walk", None)
        now = decode([request])
    assert (later.outcomes[0].error is None) == (now.outcomes[0].error is None)
    assert whole_table(later.table.to_batches()).to_pylist() == now.table.to_pylist()


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\x01a\x12\x04\x0a\x02b\xff",  # no UTF-8
        b"\x0a\x01\xff\x12\x03\x18\x80\x01",  # neither is the key of a number
        b"\x0a\x01a\x12\x03\x18\x80\x80",  # a number without an end
        b"\x0a\x01a\x12\x05\x2a\x03\x0a\x09\x01",  # an array that is cut off
        b"\x0a\x05a",
    ],
)
def test_a_bad_attribute_among_good_ones_is_refused_before_it_is_acknowledged(content: bytes) -> None:
    good = _request([[KeyValue(key="a", value=AnyValue(int_value=300))]])
    decoded = decode_for_sampling([good, _with_attribute(content), good])
    assert [outcome.error is None for outcome in decoded.outcomes] == [True, False, True]
    assert decoded.table.num_rows == 2


def test_a_few_that_are_not_plain_are_looked_at_and_stay_too() -> None:
    entries = [KeyValue(key="a", value=AnyValue(string_value="b")).SerializeToString()] * 20
    entries += [KeyValue(key="sql", value=AnyValue(string_value="select ä" * 30)).SerializeToString()]
    entries += [KeyValue(key="n", value=AnyValue(int_value=-1)).SerializeToString()]
    assert may_stay(pa.array(entries, pa.binary()))
    value_first = b"\x12\x03\x0a\x01b\x0a\x01a"
    assert not may_stay(pa.array([*entries, value_first], pa.binary()))


def test_nothing_is_whole_as_well() -> None:
    assert whole_table([]).schema == SPAN_SCHEMA
    assert whole_table(decode_for_sampling([]).table.to_batches()).schema == SPAN_SCHEMA
