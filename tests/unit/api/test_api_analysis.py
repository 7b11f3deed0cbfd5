"""Questions over one trace, two, and many, asked of the API over a real store."""

from pathlib import Path

import httpx2
import pytest
from api_parts import NOW, NOW_S, Setup

from homeostat.core.red import Edge
from support.shop_store import a_purchase, store_with
from support.spans import NOON, HandClock, trace_hex

assert NOON == NOW


@pytest.fixture
def shop(setup: Setup, tmp_path: Path) -> Setup:
    """Sixty purchases in the ten minutes before now; every fifth on a slow shard, every tenth declined."""
    purchases = [
        a_purchase(
            n,
            -605 + n * 10.0,
            shard="7" if n % 5 == 0 else str(n % 4),
            slow_ms=400 if n % 5 == 0 else 20,
            error=n % 10 == 3,
        )
        for n in range(1, 61)
    ]
    setup.telemetry = store_with(tmp_path / "store", purchases, HandClock())  # pyright: ignore[reportAttributeAccessIssue]
    return setup


async def _get(setup: Setup, path: str) -> httpx2.Response:
    async with setup.client() as client:
        return await client.get(path)


async def test_a_search_pages_through_everything_once(shop: Setup) -> None:
    seen: list[str] = []
    path = "/api/traces?limit=25"
    async with shop.client() as client:
        answer = (await client.get(path)).json()
        while True:
            seen += [trace["trace_id"] for trace in answer["traces"]]
            if answer["next_cursor"] is None:
                break
            answer = (await client.get(path, params={"limit": 25, "cursor": answer["next_cursor"]})).json()
    assert seen == [trace_hex(n) for n in range(60, 0, -1)]


async def test_a_text_finds_what_nobody_gave_a_name(shop: Setup) -> None:
    found = (await _get(shop, "/api/traces?text=DECLINED")).json()["traces"]
    assert [trace["trace_id"] for trace in found] == [trace_hex(n) for n in (53, 43, 33, 23, 13, 3)]


@pytest.mark.parametrize("rest", ["", "/columns", "/analysis", "/matches?text=a"])
async def test_an_id_of_64_bits_is_one_of_128_with_zeros_before_it(setup: Setup, tmp_path: Path, rest: str) -> None:
    short = "5af7183fb1d4cf5f"
    setup.telemetry = store_with(tmp_path / "store", [a_purchase(int(short, 16), -60.0)], HandClock())  # pyright: ignore[reportAttributeAccessIssue]
    for written in (short, short.upper(), short.zfill(32), f"%20{short}%20", "00000000-0000-0000-5af7-183fb1d4cf5f"):
        assert (await _get(setup, f"/api/traces/{written}{rest}")).status_code == 200, written
    for wrong in (short[:15], short + "0", "g" * 16):
        answer = await _get(setup, f"/api/traces/{wrong}{rest}")
        assert answer.status_code == 404
        assert "is not a trace id" in answer.json()["detail"]


async def test_a_cursor_that_is_none_is_a_bad_request(shop: Setup) -> None:
    answer = await _get(shop, "/api/traces?cursor=nonsense")
    assert answer.status_code == 400
    assert "next_cursor" in answer.json()["detail"]


async def test_the_analysis_of_a_trace_says_where_its_time_went(shop: Setup) -> None:
    answer = (await _get(shop, f"/api/traces/{trace_hex(5)}/analysis")).json()
    assert answer["duration_ms"] == 410
    assert [operation["operation"] for operation in answer["operations"]] == ["POST /pay", "POST", "POST /buy"]
    assert sum(piece["duration_ms"] for piece in answer["critical_path"]) == pytest.approx(410)
    assert (await _get(shop, f"/api/traces/{trace_hex(999)}/analysis")).status_code == 404
    assert (await _get(shop, "/api/traces/nonsense/analysis")).status_code == 404


async def test_of_an_analysis_only_the_shifted_spans_can_be_asked_for(shop: Setup) -> None:
    answer = (await _get(shop, f"/api/traces/{trace_hex(5)}/analysis?spans=shifted")).json()
    assert answer["spans"] == []
    assert len(answer["critical_path"]) > 0
    assert (await _get(shop, f"/api/traces/{trace_hex(5)}/analysis?spans=few")).status_code == 422


async def test_the_page_of_a_trace_gets_columns_then_one_span_and_what_a_text_finds(shop: Setup) -> None:
    path = f"/api/traces/{trace_hex(5)}"
    trace, columns = (await _get(shop, path)).json(), (await _get(shop, f"{path}/columns")).json()
    assert columns["span_ids"] == "".join(span["span_id"] for span in trace["spans"])
    assert columns["parents"] == [-1, 0, 1]
    last = trace["spans"][-1]
    assert (await _get(shop, f"{path}/spans/{last['span_id'].upper()}")).json() == last
    assert last["span_id"] in (await _get(shop, f"{path}/matches?text=SHARD=7")).json()["span_ids"]
    assert (await _get(shop, f"{path}/matches?text=no such")).json() == {"span_ids": []}


async def test_what_is_not_stored_or_no_id_is_told_apart_from_nothing_found(shop: Setup) -> None:
    known, unknown = f"/api/traces/{trace_hex(5)}", f"/api/traces/{trace_hex(999)}"
    for path in (
        *(f"{unknown}/columns", f"{unknown}/matches?text=x", f"{unknown}/spans/{1:016x}"),
        *(f"{known}/spans/{99:016x}", f"{known}/spans/nonsense", "/api/traces/nonsense/columns"),
    ):
        assert (await _get(shop, path)).status_code == 404, path
    assert (await _get(shop, f"{known}/matches")).status_code == 422
    assert (await _get(shop, f"{known}/matches?text={'x' * 1001}")).status_code == 422


async def test_two_traces_are_compared(shop: Setup) -> None:
    answer = (await _get(shop, f"/api/traces/compare?left={trace_hex(1)}&right={trace_hex(5)}")).json()
    assert answer["delta_ms"] == 380
    assert answer["changes"] == {"same": 0, "slower": 3, "faster": 0, "added": 0, "missing": 0}
    assert answer["operations"][0]["operation"] == "POST /pay"
    assert (await _get(shop, f"/api/traces/compare?left={trace_hex(1)}&right={trace_hex(999)}")).status_code == 404
    assert (await _get(shop, f"/api/traces/compare?left={trace_hex(1)}")).status_code == 422


async def test_the_slow_traces_are_told_apart_by_their_shard(shop: Setup) -> None:
    answer = (await _get(shop, "/api/analysis/differences?service=payment&threshold_ms=100")).json()
    assert (answer["affected"]["traces"], answer["baseline"]["traces"]) == (12, 48)
    first = answer["differences"][0]
    assert (first["service"], first["key"], first["value"], first["significant"]) == ("payment", "shard", "7", True)
    assert (first["affected_share"], first["baseline_share"]) == (1.0, 0.0)
    assert answer["operations"][0]["operation"] == "POST /pay"


async def test_without_a_threshold_slow_begins_at_the_p95(shop: Setup) -> None:
    answer = (await _get(shop, "/api/analysis/differences")).json()
    assert answer["threshold_ms"] == 410
    assert answer["affected"]["traces"] == 12


async def test_failed_traces_are_held_against_those_without_any_error(shop: Setup) -> None:
    answer = (await _get(shop, "/api/analysis/differences?split=errors")).json()
    assert (answer["affected"]["traces"], answer["baseline"]["traces"]) == (6, 54)
    told = {(entry["kind"], entry["key"], entry["value"]) for entry in answer["differences"] if entry["significant"]}
    assert ("attribute", "http.response.status_code", "500") in told
    assert ("error", "POST /pay", "") in told


async def test_one_time_is_held_against_the_time_before(shop: Setup) -> None:
    answer = (await _get(shop, "/api/analysis/differences?split=time&minutes=5")).json()
    assert (answer["affected"]["traces"], answer["baseline"]["traces"]) == (30, 30)
    swapped = "baseline_start=2026-03-01T11:00:00Z&baseline_end=2026-03-01T10:00:00Z"
    assert (await _get(shop, f"/api/analysis/differences?split=time&{swapped}")).status_code == 400
    far = "baseline_end=9999-01-01T00:00:00Z"
    assert (await _get(shop, f"/api/analysis/differences?split=time&{far}")).status_code == 400
    first = "start=1970-01-01T00:00:00Z"
    assert (await _get(shop, f"/api/analysis/differences?split=time&{first}")).status_code in {200, 400}


async def test_a_question_without_any_trace_is_answered_so(shop: Setup) -> None:
    for split in ("latency", "errors", "time"):
        answer = (await _get(shop, f"/api/analysis/differences?split={split}&service=nobody")).json()
        assert answer["affected"] == {"traces": 0, "weight": 0, "mean_ms": None}
        assert answer["differences"] == []
    assert (await _get(shop, "/api/analysis/bottlenecks?service=nobody")).json()["bottlenecks"] == []


async def test_a_sample_that_is_not_everything_says_so(shop: Setup) -> None:
    answer = (await _get(shop, "/api/analysis/bottlenecks?sample=10")).json()
    assert answer["traces"]["traces"] == 10
    assert "newest 10" in answer["notes"][0]
    first = answer["bottlenecks"][0]
    assert (first["service"], first["operation"]) == ("payment", "POST /pay")
    assert (await _get(shop, "/api/analysis/bottlenecks?sample=5000")).status_code == 422


async def test_latency_shows_every_step_and_the_heat_map(setup: Setup) -> None:
    for minute in range(3):
        setup.red.add("shop", NOW_S - 600 + 60 * minute, requests=10 * (minute + 1), ms=8.0)
    answer = (await _get(setup, "/api/latency?service=shop&minutes=10")).json()
    assert [point["requests"] for point in answer["points"]] == [10, 20, 30, *[0] * 7]
    assert answer["points"][0]["p95_ms"] == 8.192
    assert [bucket["lower_ms"] < 8.0 <= bucket["upper_ms"] for bucket in answer["buckets"]] == [True]
    assert [point["counts"] for point in answer["points"]][:3] == [[10], [20], [30]]
    one = (await _get(setup, "/api/latency?service=shop&operation=GET%20/&minutes=10&step_s=5")).json()
    assert (one["step_s"], one["operation"]) == (60, "GET /")
    fine = (await _get(setup, "/api/latency?service=shop&minutes=10&step_s=30")).json()
    assert [point["requests"] for point in fine["points"]][:3] == [10, 0, 20]


async def test_latency_of_what_was_never_counted_is_unknown(setup: Setup) -> None:
    setup.red.add("shop", NOW_S - 120)
    answer = (await _get(setup, "/api/latency?service=shop&minutes=10")).json()
    assert [point["requests"] for point in answer["points"]] == [None] * 8 + [10, 0]
    assert (await _get(setup, "/api/latency?service=nobody")).status_code == 404
    assert (await _get(setup, "/api/latency?service=shop&minutes=60&step_s=1")).status_code == 400
    assert (await _get(setup, "/api/latency?service=shop&minutes=525600&step_s=60")).status_code == 400
    assert (await _get(setup, "/api/latency")).status_code == 422


async def test_dependencies_are_the_busiest_first(setup: Setup) -> None:
    setup.red.calls = [
        (NOW_S - 10, Edge("shop", "bank", 5, 1, 100.0)),
        (NOW_S - 10, Edge("shop", "stock", 50, 0, 100.0)),
        (NOW_S - 7200, Edge("old", "shop", 500, 0, 100.0)),
    ]
    answer = (await _get(setup, "/api/dependencies")).json()
    assert answer["dependencies"] == [
        {"caller": "shop", "callee": "stock", "requests": 50, "errors": 0, "error_rate": 0.0, "mean_ms": 2.0},
        {"caller": "shop", "callee": "bank", "requests": 5, "errors": 1, "error_rate": 0.2, "mean_ms": 20.0},
    ]


async def test_the_map_says_for_how_many_seconds_somebody_counted(setup: Setup) -> None:
    assert (await _get(setup, "/api/dependencies")).json()["known_s"] is None
    setup.red.add("shop", NOW_S - 180, requests=2700)
    assert (await _get(setup, "/api/dependencies")).json()["known_s"] == pytest.approx(180, abs=1)
    assert (await _get(setup, "/api/dependencies?minutes=1")).json()["known_s"] == pytest.approx(60, abs=1)


async def test_services_and_operations_have_their_figures_of_a_range(setup: Setup) -> None:
    setup.red.add("shop", NOW_S - 120, requests=10, errors=2, ms=8.0)
    services = (await _get(setup, "/api/dependencies")).json()["services"]
    assert [(one["service"], one["requests"], one["error_rate"], one["p95_ms"]) for one in services] == [
        ("shop", 10, 0.2, 8.192)
    ]
    asked = (await _get(setup, "/api/latency/operations?service=shop&minutes=10")).json()
    assert [(one["operation"], one["requests"], one["p50_ms"]) for one in asked["operations"]] == [
        ("GET /", 10, 8.192)
    ]
    assert (await _get(setup, "/api/latency/operations?service=nobody")).json()["operations"] == []
    assert (await _get(setup, "/api/latency/operations")).status_code == 422
