"""Whatever is sent, nothing is a server error, and every answer has the shape that the description promises."""

import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import schemathesis
from api_parts import NOW_S, HealerTable, Setup, TestClock, a_run, an_incident, an_issue
from event_support import event_parts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from log_support import Kept
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from test_api_slos import RedMinutesTable

from homeostat.api.app import create_api
from homeostat.api.parts import ApiParts
from homeostat.api.server import serving
from homeostat.core.config import SloConfig
from homeostat.observe.slo import SloService, Sources
from homeostat.runtime import SystemIds
from homeostat.store.state import open_state
from support.telemetry import L, gauge

EXAMPLES_PER_CALL = 15
KNOWN = {
    "service": "shop",
    "issue_id": "issue-1",
    "incident_id": "incident-1",
    "run_id": "run-1",
    "event_id": "incident-1",
    "window_id": "maintenance-001",
    "name": "shop",
    "slo_id": "slo-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
}
Check = Callable[..., bool | None]
CHECKS: list[Check] = [
    not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    status_code_conformance,
]


@asynccontextmanager
async def filled(path: Path) -> AsyncGenerator[Setup, None]:
    """Parts with a little of everything in them."""
    async with open_state(path, TestClock()).opened() as state:
        setup = Setup(state=state, healer=HealerTable(state))
        await state.save_issue(an_issue("issue-1"))
        await state.save_incident(an_incident("incident-1"))
        await state.append(a_run("run-1"))
        setup.red.add("shop", NOW_S - 5)
        yield setup


async def whole(setup: Setup, directory: Path) -> ApiParts:
    """The parts with objectives, events, log records and metrics."""
    sources = Sources(RedMinutesTable(seconds=setup.red.seconds), setup.state)
    slos = SloService(SloConfig(), sources, setup.state, clock=setup.clock, ids=SystemIds(), bus=setup.bus)
    await slos.open()
    await slos.look()
    kept = Kept(directory)
    kept.say(L("order 17 failed", at=-5, trace=1, severity=17), L("all is well", at=-1000))
    kept.measure([gauge("load", [(-30, 1.5)])])
    return setup.parts(events=event_parts(setup), slos=slos, logs=kept.logs, metrics=kept.metrics)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """A server in a thread of its own, because hypothesis asks from a thread that has no event loop."""
    path = tmp_path_factory.mktemp("fuzz") / "state.db"
    stop = threading.Event()
    started: Future[str] = Future()

    async def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with filled(path) as setup, serving(create_api(await whole(setup, path.parent)), listener):
                started.set_result(f"http://127.0.0.1:{listener.getsockname()[1]}")
                await anyio.to_thread.run_sync(stop.wait)

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        yield started.result(timeout=10)
    finally:
        stop.set()
        thread.join(timeout=10)


def checks_of(path: str) -> list[Check]:
    """YAML may be several documents, and its errors are JSON: the description tool knows neither."""
    if path.endswith(("/slos/export", "/slos/rules")):
        return [not_a_server_error, status_code_conformance]
    return CHECKS


def test_no_input_is_a_server_error_and_no_answer_is_out_of_shape(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    calls = [operation.ok() for operation in schema.get_all_operations()]
    assert len(calls) > 30
    for call in calls:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES_PER_CALL, deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=call.as_strategy(generation_mode=mode), known=st.booleans())
            def ask(case: schemathesis.Case, known: bool) -> None:
                if known:
                    case.path_parameters |= {name: KNOWN[name] for name in case.path_parameters}
                case.call_and_validate(base_url=address, checks=checks_of(case.path), timeout=10)

            try:
                ask()
            except Unsatisfiable:
                # A call without parameters cannot be asked wrongly.
                assert mode is GenerationMode.NEGATIVE, call.label
