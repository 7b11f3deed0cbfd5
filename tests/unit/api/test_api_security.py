"""Other web pages of the same person may not reach in; pages say what they may load."""

import pytest
from api_parts import Setup

from homeostat.api.security import HostRule, same_origin

TOGGLE = "/api/self-healing/toggle-auto-remediation?enabled=false"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4000", "localhost:4000", "[::1]:4000", "LOCALHOST", "homeostat.localhost"]
)
def test_loopback_names_are_ours(host: str) -> None:
    assert HostRule.of("127.0.0.1").allows(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:4000", "10.1.2.3", "", "[::1", "a b", "1.2.3.4:x"]
)
def test_foreign_names_are_not(host: str) -> None:
    assert not HostRule.of("127.0.0.1").allows(host)


def test_bound_and_configured_names_are_ours() -> None:
    assert HostRule.of("10.1.2.3").allows("10.1.2.3:4000")
    assert HostRule.of("127.0.0.1", ["Ops.example"]).allows("ops.example")
    assert not HostRule.of("10.1.2.3").allows("10.1.2.4:4000")
    everywhere = HostRule.of("0.0.0.0")
    assert everywhere.allows("10.1.2.3:4000")
    assert not everywhere.allows("evil.example")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:4000", "127.0.0.1:4000", True),
        ("https://ops.example", "ops.example", True),
        ("http://localhost", "localhost:80", True),
        ("http://127.0.0.1:4001", "127.0.0.1:4000", False),
        ("http://localhost:4000", "127.0.0.1:4000", False),
        ("http://evil.example", "127.0.0.1:4000", False),
        ("null", "127.0.0.1:4000", False),
        ("", "127.0.0.1:4000", False),
        ("http://[", "127.0.0.1:4000", False),
        ("http://a:99999", "a:99999", False),
    ],
)
def test_an_origin_is_the_same_or_it_is_not(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, host) is same


async def test_a_rebound_name_is_refused_with_the_remedy(setup: Setup) -> None:
    async with setup.client() as client:
        answer = await client.get("/api/overview", headers={"host": "evil.example:4000"})
    assert answer.status_code == 403
    assert "allowed_hosts" in answer.json()["detail"]


async def test_another_page_may_not_post_and_a_program_may(setup: Setup) -> None:
    async with setup.client() as client:
        foreign = await client.post(TOGGLE, headers={"origin": "http://evil.example"})
        hidden = await client.post(TOGGLE, headers={"sec-fetch-site": "cross-site"})
        opaque = await client.post(TOGGLE, headers={"origin": "null"})
        assert setup.healer.told == []
        own = await client.post(TOGGLE, headers={"origin": "http://127.0.0.1:4000"})
        program = await client.post(TOGGLE)
        reading = await client.get("/api/health", headers={"origin": "http://evil.example"})
    assert [answer.status_code for answer in (foreign, hidden, opaque, own, program)] == [403, 403, 403, 200, 200]
    assert "access-control-allow-origin" not in reading.headers, "the browser keeps the answer from the foreign page"


async def test_every_answer_forbids_what_it_does_not_need(setup: Setup) -> None:
    async with setup.client() as client:
        for path in ("/api/overview", "/api/nothing", "/api/traces/x"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_body_that_is_too_large_is_refused(setup: Setup) -> None:
    async with setup.client() as client:
        answer = await client.post("/api/runs/run-1/approve", json={"who": "x" * 2_000_000, "plan_digest": "d"})
    assert answer.status_code == 413
