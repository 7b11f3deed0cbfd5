"""Log records over HTTP: search, counts, context, patterns and files, on the real store."""

import csv
import io
import json
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pyarrow.parquet as pq
import pytest
from api_parts import BASE_URL, NOW, Setup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_support import Kept

from homeostat.api.app import create_api
from homeostat.api.log_columns import lines
from homeostat.api.log_search import LogFilter, severity_number, step_of
from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogQuery
from homeostat.core.models import Span, Trace
from support.spans import trace_hex
from support.telemetry import L

SPAN = (1).to_bytes(8, "big").hex()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "telemetry")


@pytest.fixture
async def client(setup: Setup, kept: Kept) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_api(kept.parts(setup)))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=10) as made:
        yield made


def a_span(trace: int, *, at: float, ms: float, service: str = "shop", span_id: str = SPAN) -> Span:
    return Span(
        trace_id=trace_hex(trace),
        span_id=span_id,
        parent_span_id=None,
        name="GET /",
        kind="server",
        service=service,
        start=NOW + timedelta(seconds=at),
        start_unix_nano=int((NOW.timestamp() + at) * 10**9),
        duration_ms=ms,
        status="ok",
    )


async def test_a_search_answers_the_newest_first_and_page_by_page(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(
        *(L(f"order {number}", at=-number, severity=17, attributes={"n": f"{number}"}) for number in range(1, 6))
    )
    kept.say(L("all is well", at=-1, service="bank"))
    page = (await client.get("/api/logs", params={"service": "shop", "limit": 3})).json()
    rest = (await client.get("/api/logs", params={"service": "shop", "cursor": page["next_cursor"]})).json()
    assert [record["body"] for record in page["records"] + rest["records"]] == [f"order {n}" for n in range(1, 6)]
    assert rest["next_cursor"] is None
    assert (page["records"][0]["severity"], page["records"][0]["attributes"]) == ("error", {"n": "1"})
    found = (await client.get("/api/logs", params={"attribute": ["n=2"], "text": "ORDER"})).json()["records"]
    assert [record["body"] for record in found] == ["order 2"]
    assert not (await client.get("/api/logs", params={"min_severity": "fatal"})).json()["records"]


async def test_a_trace_is_searched_for_in_everything_that_is_stored(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(L("long ago", at=-5 * 86_400, trace=7))
    assert not (await client.get("/api/logs")).json()["records"]
    (record,) = (await client.get("/api/logs", params={"trace_id": trace_hex(7).upper()})).json()["records"]
    assert (record["body"], record["span_id"]) == ("long ago", SPAN)
    assert not (await client.get("/api/logs", params={"trace_id": trace_hex(7), "minutes": 5})).json()["records"]


@pytest.mark.parametrize(
    ("path", "params", "remedy"),
    [
        ("", {"cursor": "nonsense"}, "next_cursor"),
        ("", {"trace_id": "xyz"}, "32 hexadecimal"),
        ("", {"span_id": "12 4567812345678"}, "16 hexadecimal"),
        ("", {"attribute": "novalue"}, "key=value"),
        ("", {"min_severity": "loud"}, "debug, info, warn"),
        ("", {"min_severity": "25"}, "0 to 24"),
        ("", {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, "Swap"),
        ("/export", {"format": "xlsx"}, "ndjson, csv, parquet"),
        ("/export", {"trace_id": "zz"}, "32 hexadecimal"),
        ("/counts", {"minutes": 525_600, "step_s": 1}, "step_s="),
        ("/context", {}, "trace_id"),
        ("/context", {"span_id": SPAN}, "trace_id"),
        ("/context", {"trace_id": "0" * 32, "time": "2026-03-01T00:00:00Z", "service": "shop"}, "Around which"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_with_what_to_do(
    client: httpx2.AsyncClient, path: str, params: dict[str, str], remedy: str
) -> None:
    answer = await client.get(f"/api/logs{path}", params=params)
    assert answer.status_code == 400, answer.text
    assert remedy in answer.json()["detail"]


async def test_counts_are_of_every_match_and_say_their_steps(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(*(L("x", at=-60 - n / 100, severity=17 if n % 2 else 9) for n in range(500)), L("y", at=-300))
    counts = (await client.get("/api/logs/counts", params={"minutes": 10})).json()
    assert (counts["total"], counts["totals"], counts["step_s"]) == (501, {"info": 251, "error": 250}, 10)
    assert len(counts["steps"]) == 60
    assert sum(step["total"] for step in counts["steps"]) == 501
    one = (await client.get("/api/logs/counts", params={"minutes": 10, "step_s": 600, "text": "y"})).json()
    assert [(step["time"], step["counts"]) for step in one["steps"]] == [("2026-03-01T11:50:00Z", {"info": 1})]


async def test_the_context_of_a_span_is_its_records_its_traces_and_its_services(
    client: httpx2.AsyncClient, kept: Kept, setup: Setup
) -> None:
    other = "00000000000000aa"
    spans = (a_span(1, at=-100, ms=2000), a_span(1, at=-99, ms=10, service="bank", span_id=other))
    setup.telemetry.stored[trace_hex(1)] = Trace(trace_id=trace_hex(1), spans=spans)
    kept.say(L("mine", at=-99, trace=1), L("neighbour", at=-98.5, trace=2), L("before", at=-104), L("no", at=-90))
    kept.say(L("elsewhere", at=-98.995, service="bank"), L("later", at=-50, trace=1))
    asked = {"trace_id": trace_hex(1), "span_id": SPAN}
    answer = (await client.get("/api/logs/context", params=asked)).json()
    assert [(entry["relation"], entry["record"]["body"]) for entry in answer["entries"]] == [
        ("service", "before"),
        ("span", "mine"),
        ("service", "neighbour"),
        ("span", "later"),
    ]
    assert (answer["service"], answer["end"], answer["notes"]) == ("shop", "2026-03-01T11:58:22Z", [])
    of_other = (await client.get("/api/logs/context", params=asked | {"span_id": other, "seconds": 0})).json()
    assert [(e["relation"], e["record"]["body"]) for e in of_other["entries"]] == [
        ("trace", "mine"),
        ("service", "elsewhere"),
        ("trace", "later"),
    ]


async def test_a_trace_that_was_not_kept_has_a_context_all_the_same(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(L("mine", at=-99, trace=1), L("near", at=-98))
    answer = (await client.get("/api/logs/context", params={"trace_id": trace_hex(1)})).json()
    assert [entry["relation"] for entry in answer["entries"]] == ["trace", "service"]
    assert "log records only" in answer["notes"][0]
    nothing = (await client.get("/api/logs/context", params={"trace_id": trace_hex(9)})).json()
    assert (nothing["start"], nothing["service"], nothing["entries"]) == (None, None, [])


async def test_a_moment_of_a_service_has_a_context_too(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(*(L(f"at {at}", at=-at) for at in range(20)))
    asked = {"service": "shop", "time": "2026-03-01T11:59:50Z", "seconds": 2, "limit": 2}
    answer = (await client.get("/api/logs/context", params=asked)).json()
    assert [entry["record"]["body"] for entry in answer["entries"]] == ["at 12", "at 11", "at 9", "at 8"]
    assert "more records of the service" in answer["notes"][0]


async def _export(client: httpx2.AsyncClient, form: str) -> httpx2.Response:
    answer = await client.get("/api/logs/export", params={"format": form, "minutes": 60})
    assert answer.status_code == 200, answer.text
    name = f'attachment; filename="homeostat-logs-20260301T110000Z-20260301T120000Z.{form}"'
    assert answer.headers["content-disposition"] == name
    return answer


TRICKY = 'line one\nline "two", Ärger 🙂\t=1+1'


@pytest.mark.parametrize("count", [0, 1, 6_000])
async def test_every_format_has_every_record_newest_first(client: httpx2.AsyncClient, kept: Kept, count: int) -> None:
    said = [L(f"{number} {TRICKY}", at=-1 - number / 1000, attributes={"k,": '"v"'}) for number in range(count)]
    if said:
        kept.say(*said)
    bodies = [record.body for record in said]
    lines = (await _export(client, "ndjson")).content.decode().splitlines()
    assert [json.loads(line)["body"] for line in lines] == bodies
    rows = list(csv.DictReader(io.StringIO((await _export(client, "csv")).content.decode(), newline="")))
    assert [row["body"] for row in rows] == bodies
    assert all(json.loads(row["attributes"]) == {"k,": '"v"'} for row in rows)
    table = pq.read_table(io.BytesIO((await _export(client, "parquet")).content))
    assert table["body"].to_pylist() == bodies
    assert table.column_names[:3] == ["id", "time", "time_unix_nano"]
    if said:
        assert table["attributes"][0].as_py() == [("k,", '"v"')]
        assert table["time"][0].as_py() == NOW - timedelta(seconds=1)


@given(
    st.lists(
        st.builds(
            L,
            body=st.text(),
            at=st.integers(-3_600_000_000, -1).map(lambda micros: micros / 1e6),
            service=st.text(min_size=1),
            severity=st.integers(0, 24),
            trace=st.sampled_from([None, 1, 2**127]),
            attributes=st.dictionaries(st.text(min_size=1), st.text(), max_size=4),
        ),
        max_size=6,
    )
)
@settings(deadline=None, max_examples=60)
async def test_a_line_is_what_the_record_itself_would_write(said: list[L]) -> None:
    with TemporaryDirectory() as folder:
        kept = Kept(Path(folder))
        if said:
            kept.say(*said)
        query = LogQuery(start=NOW - timedelta(hours=2), end=NOW, limit=100)
        written = [line async for part in kept.logs.export(query) for line in lines(part)]
        assert written == [record.model_dump_json() for record in (await kept.logs.logs(query)).records]
        kept.logs.close()
        kept.metrics.close()


async def test_patterns_are_answered_with_their_trend_and_examples(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.say(*(L(f"order {n} paid after {n} ms", at=-n, trace=n) for n in range(1, 31)))
    kept.say(*(L(f"order {n} paid after {n}ms", at=-900 - n) for n in range(1, 11)), L("boom", at=-5, severity=17))
    answer = (await client.get("/api/logs/patterns")).json()
    assert (answer["records_total"], answer["previous_total"], answer["sampled"]) == (31, 10, False)
    first, second = answer["patterns"]
    assert first["template"] == "order <NUM> paid after <DURATION>"
    assert (first["count"], first["previous_count"], first["change"], first["is_new"]) == (30, 10, 2.0, False)
    assert (second["template"], second["severity"], second["is_new"]) == ("boom", "error", True)
    assert [example["body"] for example in first["examples"]] == [f"order {n} paid after {n} ms" for n in (1, 2, 3)]
    assert sum(first["timeline"]) == 30
    assert first["last_seen"] == "2026-03-01T11:59:59Z"


async def test_without_stores_it_says_so(setup: Setup) -> None:
    async with setup.client() as bare:
        for path in ("/api/logs", "/api/logs/export", "/api/metrics-catalog"):
            answer = await bare.get(path)
            assert answer.status_code == 503
            assert "homeostat up" in answer.json()["detail"]


@given(st.text(max_size=30))
def test_a_severity_is_a_number_of_opentelemetry_or_refused(text: str) -> None:
    try:
        number = severity_number(text)
    except BadRequestError:
        return
    assert 0 <= number <= 24


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2199, 1, 1)).map(lambda time: time.replace(tzinfo=NOW.tzinfo))


@given(MOMENTS, MOMENTS, st.integers(1, 500))
def test_steps_that_are_chosen_cover_the_time_in_about_as_many_as_wanted(
    a: datetime, b: datetime, steps: int
) -> None:
    since, until = sorted([a, b])
    step_s = step_of(since, until, None, steps=steps)
    count = (until - since).total_seconds() / step_s
    assert count <= steps
    assert step_s == 1 or count > steps / 4


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(st.text(max_size=20), st.none())
            for name in ("text", "service", "min_severity", "trace_id", "span_id")
        }
        | {"attribute": st.lists(st.text(max_size=8), max_size=3), "minutes": st.integers(1, 525_600)},
    )
)
def test_any_condition_is_a_query_or_a_bad_request(given_: dict[str, object]) -> None:
    try:
        query = LogFilter.model_validate(given_).query(NOW)
    except BadRequestError:
        return
    assert query.start <= query.end
