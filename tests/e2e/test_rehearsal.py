"""The whole loop on a running system: real processes break and are healed; without healing they stay broken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

DEADLINE_S = 240.0


def _rehearse(scenario: str, folder: Path, *options: str) -> dict[str, object]:
    command = [sys.executable, "-m", "homeostat.cli.main", "demo", "--headless", "--json", "--scenario", scenario]
    finished = subprocess.run(
        [*command, "--keep", str(folder), "--warm-up", "15", *options],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert finished.stdout, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize(("scenario", "cycles"), [("umbrella", 2), ("crash", 3), ("latency", 1)])
def test_a_fault_is_detected_healed_verified_and_rearmed(scenario: str, cycles: int, tmp_path: Path) -> None:
    report = _rehearse(scenario, tmp_path, "--cycles", str(cycles), "--seed", "3")
    assert [cycle["recovered"] for cycle in report["cycles"]] == [True] * cycles, json.dumps(report, indent=1)
    for cycle in report["cycles"]:
        assert cycle["fault_at"] <= cycle["detected_at"] <= cycle["acted_at"] <= cycle["verified_at"]
        assert cycle["verified_at"] <= cycle["rearmed_at"]
        assert cycle["root_cause"]
    assert report["totals"]["journeys"] > 0
    assert report["totals"]["revenue"] > 0


@pytest.mark.parametrize("scenario", ["umbrella", "crash", "latency"])
def test_without_healing_the_same_fault_stays(scenario: str, tmp_path: Path) -> None:
    report = _rehearse(scenario, tmp_path, "--cycles", "1", "--heal", "off", "--patience", "12", "--seed", "3")
    cycle = report["cycles"][0]
    assert cycle["recovered"] is False
    assert cycle["detected_at"] is not None
    assert cycle["acted_at"] is None
    assert report["totals"]["actions"] == 0


def test_nothing_is_reported_when_nothing_is_wrong(tmp_path: Path) -> None:
    report = _rehearse("quiet", tmp_path, "--quiet-seconds", "20")
    assert (report["totals"]["issues"], report["totals"]["actions"]) == (0, 0)
