"""Listening sockets, and who holds an address that is taken. Used by the receivers and by the API's server."""

import errno
import socket

import psutil

from homeostat.core.errors import ListenError, PortTakenError

_BACKLOG = 1024


def bind(host: str, port: int, *, settings: str = "the host and the port") -> socket.socket:
    """A listening, non-blocking TCP socket; port 0 means any free one.

    ``settings`` names where host and port come from. Raises PortTakenError, naming the holder where it can be seen,
    and ListenError for a host that is not known or not ours, or a port that is not allowed.
    """
    return _bound(host, port, socket.SOCK_STREAM, settings)


def bind_udp(host: str, port: int, *, settings: str = "the host and the port") -> socket.socket:
    """The same for UDP: a bound, non-blocking socket."""
    return _bound(host, port, socket.SOCK_DGRAM, settings)


def _bound(host: str, port: int, kind: socket.SocketKind, settings: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # a name that is no name at all does not get as far as a look-up
        raise cannot_listen(host, port, error, settings) from error
    family, _, _, _, address = found[0]
    try:
        listener = socket.socket(family, kind)
    except OSError as error:
        raise cannot_listen(host, port, error, settings) from error
    try:
        if kind == socket.SOCK_STREAM:  # for UDP it would let two processes share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise port_taken(host, port, kind, settings) from error
        raise cannot_listen(host, port, error, settings) from error
    listener.setblocking(False)
    return listener


def cannot_listen(host: str, port: int, why: Exception, settings: str) -> ListenError:
    """The error for an address that can't be listened on."""
    reason = (why.strerror if isinstance(why, OSError) else None) or str(why)
    return ListenError(
        f"Can't listen on {host}:{port}: {reason}. Change {settings} in homeostat.yaml: the host has to be an "
        "address of this machine (127.0.0.1, or 0.0.0.0 for all of them)."
    )


def bound_port(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


def in_address(host: str) -> str:
    """The host as it stands before ``:port``: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def port_taken(
    host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM, settings: str = ""
) -> PortTakenError:
    """The error for an address that something else listens on. ``settings``: the option that chose it, if one did."""
    holder = holder_of(port, kind)
    who = f"by {holder}" if holder else "by a process that this user can't see"
    where = f"with {settings}" if settings.startswith("--") else "in homeostat.yaml"
    return PortTakenError(
        f"{host}:{port} is taken {who}. Stop it, or choose another port {where} (0 means any free one)."
    )


def holder_of(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str | None:
    """``process 1234 (command line)`` that listens on a port; None when it can't be seen."""
    is_tcp = kind == socket.SOCK_STREAM
    try:
        connections = psutil.net_connections(kind="tcp" if is_tcp else "udp")
    except psutil.Error:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN or not is_tcp
        if listens and connection.laddr and connection.laddr.port == port:
            return _name(connection.pid) if connection.pid else None
    return None


def _name(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:120]})"
