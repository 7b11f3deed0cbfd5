"""What every driver promises. A new action is one more entry in ``SITES``: a place where it may really act."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import homeostat.drivers
from homeostat.core.config import Config, WatchConfig
from homeostat.core.errors import ActionError
from homeostat.core.models import EffectClass
from homeostat.core.ports import Action, Driver
from homeostat.drivers import BUILTIN, DriverParts, load_drivers
from homeostat.drivers.flags.driver import FlagsDriver
from homeostat.drivers.process.driver import ProcessDriver
from homeostat.drivers.process.identity import look
from homeostat.flags import FlagService
from homeostat.runtime import SystemClock, SystemIds
from support.memory_state import MemoryState
from support.processes import Patients
from support.runs import a_run


@dataclass(frozen=True)
class Site:
    """An action, something for it to act on, and how to see the state of that."""

    driver: Driver
    action: Action
    resource: str
    state: Callable[[], Awaitable[object]]


@asynccontextmanager
async def a_process(patients: Patients) -> AsyncGenerator[Site]:
    patients.start("web")
    driver = ProcessDriver([patients.config("web", command=patients.restart_command("web"))], SystemClock())

    async def state() -> object:
        return look(patients.pid_file("web")).identity

    patients.kill(patients.children[-1].pid)
    yield Site(driver, driver.actions()[0], "process:web", state)


@asynccontextmanager
async def a_flag(name: str) -> AsyncGenerator[Site]:
    service = FlagService(MemoryState(), SystemClock(), SystemIds())
    async with service.opened() as flags:
        driver = FlagsDriver(flags)
        if name == "restore_flag":
            await flags.set("errorInjectionEnabled", False, reason="healing", triggered_by="homeostat")
        action = next(action for action in driver.actions() if action.spec.name == name)

        async def state() -> object:
            return flags.values()["errorInjectionEnabled"]

        yield Site(driver, action, "flag:errorInjectionEnabled", state)


SITES: dict[str, Callable[[Patients], AbstractAsyncContextManager[Site]]] = {
    "restart_process": a_process,
    "disable_flag": lambda _: a_flag("disable_flag"),
    "restore_flag": lambda _: a_flag("restore_flag"),
}


@pytest.fixture(params=SITES)
def opened(request: pytest.FixtureRequest, patients: Patients) -> AbstractAsyncContextManager[Site]:
    return SITES[request.param](patients)


async def test_the_specification_is_complete(opened: AbstractAsyncContextManager[Site]) -> None:
    async with opened as site:
        spec = site.action.spec
        assert spec.driver == site.driver.name
        assert spec.name.isidentifier()
        assert spec.title
        assert spec.resource_kinds
        assert spec.expected_duration_s > 0
        assert 0 <= spec.settle_s < spec.verify_within_s
        assert site.resource.split(":")[0] in spec.resource_kinds
        if spec.undo is not None:
            assert spec.undo.endswith("."), "how it is taken back is a sentence for people"


async def test_a_probe_says_no_before_the_act_and_yes_after_it(opened: AbstractAsyncContextManager[Site]) -> None:
    async with opened as site:
        run = a_run(site.action, site.resource, await site.action.prepare(site.resource, {}))
        assert await site.action.probe(run) is False
        await site.action.act(run)
        assert await site.action.probe(run) is True


async def test_what_can_be_undone_is_as_before_afterwards_also_when_undone_twice(
    opened: AbstractAsyncContextManager[Site],
) -> None:
    async with opened as site:
        before = await site.state()
        run = a_run(site.action, site.resource, await site.action.prepare(site.resource, {}))
        await site.action.act(run)
        if site.action.spec.undo is None:
            with pytest.raises(ActionError):
                await site.action.undo(run)
            return
        assert await site.state() != before
        await site.action.undo(run)
        assert await site.state() == before
        await site.action.undo(run)
        assert await site.state() == before


async def test_doing_it_twice_is_doing_it_once(opened: AbstractAsyncContextManager[Site]) -> None:
    async with opened as site:
        if site.action.spec.effect is EffectClass.OPAQUE:
            pytest.skip("an opaque action is never done twice")
        run = a_run(site.action, site.resource, await site.action.prepare(site.resource, {}))
        await site.action.act(run)
        once = await site.state()
        await site.action.act(run)
        assert await site.state() == once


async def test_a_resource_that_does_not_exist_is_an_action_error(opened: AbstractAsyncContextManager[Site]) -> None:
    async with opened as site:
        kind = site.action.spec.resource_kinds[0]
        with pytest.raises(ActionError, match="nonsense"):
            await site.action.prepare(f"{kind}:nonsense", {})


async def test_what_is_rearmed_is_rearmed_once(opened: AbstractAsyncContextManager[Site]) -> None:
    async with opened as site:
        run = a_run(site.action, site.resource, await site.action.prepare(site.resource, {}))
        await site.action.act(run)
        await site.action.rearm(run)
        assert await site.action.rearm(run) is False


async def parts(config: Config | None = None) -> DriverParts:
    flags = FlagService(MemoryState(), SystemClock(), SystemIds())
    return DriverParts(config=config or Config(), clock=SystemClock(), flags=flags)


async def test_every_driver_has_its_own_name_and_folder_with_a_readme(patients: Patients) -> None:
    watch = WatchConfig(processes=(patients.config("web", command=("true",)),))
    loaded = load_drivers(await parts(Config(watch=watch)), found=())
    assert len(loaded.drivers) == len(BUILTIN)
    assert len({driver.name for driver in loaded.drivers}) == len(BUILTIN)
    here = Path(homeostat.drivers.__file__).parent
    for driver in loaded.drivers:
        folder = here / driver.name
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert (folder / "driver.py").exists()
        for action in driver.actions():
            assert f"`{action.spec.name}`" in readme, f"{driver.name}/README.md does not name {action.spec.name}"


async def test_every_action_of_every_driver_stands_in_this_suite(patients: Patients) -> None:
    watch = WatchConfig(processes=(patients.config("web", command=("true",)),))
    loaded = load_drivers(await parts(Config(watch=watch)), found=())
    assert {action.spec.name for driver in loaded.drivers for action in driver.actions()} == set(SITES)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no.such.module:build", "No module named"),
        ("os.path:join", "TypeError"),
        ("builtins:id", "did not make a driver"),
        ("homeostat.drivers.flags.driver:FlagsDriver.build", "named 'flags' already"),
    ],
)
async def test_a_broken_driver_of_a_third_party_is_reported_and_left_out(value: str, reason: str) -> None:
    entry = EntryPoint(name="theirs", value=value, group="homeostat.drivers")
    loaded = load_drivers(await parts(), found=(entry,))
    assert len(loaded.drivers) == len(BUILTIN)
    assert [problem.name for problem in loaded.problems] == ["theirs"]
    assert reason in loaded.problems[0].reason
