"""Every target is judged in every way a shop might read it (P6)."""

import string
import time
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.readings import LONGEST_READ, readings_of, resolve_dots
from waitroom.core.targets import (
    CACHED_LENGTH,
    CACHED_TARGETS,
    Free,
    Guarded,
    Malformed,
    Own,
    Pattern,
    Ruling,
    TargetRules,
)

HOST = b"shop.example"
DEFAULTS = TargetRules(["/*"], ["/.well-known/*", "/robots.txt", "/favicon.ico", "/static/*"])
CHECKOUT = TargetRules(["/checkout/*", "/cart"], [])


def place(rules: TargetRules, target: bytes) -> Ruling:
    return rules.place(target, HOST)


@pytest.mark.parametrize(
    "target",
    [
        b"/checkout",
        b"/checkout/",
        b"/checkout/pay",
        b"/checkout/pay?x=1",
        b"/checkout?x",
        b"/CheckOut/Pay",
        b"/checkout/pay.css",
        b"/checkout/..;/checkout/pay",
        b"//checkout/pay",
        b"/a/../checkout/pay",
        b"/a/./../checkout/pay",
        b"/../checkout/pay",
        b"/a//../checkout/pay",
        b"/a//../../checkout/pay",
        b"/%63heckout/pay",
        b"/%2563heckout/pay",
        b"/%43HECKOUT",
        b"/a/%2e%2e/checkout/pay",
        b"/a/.%2E/checkout/pay",
        b"/a/%252e%252e/checkout/pay",
        b"/a/..%2fcheckout/pay",
        b"/a/..%252Fcheckout%252Fpay",
        b"/%2fcheckout/pay",
        b"/x/a%2Fb/%2e%2e/../checkout/pay",
        b"/a/..\\checkout\\pay",
        b"/\\checkout/pay",
        b"/%5ccheckout%5Cpay",
        b"/checkout;jsessionid=1/pay",
        b"/checkout;jsessionid=1",
        b"/;x/checkout/pay",
        b"/a/..;x=1/checkout/pay",
        b"/a/%2e%2e%3bx/checkout",
        b"/checkout%3Fx",
        b"/checkout%253Fx",
        b"/checkout%23x",
        b"/checkout#x",
        b"/checkout#?x",
        b"/ch%0Aeckout/pay",
        b"/ch%09eckout/pay",
        b"/ch%0Deckout/pay",
        b"/checkout%2500.css",
        b"//other.example/checkout/pay",
        b"/\\other.example/checkout/pay",
        b"/%2fother.example/checkout/pay",
        b"/cart",
        b"/cart/",
        b"/cart//",
        b"/CART",
        b"/x/..//cart",
        b"/checkout./pay",
        b"/checkout%20/pay",
        b"/checkout%20.%20/",
        b"/cart.",
        b"/cart...",
        b"/%20/checkout/pay",
        b"/a/..%20/checkout/pay",
        b"/%c0%afcheckout/pay",
        b"/%e0%80%afcheckout/pay",
        b"/%f0%80%80%afcheckout/pay",
        b"/a/%c0%ae%c0%ae/checkout/pay",
        b"/a/..%c1%9ccheckout/pay",
        b"/%c1%a3heckout/pay",
        b"/%25c0%25afcheckout/pay",
        b"/cart%c0%80.css",
        b"http://shop.example/checkout/pay",
        b"http://shop.example/a/..%2fcheckout/pay",
    ],
)
def test_no_spelling_of_a_guarded_path_is_a_way_around_the_guard(target: bytes) -> None:
    assert place(CHECKOUT, target) == Guarded()


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/checkouts",
        b"/a/checkout",
        b"/carts",
        b"/cart/x",
        b"/?to=/checkout/pay",
        b"/a?/../checkout",
        b"/c%C3%A4rt",
        b"/%E2%82%AC/checkout",
        b"/%C3%80checkout",
        b"/.checkout/pay",
        b"/checkout.html/",
    ],
)
def test_what_no_guard_matches_goes_through(target: bytes) -> None:
    assert place(CHECKOUT, target) == Free()


@pytest.mark.parametrize(
    "target",
    [
        b"/robots.txt",
        b"/robots.txt?x=%",
        b"/.well-known/acme-challenge/a-B_c",
        b"/static/a/b.css",
        b"/static/k%C3%BChl%20schrank.png",
        b"/static/a%2Bb~c",
        b"/static/img/https%3A%2F%2Fcdn.example%2Fa%2520b.jpg",
        b"/static/a;v=1/b",
        b"/static/./a",
    ],
)
def test_what_reads_as_bypassed_in_every_way_is_free(target: bytes) -> None:
    assert place(DEFAULTS, target) == Free()


@pytest.mark.parametrize(
    "target",
    [
        b"/Robots.txt",
        b"/robots.txt/",
        b"/robots.txt/../checkout",
        b"/static/../checkout",
        b"/static/%2e%2e/checkout",
        b"/static/%252e%252e%252fcheckout",
        b"/static/..;/checkout",
        b"/static/..\\checkout",
        b"/static/a/../../checkout",
        b"//static/checkout",
        b"///static/checkout",
        b"/\\/\\static/checkout",
        b"/static",
        b"/Static/a",
        b"/%73tatic/a",
        b"/checkout/..%2fstatic/a",
        b"/checkout%3F/../static/a",
        b"/checkout/pay.css",
        b"/checkout#/../../static/a",
        b"/robots.txt%2500",
        b"/checkout%0a",
        b"*",
    ],
)
def test_a_bypass_counts_only_if_every_reading_matches_it(target: bytes) -> None:
    assert place(DEFAULTS, target) == Guarded()


def test_a_parameter_that_hides_a_guarded_path_behind_an_ending_is_guarded() -> None:
    rules = TargetRules(["/*"], ["*.css", "/a/*.css"])

    assert place(rules, b"/a/x.css") == Free()
    assert place(rules, b"/checkout;x.css") == Guarded()
    assert place(rules, b"/a/checkout%3F.css") == Guarded()
    assert place(rules, b"/a/checkout%23.css") == Guarded()


def test_what_is_neither_guarded_nor_bypassed_is_free_and_bypass_precedes_guard() -> None:
    rules = TargetRules(["/shop/*"], ["/shop/feed/*"])

    assert place(rules, b"/about") == Free()
    assert place(rules, b"/shop/feed/all.xml") == Free()
    assert place(rules, b"/shop/feed/../basket") == Guarded()


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("/küche/*", b"/k%C3%BCche/messer"),
        ("/küche/*", b"/k%c3%bcche/messer"),
        ("/k%C3%BCche/*", b"/k%c3%bcche/messer"),
        ("/a b/*", b"/a%20b/c"),
        ("/%66eed/*", b"/feed/c"),
        ("/{id}", b"/%7Bid%7D"),
    ],
)
def test_patterns_may_be_written_as_they_are_read(pattern: str, written: bytes) -> None:
    assert place(TargetRules(["/*"], [pattern]), written) == Free()
    assert place(TargetRules([pattern], []), written) == Guarded()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/-/waitroom/status", "status"),
        (b"/-/waitroom/status?hold=25", "status"),
        (b"/-/waitroom/enter?to=/-/x/../..", "enter"),
        (b"/-/waitroom/", ""),
        (b"/-/waitroom", ""),
        (b"http://shop.example/-/waitroom/live", "live"),
        (b"/-/waitroom/%73tatus", "%73tatus"),
    ],
)
def test_own_routes_are_recognised(target: bytes, path: str) -> None:
    assert place(DEFAULTS, target) == Own(path)


@pytest.mark.parametrize(
    "target",
    [
        b"/-/Waitroom/status",
        b"/-/%77aitroom/status",
        b"//-/waitroom/status",
        b"/-//waitroom/status",
        b"/-/waitroom/../checkout",
        b"/-/waitroom/%2e%2e/checkout",
        b"/-/waitroom/%252e%252e/checkout",
        b"/-/waitroom/..%2fcheckout",
        b"/-/waitroom/..\\checkout",
        b"/-/waitroom/..;/checkout",
        b"/-/waitroom;x/status",
        b"/a/../-/waitroom/status",
        b"/-%2fwaitroom%2fstatus",
        b"/-\\waitroom\\status",
        b"/-/waitroom%3f/status",
        b"/-/waitroom/" + b"%252e%252e;\\//%2f..%3f#a" * 30,
    ],
)
def test_readings_that_disagree_about_the_own_prefix_are_refused(target: bytes) -> None:
    assert isinstance(place(DEFAULTS, target), Malformed)
    assert isinstance(place(CHECKOUT, target), Malformed)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (b"http://evil.example/checkout", "host"),
        (b"http://shop.example@evil.example/", "host"),
        (b"http://shop.example:8080/", "host"),
        (b"http:///checkout", "host"),
        (b"https://evil.example", "host"),
        (b"/a\x01b", "control"),
        (b"/a\x7fb", "control"),
        (b"/a\tb", "control"),
        (b"/a?b\nc", "control"),
        (b"/robots.txt%00", "control"),
        (b"http://shop.example/\x00", "control"),
        (b"/a%", "%"),
        (b"/a%2", "%"),
        (b"/a%zz", "%"),
        (b"/a%u0041", "%"),
        (b"ftp://shop.example/", "neither"),
        (b"checkout", "neither"),
        (b"", "neither"),
        (b"?checkout", "neither"),
    ],
)
def test_only_what_nobody_can_read_safely_is_malformed(target: bytes, word: str) -> None:
    found = place(DEFAULTS, target)

    assert isinstance(found, Malformed)
    assert word in found.reason


@pytest.mark.parametrize(
    "target",
    [b"/100%25", b"/100%25-cotton", b"/a?100%", b"/a%0Ab", b"/%FF%FE", b"/\xfc", b"/a?q=\xfc#", b"//", b"/a#b"],
)
def test_what_is_merely_unusual_is_not_malformed(target: bytes) -> None:
    assert place(DEFAULTS, target) == Guarded()


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://Shop.Example/", b"shop.example"),
        (b"HTTP://shop.example:80/", b"shop.example"),
        (b"https://shop.example/", b"SHOP.example:443"),
        (b"http://shop.example:8080", b"shop.example:8080"),
        (b"http://[::1]:8080?x", b"[::1]:8080"),
    ],
)
def test_an_absolute_form_for_this_host_is_judged_by_its_path(target: bytes, host: bytes) -> None:
    assert DEFAULTS.place(target, host) == Guarded()
    assert TargetRules(["/checkout/*"], []).place(target, host) == Free()


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        (b"/a/b/c/./../../g", b"/a/g"),
        (b"/..", b"/"),
        (b"/.", b"/"),
        (b"/a/.", b"/a/"),
        (b"/a/b/..", b"/a/"),
        (b"/a//../b", b"/a/b"),
        (b"/...", b"/..."),
    ],
)
def test_dots_are_resolved_as_the_standard_says(path: bytes, resolved: bytes) -> None:
    assert resolve_dots(path) == resolved


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"/a", [b"/a"], [b"/", b"/a/", b"/ab", b""]),
        (b"/a*", [b"/a", b"/a/b", b"/ab"], [b"/", b"/b"]),
        (b"/a/*/c", [b"/a/b/c", b"/a/b/x/c", b"/a//c"], [b"/a/c", b"/a/b/c/"]),
        (b"/*a*a", [b"/aa", b"/xaya", b"/aaa"], [b"/a", b"/ab"]),
        (b"/**", [b"/", b"/a"], [b""]),
        (b"/a*ab*b", [b"/aabb", b"/axabxb"], [b"/ab", b"/aab", b"/abb"]),
    ],
)
def test_a_star_is_any_text_also_across_slashes(pattern: bytes, matching: list[bytes], other: list[bytes]) -> None:
    assert all(Pattern(pattern).matches(path) for path in matching)
    assert not any(Pattern(pattern).matches(path) for path in other)


CHANGES: list[Callable[[bytes], bytes]] = [
    unquote_to_bytes,
    lambda path: path.replace(b"\\", b"/"),
    lambda path: b"/".join(part.partition(b";")[0] for part in path.split(b"/")),
    lambda path: resolve_dots(path) if path.startswith(b"/") else path,
    lambda path: path.replace(b"//", b"/").replace(b"//", b"/"),
    lambda path: path.partition(b"?")[0],
    lambda path: path.partition(b"#")[0],
    bytes.lower,
]
PIECES = [
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%2F",
    "%252f",
    "%5C",
    "\\",
    ";x",
    ";",
    "%3B",
    "%3f",
    "%23",
    "#",
    "a",
    "cart",
    "CART",
    "%63art",
]
PATHS = st.lists(st.sampled_from(PIECES), max_size=9).map(lambda parts: ("/" + "".join(parts)).encode())


@given(PATHS, st.lists(st.sampled_from(CHANGES), max_size=6))
def test_whatever_a_shop_does_to_a_path_a_guard_sees_it(path: bytes, changes: list[Callable[[bytes], bytes]]) -> None:
    """A shop that decodes at most twice, and does the rest in any order, cannot reach a guarded path unseen."""
    rules = TargetRules(["/cart", "/a/*"], [])
    read, decodings = path, 0
    for change in changes:
        decodings += change is unquote_to_bytes
        if decodings <= 2 or change is not unquote_to_bytes:
            read = change(read)

    if read == b"/cart" or read.startswith(b"/a/"):
        assert place(rules, path) == Guarded()


@given(PATHS, st.lists(st.sampled_from(CHANGES), max_size=6))
def test_a_bypass_never_opens_what_a_shop_reads_as_something_else(
    path: bytes, changes: list[Callable[[bytes], bytes]]
) -> None:
    rules = TargetRules(["/*"], ["/a/*"])
    read, decodings = path, 0
    for change in changes:
        decodings += change is unquote_to_bytes
        if decodings <= 2 or change is not unquote_to_bytes:
            read = change(read)

    if place(rules, path) == Free():
        assert read.startswith(b"/a/")


@given(st.text(alphabet=string.ascii_letters + string.digits + "-._~/!$&'()*+,=:@", max_size=40), st.text(max_size=20))
def test_judging_never_fails_and_is_the_same_twice(plain: str, wild: str) -> None:
    for target in (("/" + plain).encode(), ("/" + wild).encode(), wild.encode(), ("/" + quote(wild)).encode()):
        first = DEFAULTS.place(target, HOST)

        assert first == DEFAULTS.place(target, HOST)


@given(st.binary(max_size=60))
def test_any_bytes_are_judged(target: bytes) -> None:
    assert isinstance(DEFAULTS.place(target, HOST), (Own, Guarded, Free, Malformed))


@given(st.text(alphabet="ab/*", max_size=8), st.text(alphabet="ab/", max_size=12))
def test_a_pattern_means_what_the_simplest_matcher_says(pattern: str, path: str) -> None:
    def simplest(pattern: str, path: str) -> bool:
        if not pattern:
            return not path
        if pattern[0] == "*":
            return any(simplest(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
        return path[:1] == pattern[0] and simplest(pattern[1:], path[1:])

    assert Pattern(pattern.encode()).matches(path.encode()) == simplest(pattern, path)


def test_paths_of_real_shops_have_one_reading() -> None:
    for path in (b"/produkte/k%C3%BChlschr%C3%A4nke%20gro%C3%9F", b"/p/42-%E2%82%AC", b"/a%22b"):
        assert len(readings_of(path) or ()) == 1


def test_a_flood_of_distinct_paths_does_not_grow_the_cache() -> None:
    rules = TargetRules(["/*"], [])
    for number in range(CACHED_TARGETS + 500):
        rules.place(b"/%d" % number, HOST)

    assert rules.cached_targets == CACHED_TARGETS


def test_a_long_path_is_judged_but_not_kept() -> None:
    rules = TargetRules(["/*"], [])
    rules.place(b"/" + b"x" * (CACHED_LENGTH - 1), HOST)
    rules.place(b"/" + b"x" * CACHED_LENGTH, HOST)
    rules.place(b"/a?" + b"x" * CACHED_LENGTH, HOST)

    assert rules.cached_targets == 2


@pytest.mark.parametrize(
    "path",
    [
        b"/%252e%252e;\\//%2f..%3f#a" * 3,
        b"/" + b"%2e/" * (LONGEST_READ // 4),
        b"/a;x//%252fb%61" * (LONGEST_READ // 15),
        b"/" + b"%2561;/" * (LONGEST_READ // 7) + b"../?#",
    ],
)
def test_the_readings_of_one_target_are_bounded(path: bytes) -> None:
    assert readings_of(path) is None
    assert place(CHECKOUT, path) == Guarded()


@pytest.mark.parametrize("own", [b"-/waitroom/status", b"-/w%61it%2572OO%6D", b"-/wait%0Aroo%250dm"])
@pytest.mark.parametrize("before", [b"/" * 200, b"/a/..;" * 100 + b"/", b"/" + b"%2e/" * 2000])
def test_what_has_too_many_readings_is_refused_if_one_may_be_our_own(before: bytes, own: bytes) -> None:
    """Slashes without end before our own prefix went on to the shop: as many readings, so only the guard was asked."""
    assert isinstance(place(DEFAULTS, before + own), Malformed)


@pytest.mark.parametrize(
    "path",
    [
        b"/%252e%252e;\\//%2f..%3f#a" * 40,
        b"/%252e%252e;\\//%2f..%3f#a" * 2500,
        b"/" + b"..%2f" * 1600,
        b"/" + b"../" * 21000,
        b"/" + b"%20" * 21000,
        b"/" + b";" * 8000,
        b"/" + b"//a" * 2700,
    ],
)
def test_the_worst_targets_cost_little_and_are_guarded(path: bytes) -> None:
    rules = TargetRules(["/*", "/a*b*c*d*e"], ["/x*y*z*"])
    started = time.thread_time()

    found = rules.place(path, HOST)

    assert found == Guarded()
    assert time.thread_time() - started < 0.1
