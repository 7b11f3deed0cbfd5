"""Whatever is sent to the flags, nothing is a server error, and every answer has the promised shape."""

import socket
import threading
from collections.abc import Generator
from concurrent.futures import Future

import anyio
import anyio.to_thread
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from homeostat.api.flags import flags_router
from homeostat.api.ofrep import ofrep_router
from homeostat.api.server import serving
from homeostat.flags import FlagService
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state

EXAMPLES_PER_CALL = 12
CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """A server in a thread of its own, because hypothesis asks from a thread that has no event loop."""
    path = tmp_path_factory.mktemp("flags") / "state.db"
    stop = threading.Event()
    started: Future[str] = Future()

    async def serve() -> None:
        async with (
            open_state(path, SystemClock()).opened() as store,
            FlagService(store, SystemClock(), SystemIds()).opened() as flags,
        ):
            app = FastAPI()
            app.include_router(flags_router(flags))
            app.include_router(ofrep_router(flags))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                async with serving(app, listener):
                    started.set_result(f"http://127.0.0.1:{listener.getsockname()[1]}")
                    await anyio.to_thread.run_sync(stop.wait)

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        yield started.result(timeout=20)
    finally:
        stop.set()
        thread.join(timeout=10)


def test_no_input_is_a_server_error_and_no_answer_is_out_of_shape(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    calls = [operation.ok() for operation in schema.get_all_operations()]
    assert len(calls) == 8
    for call in calls:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES_PER_CALL, deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=call.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                case.call_and_validate(base_url=address, checks=CHECKS, timeout=10)

            try:
                ask()
            except Unsatisfiable:
                # A call without parameters cannot be asked wrongly.
                assert mode is GenerationMode.NEGATIVE, call.label
