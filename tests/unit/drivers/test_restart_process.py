"""``restart_process`` against real processes, by command and by URL."""

import sys

import pytest

from homeostat.core.config import ProcessConfig
from homeostat.core.errors import ActionError, InDoubtError
from homeostat.core.models import IssueType
from homeostat.drivers.process.actions import RestartProcess
from homeostat.drivers.process.identity import look, start_ticks
from homeostat.drivers.process.sensors import ExpectedDeaths
from support.processes import Patients, supervised
from support.runs import a_run, an_incident, an_issue


def restart(*processes: ProcessConfig) -> RestartProcess:
    return RestartProcess(processes, ExpectedDeaths())


async def test_a_command_starts_the_process_again_and_the_new_one_is_named(patients: Patients) -> None:
    patients.kill(patients.start("web"))
    action = restart(patients.config("web", command=patients.restart_command("web")))
    run = a_run(action, "process:web", await action.prepare("process:web", {}))
    assert await action.probe(run) is False
    result = await action.act(run)
    seen = look(patients.pid_file("web"))
    assert seen.alive
    assert seen.identity is not None
    assert seen.identity.pid == result["pid"]
    assert await action.probe(run) is True


async def test_a_command_that_stays_in_the_foreground_is_the_service_itself(patients: Patients) -> None:
    patients.kill(patients.start("web"))
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    command = (sys.executable, "-S", "-c", script, str(patients.pid_file("web")))
    action = restart(patients.config("web", command=command))
    result = await action.act(a_run(action, "process:web", await action.prepare("process:web", {})))
    assert isinstance(result["pid"], int)
    assert start_ticks(result["pid"]) is not None


async def test_a_failing_command_is_an_error_with_its_own_words(patients: Patients) -> None:
    patients.kill(patients.start("web"))
    command = (sys.executable, "-S", "-c", "import sys; sys.exit('no such unit: web')")
    action = restart(patients.config("web", command=command))
    with pytest.raises(InDoubtError, match="no such unit: web"):
        await action.act(a_run(action, "process:web", await action.prepare("process:web", {})))


async def test_a_supervisor_is_asked_once_with_the_pid_that_was_seen(patients: Patients) -> None:
    pid = patients.start("web")
    with supervised(patients, "web") as (url, asked):
        action = restart(patients.config("web", url=url))
        run = a_run(action, "process:web", await action.prepare("process:web", {}))
        result = await action.act(run)
        assert asked == [{"expected_pid": pid}]
        assert result["pid"] != pid
        again = await action.act(run)  # redone after a crash of Homeostat
        assert again["how"] == "somebody had restarted it already"
        assert len(asked) == 1
        assert look(patients.pid_file("web")).identity is not None


async def test_an_unreachable_supervisor_is_an_error_and_nothing_is_expected_to_die(patients: Patients) -> None:
    patients.start("web")
    expected = ExpectedDeaths()
    action = RestartProcess([patients.config("web", url="http://127.0.0.1:9/restart")], expected)
    with pytest.raises(ActionError, match="could not be asked"):
        await action.act(a_run(action, "process:web", await action.prepare("process:web", {})))
    identity = look(patients.pid_file("web")).identity
    assert identity is not None
    assert not expected.withdraw(identity)


async def test_a_restart_command_that_is_still_running_counts_as_happened(patients: Patients) -> None:
    patients.kill(patients.start("web"))
    action = restart(patients.config("web", command=patients.restart_command("web")))
    run = a_run(action, "process:web", await action.prepare("process:web", {}), id_="run-slow-starter")
    await action.act(run)
    pid_file = patients.pid_file("web")
    pid_file.rename(patients.pid_file("moved"))  # the daemon runs; only its environment tells whose it is
    assert await action.probe(run) is True
    other = run.model_copy(update={"id": "run-another"})
    assert await action.probe(other) is False


async def test_the_crashed_process_and_the_root_cause_are_the_targets(patients: Patients) -> None:
    web = patients.config("web", command=("true",))
    db = patients.config("db", command=("true",)).model_copy(update={"service": "Database"})
    bare = patients.config("bare")
    action = restart(web, db, bare)
    crash = await action.targets(an_issue(IssueType.PROCESS_CRASH, "process:web"), an_incident())
    assert [target.resource for target in crash] == ["process:web"]
    failing = await action.targets(
        an_issue(IssueType.HIGH_ERROR_RATE, "service:web"), an_incident("service:Database")
    )
    assert [target.resource for target in failing] == ["process:db", "process:web"]
    assert failing[0].confidence > failing[1].confidence
    assert not await action.targets(an_issue(IssueType.PROCESS_CRASH, "process:bare"), an_incident())


async def test_slowness_restarts_only_the_service_that_stands_out(patients: Patients) -> None:
    action = restart(patients.config("web", command=("true",)), patients.config("db", command=("true",)))
    incident = an_incident("service:db")
    assert incident.root_cause is not None
    issue = an_issue(IssueType.HIGH_LATENCY, "service:web")
    assert [target.resource for target in await action.targets(issue, incident)] == ["process:db"]
    diffuse = incident.root_cause.model_copy(update={"confidence": 0.3})
    assert not await action.targets(issue, incident.model_copy(update={"root_cause": diffuse}))
