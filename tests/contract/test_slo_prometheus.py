"""One objective over the same data: by a real Prometheus with the rules that Homeostat writes, and by Homeostat."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from homeostat.core.models import Severity
from homeostat.core.red import HISTOGRAM_BUCKETS, RedMinutes, share_within
from homeostat.core.slo import BurnRule, Comparison, Selector, Sli, SliKind, Slo, SloStatus
from homeostat.observe.red import histogram_index
from homeostat.observe.slo.definitions import default_slos
from homeostat.observe.slo.evaluate import evaluate
from homeostat.observe.slo.indicator import red_minutes
from homeostat.observe.slo.minutes import Minutes
from homeostat.observe.slo.prometheus_rules import BUCKETS, CALLS, error_ratio, prometheus_rules
from homeostat.observe.slo.windows import burn_windows_s, duration_text

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not installed (Debian package prometheus)",
)

THRESHOLD_MS = 300.0
DAYS = 30
DAY = 24 * 60
MINUTES = DAYS * DAY
PER_MINUTE = 100
DEADLINE_S = 60.0
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def an_slo(kind: SliKind, **more: object) -> Slo:
    """An objective on the service ``shop``."""
    fields: dict[str, object] = {
        "id": f"slo-{kind.value.replace('_', '-')}",
        "name": f'Shop {kind.value} {{{{odd}}}} "name"',
        "service": "shop",
        "target": 0.99,
        "sli": Sli(kind=kind, threshold_ms=THRESHOLD_MS if kind is SliKind.LATENCY else None),
        "created_at": CREATED,
    }
    return Slo.model_validate(fields | more)


AVAILABILITY = an_slo(SliKind.AVAILABILITY)
LATENCY = an_slo(SliKind.LATENCY)
SLICES = an_slo(SliKind.AVAILABILITY, id="slo-slices", slice_target=0.9)


@dataclass(frozen=True)
class Traffic:
    """Requests by the minute, with every duration: both sides are told the same of it."""

    end_s: int
    errors: np.ndarray[Any, np.dtype[np.int64]]
    durations_ms: np.ndarray[Any, np.dtype[np.float64]]  # a row per minute; NaN: no request

    @classmethod
    def of(cls, end_s: int, minutes: int) -> "Traffic":
        """A daily wave, an outage of an hour, a slow afternoon, ten quiet minutes, and trouble at the very end."""
        chance = np.random.default_rng(7)
        wave = 0.6 + 0.4 * np.sin(np.arange(minutes) * 2 * np.pi / 1440)
        served = chance.random((minutes, PER_MINUTE)) < wave[:, np.newaxis]
        served[-200:-190] = False
        durations = chance.lognormal(4.6, 0.7, (minutes, PER_MINUTE))
        durations[minutes // 2 : minutes // 2 + 240] *= 2
        share = np.full(minutes, 0.004)
        share[minutes // 3 : minutes // 3 + 60] = 0.5
        share[-40:] = 0.3
        requests = served.sum(axis=1)
        return cls(end_s, chance.binomial(requests, share), np.where(served, durations, np.nan))

    @property
    def requests(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.isfinite(self.durations_ms).sum(axis=1)

    @property
    def start_s(self) -> int:
        return self.end_s - 60 * len(self.errors)

    def told_to_homeostat(self, slo: Slo) -> Minutes:
        """RED by the minute, durations in exponential buckets."""
        minute, place = np.nonzero(np.isfinite(self.durations_ms))
        buckets = histogram_index((self.durations_ms[minute, place] * 1e6).astype(np.int64))
        histogram = np.zeros((len(self.errors), HISTOGRAM_BUCKETS), np.int32)
        np.add.at(histogram, (minute, buckets), 1)
        starts = self.start_s + 60 * np.arange(len(self.errors), dtype=np.int64)
        within = histogram @ share_within(THRESHOLD_MS)
        sums = np.zeros(len(self.errors))
        red = RedMinutes("shop", None, starts, self.requests, self.errors, sums, histogram, within)
        kept = Minutes(MINUTES + 1)
        kept.replace(self.start_s // 60, self.end_s // 60, red_minutes(slo.sli, red))
        return kept

    def series(self) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
        """Counters as they stand at each minute's edge, the first one included."""
        fast = (self.durations_ms <= THRESHOLD_MS).sum(axis=1)
        shop = 'service_name="shop",span_name="GET /"'
        increases = {
            f'{CALLS}{{{shop},status_code="STATUS_CODE_ERROR"}}': self.errors,
            f'{CALLS}{{{shop},status_code="STATUS_CODE_UNSET"}}': self.requests - self.errors,
            f'{BUCKETS}{{{shop},le="{THRESHOLD_MS:g}"}}': fast,
            f'{BUCKETS}{{{shop},le="+Inf"}}': self.requests,
        }
        return {name: np.concatenate(([0], np.cumsum(one))) for name, one in increases.items()}

    def judged(self, slo: Slo, at_s: int | None = None) -> SloStatus:
        """By Homeostat, in the last second before a minute's edge."""
        now = datetime.fromtimestamp((self.end_s if at_s is None else at_s) - 1, UTC)
        return evaluate(slo, self.told_to_homeostat(slo), now, covered_s=slo.window.total_seconds())


@contextmanager
def prometheus(folder: Path, traffic: Traffic) -> Generator[Callable[[str], float]]:
    """A Prometheus with the traffic in its database; answers an expression at the traffic's end."""
    data = folder / "data"
    for first in range(0, len(traffic.errors) + 1, DAY):  # promtool reads a file anew for every two hours in it
        _load(folder / "day.om", data, traffic, slice(first, first + DAY))
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, folder / "log")
            yield lambda expression: _ask(port, expression, traffic.end_s)
        finally:
            process.terminate()
            process.wait(20)


def _load(file: Path, data: Path, traffic: Traffic, part: slice) -> None:
    """Some of the minutes into the database."""
    times = range(traffic.start_s, traffic.end_s + 60, 60)[part]
    with file.open("w") as out:
        for family, kind in ((CALLS.removesuffix("_total"), "counter"), (BUCKETS, "unknown")):
            out.write(f"# TYPE {family} {kind}\n")
            for name, values in traffic.series().items():
                if name.startswith(family):
                    rows = zip(values[part].tolist(), times, strict=True)
                    out.writelines(f"{name} {value} {at}\n" for value, at in rows)
        out.write("# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", file, data]
    subprocess.run(command, check=True, timeout=DEADLINE_S, stdout=subprocess.DEVNULL)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


def _ask(port: int, expression: str, at_s: int) -> float:
    body = urllib.parse.urlencode({"query": expression, "time": at_s}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query", body, timeout=60) as response:
        answer = json.load(response)["data"]["result"]
    assert len(answer) == 1, f"{expression} has {len(answer)} results"
    return float(answer[0]["value"][1])


@needs_prometheus
def test_a_month_of_minutes_comes_to_the_same_budget_and_burn_rates(tmp_path: Path) -> None:
    traffic = Traffic.of(int(time.time()) // 7200 * 7200, MINUTES)
    with prometheus(tmp_path, traffic) as ask:
        for slo in (AVAILABILITY, LATENCY, SLICES):
            ours = traffic.judged(slo)
            bad = ask(error_ratio(slo, f"{DAYS}d"))
            assert ours.current == pytest.approx(1 - bad, rel=1e-3), slo.id
            assert ours.error_budget_true_remaining == pytest.approx(1 - bad / (1 - slo.target), rel=1e-2), slo.id
            theirs = {window: ask(error_ratio(slo, duration_text(window))) for window in burn_windows_s(slo)}
            bad_shares = {rate.window_s: (rate.total - rate.good) / rate.total for rate in ours.burn_rates}
            for window, share in theirs.items():
                # Of 300 requests in five minutes it shows where one lies in its bucket. A subquery has a step more.
                tolerance = {LATENCY.id: 0.005, SLICES.id: 60 / window}.get(slo.id, 1e-6)
                assert bad_shares[window] == pytest.approx(share, abs=tolerance), (slo.id, window)
        exact = traffic.judged(AVAILABILITY)
        assert 1 - ask(error_ratio(AVAILABILITY, f"{DAYS}d")) == pytest.approx(exact.current, rel=1e-9)


@needs_prometheus
def test_prometheus_fires_the_generated_alerts_when_homeostat_does(tmp_path: Path) -> None:
    """``promtool test rules`` runs Prometheus' rule engine over the traffic, minute by minute."""
    slo = AVAILABILITY.model_copy(update={"window": timedelta(days=1)})
    traffic = Traffic.of(300 * 60, 300)
    rules = tmp_path / "rules.yml"
    rules.write_text(prometheus_rules([slo]))
    alerts = [rule for group in YAML(typ="safe").load(rules)["groups"] for rule in group["rules"] if "alert" in rule]
    expected: list[dict[str, Any]] = []
    for minute in range(20, 301, 20):
        firing = {alert.rule.name for alert in traffic.judged(slo, minute * 60).firing}
        told = [
            {"exp_labels": _expanded(rule["labels"]), "exp_annotations": _expanded(rule["annotations"])}
            for rule in alerts
            if _expanded(rule["labels"])["rule"] in firing
        ]
        expected.append({"eval_time": f"{minute}m", "alertname": "HomeostatSLOBurn", "exp_alerts": told})
    counts = {len(one["exp_alerts"]) for one in expected}
    assert len(counts) > 1, "the traffic is meant to fire at some times and not at others"
    series = [
        {"series": name, "values": " ".join(map(str, values.tolist()))} for name, values in traffic.series().items()
    ]
    unit: dict[str, Any] = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": expected}],
    }
    test = tmp_path / "test.yml"
    test.write_text(json.dumps(unit))
    done = subprocess.run(
        ["promtool", "test", "rules", test], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _expanded(texts: dict[str, str]) -> dict[str, str]:
    """What Prometheus makes of a template whose only part is a literal pair of braces."""
    return {name: text.replace('{{ "{{" }}', "{{") for name, text in texts.items()}


@needs_prometheus
def test_promtool_accepts_the_rules_of_every_kind_of_objective(tmp_path: Path) -> None:
    counted = Selector(metric="http.server.requests", service='sh"op', labels={"http.status_code": "5\\x"})
    ratio = Sli(kind=SliKind.METRIC_RATIO, bad=counted, total=Selector(metric="9requests"))
    good = Sli(kind=SliKind.METRIC_RATIO, good=counted, total=Selector(metric="9requests"))
    held = Sli(kind=SliKind.METRIC_THRESHOLD, metric=counted, comparison=Comparison.LT, threshold=-2.5)
    own = BurnRule(
        severity=Severity.LOW, long_window_s=7200, short_window_s=600, factor=2, hold_s=300, name="mine {{ $x }}"
    )
    slos = [
        *default_slos(CREATED),
        AVAILABILITY,
        SLICES,
        an_slo(SliKind.METRIC_RATIO, sli=ratio),
        an_slo(SliKind.METRIC_RATIO, id="slo-good", sli=good),
        an_slo(SliKind.METRIC_THRESHOLD, sli=held),
        an_slo(SliKind.HEALING, id="slo-own", rules=(own,), window=timedelta(days=7)),
    ]
    rules = tmp_path / "rules.yml"
    rules.write_text(prometheus_rules(slos))
    done = subprocess.run(
        ["promtool", "check", "rules", rules], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
