"""What ``homeostat up`` says once it answers: where to look, and where to send. ``server`` prints it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeostat.net import in_address

WIDTH: Final = 80
_INDENT: Final = "  "
_GAP: Final = "   "


@dataclass(frozen=True, slots=True)
class Listening:
    """Addresses of one kind: ``(address, what it is)``; an address that is None is off."""

    name: str
    addresses: Sequence[tuple[str | None, str]]


def address_of(host: str, port: int | None, scheme: str = "", path: str = "") -> str | None:
    """``scheme://host:port/path`` or ``host:port``, an IPv6 host in brackets; None where the port is off."""
    if port is None:
        return None
    name = in_address(host)
    return f"{scheme}://{name}:{port}{path}" if scheme else f"{name}:{port}"


def announcement(url: str, mode: str, groups: Sequence[Listening]) -> str:
    """The lines, at most 80 columns wide where the addresses allow it."""
    open_groups = [
        (group.name, [_shown(address, what) for address, what in group.addresses if address is not None])
        for group in groups
    ]
    wide = max(len(name) for name, _ in open_groups)
    lines = [f"Homeostat is ready at {url} (mode: {mode})."]
    for name, shown in open_groups:
        lines += _lines(f"{_INDENT}{name:<{wide}}{_GAP}", shown)
    closed = [name for name, shown in open_groups if not shown]
    if closed:
        lines.append(f"{_INDENT}{'off':<{wide}}{_GAP}{', '.join(closed)}")
    return "\n".join(lines)


def _shown(address: str, what: str) -> str:
    return f"{address} ({what})" if what else address


def _lines(head: str, shown: Sequence[str]) -> list[str]:
    """As many addresses to a line as fit, the further lines below the first address."""
    lines: list[str] = []
    for text in shown:
        if lines and len(lines[-1]) + len(_GAP) + len(text) <= WIDTH:
            lines[-1] += _GAP + text
        else:
            lines.append((" " * len(head) if lines else head) + text)
    return lines
