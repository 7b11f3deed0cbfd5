"""Who may talk to the API from a browser, and what a browser may do with its pages.

There is no login yet and the server listens on loopback, so the dangers are other web pages that the same person
has open: DNS rebinding (a foreign name that resolves to this address; its Host header gives it away) and
cross-site requests (a foreign Origin). Programs that send no Origin are not browsers and pass.
"""

import ipaddress
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

STRICT_POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""Content security policy of answers that are not pages and set none of their own."""


@dataclass(frozen=True)
class HostRule:
    """Which Host headers are ours. With ``any_address`` (bound to every interface) each IP literal is: a page
    cannot be rebound to one, because its own name is what the browser sends."""

    names: frozenset[str]
    any_address: bool

    @classmethod
    def of(cls, host: str, allowed: Iterable[str] = ()) -> "HostRule":
        """The rule for a server listening on ``host``, reachable also under the ``allowed`` names."""
        names = {"localhost", host.lower(), *(name.lower() for name in allowed)}
        any_address = host in {"", "0.0.0.0", "::"}
        if any_address:
            names.add(socket.gethostname().lower())  # not getfqdn: it may wait for a name server
        return cls(frozenset(names), any_address)

    def allows(self, host: str) -> bool:
        """Whether a Host header (with or without a port) names this server."""
        name = host_name(host)
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name.endswith(".localhost")
        return address.is_loopback or self.any_address


def host_name(host: str) -> str:
    """The name in a Host header: without port, brackets or a trailing dot; empty when it is not one."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return ""
    return (name or "").rstrip(".")


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the server that the Host header names. The scheme may differ (TLS proxy)."""
    try:
        theirs = urlsplit(origin)
        ours = urlsplit(f"//{host}")
        default = {"http": 80, "https": 443}.get(theirs.scheme)
        return (
            default is not None
            and theirs.hostname == ours.hostname
            and (theirs.port or default) == (ours.port or default)
        )
    except ValueError:
        return False


class BrowserGate:
    """ASGI middleware: refuses foreign hosts and foreign pages, and sets the security headers."""

    def __init__(self, app: ASGIApp, rule: HostRule) -> None:
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        reason = self._refusal(scope)
        if reason is None:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "http":
            await _refuse(reason, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})

    def _refusal(self, scope: Scope) -> str | None:
        headers = _headers(scope, {b"host", b"origin", b"sec-fetch-site"})
        host = headers.get(b"host", "")
        if not self._rule.allows(host):
            return (
                f"The Host header {host[:100]!r} does not name this server. Use the address that it listens on, or "
                "add the name to server.allowed_hosts in homeostat.yaml."
            )
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get(b"origin")
        foreign = headers.get(b"sec-fetch-site") == "cross-site" if origin is None else not same_origin(origin, host)
        if foreign:
            page = (origin or "not told")[:100]
            return f"A page of another origin ({page}) may not do this. Use the dashboard of this server."
        return None


def _headers(scope: Scope, wanted: set[bytes]) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in wanted}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            extra = [*HEADERS, (b"content-security-policy", STRICT_POLICY), (b"cache-control", b"no-store")]
            message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in present)]
        await send(message)

    return sending


async def _refuse(reason: str, send: Send) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
