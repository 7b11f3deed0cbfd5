"""``GET /docs``: the OpenAPI description as a page to read. Plain HTML, because a machine that Homeostat watches
often reaches no script host, and the pages' policy forbids foreign scripts."""

import re
from collections.abc import Mapping
from html import escape
from typing import cast

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

Json = Mapping[str, object]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
section { border-top: 1px solid #8886; padding: .5rem 0 }
h3 { margin: .25rem 0; font: 600 1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
p { margin: .25rem 0 }
li { margin: .1rem 0 }
h2 { margin-top: 2.5rem; text-transform: capitalize }
code { padding: 0 .25em; border-radius: 4px; background: #8882; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; text-transform: capitalize }
.method { display: inline-block; min-width: 3.5em; color: #087e74 }
@media (prefers-color-scheme: dark) { .method { color: #4fd1c5 } a { color: #8ab4f8 } }
"""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Every call with its parameters."""
    description = cast("Json", request.app.openapi())
    return HTMLResponse(render(description), headers={"content-security-policy": POLICY})


def render(description: Json) -> str:
    """The page for an OpenAPI 3.1 description."""
    info = _map(description.get("info"))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(str(info.get('title')))} API</title><style>{STYLE}</style>",
        f"<main><h1>{escape(str(info.get('title')))} API {escape(str(info.get('version')))}</h1>",
        "<p>For programs: <a href=/openapi.json>openapi.json</a>. Live updates: <code>WS /api/live</code>.</p>",
    ]
    by_area: dict[str, list[str]] = {}
    for path, item in _map(description.get("paths")).items():
        for method, operation in _map(item).items():
            tags = cast("list[str]", _map(operation).get("tags") or ["other"])
            by_area.setdefault(tags[0], []).append(_call(method, path, _map(operation)))
    areas = sorted(by_area)
    parts.append(f"<nav>{''.join(f'<a href=#{_anchor(area)}>{escape(area)}</a>' for area in areas)}</nav>")
    for area in areas:
        parts += [f"<h2 id={_anchor(area)}>{escape(area)}</h2>", *by_area[area]]
    return "".join([*parts, "</main></html>"])


def _call(method: str, path: str, operation: Json) -> str:
    parameters = cast("list[Json]", operation.get("parameters") or [])
    listed = "".join(f"<li>{_parameter(parameter)}</li>" for parameter in parameters)
    body = "<p>Takes a JSON body.</p>" if "requestBody" in operation else ""
    return (
        f"<section><h3><span class=method>{escape(method.upper())}</span> {escape(path)}</h3>"
        f"<p>{_prose(operation.get('description') or operation.get('summary') or '')}</p>"
        f"{body}{f'<ul>{listed}</ul>' if listed else ''}</section>"
    )


def _parameter(parameter: Json) -> str:
    schema = _map(parameter.get("schema"))
    default = f", default {schema['default']}" if schema.get("default") is not None else ""
    kind = schema.get("type") or "optional"
    needed = ", required" if parameter.get("required") else ""
    text = f" {_prose(parameter['description'])}" if parameter.get("description") else ""
    return f"<code>{escape(str(parameter.get('name')))}</code> ({escape(f'{kind}{needed}{default}')}){text}"


def _prose(text: object) -> str:
    """Words of a docstring, in which ``code`` stands between two backticks."""
    return re.sub("``(.+?)``", r"<code>\1</code>", escape(str(text)))


def _anchor(area: str) -> str:
    return re.sub("[^a-z0-9]+", "-", area.lower())


def _map(value: object) -> Json:
    return cast("Json", value) if isinstance(value, Mapping) else {}
