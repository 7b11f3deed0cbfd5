"""What people send to the journey API."""

import json

import pytest

from homeostat.core.errors import BadRequestError
from homeostat.world.journeys import DEFAULT_STEPS
from homeostat.world.requests import read_simulation


def read(body: object) -> tuple[tuple[str, str], ...]:
    planned = read_simulation(json.dumps(body).encode()).planned()
    return tuple((item.step.name, item.step.service) for item in planned)


def test_without_steps_the_six_default_ones_are_made() -> None:
    assert tuple(name for name, _ in read({})) == DEFAULT_STEPS
    assert read_simulation(b"").planned()


@pytest.mark.parametrize("field", ["stepName", "name", "step", "title"])
@pytest.mark.parametrize("journey", ["journey", "aiJourney"])
def test_a_steps_name_may_stand_in_any_of_four_fields(field: str, journey: str) -> None:
    assert read({journey: {"steps": [{field: "Payment", "serviceName": "Till"}]}}) == (("Payment", "Till"),)


def test_at_most_six_steps_are_made() -> None:
    assert len(read({"journey": {"steps": [{"name": f"Step {number}"} for number in range(10)]}})) == 6


def test_an_error_hint_is_understood_in_both_of_its_spellings() -> None:
    steps = [
        {"name": "a", "errorHint": {"type": "x", "httpStatus": 503, "likelihood": 0.5}},
        {"name": "b", "errorPlan": {"errorType": "y", "status": 500, "force": True}},
        {"name": "c", "hasError": True},
    ]
    first, second, third = (
        item.hint for item in read_simulation(json.dumps({"journey": {"steps": steps}}).encode()).planned()
    )
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.error_type, first.http_status, first.likelihood, first.force) == ("x", 503, 0.5, False)
    assert (second.error_type, second.http_status, second.force) == ("y", 500, True)
    assert third.force


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "not JSON"),
        (b"[1]", "body"),
        (b'{"journey": {"steps": "all"}}', "journey.steps"),
        (b'{"journey": {"steps": [{}]}}', "journey.steps.0"),
        (b'{"customers": -1}', "customers"),
        (b'{"thinkTimeMs": 9999999}', "thinkTimeMs"),
        (b'{"journey": {"steps": [{"name": "a", "errorHint": {"httpStatus": 200}}]}}', "httpStatus"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(body: bytes, named: str) -> None:
    with pytest.raises(BadRequestError, match=named):
        read_simulation(body)
