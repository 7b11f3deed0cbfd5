"""``/metrics`` is what Prometheus reads: its parser takes it, promtool finds nothing wrong, the names are kept."""

import shutil

import anyio
import httpx2
import numpy as np
import pytest
from api_parts import Setup
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from homeostat.api.app import create_api
from homeostat.api.exposition import Exposition
from homeostat.api.prometheus_app import prometheus_app
from homeostat.api.span_metrics import OPERATIONS_MAX, OTHER, span_metrics
from homeostat.core.config import ScrapeTarget
from homeostat.core.models import IngestCounters
from homeostat.core.red import HISTOGRAM_BUCKETS
from homeostat.core.totals import SpanTotals
from homeostat.observe.receivers.prometheus_scrape import TargetState
from homeostat.observe.red import Red, RedLimits
from support.spans import CLIENT, HandClock, S, table

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def samples_of(text: str) -> Samples:
    """Value by sample name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sorted(sample.labels.items()))
            assert key not in found.setdefault(sample.name, {}), f"{sample.name} {key} is there twice"
            found[sample.name][key] = sample.value
    return found


def _some_spans() -> SpanTotals:
    red = Red(HandClock())
    spans = [S(trace=n, span=n, ms=float(n), error=n % 10 == 0, at=-1) for n in range(1, 101)]
    spans += [S(trace=1, span=200, parent=1, kind=CLIENT), S(trace=200, span=201, service='b "x"\n', name="ping\\")]
    red.fold(table(spans))
    return red.totals()


def _text(totals: SpanTotals, thresholds_ms: list[float] | None = None) -> str:
    out = Exposition()
    span_metrics(out, totals, thresholds_ms or [])
    return out.text()


def test_spans_are_counted_by_service_operation_and_status() -> None:
    found = samples_of(_text(_some_spans()))
    calls = found["traces_span_metrics_calls_total"]
    shop = (("service_name", "shop"), ("span_name", "GET /"))
    assert calls[(*shop, ("status_code", "STATUS_CODE_ERROR"))] == 10
    assert calls[(*shop, ("status_code", "STATUS_CODE_UNSET"))] == 90
    assert calls[("service_name", 'b "x"\n'), ("span_name", "ping\\"), ("status_code", "STATUS_CODE_UNSET")] == 1
    assert found["observability_traces_total"] == {(("service", "shop"),): 100, (("service", 'b "x"\n'),): 1}
    assert found["observability_spans_total"][(("span_kind", "client"),)] == 1
    assert found["observability_spans_total"][(("span_kind", "server"),)] == 101


def test_durations_are_a_histogram_whose_edges_name_the_thresholds_of_objectives() -> None:
    found = samples_of(_text(_some_spans(), [70.0]))
    buckets = found["traces_span_metrics_duration_milliseconds_bucket"]
    at = {dict(labels)["le"]: count for labels, count in buckets.items() if dict(labels)["service_name"] == "shop"}
    assert at["+Inf"] == 100
    assert abs(at["50"] - 50) <= 3
    assert abs(at["70"] - 70) <= 3
    assert at["15000"] == 100
    seconds = found["observability_trace_duration_seconds_sum"][(("service", "shop"),)]
    assert abs(seconds - 5.05) < 0.001


@given(
    st.lists(st.integers(0, 1000), min_size=HISTOGRAM_BUCKETS, max_size=HISTOGRAM_BUCKETS),
    st.integers(0, HISTOGRAM_BUCKETS - 1),
    st.lists(st.floats(0.0001, 1e7), max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_no_bucket_ever_falls_and_buckets_grow_with_their_edges(
    counts: list[int], more_at: int, thresholds_ms: list[float]
) -> None:
    def totals(histogram: list[int]) -> SpanTotals:
        row = np.array([histogram], dtype=np.int64)
        one = np.array([sum(histogram)], dtype=np.int64)
        return SpanTotals((("s", "o"),), one, one * 0, one * 1.0, row, (), one[:0] * 1.0, row[:0], (0,) * 6)

    more = list(counts)
    more[more_at] += 1
    if not sum(counts):
        return
    name = "traces_span_metrics_duration_milliseconds_bucket"
    before = list(samples_of(_text(totals(counts), thresholds_ms))[name].values())
    after = list(samples_of(_text(totals(more), thresholds_ms))[name].values())
    assert before == sorted(before)
    assert before[-1] == sum(counts)
    assert all(new >= old for new, old in zip(after, before, strict=True))


def test_operations_beyond_the_bound_are_counted_together_and_none_is_lost() -> None:
    red = Red(HandClock(), RedLimits(operations=2 * OPERATIONS_MAX))
    spans = [S(trace=n, span=n, name=f"GET /{n}", service=f"s{n % 3}") for n in range(1, OPERATIONS_MAX + 101)]
    red.fold(table([*spans, S(trace=9999, span=1, name=OTHER, service="s1")]))
    found = samples_of(_text(red.totals()))["traces_span_metrics_calls_total"]
    assert sum(found.values()) == OPERATIONS_MAX + 101
    names = {labels[:2] for labels in found}
    assert OPERATIONS_MAX < len(names) <= OPERATIONS_MAX + 3
    assert len(_text(red.totals())) < 2 << 20


async def test_what_came_in_was_sampled_out_and_refused_is_told(setup: Setup) -> None:
    setup.ingest = IngestCounters(
        spans_received=100,
        spans_sampled_out=60,
        traces_kept_undecided=4,
        metric_points_received=7,
        log_records_received=3,
        refused={"invalid_span": 2, "invalid_point": 5, "malformed": 1},
    )
    async with setup.client(span_totals=_some_spans) as client:
        found = samples_of((await client.get("/metrics")).text)
    assert found["homeostat_spans_sampled_out_total"][()] == 60
    assert found["homeostat_traces_kept_undecided_total"][()] == 4
    assert found["homeostat_metric_points_received_total"][()] == 7
    assert found["homeostat_log_records_received_total"][()] == 3
    assert found["homeostat_spans_refused_total"] == {(("reason", "invalid_span"),): 2, (("reason", "malformed"),): 1}
    assert found["homeostat_ingest_refused_total"][(("reason", "invalid_point"),)] == 5
    assert sum(found["traces_span_metrics_calls_total"].values()) == 101


async def test_the_port_for_prometheus_shows_the_same_and_nothing_else(setup: Setup) -> None:
    api = create_api(setup.parts(span_totals=_some_spans))
    async with api.router.lifespan_context(api):
        transport = httpx2.ASGITransport(prometheus_app(api.state.context))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8889") as client:
            answer = await client.get("/metrics")
            other = await client.get("/api/services")
            foreign = await client.get("/metrics", headers={"host": "evil.example"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert sum(samples_of(answer.text)["traces_span_metrics_calls_total"].values()) == 101
    assert (other.status_code, foreign.status_code) == (404, 403)


async def test_scrapes_of_targets_are_told_and_counted(setup: Setup) -> None:
    target = ScrapeTarget(job="node", url="http://127.0.0.1:9100/metrics")
    states = [TargetState(target, up=False, error="refused", scrapes=3, failures=2), TargetState(target)]
    async with setup.client(scrapes=lambda: states, lane_bytes=lambda: {"metrics": 7}) as client:
        found = samples_of((await client.get("/metrics")).text)
        listed = (await client.get("/api/scrapes")).json()
    labels = (("job", "node"), ("url", "http://127.0.0.1:9100/metrics"))
    assert found["homeostat_scrapes_total"] == {labels: 3}
    assert found["homeostat_scrape_failures_total"] == {labels: 2}
    assert found["homeostat_storage_lane_bytes"] == {(("lane", "metrics"),): 7}
    assert [(one["up"], one["error"]) for one in listed] == [(False, "refused"), (None, "")]


@pytest.mark.parametrize("url", ["node:9100", "ftp://node/metrics", "http://", "/metrics"])
def test_a_target_that_is_no_http_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValidationError, match="write an address such as"):
        ScrapeTarget(job="node", url=url)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
async def test_promtool_finds_nothing_wrong(setup: Setup) -> None:
    async with setup.client(span_totals=_some_spans) as client:
        text = (await client.get("/metrics")).text
    with anyio.fail_after(30):
        checked = await anyio.run_process(["promtool", "check", "metrics"], input=text.encode(), check=False)
    problems = [
        line
        for line in (checked.stdout + checked.stderr).decode().splitlines()
        if not line.startswith(("traces_span_metrics_duration_milliseconds use base unit",))
    ]
    assert problems == [], "the collector's name has its unit in milliseconds; everything else must be clean"
