"""Talks to a running Homeostat for the commands that only ask or tell."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, cast

import httpx2
import typer

from homeostat.core.errors import HomeostatError, NotFoundError

DEFAULT_URL = "http://127.0.0.1:4000"

UrlOption = Annotated[str, typer.Option("--url", envvar="HOMEOSTAT_URL", help="Where Homeostat answers.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_COMMANDS: Final = {
    "/api/slos": "slo list",
    "/api/incidents": "incidents list",
    "/api/maintenance": "maintenance list",
    "/api/events": "events list",
    "/api/services": "status",
    "/api/runs": "incidents show INCIDENT",
}
"""The commands that show what a path of the API lists; runs stand with their incidents."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


class ApiClient:
    """A blocking client for one command. Raises ConnectionError when nothing answers."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.Client(base_url=self._url, timeout=timeout_s, trust_env=False)

    def get(self, path: str, **query: str | float | bool | Sequence[str] | None) -> object:
        """GET, without the query parameters that are None."""
        return self._ask("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: dict[str, object]) -> object:
        """POST a JSON body."""
        return self._ask("POST", path, json=body)

    def post_text(self, path: str, text: str, media_type: str, **query: str | bool) -> object:
        """POST a text."""
        answer = self._send("POST", path, params=query, content=text.encode(), headers={"Content-Type": media_type})
        return cast("object", answer.json())

    def get_text(self, path: str, **query: Sequence[str]) -> str:
        """GET something that is not JSON; a parameter may stand there several times."""
        return self._send("GET", path, params=query).text

    @contextmanager
    def download(self, path: str, **query: str | float | Sequence[str] | None) -> Generator[Iterator[bytes]]:
        """GET something large, piece by piece. A transfer that breaks off raises ConnectionError."""
        params = {key: value for key, value in query.items() if value is not None}
        answered = False
        try:
            with self._client.stream("GET", path, params=params) as response:
                answered = True
                if not response.is_success:
                    response.read()
                    raise HomeostatError(f"{_message(response)} (HTTP {response.status_code})")
                yield response.iter_bytes()
        except httpx2.TransportError as error:
            if not answered:
                raise self._silence(error) from error
            raise ConnectionError(f"The download from {self._url} broke off ({error}). Try again.") from error

    def delete(self, path: str) -> object:
        """DELETE."""
        return self._ask("DELETE", path)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | float | bool | Sequence[str]] | None = None,
        json: dict[str, object] | None = None,
    ) -> object:
        return cast("object", self._send(method, path, params=params, json=json).json())

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | float | bool | Sequence[str]] | None = None,
        json: dict[str, object] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        try:
            response = self._client.request(method, path, params=params, json=json, content=content, headers=headers)
        except httpx2.TransportError as error:
            raise self._silence(error) from error
        if response.is_success:
            return response
        message = _message(response)
        if response.status_code == 404:
            raise NotFoundError(message)
        raise HomeostatError(f"{message} (HTTP {response.status_code})")

    def _silence(self, error: httpx2.TransportError) -> ConnectionError:
        return ConnectionError(
            f"No Homeostat answers at {self._url} ({error}). Start one with `homeostat up`, or give --url."
        )


def _in_commands(text: str) -> str:
    """What the API says of itself, said of the commands that ask it."""
    for path, command in _COMMANDS.items():
        text = text.replace(f"GET {path} lists", f"`homeostat {command}` lists")
    return text


def _message(response: httpx2.Response) -> str:
    try:
        body = cast("object", response.json())
    except ValueError:
        return response.text[:300] or response.reason_phrase
    if isinstance(body, dict):
        fields = cast("dict[str, object]", body)
        return _in_commands(str(fields.get("detail") or fields.get("error") or body))
    return str(body)
