"""Flags as a service sees them, against a real OFREP server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from homeostat.world.flags import FlagPoller, FlagValues
from homeostat.world.wire import HttpClient
from support.homeostat_double import HomeostatDouble


@pytest.fixture
def homeostat() -> Iterator[HomeostatDouble]:
    double = HomeostatDouble()
    double.start()
    yield double
    double.close()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


def url(homeostat: HomeostatDouble) -> str:
    return f"{homeostat.url}/ofrep/v1/evaluate/flags"


def test_until_the_first_poll_nothing_is_broken() -> None:
    assert FlagValues().by_key() == {
        "errorInjectionEnabled": False,
        "slowResponsesEnabled": False,
        "circuitBreakerEnabled": False,
        "rateLimitingEnabled": False,
        "cacheEnabled": True,
    }


async def test_a_change_is_seen_and_an_unchanged_answer_is_a_304(
    homeostat: HomeostatDouble, client: HttpClient
) -> None:
    poller = FlagPoller(homeostat.url, "AuthService", 50, client)
    await poller.poll(url(homeostat))
    await poller.poll(url(homeostat))
    assert homeostat.polls_not_modified == 1
    homeostat.flags["errorInjectionEnabled"] = True
    await poller.poll(url(homeostat))
    assert poller.values == FlagValues(errors=True)
    assert homeostat.targeting_keys == {"AuthService"}


async def test_the_last_values_stay_while_the_server_is_away(homeostat: HomeostatDouble, client: HttpClient) -> None:
    homeostat.flags["slowResponsesEnabled"] = True
    poller = FlagPoller(homeostat.url, "AuthService", 50, client)
    await poller.poll(url(homeostat))
    homeostat.stop()
    await poller.poll(url(homeostat))
    assert poller.values == FlagValues(slow_responses=True)
    homeostat.flags["slowResponsesEnabled"] = False
    homeostat.start()
    await poller.poll(url(homeostat))
    assert poller.values == FlagValues()


@pytest.mark.parametrize("evaluations", [{}, {"unknownFlag": True}])
def test_keys_that_are_not_ours_change_nothing(evaluations: dict[str, bool]) -> None:
    assert FlagValues(errors=True).with_evaluations(evaluations) == FlagValues(errors=True)
