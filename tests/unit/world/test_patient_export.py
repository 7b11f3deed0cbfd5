"""Spans wait while Homeostat is away, within bounds."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from homeostat.world import exporter
from homeostat.world.exporter import PatientExporter
from support.homeostat_double import HomeostatDouble
from support.world_clock import HandClock


@pytest.fixture
def homeostat() -> Iterator[HomeostatDouble]:
    double = HomeostatDouble()
    double.start()
    yield double
    double.close()


def span(name: str) -> list[ReadableSpan]:
    made = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span(name)
    made.end()
    assert isinstance(made, ReadableSpan)
    return [made]


def names(homeostat: HomeostatDouble) -> list[str]:
    return [seen.name for seen in homeostat.spans()]


def test_what_happened_while_homeostat_was_away_is_told_afterwards_in_order(homeostat: HomeostatDouble) -> None:
    export = PatientExporter(homeostat.url, HandClock().monotonic)
    assert export.export(span("before")) is SpanExportResult.SUCCESS
    homeostat.stop()
    assert export.export(span("first")) is SpanExportResult.FAILURE
    assert export.export(span("second")) is SpanExportResult.FAILURE
    homeostat.start()
    assert export.export(span("after")) is SpanExportResult.SUCCESS
    assert names(homeostat) == ["before", "first", "second", "after"]
    export.shutdown()


def test_a_server_that_is_full_is_asked_again_after_the_time_it_named(homeostat: HomeostatDouble) -> None:
    clock = HandClock()
    export = PatientExporter(homeostat.url, clock.monotonic)
    homeostat.trace_status = 503
    export.export(span("one"))
    homeostat.trace_status = 200
    assert export.export(span("two")) is SpanExportResult.FAILURE
    assert names(homeostat) == []
    clock.pass_s(1.1)
    assert export.force_flush()
    assert names(homeostat) == ["one", "two"]
    export.shutdown()


def test_a_batch_that_is_refused_for_good_does_not_hold_up_the_others(homeostat: HomeostatDouble) -> None:
    export = PatientExporter(homeostat.url, HandClock().monotonic)
    homeostat.trace_status = 400
    export.export(span("bad"))
    homeostat.trace_status = 200
    export.export(span("good"))
    assert names(homeostat) == ["good"]
    assert export.dropped_batches == 1
    export.shutdown()


def test_the_backlog_is_bounded_and_the_oldest_go_first(
    homeostat: HomeostatDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "BACKLOG_BYTES_MAX", 1_000)
    export = PatientExporter(homeostat.url, HandClock().monotonic)
    homeostat.stop()
    for number in range(20):
        export.export(span(f"span {number}"))
    homeostat.start()
    export.force_flush()
    kept = names(homeostat)
    assert 0 < len(kept) < 20
    assert kept[-1] == "span 19"
    assert export.dropped_batches == 20 - len(kept)
    export.shutdown()
