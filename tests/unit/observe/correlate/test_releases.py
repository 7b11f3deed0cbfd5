"""New versions and environments, seen in the resources of spans."""

import json
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeostat.observe.correlate.releases import AGAIN_AFTER_S, RELEASES_MAX, Release, ReleaseWatch
from support.world_clock import HandClock


def resource(service: str = "payment", version: str | None = "1", **more: str) -> str:
    named = {"service.name": service} | ({} if version is None else {"service.version": version}) | more
    return json.dumps(named, sort_keys=True)


def new(watch: ReleaseWatch, *texts: str) -> list[tuple[Release, bool]]:
    watch.note_texts(texts)
    return [(one.release, one.again) for one in watch.take()]


def test_the_first_version_is_no_news_and_the_next_one_is_once() -> None:
    watch = ReleaseWatch(HandClock())
    assert new(watch, resource()) == []
    assert new(watch, resource(version="2")) == [(Release("payment", "2", ""), False)]
    assert new(watch, resource(version="2"), resource()) == []  # both run side by side: a canary


def test_an_environment_is_part_of_a_release_under_either_of_its_names() -> None:
    watch = ReleaseWatch(HandClock())
    new(watch, resource(**{"deployment.environment": "staging"}))
    assert new(watch, resource(**{"deployment.environment.name": "staging"})) == []
    assert new(watch, resource(**{"deployment.environment.name": "production"})) == [
        (Release("payment", "1", "production"), False)
    ]


def test_going_back_to_a_version_is_news_when_the_other_was_there_in_between() -> None:
    clock = HandClock()
    watch = ReleaseWatch(clock)
    new(watch, resource())
    new(watch, resource(version="2"))
    clock.pass_s(AGAIN_AFTER_S + 1)
    new(watch, resource(version="2"))
    assert new(watch, resource()) == [(Release("payment", "1", ""), True)]


def test_a_silent_service_that_speaks_again_in_its_version_is_no_news() -> None:
    clock = HandClock()
    watch = ReleaseWatch(clock)
    new(watch, resource())
    clock.pass_s(10 * AGAIN_AFTER_S)
    assert new(watch, resource()) == []


def test_what_was_seen_is_remembered_across_a_restart() -> None:
    clock = HandClock()
    watch = ReleaseWatch(clock)
    new(watch, resource())
    again = ReleaseWatch(clock)
    again.load(watch.dump())
    assert new(again, resource()) == []
    assert new(again, resource(version="2")) == [(Release("payment", "2", ""), False)]
    with pytest.raises(ValidationError):
        again.load("[]")


def test_it_is_read_from_the_dictionary_of_a_batch() -> None:
    watch = ReleaseWatch(HandClock())
    new(watch, resource())
    texts = pa.chunked_array([pa.array([resource(), resource(version="2"), None]).dictionary_encode()])
    watch.note(pa.table({"resource": texts}))
    assert [one.release.version for one in watch.take()] == ["2"]


def test_memory_is_bounded_whatever_comes() -> None:
    chance = random.Random(1)
    watch = ReleaseWatch(HandClock())
    for _ in range(3):
        watch.note_texts(
            resource(f"s{chance.randrange(4000)}", str(number), id=str(number)) for number in range(10_000)
        )
    kept: dict[str, list[Any]] = json.loads(watch.dump())
    assert len(kept) <= 2_000
    assert all(len(releases) <= RELEASES_MAX for releases in kept.values())
    assert len(watch.take()) <= 1_000


def test_half_a_surrogate_pair_can_be_remembered() -> None:
    watch = ReleaseWatch(HandClock())
    watch.note_texts(['{"service.name": "a\\ud800", "service.version": "1"}'])
    ReleaseWatch(HandClock()).load(watch.dump())


@given(st.text(max_size=100) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_resource_breaks_it(text: str) -> None:
    watch = ReleaseWatch(HandClock())
    watch.note_texts([text, "[" * 100_000])
    assert watch.take() == []
