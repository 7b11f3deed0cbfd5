"""OpenSLO in and out: what is exported reads back the same, and what is wrong is named with its line and remedy."""

import errno
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from slo_parts import NOW, an_slo

from homeostat.core.errors import ConfigError
from homeostat.core.models import Severity
from homeostat.core.slo import BurnRule, Comparison, Selector, Sli, SliKind, Slo
from homeostat.observe.slo import openslo_nodes, openslo_text
from homeostat.observe.slo.checks import complaints
from homeostat.observe.slo.definitions import default_slos
from homeostat.observe.slo.openslo_files import read_paths
from homeostat.observe.slo.openslo_nodes import PROBLEMS_MAX
from homeostat.observe.slo.openslo_read import read_openslo, read_with_notes
from homeostat.observe.slo.openslo_write import openslo_yaml

RATIO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  displayName: Checkout works
  labels: {team: payments, tier: [gold, eu]}
spec:
  service: checkout
  indicator:
    metadata: {name: checkout-sli}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: homeostat, spec: {signal: bad_requests}}}
        total: {metricSource: {type: homeostat, spec: {signal: requests}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{targetPercent: 99.9}]
"""

word = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
labels = st.dictionaries(st.from_regex(r"[a-z][a-z.]{0,8}", fullmatch=True), word, max_size=2)
selectors = st.builds(Selector, metric=word, service=st.none() | word, labels=labels)
slis = st.one_of(
    st.builds(Sli, kind=st.just(SliKind.AVAILABILITY), service=st.none() | word, operation=st.none() | word),
    st.builds(Sli, kind=st.just(SliKind.LATENCY), threshold_ms=st.floats(0.1, 1e6), operation=st.none() | word),
    st.just(Sli(kind=SliKind.HEALING)),
    st.builds(Sli, kind=st.just(SliKind.METRIC_RATIO), good=selectors, total=selectors),
    st.builds(Sli, kind=st.just(SliKind.METRIC_RATIO), bad=selectors, total=selectors),
    st.builds(
        Sli,
        kind=st.just(SliKind.METRIC_THRESHOLD),
        metric=selectors,
        comparison=st.sampled_from(Comparison),
        threshold=st.floats(-1e9, 1e9),
    ),
)
rules = st.builds(
    BurnRule,
    severity=st.sampled_from(Severity),
    long_window_s=st.integers(60, 300).map(lambda minutes: minutes * 60),
    short_window_s=st.integers(1, 59).map(lambda minutes: minutes * 60),
    factor=st.floats(0.1, 100),
    hold_s=st.integers(0, 60).map(lambda minutes: minutes * 60),
    name=word,
)
objectives = st.builds(
    Slo,
    id=st.from_regex(r"slo-[0-9a-f]{8}", fullmatch=True),
    name=word,
    service=word,
    description=st.just("") | word,
    target=st.floats(0.01, 0.9999),
    window=st.integers(1, 90).map(lambda days: timedelta(days=days)),
    sli=slis,
    slice_target=st.none(),
    slice_s=st.just(60),
    rules=st.lists(rules, max_size=3).map(tuple),
    metric=st.just("") | word,
    threshold=st.none() | st.floats(-1e6, 1e6),
    labels=labels,
    created_at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)


def problems(text: str) -> list[str]:
    """Everything that is wrong with a text."""
    with pytest.raises(ConfigError) as caught:
        read_openslo(text, "slo.yaml", NOW)
    return [str(problem) for problem in caught.value.problems]


@settings(max_examples=150, deadline=None)
@given(st.lists(objectives, min_size=1, max_size=3, unique_by=lambda slo: slo.id), st.booleans())
def test_what_is_exported_reads_back_as_the_same_objectives(slos: list[Slo], sliced: bool) -> None:
    if sliced:
        slos = [slo.model_copy(update={"slice_target": 0.95, "slice_s": 300}) for slo in slos]
    assert not [complaint for slo in slos for complaint in complaints(slo)]
    assert read_openslo(openslo_yaml(slos), "slo.yaml", NOW) == slos


def test_the_defaults_can_be_exported_and_read_back() -> None:
    defaults = default_slos(NOW)
    assert [(slo.name, slo.service, slo.target, slo.metric, slo.threshold) for slo in defaults] == [
        ("API Gateway Availability", "api-gateway", 0.999, "availability", 99.9),
        ("API Response Time", "api-gateway", 0.95, "latency", 500.0),
        ("Database Query Performance", "postgres", 0.99, "latency", 100.0),
        ("Error Rate SLO", "api-gateway", 0.99, "error_rate", 1.0),
        ("Self-Healing Success Rate", "self-healing-engine", 0.85, "success_rate", 85.0),
    ]
    back = read_openslo(openslo_yaml(defaults), "slo.yaml", NOW)
    assert [(slo.id, slo.sli, slo.target) for slo in back] == [(slo.id, slo.sli, slo.target) for slo in defaults]


def test_a_ratio_of_our_own_requests_is_read() -> None:
    slo = read_openslo(RATIO, "slo.yaml", NOW)[0]
    assert slo.name == "Checkout works"
    assert slo.target == 0.999
    assert slo.window == timedelta(days=28)
    assert slo.sli == Sli(kind=SliKind.AVAILABILITY)
    assert slo.labels == {"team": "payments", "tier": "gold,eu"}
    assert read_openslo(RATIO, "slo.yaml", NOW)[0].id == slo.id


def test_references_are_followed_within_a_text() -> None:
    text = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: errors}
spec:
  ratioMetric:
    good: {metricSource: {metricSourceRef: prom, spec: {query: 'http_requests_total{code="200"}'}}}
    total: {metricSource: {metricSourceRef: prom, spec: {query: http_requests_total}}}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec:
  severity: page
  condition: {kind: burnrate, threshold: 10, lookbackWindow: 1h, alertAfter: 2m}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: tell}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: mail}]
---
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {description: sells}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop}
spec:
  service: shop
  indicatorRef: errors
  budgetingMethod: Timeslices
  objectives:
    - {displayName: gold, target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 5}
    - {displayName: silver, target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 1m}
  alertPolicies: [{alertPolicyRef: tell}]
"""
    gold, silver = read_openslo(text, "slo.yaml", NOW)
    assert gold.sli.good == Selector(metric="http_requests_total", labels={"code": "200"})
    assert gold.sli.total == Selector(metric="http_requests_total")
    assert (gold.slice_target, gold.slice_s, silver.slice_s) == (0.95, 300, 60)
    assert (gold.name, silver.name) == ("shop: gold", "shop: silver")
    assert gold.id != silver.id
    assert gold.rules == (
        BurnRule(
            severity=Severity.CRITICAL, long_window_s=3600, short_window_s=300, factor=10, hold_s=120, name="fast"
        ),
    )


ALERTING = (
    RATIO
    + """\
  alertPolicies: [{alertPolicyRef: tell}]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata:
  name: fast
  displayName: Burns fast
  annotations: {homeostat/short-window: 10m}
spec:
  severity: page
  condition: {kind: burnrate, threshold: 10, lookbackWindow: 1h}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: tell}
spec:
  alertWhenResolved: true
  conditions: [{conditionRef: fast}]
"""
)


def test_a_condition_by_reference_keeps_its_name_and_its_short_window() -> None:
    (rule,) = read_openslo(ALERTING, "slo.yaml", NOW)[0].rules
    assert (rule.name, rule.long_window_s, rule.short_window_s) == ("Burns fast", 3600, 600)
    assert "a burn rate and its window must be above 0" in str(problems(ALERTING.replace("10m", "0m")))
    assert "there is no AlertCondition 'slow' here" in str(
        problems(ALERTING.replace("conditionRef: fast", "conditionRef: slow"))
    )
    assert "there is no AlertPolicy 'say' here" in str(
        problems(ALERTING.replace("PolicyRef: tell", "PolicyRef: say"))
    )


def test_what_has_no_effect_here_is_refused_or_noted() -> None:
    assert read_with_notes(ALERTING, "slo.yaml", NOW).notes == []
    (told,) = problems(ALERTING.replace("alertWhenResolved: true", "alertWhenResolved: false"))
    assert "spec.alertWhenResolved: the end of an alert is always told. Set it to true" in told
    text = (
        ALERTING
        + """\
  notificationTargets: [{targetRef: mail}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: mail}
spec: {target: email}
"""
    )
    both = (
        text
        + "---\n"
        + RATIO.replace("name: checkout\n", "name: other\n", 1)
        + "  alertPolicies: [{alertPolicyRef: tell}]\n"
    )
    for one in (text, both):
        target, policy = read_with_notes(one, "slo.yaml", NOW).notes
        assert target.startswith("slo.yaml:40: kind: 'mail' is not used: alerts go where alerting")
        assert policy.startswith("slo.yaml:37: spec.notificationTargets: not used: alerts go where alerting")


@pytest.mark.parametrize(
    ("was", "becomes", "line", "says"),
    [
        ("targetPercent: 99.9", "targetPercent: 100", 18, "choose 0.999"),
        ("targetPercent: 99.9", "target: 99.9", 18, "not between nothing and everything"),
        ("isRolling: true", "calendar: {timeZone: UTC}", 16, "follow the calendar are not supported"),
        ("isRolling: true", "isRolling: false", 16, "follow the calendar are not supported"),
        ("duration: 4w", "duration: 1M", 16, "write days, e.g. 30d"),
        (
            "budgetingMethod: Occurrences",
            "budgetingMethod: RatioTimeslices",
            17,
            "Choose one of Occurrences, Timeslices",
        ),
        ("service: checkout", "servise: checkout", 8, "Did you mean service?"),
        ("openslo/v1", "openslo/v1alpha", 1, "Write openslo/v1"),
        ("signal: requests", "signal: judged_runs", 14, "is no indicator"),
        (
            "type: homeostat, spec: {signal: bad_requests}",
            "type: datadog, spec: {query: x}",
            14,
            "'datadog' is not supp",
        ),
        (
            "type: homeostat, spec: {signal: bad_requests}",
            "type: prometheus, spec: {query: 'sum(rate(http_requests_total[5m]))'}",
            14,
            "does not compute PromQL",
        ),
        ("counter: true", "counter: 7", 13, "neither true nor false"),
        ("kind: SLO", "kind: SLOO", 2, "Choose one of SLO"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_a_remedy(was: str, becomes: str, line: int, says: str) -> None:
    found = problems(RATIO.replace(was, becomes))
    assert any(says in problem for problem in found), found
    assert any(problem.startswith(f"slo.yaml:{line}: ") for problem in found), found


def test_all_problems_are_told_at_once() -> None:
    broken = RATIO.replace("99.9", "hundred").replace("4w", "soon").replace("bad_requests", "sad_requests")
    assert len(problems(broken)) >= 3


@pytest.mark.parametrize("text", ["", "---", "[1, 2]", "{", "a: *b", "kind: SLO", "\0", "a: " + "[" * 3000, "3"])
def test_what_is_no_openslo_is_refused_in_words(text: str) -> None:
    assert problems(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(RATIO) - 1), st.integers(0, 12), st.text(max_size=6))
def test_a_damaged_text_is_read_or_refused_and_never_breaks(at: int, length: int, instead: str) -> None:
    try:
        read_openslo(RATIO[:at] + instead + RATIO[at + length :], "slo.yaml", NOW)
    except ConfigError as error:
        told = error.problems
    else:
        told = None
    assert told != []


def _aliases(levels: int) -> str:
    """Each level is the one below ten times: as text tens of bytes a level, as values ten times as many."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return RATIO.replace("labels: {", f"labels: {{{', '.join(lines)}, ")


def test_aliases_are_refused_before_they_become_millions_of_values() -> None:
    assert len(_aliases(7)) < 1_500
    assert problems(_aliases(7)) == [
        "slo.yaml:6: (syntax): *a0 stands for a value elsewhere. Write the value out: aliases are not read"
    ]
    assert "aliases are not read" in problems(RATIO.replace("labels: {", "labels: &l {<<: *l, "))[0]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("[gold, [eu]]", "a list is not a text"),
        ("[gold, {eu: x}]", "a mapping is not a text"),
        ("[gold, ~]", "nothing is not a text"),
        (f"0x{'f' * 5000}", "HexInt is not a text"),
        (f"[0x{'f' * 5000}]", "HexInt is not a text"),
    ],
)
def test_a_label_is_a_scalar_or_a_list_of_scalars(label: str, says: str) -> None:
    (told,) = problems(RATIO.replace("[gold, eu]", label))
    assert told.startswith("slo.yaml:6: metadata.labels.tier: ")
    assert says in told


def test_numbers_that_cannot_be_written_out_are_refused() -> None:
    huge = f"0x{'f' * 5000}"
    assert problems(RATIO.replace("99.9", huge))
    assert problems(RATIO.replace("service: checkout\n", f"service: checkout\n  {huge}: 1\n"))
    sliced = RATIO.replace("Occurrences", "Timeslices").replace(
        "99.9", f"99, timeSliceTarget: 0.9, timeSliceWindow: {huge}"
    )
    assert problems(sliced)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: [" + "1," * 500 + "]", "more than 500 keys and values"),
        ("---\nx: 1\n" * 500, "more than 500 keys and values"),
        ("---\n" * 101, "more than 100 documents"),
        ("x: " + "[" * 60 + "]" * 60, "more than 50 levels deep"),
        ("# " + "x" * (1 << 20), "larger than 1 MiB"),
        ("\n---\n".join(["{}"] * 150), "there are more problems"),
    ],
)
def test_what_a_text_may_hold_is_bounded(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openslo_text, "NODES_MAX", 500)
    if "documents" in says:
        monkeypatch.setattr(openslo_nodes, "DOCUMENTS_MAX", 100)
    told = problems(text)
    assert says in told[-1]
    assert len(told) <= PROBLEMS_MAX + 1


def test_json_with_escaped_characters_is_read_and_half_of_one_is_refused() -> None:
    document = YAML(typ="safe").load(RATIO)
    document["metadata"]["displayName"] = "Shop \N{ROCKET} works"
    assert "\\ud83d" in json.dumps(document)
    assert read_openslo(json.dumps(document), "slo.json", NOW)[0].name == "Shop \N{ROCKET} works"
    document["metadata"]["displayName"] = "Shop \ud83d"
    for told in problems(json.dumps(document)):
        told.encode()


def test_files_and_directories_are_read_and_doubles_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(RATIO)
    (tmp_path / "notes.txt").write_text("not read")
    assert [slo.name for slo in read_paths([tmp_path], NOW)] == ["Checkout works"]
    (tmp_path / "b.json").write_text('{"apiVersion": "openslo/v1",\n\t"kind": "SLO"}')
    (tmp_path / "c.yaml").write_text(RATIO)
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError) as caught:
        read_paths([tmp_path, tmp_path / "absent.yaml"], NOW)
    told = str(caught.value)
    assert "b.json:1: metadata: it is missing" in told
    assert "is also in" in told
    assert "large.yaml:0: (file): it is larger than 1 MiB" in told
    assert "absent.yaml:0: (file): No such file or directory" in told


def test_a_directory_that_cannot_be_read_is_named_beside_the_other_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, listed = tmp_path / "closed", Path.iterdir
    closed.mkdir()

    def iterdir(path: Path) -> Iterator[Path]:
        if path == closed:  # whoever runs the tests may be root, who may read everything
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(ConfigError) as caught:
        read_paths([closed, tmp_path / "absent.yaml"], NOW)
    told = str(caught.value)
    assert f"{closed}:0: (directory): Permission denied. Let Homeostat's user read it" in told
    assert "absent.yaml:0: (file): No such file or directory" in told


def test_an_exported_objective_has_a_name_that_kubernetes_would_take() -> None:
    text = openslo_yaml([an_slo(name="Ünser Shop: 99 % / Tag!")])
    assert "name: nser-shop-99-tag\n" in text
