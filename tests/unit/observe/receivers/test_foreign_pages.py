"""No page of another origin puts telemetry in, on whichever port of HTTP and however simple its request is."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from homeostat.observe.pipeline import Pipeline
from support.foreign import listening, refused

SPANS = b'[{"traceId": "7", "id": "1", "name": "get", "timestamp": 1772366400000000}]'


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with listening(tmp_path, otlp_http_port=0, jaeger_http_port=0, zipkin_port=0) as running:
        yield running


def _urls(pipeline: Pipeline) -> list[str]:
    http, jaeger, zipkin = pipeline.http_port, pipeline.foreign.jaeger_http, pipeline.foreign.zipkin
    places = (f"{zipkin}/api/v2/spans", f"{jaeger}/api/traces", f"{http}/v1/traces", f"{http}/api/v1/write")
    return [f"http://127.0.0.1:{place}" for place in places]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_foreign_page_is_refused_by_every_receiver(pipeline: Pipeline, origin: str) -> None:
    async with httpx2.AsyncClient() as client:
        answers = [await client.post(url, content=SPANS, headers={"origin": origin}) for url in _urls(pipeline)]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert await refused(pipeline, "foreign_page") == 4
    assert pipeline.counters.spans_received == 0


async def test_a_second_origin_does_not_hide_the_first(pipeline: Pipeline) -> None:
    headers = [("origin", "https://evil.example"), ("origin", "http://localhost:5173")]
    async with httpx2.AsyncClient() as client:
        assert (await client.post(_urls(pipeline)[0], content=SPANS, headers=headers)).status_code == 403


async def test_pages_of_this_machine_and_programs_may_send(pipeline: Pipeline) -> None:
    async with httpx2.AsyncClient() as client:
        for headers in ({"origin": "http://localhost:5173"}, {}):
            answer = await client.post(_urls(pipeline)[0], content=SPANS, headers=headers)
            assert answer.status_code == 202, answer.text
