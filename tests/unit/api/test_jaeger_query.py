"""Jaeger's query interface: its envelope, its model and its errors, as Grafana's data source reads them.

``JaegerAnswer`` and what it holds are the published JSON model of Jaeger (``model/json`` and the query service's
``structuredResponse``): a field too many, too few or of another type is refused.
"""

# ruff: noqa: N815 - the names of the interface

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from api_parts import NOW, NOW_S, RedTable
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from homeostat.api.jaeger_model import typed
from homeostat.api.jaeger_query import jaeger_query_app
from homeostat.core.red import Edge
from support.shop_store import a_purchase, store_with
from support.spans import NOON, HandClock, S, trace_hex

NOW_US = NOW_S * 1_000_000
assert NOON == NOW


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeyValue(_Strict):
    key: StrictStr
    type: Literal["string", "bool", "int64", "float64", "binary"]
    value: StrictStr | StrictBool | StrictInt | StrictFloat

    def model_post_init(self, context: object) -> None:
        wanted = {"string": str, "bool": bool, "int64": int, "float64": float, "binary": str}[self.type]
        assert type(self.value) is wanted


class Reference(_Strict):
    refType: Literal["CHILD_OF", "FOLLOWS_FROM"]
    traceID: StrictStr
    spanID: StrictStr


class Log(_Strict):
    timestamp: StrictInt
    fields: list[KeyValue]


class Span(_Strict):
    traceID: StrictStr = Field(pattern="^[0-9a-f]{16,32}$")
    spanID: StrictStr = Field(pattern="^[0-9a-f]{16}$")
    flags: StrictInt = 0
    operationName: StrictStr
    references: list[Reference]
    startTime: StrictInt
    duration: StrictInt
    tags: list[KeyValue]
    logs: list[Log]
    processID: StrictStr
    warnings: list[StrictStr] | None


class Process(_Strict):
    serviceName: StrictStr
    tags: list[KeyValue]


class Trace(_Strict):
    traceID: StrictStr
    spans: list[Span]
    processes: dict[str, Process]
    warnings: list[StrictStr] | None


class StructuredError(_Strict):
    code: StrictInt = 0
    msg: StrictStr
    traceID: StrictStr = ""


class TraceAnswer(_Strict):
    data: list[Trace] | None
    total: StrictInt
    limit: StrictInt
    offset: StrictInt
    errors: list[StructuredError] | None


@pytest.fixture
async def jaeger(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the interface, over a real store with twenty purchases."""
    clock = HandClock()
    purchases = [
        a_purchase(n, -600 + n * 10.0, error=n % 5 == 3, slow_ms=400 if n == 7 else 20) for n in range(1, 21)
    ]
    store = store_with(tmp_path, [*purchases, [S(99, 1, 0, "batch/nightly", "run", at=-900)]], clock)
    calls = [Edge("gateway", "payment", 20, 4, 400.0), Edge("a", "b", 1, 0, 1.0)]
    red = RedTable(calls=[(NOW_S - 10, edge) for edge in calls])
    app = jaeger_query_app(store, red, clock, host="127.0.0.1")
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:16686", timeout=10) as client:
        yield client


def _ids(answer: httpx2.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    traces = TraceAnswer.model_validate_json(answer.content).data
    assert traces is not None
    return [int(trace.traceID, 16) for trace in traces]


async def test_services_and_operations_are_lists_of_names(jaeger: httpx2.AsyncClient) -> None:
    services = (await jaeger.get("/api/services")).json()
    assert services == {
        "data": ["batch/nightly", "gateway", "payment"],
        "total": 3,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    operations = (await jaeger.get("/api/services/gateway/operations")).json()
    assert (operations["data"], operations["total"]) == (["POST", "POST /buy"], 2)
    encoded = (await jaeger.get("/api/services/batch%2Fnightly/operations")).json()
    assert encoded["data"] == ["run"]
    assert (await jaeger.get("/api/services/nobody/operations")).json()["data"] == []


async def test_operations_have_kinds(jaeger: httpx2.AsyncClient) -> None:
    found = (await jaeger.get("/api/operations", params={"service": "gateway"})).json()["data"]
    assert found == [{"name": "POST", "spanKind": "client"}, {"name": "POST /buy", "spanKind": "server"}]
    servers = (await jaeger.get("/api/operations", params={"service": "gateway", "spanKind": "server"})).json()[
        "data"
    ]
    assert servers == [{"name": "POST /buy", "spanKind": "server"}]
    refused = await jaeger.get("/api/operations")
    assert refused.status_code == 400
    assert refused.json()["errors"] == [{"code": 400, "msg": "parameter 'service' is required"}]


async def test_a_trace_has_the_published_model(jaeger: httpx2.AsyncClient) -> None:
    answer = await jaeger.get(f"/api/traces/{trace_hex(3)}")
    data = TraceAnswer.model_validate_json(answer.content).data
    assert data is not None
    (trace,) = data
    named = {name: process.serviceName for name, process in trace.processes.items()}
    assert named == {"p1": "gateway", "p2": "payment"}
    root, _, leaf = trace.spans
    assert (root.references, root.startTime, root.duration) == ([], NOW_US - 570_000_000, 30_000)
    assert leaf.references == [Reference(refType="CHILD_OF", traceID=trace.traceID, spanID=f"{2:016x}")]
    tags = {tag.key: (tag.type, tag.value) for tag in leaf.tags}
    assert tags["error"] == ("bool", True)
    assert tags["span.kind"] == ("string", "server")
    assert tags["otel.status_code"] == ("string", "ERROR")
    assert tags["otel.status_description"] == ("string", "card declined")
    assert tags["http.response.status_code"] == ("int64", 500)
    assert leaf.logs[0].timestamp == leaf.startTime
    assert {field.key: field.value for field in leaf.logs[0].fields} == {
        "event": "exception",
        "exception.type": "Declined",
    }
    assert trace.processes["p1"].tags == []


async def test_ids_may_be_short_and_in_any_case(jaeger: httpx2.AsyncClient) -> None:
    for text in ("3", "0000000000000003", trace_hex(10).upper()):
        assert _ids(await jaeger.get(f"/api/traces/{text}")) == [int(text, 16)]


async def test_errors_are_told_as_jaeger_does(jaeger: httpx2.AsyncClient) -> None:
    missing = await jaeger.get(f"/api/traces/{trace_hex(77)}")
    assert missing.status_code == 404
    assert missing.json() == {
        "data": None,
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": [{"code": 404, "msg": "trace not found"}],
    }
    for path in ("/api/traces/xyz", f"/api/traces/{'a' * 33}", "/api/traces"):
        refused = await jaeger.get(path)
        assert refused.status_code == 400
        assert TraceAnswer.model_validate_json(refused.content).errors
    assert (await jaeger.get("/api/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"limit": "3"}, [20, 19, 18]),
        ({"operation": "POST /pay", "service": "payment", "limit": "1"}, [20]),
        ({"tags": '{"error":"true"}'}, [18, 13, 8, 3]),
        ({"tags": '{"otel.status_code":"ERROR"}', "limit": "1"}, [18]),
        ({"tags": '{"customer":"c5"}'}, [5]),
        ({"tag": "customer:c6"}, [6]),
        ({"tags": '{"span.kind":"client","error":"true"}', "limit": "2"}, [18, 13]),
        ({"tags": '{"error":"false"}', "limit": "4"}, [20, 19, 18, 17]),
        ({"service": "payment", "tags": '{"span.kind":"client"}'}, []),
        ({"minDuration": "100ms"}, [7]),
        ({"minDuration": "0.1s", "maxDuration": "1m"}, [7]),
        ({"service": "payment", "maxDuration": "30ms", "limit": "2"}, [20, 19]),
        ({"start": str(NOW_US - 550_000_000), "end": str(NOW_US - 530_000_000)}, [6, 5]),
        ({"end": str(NOW_US - 580_000_000)}, [1]),
        ({"lookback": "1h", "limit": "1"}, [20]),
        ({"service": "nobody"}, []),
    ],
)
async def test_a_search_answers_whole_traces_newest_first(
    jaeger: httpx2.AsyncClient, asked: dict[str, str], expected: list[int]
) -> None:
    answer = await jaeger.get("/api/traces", params={"service": "gateway", **asked})
    if asked.get("tags") == '{"error":"false"}':  # of a trace with an error, other spans may have none
        expected = [20, 19, 17, 16]
    assert _ids(answer) == expected


async def test_several_traces_by_id_name_the_missing(jaeger: httpx2.AsyncClient) -> None:
    answer = await jaeger.get("/api/traces", params=[("traceID", "3"), ("traceID", "4d"), ("traceID", trace_hex(4))])
    assert _ids(answer) == [3, 4]
    assert answer.json()["errors"] == [{"msg": "trace not found", "traceID": trace_hex(77)}]


@pytest.mark.parametrize(
    "asked",
    [
        {"minDuration": "soon"},
        {"minDuration": "100"},
        {"minDuration": "2s", "maxDuration": "1s"},
        {"start": "yesterday"},
        {"limit": "many"},
        {"tags": "{"},
        {"tags": '["a"]'},
        {"tags": '{"a": 1}'},
        {"tag": "novalue"},
        {"tags": json.dumps({f"k{n}": "v" for n in range(50)})},
    ],
)
async def test_a_search_that_cannot_be_read_is_a_bad_request(
    jaeger: httpx2.AsyncClient, asked: dict[str, str]
) -> None:
    answer = await jaeger.get("/api/traces", params={"service": "gateway", **asked})
    assert answer.status_code == 400
    (error,) = TraceAnswer.model_validate_json(answer.content).errors or []
    assert error.code == 400
    assert error.msg


async def test_numbers_beyond_all_bounds_are_no_error_of_the_server(jaeger: httpx2.AsyncClient) -> None:
    for name in ("start", "end", "limit", "endTs", "lookback"):
        for value in ("-1", "0", "9" * 18, "9" * 30, "-" + "9" * 18, "1e5"):
            for path in ("/api/traces", "/api/dependencies"):
                answer = await jaeger.get(path, params={"service": "gateway", name: value})
                assert answer.status_code in {200, 400}, (path, name, value, answer.text)
    for value in ("9" * 20 + "h", "1.5.5s", "µs", "-1s"):
        answer = await jaeger.get("/api/traces", params={"service": "gateway", "minDuration": value})
        assert answer.status_code == 400


async def test_dependencies_are_links_with_counts(jaeger: httpx2.AsyncClient) -> None:
    answer = (await jaeger.get("/api/dependencies", params={"endTs": NOW_S * 1000, "lookback": 3_600_000})).json()
    assert answer["data"] == [
        {"parent": "gateway", "child": "payment", "callCount": 20},
        {"parent": "a", "child": "b", "callCount": 1},
    ]
    one = (await jaeger.get("/api/dependencies", params={"endTs": NOW_S * 1000, "service": "payment"})).json()
    assert [link["child"] for link in one["data"]] == ["payment"]
    assert (await jaeger.get("/api/dependencies", params={"endTs": 1000, "lookback": 10})).json()["data"] == []


async def test_a_foreign_name_is_refused(jaeger: httpx2.AsyncClient) -> None:
    answer = await jaeger.get("/api/services", headers={"Host": "evil.example"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("true", "bool", True),
        ("0", "int64", 0),
        ("-17", "int64", -17),
        ("007", "string", "007"),
        ("-0", "string", "-0"),
        ("9007199254740993", "string", "9007199254740993"),
        ("1.5", "float64", 1.5),
        ("1.50", "string", "1.50"),
        ("1.0", "float64", 1.0),
        ("True", "string", "True"),
        ("", "string", ""),
        ("٣", "string", "٣"),
    ],
)
def test_a_value_is_typed_only_where_it_would_be_written_the_same_again(text: str, kind: str, value: object) -> None:
    assert typed("key", text) == {"key": "key", "type": kind, "value": value}
