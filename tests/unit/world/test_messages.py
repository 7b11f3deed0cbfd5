"""Requests and results survive the wire; anything else is refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.errors import BadRequestError
from homeostat.world.customers import ErrorHint
from homeostat.world.messages import Hop, StepRequest, StepResult, decode_results, encode_results

hints = st.builds(
    ErrorHint,
    st.none() | st.text(max_size=10),
    st.none() | st.integers(400, 599),
    st.none() | st.floats(0, 1),
    st.booleans(),
)
hops = st.builds(Hop, st.text(), st.text(), st.text(), st.integers(1, 65535), st.none() | hints)
requests = st.builds(
    StepRequest,
    st.text(), st.text(), st.text(), st.text(), st.text(), st.text(),
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 10_000),
    st.lists(hops, min_size=1, max_size=6).map(tuple),
    st.booleans(), st.booleans(),
)  # fmt: skip


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: StepRequest) -> None:
    assert StepRequest.decode(request.encode()) == request


@given(st.binary(max_size=300) | requests.map(lambda request: request.encode()[:-3]))
def test_anything_else_is_refused_and_never_crashes(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        StepRequest.decode(body)


GOOD = StepRequest("id", "k", "n", "c", "C", "Co", 1, 2, 1000, (Hop("a", "a", "A", 77),)).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"{}", b"null", b'{"hops": 3}', b'{"hops": []}', b'{"hops": [{"step": "a"}]}', b'{"hops": [null]}',
        b'"x"', GOOD.replace(b"1000", b'"a"'), GOOD.replace(b"77", b"null"), GOOD.replace(b'"k"', b"1"),
    ],
)  # fmt: skip
def test_json_that_is_not_a_step_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="journey API"):
        StepRequest.decode(body)


def test_the_next_step_has_the_rest_of_the_way() -> None:
    way = (Hop("a", "a", "A", 1), Hop("b", "b", "B", 2))
    request = StepRequest("id", "k", "n", "c", "C", "Co", 1, 2, 1000, way)
    onward = request.onward(900)
    assert (onward.number, onward.hops, onward.budget_ms, onward.journey_id) == (2, way[1:], 900, "id")


def test_results_survive_and_garbage_is_no_result() -> None:
    result = StepResult(1, "a", "A", False, 503, 503, 1.5, error={"hasError": True})
    assert decode_results(encode_results((result,))) == (result,)
    assert decode_results(b"oops") == ()
    assert decode_results(b'{"steps": [{"bad": 1}]}') == ()
