"""HTTP calls between the world's own processes: aiohttp, one deadline for the whole call, one kind of error.

Not httpx2, which the rest of Homeostat uses: nine services make two hundred calls a second on the machine that is
under observation, and with it the world took 0.53 of a core instead of 0.24.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

CONNECTIONS_MAX = 256
IDLE_S_MAX = 4.0
"""Below uvicorn's five seconds: a connection that its server is about to close must not be taken."""


class WireError(Exception):
    """A call without an answer. ``kind`` is a word for ``error.type``: connection_refused, timeout, ..."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class HttpClient:
    """Calls over connections that are kept for the next call. Make it within the event loop that uses it."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_S_MAX)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> WireResponse:
        """One call. Raises WireError when there is no complete answer within ``timeout_s`` seconds."""
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=_clean(headers or {}),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await response.read()
                answered = {name.lower(): value for name, value in response.headers.items()}
                return WireResponse(response.status, answered, content)
        except TimeoutError:
            raise WireError("timeout", f"{url} did not answer within {timeout_s:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise WireError("connection_refused", f"{url} cannot be reached: {error}") from None
        except aiohttp.ClientResponseError as error:
            raise WireError("protocol_error", f"The answer of {url} is not HTTP: {error.message}") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise WireError("connection_reset", f"{url} closed the connection too early: {error}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def _clean(headers: Mapping[str, str]) -> dict[str, str]:
    """A line break in a value that came from outside would start a header of its own."""
    return {name: value.replace("\r", " ").replace("\n", " ") for name, value in headers.items()}
