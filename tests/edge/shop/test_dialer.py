"""The way to the shop: names with several addresses, and TLS with authorities and certificates of one's own."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.edge.gateway_support import QUICK, gateway, on_both_loops
from tests.edge.raw_origin import RawOrigin
from tests.patience import until
from waitroom.core.errors import ConfigError
from waitroom.core.settings import Origin, Settings
from waitroom.edge.shop import dialer
from waitroom.edge.shop.dialer import tls_context
from waitroom.edge.shop.origin import OriginPool
from waitroom.edge.shop.origin_limits import Limits, limits_of


def pool_of(
    origin: RawOrigin,
    look_up: Callable[[], Awaitable[Sequence[str]]],
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits = QUICK,
) -> Callable[[], OriginPool]:
    """A pool for a shop whose name (`localhost`) stands for what `look_up` says."""
    return lambda: OriginPool(origin.origin._replace(host="localhost"), limits=limits, tls=tls, look_up=look_up)


def known_as(*addresses: str) -> Callable[[], Awaitable[Sequence[str]]]:
    async def look_up() -> Sequence[str]:
        return addresses

    return look_up


class Authority:
    """Certificates for `localhost`, and files of them."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        client = self.ca.issue_cert("the-gateway")
        self.cert_file, self.key_file, self.both_file = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
        client.cert_chain_pems[0].write_to_path(str(self.cert_file))
        client.private_key_pem.write_to_path(str(self.key_file))
        client.private_key_and_cert_chain_pem.write_to_path(str(self.both_file))

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*(names or ("localhost",))).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


# Addresses.


@on_both_loops
@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.2", "127.0.0.1")])
async def test_the_addresses_of_a_name_are_tried_in_turn(addresses: tuple[str, ...]) -> None:
    async with RawOrigin() as origin, gateway(origin, pool=pool_of(origin, known_as(*addresses))) as app:
        head, _ = await (await app.connect()).get()

        assert head.startswith(b"HTTP/1.1 200 ")


@on_both_loops
async def test_a_name_of_which_no_address_answers_is_refused() -> None:
    async with RawOrigin() as origin, gateway(origin, pool=pool_of(origin, known_as("127.0.0.2", "127.0.0.3"))) as app:
        head, _ = await (await app.connect()).get()

        assert head.startswith(b"HTTP/1.1 502 ")
        assert (app.failures[0].kind, app.failures[0].sent) == ("refused", False)


@asynccontextmanager
async def silent_at(address: str, port: int) -> AsyncIterator[list[int]]:
    """Takes connections and says nothing; a TLS handshake there never ends. The list grows with each."""
    taken: list[int] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(1)
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(keep, address, port)
    try:
        yield taken
    finally:
        server.close()


@on_both_loops
async def test_an_address_that_hangs_gets_its_share_of_the_time_and_then_comes_last(authority: Authority) -> None:
    trusted = ssl.create_default_context(cafile=authority.ca_file)
    async with RawOrigin(tls=authority.server()) as origin, silent_at("127.0.0.2", origin.port) as taken:
        limits = QUICK._replace(connect_s=2.0)
        pool = pool_of(origin, known_as("127.0.0.2", "127.0.0.1"), tls=trusted, limits=limits)
        async with gateway(origin, pool=pool) as app:
            first, second = await app.connect(), await app.connect()
            heads = [(await client.get(b"/", b"connection: close"))[0] for client in (first, second)]
            origin.close_all()
            heads.append((await (await app.connect()).get())[0])

            assert [head[:12] for head in heads] == [b"HTTP/1.1 200"] * 3
            assert len(taken) == 1
            assert origin.connections >= 2


@on_both_loops
async def test_a_name_is_looked_up_anew_for_new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "LOOK_UP_S", 0.0)
    addresses = ["127.0.0.1"]

    async def look_up() -> Sequence[str]:
        return tuple(addresses)

    async with (
        RawOrigin() as old,
        RawOrigin(host="127.0.0.2", port=old.port) as new,
        gateway(old, pool=pool_of(old, look_up)) as app,
    ):
        await (await app.connect()).get()
        addresses[:] = ["127.0.0.2"]
        old.close_all()
        await until(lambda: old.open == 0)
        await (await app.connect()).get()

    assert (len(old.requests), len(new.requests)) == (1, 1)


@on_both_loops
async def test_many_connections_at_once_ask_once() -> None:
    asked = 0

    async def look_up() -> Sequence[str]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.02)
        return ("127.0.0.1",)

    async with RawOrigin() as origin, gateway(origin, pool=pool_of(origin, look_up)) as app:
        clients = [await app.connect() for _ in range(20)]
        await asyncio.gather(*(client.get() for client in clients))

        assert asked == 1
        assert origin.connections > 1


@on_both_loops
async def test_while_a_name_cannot_be_looked_up_its_last_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "LOOK_UP_S", 0.0)
    is_down = True

    async def look_up() -> Sequence[str]:
        if is_down:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return ("127.0.0.1",)

    async with RawOrigin() as origin, gateway(origin, pool=pool_of(origin, look_up)) as app:
        statuses = []
        for down in (True, False, True):
            is_down = down
            head, _ = await (await app.connect()).get()
            statuses.append(head[9:12])
            origin.close_all()
            await until(lambda: origin.open == 0)

        assert statuses == [b"502", b"200", b"200"]
        assert app.failures[0].kind == "refused"


@on_both_loops
async def test_a_real_name_and_a_real_ipv6_address_are_reached() -> None:
    async with RawOrigin(host="localhost") as named, gateway(named) as app:
        assert (await (await app.connect()).get())[1] == b"ok"
    async with RawOrigin(host="::1") as six, gateway(six) as app:
        assert (await (await app.connect()).get())[1] == b"ok"


@on_both_loops
async def test_a_name_that_cannot_be_one_is_refused() -> None:
    async with RawOrigin() as origin:
        pool = Origin("http", "a" * 64 + ".example", origin.port)
        async with gateway(origin, pool=lambda: OriginPool(pool, limits=QUICK)) as app:
            head, _ = await (await app.connect()).get()

            assert head.startswith(b"HTTP/1.1 502 ")


# TLS.


def settings_for(origin: RawOrigin, **more: Any) -> Settings:
    return Settings(origin=origin.origin._replace(host="localhost", scheme="https"), **more)


@on_both_loops
@pytest.mark.parametrize("files", ["none", "cert and key", "one file"])
async def test_own_authority_client_certificate_and_server_name(authority: Authority, files: str) -> None:
    names: list[str | None] = []
    server = authority.server()
    server.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(server)
    server.sni_callback = lambda connection, name, context: names.append(name)
    shown: dict[str, Path] = {
        "none": {},
        "cert and key": {"origin_cert": authority.cert_file, "origin_key": authority.key_file},
        "one file": {"origin_cert": authority.both_file},
    }[files]
    async with RawOrigin(host="localhost", tls=server) as origin:
        settings = settings_for(origin, origin_ca=authority.ca_file, **shown)
        pool = pool_of(origin, known_as("127.0.0.1"), tls=tls_context(settings))
        async with gateway(origin, pool=pool) as app:
            head, _ = await (await app.connect()).get()

            assert head.startswith(b"HTTP/1.1 502 " if files == "none" else b"HTTP/1.1 200 ")
            assert names == ["localhost"]


@on_both_loops
async def test_a_certificate_for_another_name_or_of_another_authority_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    for server, ca_file in (
        (authority.server("elsewhere"), authority.ca_file),
        (authority.server(), stranger.ca_file),
        (authority.server(), None),
    ):
        async with RawOrigin(host="localhost", tls=server) as origin:
            pool = pool_of(origin, known_as("127.0.0.1"), tls=tls_context(settings_for(origin, origin_ca=ca_file)))
            async with gateway(origin, pool=pool) as app:
                head, _ = await (await app.connect()).get()

                assert head.startswith(b"HTTP/1.1 502 ")
                assert "certificate verify failed" in app.failures[0].detail
                assert not origin.requests


def test_files_that_hold_no_certificates_are_named(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    missing = tmp_path / "missing.pem"

    def fault(**files: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            tls_context(Settings(origin=Origin("https", "shop", 443), **files))
        return str(caught.value)

    assert fault(origin_ca=empty).startswith(f"WAITROOM_ORIGIN_CA={empty} holds no certificates: ")
    assert fault(origin_ca=missing).endswith("No such file or directory")
    assert fault(origin_cert=authority.cert_file).startswith("WAITROOM_ORIGIN_CERT: no certificate with its key in ")
    assert str(missing) in fault(origin_cert=authority.cert_file, origin_key=missing)


def test_an_encrypted_key_is_a_fault_and_asks_nobody(authority: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(authority.key_file.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(ConfigError):
        tls_context(Settings(origin=Origin("https", "shop", 443), origin_cert=authority.cert_file, origin_key=locked))


def test_only_an_https_shop_has_tls() -> None:
    assert tls_context(Settings(origin=Origin("http", "shop", 80))) is None
    assert tls_context(Settings(origin=Origin("unix", "/shop", 0))) is None


# What else can be set.


def test_the_settings_become_limits() -> None:
    limits = limits_of(Settings(origin=Origin("http", "shop", 80), origin_timeout=7_000, origin_connections=3))

    assert (limits.first_byte_s, limits.idle_s, limits.connections) == (7.0, 7.0, 3)
    assert limits_of(Settings(origin=Origin("http", "shop", 80))) == Limits()


@on_both_loops
async def test_the_shop_can_be_told_another_host() -> None:
    async with RawOrigin() as origin, gateway(origin, origin_host="shop.internal:8443") as app:
        client = await app.connect()
        await client.get()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.answer()

        assert [request.values(b"host") for request in origin.requests] == [[b"shop.internal:8443"]] * 2
        assert origin.requests[0].values(b"x-forwarded-host") == [b"shop.example"]
        assert origin.requests[0].fields[0][0] == b"host"
