"""What shadow mode reports of a request, and what it keeps to itself."""

import pytest

from waitroom.core.judge import ENTER, PROCEED, THROUGH, Claim, Enter, Page, Proceed, judge, shadowed
from waitroom.core.judge import Holds as H
from waitroom.core.requests import Kind
from waitroom.core.shadow import Row, client_of, read_shadowed, row_name, shape_of


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("holds", H)
def test_in_shadow_every_cell_of_the_table_leads_to_the_shop(kind: Kind, holds: H) -> None:
    decision = judge(kind, holds, ticket_in_header=False)

    assert shadowed(decision) in (PROCEED, ENTER, THROUGH)
    assert (shadowed(decision) is PROCEED) == isinstance(decision, Proceed)
    assert (shadowed(decision) is ENTER) == isinstance(decision, Enter | Page | Claim)


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        (b"/cart?coupon=abc", "/cart"),
        (b"/product/4711", "/product/*"),
        (b"/p/12/reviews", "/p/*/reviews"),
        (b"/iphone-15", "/iphone-15"),
        (b"/reset/eyJhbGciOiJIUzI1NiJ9", "/reset/*"),
        (b"/user/anna@shop.example/orders", "/user/*/orders"),
        (b"/track/DE0012345", "/track/*"),
        (b"/search/m%C3%BCller", "/search/*"),
        (b"/a;jsessionid=5", "/a"),
        (b"/" + b"a/" * 99, ("/" + "a/" * 99)[:80]),
    ],
)
def test_a_path_is_kept_without_what_may_name_somebody(target: bytes, shape: str) -> None:
    assert shape_of(target) == shape


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("", "no-name"),
        ("Stripe/1.0 (+https://stripe.com/docs/webhooks)", "webhook"),
        ("okhttp/4.12.0", "android-app"),
        ("Shop/31 CFNetwork/1490 Darwin/23.2.0", "apple-app"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36", "chrome"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1 (KHTML, like Gecko) Version/17.1 Safari/605.1", "safari"),
        ("Mozilla/5.0 (X11; rv:132.0) Gecko/20100101 Firefox/132.0", "firefox"),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0", "edge"),
        ("python-requests/2.32", "python"),
        ("Anna's own program", "other"),
    ],
)
def test_a_client_is_one_of_a_few_kinds(agent: str, client: str) -> None:
    assert client_of(agent.encode()) == client


def test_rows_add_up_by_kind_and_client_and_what_did_not_fit_counts_as_other() -> None:
    found = read_shadowed(
        {row_name("unsafe", "webhook", "/hooks"): 3, row_name("fetch", "webhook", "/api"): 1, "other": 5}
    )

    assert found.rows[0] == Row("other", "other", "(other)", 5)
    assert found.rows[1] == Row("unsafe", "webhook", "/hooks", 3)
    assert found.total == 9
    assert found.by("client") == [("other", 5), ("webhook", 4)]
    assert found.by("kind") == [("other", 5), ("unsafe", 3), ("fetch", 1)]
