"""The environment becomes settings, or a list of sentences; never a leak."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from waitroom.config import example_file, load, variables
from waitroom.core.errors import ConfigError
from waitroom.core.parse import Between, duration_text, parse_duration_ms, parse_size_bytes, size_text
from waitroom.core.settings import Bypass, Listen, Origin, Rate, Settings

KEY = "k" * 32
WITH_BOUNDS = [
    (name, bounds)
    for name, field in Settings.model_fields.items()
    for validator in field.metadata
    if isinstance(bounds := getattr(validator, "func", None), Between)
]


def read(**values: str) -> Settings:
    return load(
        {"WAITROOM_ORIGIN": "http://shop"} | {f"WAITROOM_{name.upper()}": text for name, text in values.items()}
    )


def faults(**values: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**values)
    return list(caught.value.faults)


def test_an_environment_with_nothing_but_the_origin_gives_the_defaults() -> None:
    settings = load({"WAITROOM_ORIGIN": "http://shop:3000", "PATH": "/bin", "HOME": "/root"})

    assert settings == Settings(origin=Origin("http", "shop", 3000))
    assert (settings.rate, settings.burst_now, settings.port) == (Rate(1.0), 1.0, 8080)
    assert settings.bypass.paths == ("/.well-known/*", "/robots.txt", "/favicon.ico")


def test_every_default_reads_back_as_itself() -> None:
    written = {variable.name: variable.default for variable in variables() if not variable.required}

    assert load({**written, "WAITROOM_ORIGIN": "http://shop"}) == read()


def test_a_missing_origin_is_a_fault_that_says_what_it_is() -> None:
    with pytest.raises(ConfigError) as caught:
        load({})

    assert caught.value.faults == (
        "WAITROOM_ORIGIN is missing; set it to the shop: http(s)://host[:port], or unix: and a path.",
    )


def test_a_command_that_needs_no_origin_and_no_secret_starts_without() -> None:
    settings = load({"WAITROOM_REDIS_URL": "redis://127.0.0.1:6379"}, needs=())

    assert settings.redis_url == SecretStr("redis://127.0.0.1:6379")


def test_all_faults_are_reported_at_once_each_with_its_variable_and_value() -> None:
    found = faults(rate="10/m", port="99999", session_max="1m", waiting_status="418", rates="1/s", log="xml")

    assert found == [
        "WAITROOM_RATES is not a setting; did you mean WAITROOM_RATE?",
        "WAITROOM_RATE=10/m is not a rate; write it like 10/s, 600/min, 36000/h, unlimited, or 0 to hold the line",
        "WAITROOM_PORT=99999 is more than 65535",
        "WAITROOM_WAITING_STATUS=418 is not one of 200, 202, 429 or 503",
        "WAITROOM_LOG=xml is not one of auto, json or console",
        "WAITROOM_SESSION_MAX (1m) is shorter than WAITROOM_SESSION_IDLE (10m); raise it, or set it to 0 for no limit",
    ]


def test_forward_auth_wants_somebody_to_trust_and_a_waiting_page_that_is_no_yes() -> None:
    assert faults(forward_auth="1", waiting_status="202") == [
        "WAITROOM_FORWARD_AUTH is set without WAITROOM_TRUSTED_PROXIES: nobody could ask",
        "WAITROOM_WAITING_STATUS (202) is a yes to a proxy that asks (WAITROOM_FORWARD_AUTH); set it to 503 or 429",
    ]


@pytest.mark.parametrize(("name", "bounds"), WITH_BOUNDS, ids=[name for name, _ in WITH_BOUNDS])
def test_both_bounds_of_a_setting_are_allowed_and_what_lies_beyond_is_not(name: str, bounds: Between) -> None:
    step = 0.001 if name == "burst" else 1
    beside = {"session_idle": bounds.write(bounds.low)} if name == "session_max" else {}
    if name == "session_max":
        beside = {"session_idle": "30s"}

    for inside in (bounds.low, bounds.high):
        assert getattr(read(**{name: bounds.write(inside)}, **beside), name) == inside
    for word, outside in (("less", bounds.low - step), ("more", bounds.high + step)):
        if outside >= 0:
            found = faults(**{name: bounds.write(outside)}, **beside)
            limit = bounds.write(bounds.low if word == "less" else bounds.high)
            assert found == [f"WAITROOM_{name.upper()}={bounds.write(outside)} is {word} than {limit}"]


def test_every_number_and_duration_has_bounds() -> None:
    numbers = {name for name, value in read().model_dump().items() if type(value) in (int, float)}

    assert numbers | {"burst"} == {name for name, _ in WITH_BOUNDS} | {"waiting_status"}


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("10m", 600_000), ("1h30m", 5_400_000), ("0.5s", 500), ("1d", 86_400_000), (" 90s ", 90_000)],
)
def test_durations_are_read(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms
    assert parse_duration_ms(duration_text(ms)) == ms


@pytest.mark.parametrize("text", ["", "90", "-1s", "1s1m", "1.5m", "ten minutes", "1 m", "1ms"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    (fault,) = faults(turn_held=text)

    assert fault.endswith("is not a duration; write it like 90s, 10m or 1h30m")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10.0)),
        ("600/min", Rate(10.0)),
        ("36000/h", Rate(10.0)),
        ("0.5/s", Rate(0.5)),
        ("1/h", Rate(1 / 3600)),
        ("100000/s", Rate(100_000.0)),
        ("unlimited", Rate(1.0, unlimited=True)),
        ("0", Rate(1.0, hold=True)),
    ],
)
def test_rates_are_read_and_written_so_that_they_read_back(text: str, rate: Rate) -> None:
    found = read(rate=text).rate

    assert found == rate
    assert read(rate=str(found)).rate.per_s == pytest.approx(rate.per_s)


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "1/d", "0.99/h", "100001/s", "nan/s", "1e3/s", "Unlimited"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    assert faults(rate=text)[0].startswith("WAITROOM_RATE=")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://shop", Origin("http", "shop", 80)),
        ("https://shop.example/", Origin("https", "shop.example", 443)),
        ("http://[::1]:3000", Origin("http", "::1", 3000)),
        ("unix:/run/shop.sock", Origin("unix", "/run/shop.sock", 0)),
        ("unix:///run/shop.sock", Origin("unix", "/run/shop.sock", 0)),
    ],
)
def test_origins_are_read(text: str, origin: Origin) -> None:
    assert read(origin=text).origin == origin
    assert read(origin=str(origin)).origin == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "shop:3000", "ftp://shop", "http://shop/sub", "http://shop?x", "http://a b", "http://shop:0"),
        *("http://sho\np", "http://u:pw@shop", "http://shop:99999", "unix:", "unix:relative", "http://[::1", "http://"),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    (fault,) = faults(origin=text)

    assert "is not an origin; write it like" in fault or "has more than a host and a port; write it like" in fault
    assert "pw" not in fault


def test_the_public_url_is_a_scheme_and_a_host() -> None:
    assert read(public_url="https://Shop.Example:8443/").public_url == "https://shop.example:8443"
    assert read(public_url="https://Shop.Example:443/").public_url == "https://shop.example"
    assert read(public_url="http://[::1]:80").public_url == "http://[::1]"
    assert read(public_url="").public_url is None
    assert "WAITROOM_PUBLIC_URL" in faults(public_url="https://shop.example/start")[0]


@pytest.mark.parametrize("text", ["shop.internal", "shop.internal:8443", "127.0.0.1:80", "[::1]:80"])
def test_the_host_for_the_shop_is_kept_as_written(text: str) -> None:
    assert read(origin_host=text).origin_host == text


@pytest.mark.parametrize("text", ["http://shop", "shop/", "shop:0", "shop:http", "a b", "u@shop", "shop?x", ":80"])
def test_what_is_no_host_is_refused(text: str) -> None:
    (fault,) = faults(origin_host=text)

    assert fault.endswith("is not a host; write it like shop.internal or shop.internal:8443")


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:8081", Listen("127.0.0.1", 8081)),
        ("0.0.0.0:0", Listen("0.0.0.0", 0)),
        ("[::1]:9000", Listen("::1", 9000)),
        ("admin.shop.example:65535", Listen("admin.shop.example", 65535)),
        ("off", None),
        ("", None),
        (" off ", None),
    ],
)
def test_the_admin_address_is_a_host_and_a_port_or_off(text: str, listen: Listen | None) -> None:
    assert read(admin_listen=text).admin_listen == listen
    assert listen is None or read(admin_listen=str(listen)).admin_listen == listen


@pytest.mark.parametrize("text", ["8081", ":8081", "::1:8081", "127.0.0.1", "a b:1", "127.0.0.1:65536", "x:-1", "on"])
def test_what_is_no_admin_address_is_refused(text: str) -> None:
    (fault,) = faults(admin_listen=text)

    assert fault.endswith("is not an address and a port; write it like 127.0.0.1:8081 or [::1]:8081, or off")


def test_the_admin_listener_is_neither_at_the_public_port_nor_taken_for_the_shop() -> None:
    (same,) = faults(port="8081")
    assert same.startswith("WAITROOM_ADMIN_LISTEN (127.0.0.1:8081) has the port of the public address")
    for origin in ("http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081"):
        (shop,) = faults(origin=origin, admin_listen="0.0.0.0:8081")
        assert "shoppers would meet it as the shop" in shop
    assert read(port="8081", admin_listen="off").port == 8081
    assert read(port="0", admin_listen="127.0.0.1:0").port == 0
    assert read(origin="http://shop:8081").origin.port == 8081


def test_an_admin_token_is_long_and_fits_into_a_header() -> None:
    token = read(admin_token=" " + KEY[:32] + " ").admin_token
    assert token is not None
    assert token.get_secret_value() == KEY[:32]
    assert read(admin_token="").admin_token is None
    assert faults(admin_token=KEY[:31]) == ["WAITROOM_ADMIN_TOKEN has 31 characters; use 32 or more"]
    for text in (KEY + " x", KEY + "ä", KEY + '"'):
        (fault,) = faults(admin_token=text)
        assert fault.startswith("WAITROOM_ADMIN_TOKEN holds what no header can carry")
        assert KEY not in fault


def test_certificates_are_for_https_and_a_key_for_a_certificate() -> None:
    assert faults(origin_ca="/ca.pem") == [
        "WAITROOM_ORIGIN_CA and _CERT are for https: WAITROOM_ORIGIN (http://shop:80) speaks no TLS"
    ]
    assert faults(origin="https://shop", origin_key="/key.pem") == [
        "WAITROOM_ORIGIN_KEY is set without WAITROOM_ORIGIN_CERT: set the certificate that it belongs to"
    ]
    assert read(origin="https://shop", origin_cert="/both.pem").origin_cert == Path("/both.pem")
    assert faults(origin="shop", origin_ca="/ca.pem") == faults(origin="shop")
    assert load({"WAITROOM_ORIGIN_CA": "/ca.pem"}, needs=()).origin_ca == Path("/ca.pem")


def test_the_bypass_holds_paths_addresses_and_headers() -> None:
    bypass = read(bypass="/feed/*, 10.0.0.0/8, ::1, header:X-Monitor=0123456789abcdef").bypass

    assert bypass.paths == ("/feed/*",)
    assert [str(network) for network in bypass.networks] == ["10.0.0.0/8", "::1/128"]
    assert bypass.headers == (("x-monitor", SecretStr("0123456789abcdef")),)
    assert read(bypass="").bypass == Bypass()


@pytest.mark.parametrize("text", ["", "no-slash", "/a,b"])
def test_a_guard_names_paths(text: str) -> None:
    assert faults(guard=text)[0].startswith("WAITROOM_GUARD")


def test_keys_are_accepted_from_32_characters() -> None:
    assert [key.get_secret_value() for key in read(secret=f"{KEY}, {'b' * 40}").secret] == [KEY, "b" * 40]
    assert faults(secret=f"{KEY},{'s' * 31}") == ["WAITROOM_SECRET has 31 characters in key 2; use 32 or more"]


def test_a_shared_redis_needs_a_shared_secret() -> None:
    assert "WAITROOM_SECRET is missing" in faults(redis_url="redis://redis")[0]
    assert read(redis_url="redis://redis", secret=KEY).redis_url is not None


@pytest.mark.parametrize(
    "text", ["http://redis", "redis://", "redis://h:x", "redis://h/1/2", "redis+sentinel://h", "unix:"]
)
def test_what_is_no_redis_is_refused(text: str) -> None:
    assert any(fault.startswith("WAITROOM_REDIS_URL ") for fault in faults(redis_url=text))


def test_the_cookie_domain_holds_the_public_host() -> None:
    assert read(cookie_domain=".Shop.Example", public_url="https://www.shop.example").cookie_domain == "shop.example"
    assert "browsers would refuse" in faults(cookie_domain="shop.example", public_url="https://myshop.example")[0]


@pytest.mark.parametrize(("name", "text"), [("cookie_domain", "com"), ("cookie_domain", "a..b"), ("room", "Shop")])
def test_names_that_cannot_be_are_refused(name: str, text: str) -> None:
    assert faults(**{name: text})[0].startswith(f"WAITROOM_{name.upper()}={text}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("cors_origins", "*"), ("cors_origins", "https://a.example/x"), ("trusted_proxies", "10.0.0.0/33")),
        *(("on_store_failure", "close"), ("retry", "yes"), ("host", "a b"), ("shop_name", " "), ("data_dir", "")),
    ],
)
def test_other_faults_name_their_variable(name: str, text: str) -> None:
    assert faults(**{name: text})[0].startswith(f"WAITROOM_{name.upper()}=")


def test_an_unknown_name_is_refused_without_its_value() -> None:
    assert faults(secret_key="hunter2") == ["WAITROOM_SECRET_KEY is not a setting; did you mean WAITROOM_SECRET?"]


def test_a_service_link_of_kubernetes_is_told_apart_from_a_typing_error() -> None:
    assert "enableServiceLinks: false" in faults(port_8080_tcp_addr="10.1.2.3")[0]


secrets_of_people = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=40)


@given(secret=secrets_of_people.map(lambda text: "SEC" + text + "RET"))
def test_no_message_holds_a_secret(secret: str) -> None:
    """Wherever people may write one: keys, the Redis password, a bypass header, a URL with a password."""
    environ = {
        "WAITROOM_ORIGIN": f"http://shop:{secret}@host",
        "WAITROOM_SECRET": secret[:20],
        "WAITROOM_ADMIN_TOKEN": secret[:20],
        "WAITROOM_REDIS_URL": f"redis//:{secret}@redis:6379",
        "WAITROOM_BYPASS": f"/x,header:X Monitor={secret},Header:X={secret}",
        "WAITROOM_PUBLIC_URL": f"https://user:{secret}@shop",
        "WAITROOM_PASSWORD": secret,
    }
    with pytest.raises(ConfigError) as caught:
        load(environ)

    assert len(caught.value.faults) >= 6
    for part in [secret, *(piece for piece in secret.split(",") if len(piece) > 4)]:
        assert part[:20] not in str(caught.value)


def test_settings_print_no_secret() -> None:
    given = {"secret": KEY, "redis_url": "redis://:hunter2@redis", "bypass": "header:X-Monitor=0123456789abcdef"}
    settings = read(**given, admin_token="t" * 32)

    secrets = (KEY, "hunter2", "0123456789abcdef", "t" * 32)
    assert not any(secret in repr(settings) + str(settings) for secret in secrets)


def test_the_example_file_reads_back_and_names_every_setting() -> None:
    text = example_file({"WAITROOM_ORIGIN": "http://shop:3000", "WAITROOM_RATE": "5/s"})
    given_lines = [line for line in text.splitlines() if line.startswith("WAITROOM_")]
    commented = [line[1:] for line in text.splitlines() if line.startswith("#WAITROOM_")]

    assert given_lines == ["WAITROOM_ORIGIN=http://shop:3000", "WAITROOM_RATE=5/s"]
    assert len(given_lines) + len(commented) == len(list(variables()))
    assert load(dict(line.split("=", 1) for line in given_lines + commented)).rate == Rate(5.0)


def test_every_setting_is_used_by_the_gateway() -> None:
    package = Path(__file__).parents[2] / "waitroom"
    skipped = {"settings.py", "config.py"}
    source = "".join(path.read_text() for path in package.rglob("*.py") if path.name not in skipped)

    names = [variable.name.removeprefix("WAITROOM_").lower() for variable in variables()]
    assert [name for name in names if f".{name}" not in source] == []


@pytest.mark.parametrize(("text", "size_bytes"), [("65536", 65_536), ("64KiB", 65_536), (" 2MiB ", 2_097_152)])
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes
    assert parse_size_bytes(size_text(size_bytes)) == size_bytes


@pytest.mark.parametrize("text", ["", "1 MiB", "1MB", "-1", "1.5MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    (fault,) = faults(order_body_max=text)

    assert fault.endswith("is not a size; write it like 65536, 64KiB or 1MiB")
