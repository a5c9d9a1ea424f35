"""Where the gateway listens: its sockets, and how many connections they may bring."""

import errno
import resource
import socket

import structlog

from waitroom.core.errors import WaitroomError

BACKLOG = 2048
SPARE_FILES = 100

log = structlog.get_logger()


class CannotListen(WaitroomError):
    """The address is taken, not ours, or not allowed; the text says what to do."""


def listen(
    host: str, port: int, *, host_setting: str = "WAITROOM_HOST", port_setting: str = "WAITROOM_PORT"
) -> list[socket.socket]:
    """Bound, listening sockets on every address of `host`; all on one port. Faults name the settings to change."""
    sockets: list[socket.socket] = []
    # One socket for each family: a dual one would show IPv4 clients as ::ffff:…, which no trusted network names.
    hosts = ["::", "0.0.0.0"] if host == "::" else [host]  # noqa: S104
    try:
        for each in hosts:
            for family, _, _, _, address in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM):
                sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                sockets.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address[0], sockets[0].getsockname()[1] or port, *address[2:]))
                sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        advice = {
            errno.EADDRINUSE: f"is taken by another program; end that one, or set {port_setting}",
            errno.EACCES: f"needs more rights; set {port_setting} to a port of 1024 or above",
            errno.EADDRNOTAVAIL: f"is no address of this machine; set {host_setting}",
        }.get(error.errno or 0, f"cannot be listened on ({error.strerror}); set {host_setting}")
        raise CannotListen(f"{host}:{port} {advice}.") from error
    return sockets


def raise_file_limit() -> None:
    """Held polls are open connections: take as many files as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS names a hard limit that it does not grant
            log.debug("file_limit_kept", limit=soft)


def share_files(to_shop: int) -> tuple[int, int]:
    """(connections of clients, connections to the shop) for which a process has files, beside those for Redis and the
    rest. Of the latter no more than `to_shop`, and of few files half: what a client asks for needs one of each.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    left = files - min(SPARE_FILES, 20 + files // 16)
    clients = max(left // 2, left - to_shop)
    return clients, min(to_shop, left - clients)
