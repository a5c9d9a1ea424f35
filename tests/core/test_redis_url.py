"""What may stand in WAITROOM_REDIS_URL, what is said of the rest, and that no password is ever repeated."""

import pytest
from pydantic import SecretStr

from waitroom.core.redis_url import RedisPlace, parse_redis_url, redis_place, redis_url_shown

PASSWORD = "hunter2secret"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("redis://h", RedisPlace("server", (("h", 6379),))),
        ("redis://h:1/2", RedisPlace("server", (("h", 1),), db=2)),
        ("redis://[::1]:1?db=3", RedisPlace("server", (("::1", 1),), db=3)),
        ("rediss://h", RedisPlace("server", (("h", 6379),), tls=True)),
        ("redis://:p%40%2F@h", RedisPlace("server", (("h", 6379),), options={"password": "p@/"})),
        ("redis://u:p@h", RedisPlace("server", (("h", 6379),), options={"username": "u", "password": "p"})),
        ("redis://h?password=p", RedisPlace("server", (("h", 6379),), options={"password": "p"})),
        ("unix:///run/r.sock?db=1", RedisPlace("unix", (("/run/r.sock", 0),), db=1)),
        ("unix://:p@/r.sock", RedisPlace("unix", (("/r.sock", 0),), options={"password": "p"})),
        ("redis+sentinel://a,b:1/my-master", RedisPlace("sentinel", (("a", 26379), ("b", 1)), master="my-master")),
        ("redis+sentinel://a/m/4", RedisPlace("sentinel", (("a", 26379),), db=4, master="m")),
        (
            "rediss+sentinel://:p@a/m?sentinel_username=s&sentinel_password=w&ssl_ca_certs=/ca.pem",
            RedisPlace(
                "sentinel",
                (("a", 26379),),
                tls=True,
                master="m",
                options={
                    "password": "p",
                    "sentinel_username": "s",
                    "sentinel_password": "w",
                    "ssl_ca_certs": "/ca.pem",
                },
            ),
        ),
        ("redis+cluster://a:1,[::1]:2,b", RedisPlace("cluster", (("a", 1), ("::1", 2), ("b", 6379)))),
        (
            "rediss+cluster://u:p@a?ssl_check_hostname=False",
            RedisPlace(
                "cluster",
                (("a", 6379),),
                tls=True,
                options={"username": "u", "password": "p", "ssl_check_hostname": "false"},
            ),
        ),
    ],
)
def test_every_kind_of_address_is_read(text: str, place: RedisPlace) -> None:
    assert redis_place(text) == place


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("http://h", "is not the address of a Redis"),
        ("redis:", "has a host that is none"),
        ("redis://", "has a host that is none"),
        ("redis://h:x", "has a host that is none"),
        ("redis://h:70000", "has a host that is none"),
        ("redis://h name", "is not the address of a Redis"),
        ("redis://h/1/2", "has more after the host than a database number"),
        ("redis://h/a", "has more after the host than a database number"),
        ("redis://a,b", "has more than one host; several belong to redis+sentinel:// or redis+cluster://"),
        ("redis://:a/b@h", "has a user or password with / ? # or @ in it"),
        ("redis://:a@b@h", "has a user or password with / ? # or @ in it"),
        ("redis://h#1", "has a user or password with / ? # or @ in it"),
        ("redis://h?db=x", "has a db that is no number"),
        ("redis://h?timeout=1", "has an option that is none of db, password, username"),
        ("redis://h?sentinel_password=x", "has an option that is none of db, password, username"),
        ("redis://h?ssl_ca_certs=/ca.pem", "has an option for TLS, and no TLS; write rediss instead of redis"),
        ("rediss://h?ssl_cert_reqs=maybe", "has a ssl_cert_reqs that is none of required, optional, none"),
        ("unix:", "names no socket"),
        ("unix://h/r.sock", "names no socket"),
        ("redis+sentinel://a,b", "does not name the master that the Sentinels watch"),
        ("redis+sentinel://a,b/", "does not name the master that the Sentinels watch"),
        ("redis+sentinel://a,,b/m", "has a host that is none"),
        ("redis+sentinel://a/m/x", "has more after the master than a database number"),
        ("redis+cluster://a/m", "has more after the host than a database number"),
        ("redis+cluster://a/1", "has a database number, and a Cluster has only database 0"),
        ("redis+cluster://a?db=1", "has a database number, and a Cluster has only database 0"),
    ],
)
def test_what_is_wrong_is_said(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        redis_place(text)

    assert str(raised.value).startswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        f"redis:/:{PASSWORD}@h/x/y",
        f"redis://:{PASSWORD}/@h",
        f"redis://:{PASSWORD}?@h:x",
        f"redis://:{PASSWORD}@h:x",
        f"redis://:{PASSWORD}@a,b",
        f"redis+sentinel://h?{PASSWORD}",
        f"redis+sentinel://h/m/{PASSWORD}",
        f"redis+cluster://h?sentinel_password={PASSWORD}",
        f"rediss://h?ssl_cert_reqs={PASSWORD}",
        f"{PASSWORD}",
    ],
)
def test_no_fault_repeats_a_password(text: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        redis_place(text)

    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"redis://u:{PASSWORD}@h/1", "redis://h:6379/1"),
        (f"rediss://[::1]?password={PASSWORD}", "rediss://[::1]:6379"),
        ("unix:///run/r.sock", "unix:/run/r.sock"),
        (f"redis+sentinel://:{PASSWORD}@a,b:1/m/2", "redis+sentinel://a:26379,b:1/m/2"),
        (f"rediss+cluster://:{PASSWORD}@a,b:1", "rediss+cluster://a:6379,b:1"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    assert redis_url_shown(text) == shown


def test_an_address_is_kept_secret_and_none_is_none() -> None:
    assert parse_redis_url(" redis://h ") == SecretStr("redis://h")
    assert parse_redis_url("") is None
