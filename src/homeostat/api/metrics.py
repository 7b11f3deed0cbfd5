"""``GET /metrics``: Homeostat's own numbers for Prometheus, and the names that IAC Dharma documents."""

from collections import Counter
from collections.abc import Sequence

import psutil
from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from homeostat import __version__
from homeostat.api.context import Context, Here
from homeostat.api.exposition import CONTENT_TYPE, Exposition
from homeostat.api.span_metrics import span_metrics
from homeostat.background import Background
from homeostat.core.models import IngestCounters, ServiceStatus, StorageStatus
from homeostat.detect.health import ServiceHealth
from homeostat.observe.receivers.prometheus_scrape import TargetState
from homeostat.observe.slo import SloService

router = APIRouter()

NOT_OF_SPANS = frozenset({"invalid_point", "invalid_log_record", "log_record_id", "prometheus_histogram", "scrape"})
"""Reasons that are about single metric points and log records."""

REMEDIATION_BOUNDS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@router.get("/metrics", response_class=PlainTextResponse, tags=["overview"])
async def metrics(here: Here) -> PlainTextResponse:
    """Prometheus text. What is not known is absent."""
    return PlainTextResponse(await exposition(here), media_type=CONTENT_TYPE)


async def exposition(here: Context) -> str:
    """The text, for ``/metrics`` of the API and of the Prometheus port."""
    await here.tally.ready()
    out = Exposition()
    _process(out)
    _ingest(out, here.parts.ingest(), await here.storage())
    services, overall = here.health()
    _services(out, services)
    _loop(out, here)
    _self_healing(out, here, overall.score)
    _scrapes(out, here.parts.scrapes())
    _tasks(out, here.background)
    await to_thread.run_sync(_disk, out, here)
    await to_thread.run_sync(_spans, out, here)  # its many lines would keep the event loop waiting
    return out.text()


def _scrapes(out: Exposition, states: Sequence[TargetState]) -> None:
    """Counters of each target; two of one job and host are one series."""
    scrapes: Counter[tuple[str, str]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    for state in states:
        key = state.target.job, state.target.url
        scrapes[key] += state.scrapes
        failures[key] += state.failures
    for name, help_text, counts in (
        ("homeostat_scrapes_total", "Scrapes of a target.", scrapes),
        ("homeostat_scrape_failures_total", "Scrapes of a target that failed.", failures),
    ):
        rows = [({"job": job, "url": url}, counts[job, url]) for job, url in scrapes]
        out.family(name, "counter", help_text, rows)


def _tasks(out: Exposition, background: Background) -> None:
    out.family(
        "homeostat_task_failures_total",
        "counter",
        "Failures of background tasks, each of which began anew.",
        [({"task": task}, count) for task, count in sorted(background.failures().items())],
    )


def _disk(out: Exposition, here: Context) -> None:
    try:
        lanes = here.parts.lane_bytes()
    except OSError:
        return  # not known is absent; the state of the storage says why
    rows = [({"lane": lane}, size) for lane, size in lanes.items()]
    out.family("homeostat_storage_lane_bytes", "gauge", "Bytes on disk, by kind of telemetry.", rows)


def _spans(out: Exposition, here: Context) -> None:
    parts = here.parts
    if parts.slos is not None:
        out.family(
            "observability_slo_violations_total",
            "counter",
            "Burn alerts of objectives that began.",
            [
                ({"slo_name": name, "severity": severity}, count)
                for (name, severity), count in sorted(parts.slos.violations().items())
            ],
        )
    if parts.span_totals is not None:
        span_metrics(out, parts.span_totals(), _thresholds_ms(parts.slos))


def _thresholds_ms(slos: SloService | None) -> list[float]:
    """Where objectives divide quick from slow."""
    if slos is None:
        return []
    return [slo.sli.threshold_ms for slo in slos.book.all() if slo.sli.threshold_ms]


def _process(out: Exposition) -> None:
    process = psutil.Process()
    with process.oneshot():
        cpu = process.cpu_times()
        out.counter("process_cpu_seconds_total", "User and system CPU time in seconds.", cpu.user + cpu.system)
        out.gauge("process_resident_memory_bytes", "Resident memory in bytes.", process.memory_info().rss)
        out.gauge("process_start_time_seconds", "Start time, Unix seconds.", process.create_time())
    out.family("homeostat_info", "gauge", "The version that runs.", [({"version": __version__}, 1)])


def _ingest(out: Exposition, ingest: IngestCounters, storage: StorageStatus) -> None:
    out.counter("homeostat_ingest_requests_total", "Export requests acknowledged.", ingest.requests)
    out.counter("homeostat_spans_received_total", "Spans acknowledged.", ingest.spans_received)
    out.counter("homeostat_spans_stored_total", "Spans stored.", ingest.spans_stored)
    out.counter(
        "homeostat_spans_sampled_out_total",
        "Spans of traces that were not kept; they count in rates, topology and objectives all the same.",
        ingest.spans_sampled_out,
    )
    out.counter(
        "homeostat_traces_kept_undecided_total",
        "Traces that were kept because the policies of sampling failed.",
        ingest.traces_kept_undecided,
    )
    out.counter(
        "homeostat_metric_points_received_total", "Metric points acknowledged.", ingest.metric_points_received
    )
    out.counter("homeostat_log_records_received_total", "Log records acknowledged.", ingest.log_records_received)
    out.family(
        "homeostat_request_duplicates_total",
        "counter",
        "Requests that came again within ten minutes and were neither stored nor counted again.",
        [({"signal": signal}, count) for signal, count in sorted(ingest.request_duplicates.items())],
    )
    refused = [({"reason": reason}, count) for reason, count in sorted(ingest.refused.items())]
    out.family(
        "homeostat_spans_refused_total",
        "counter",
        "What was wrong with spans, or with requests as a whole, by reason.",
        [(labels, count) for labels, count in refused if labels["reason"] not in NOT_OF_SPANS],
    )
    out.family(
        "homeostat_ingest_refused_total",
        "counter",
        "Requests refused (zero_id, id_length, invalid_point, invalid_log_record: single ones), by reason.",
        refused,
    )
    out.gauge("homeostat_storage_used_bytes", "Bytes of telemetry on disk.", storage.used_bytes)
    out.gauge("homeostat_storage_free_bytes", "Bytes left on the disk.", storage.free_bytes)
    full = {"ok": 0, "failing": 0, "full": 1}.get(storage.state)
    out.gauge("homeostat_storage_full", "1 while nothing can be acknowledged for lack of room.", full)


def _services(out: Exposition, services: list[ServiceHealth]) -> None:
    names = [{"service": service.service} for service in services]

    def gauge(name: str, help_text: str, values: list[float | None]) -> None:
        out.family(name, "gauge", help_text, zip(names, values, strict=True))

    gauge(
        "homeostat_service_request_rate",
        "Requests per second over the last minute.",
        [service.request_rate for service in services],
    )
    gauge(
        "homeostat_service_error_rate",
        "Share of the requests that failed, 0..1.",
        [service.error_rate for service in services],
    )
    gauge(
        "homeostat_service_latency_p95_ms",
        "95th percentile of the duration in milliseconds.",
        [service.latency_p95_ms for service in services],
    )
    gauge(
        "homeostat_service_up",
        "1 healthy or degraded, 0 down; absent when unknown.",
        [
            None if service.status is ServiceStatus.UNKNOWN else service.status != ServiceStatus.DOWN
            for service in services
        ],
    )


def _loop(out: Exposition, here: Context) -> None:
    counts = here.tally.counts()
    out.counter("homeostat_issues_total", "Issues opened.", counts.issues_total)
    out.gauge("homeostat_issues_open", "Issues open now.", counts.issues_open)
    out.counter("homeostat_plans_total", "Plans made.", counts.plans_total)
    statuses = [({"status": status.value}, count) for status, count in sorted(here.tally.runs_by_status().items())]
    out.family("homeostat_runs", "gauge", "Runs on record, by status.", statuses)
    out.counter("homeostat_rearmed_total", "Runs whose change was put back after recovery.", counts.rearmed)
    out.counter("homeostat_escalated_total", "Incidents handed to a person.", counts.escalated)
    out.gauge("homeostat_live_connections", "WebSocket clients of /api/live.", here.live_connections)


def _self_healing(out: Exposition, here: Context, score: int | None) -> None:
    counts = here.tally.counts()
    finished = counts.runs_verified + counts.runs_failed
    out.counter("self_healing_issues_detected_total", "Issues detected.", counts.issues_total)
    out.counter("self_healing_remediations_total", "Remediations begun.", counts.runs_total)
    out.gauge(
        "self_healing_remediation_success_rate",
        "Share of the finished remediations that helped, 0..1.",
        counts.runs_verified / finished if finished else None,
    )
    out.histogram(
        "self_healing_remediation_duration_seconds",
        "From intent to verdict, of verified remediations.",
        REMEDIATION_BOUNDS_S,
        here.tally.healing_durations_s(),
    )
    out.gauge("self_healing_health_score", "Overall health, 0..100.", score)
