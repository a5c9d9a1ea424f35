"""The way to the shop: its addresses, TLS, one connection made.

A name is looked up anew for new connections, once a second at most. Its addresses are tried in turn, each with its
share of the time; those that failed lately come last. (uvloop has no happy eyeballs, RFC 8305.) While the name
cannot be looked up, the addresses last known are tried.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from waitroom.core.errors import ConfigError, OriginFailure
from waitroom.core.settings import Origin, Settings

LOOK_UP_S = 1.0
AVOID_S = 10.0

LookUp = Callable[[], Awaitable[Sequence[str]]]


class Dialer:
    """Opens connections to the shop. One per worker."""

    def __init__(
        self, origin: Origin, *, connect_s: float, tls: ssl.SSLContext | None, look_up: LookUp | None = None
    ) -> None:
        """Made inside a running loop. `tls` is for https, where None is the default context; `look_up` replaces DNS."""
        self._origin = origin
        self._connect_s = connect_s
        self._tls = (tls or ssl.create_default_context()) if origin.scheme == "https" else None
        self._loop = asyncio.get_running_loop()
        self._look_up = look_up or (self._same if is_address(origin.host) else self._resolve)
        self._known: Sequence[str] = ()
        self._known_until = 0.0
        self._asking: asyncio.Future[Sequence[str]] | None = None
        self._avoid_until: dict[str, float] = {}

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connect `protocol` to the shop. Raises OriginFailure."""
        origin = self._origin
        try:
            async with asyncio.timeout(self._connect_s):
                if origin.scheme == "unix":
                    await self._loop.create_unix_connection(lambda: protocol, origin.host)
                else:
                    await self._try_each(protocol)
        except TimeoutError as error:
            raise OriginFailure("connect_timeout", str(origin)) from error
        except (OSError, UnicodeError) as error:
            raise OriginFailure("refused", f"{origin}: {error}") from error

    async def _try_each(self, protocol: asyncio.Protocol) -> None:
        until = self._loop.time() + self._connect_s
        addresses = self._in_order(await self._addresses())
        for tried, address in enumerate(addresses, 1):
            now = self._loop.time()
            try:
                async with asyncio.timeout_at(now + (until - now) / (len(addresses) - tried + 1)):
                    await self._loop.create_connection(
                        lambda: protocol,
                        address,
                        self._origin.port,
                        ssl=self._tls,
                        server_hostname=self._origin.host if self._tls else None,
                    )
            except (OSError, TimeoutError):
                if tried == len(addresses):
                    raise
                self._avoid_until[address] = self._loop.time() + AVOID_S
            else:
                return

    def _in_order(self, addresses: Sequence[str]) -> Sequence[str]:
        """As the resolver has them, those that failed lately last."""
        if not self._avoid_until:
            return addresses
        now = self._loop.time()
        self._avoid_until = {address: until for address, until in self._avoid_until.items() if until > now}
        return sorted(addresses, key=lambda address: self._avoid_until.get(address, 0.0))

    async def _addresses(self) -> Sequence[str]:
        if self._known and self._loop.time() < self._known_until:
            return self._known
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._look_up())
            self._asking.add_done_callback(self._remember)
        try:
            return await asyncio.shield(self._asking)
        except OSError:
            if not self._known:
                raise
            return self._known

    def _remember(self, asked: asyncio.Future[Sequence[str]]) -> None:
        self._asking = None
        self._known_until = self._loop.time() + LOOK_UP_S
        if not asked.cancelled() and asked.exception() is None:
            self._known = asked.result()

    async def _same(self) -> Sequence[str]:
        return (self._origin.host,)

    async def _resolve(self) -> Sequence[str]:
        found = await self._loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """How an https shop is spoken to: verified always. None for any other. Raises ConfigError."""
    if settings.origin.scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=settings.origin_ca)
    except OSError as error:
        raise ConfigError([f"WAITROOM_ORIGIN_CA={settings.origin_ca} holds no certificates: {why(error)}"]) from error
    context.set_alpn_protocols(["http/1.1"])
    if settings.origin_cert is not None:
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(settings.origin_cert, settings.origin_key, password=lambda: b"")
        except OSError as error:
            files = " and ".join(str(file) for file in (settings.origin_cert, settings.origin_key) if file)
            raise ConfigError(
                [f"WAITROOM_ORIGIN_CERT: no certificate with its key in {files}: {why(error)}"]
            ) from error
    return context


def why(error: OSError) -> str:
    return str(error.strerror or error.__class__.__name__)
