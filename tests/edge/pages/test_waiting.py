"""The pages as bytes: every state, both encodings, nothing from outside, nothing a visitor sends comes alive."""

import base64
import gzip
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.requests import accepts_gzip
from waitroom.core.settings import Settings
from waitroom.edge.facts import PageFacts, members
from waitroom.edge.pages.documents import STORED_LIMIT_BYTES, Document
from waitroom.edge.pages.languages import Language
from waitroom.edge.pages.templates import Templates
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.waiting import ENDS, PLACED, PLACELESS, REACH, Pages
from waitroom.edge.pages.words import Words

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:9", "shop_name": "Rhône & Fils"})
PAGES = Pages(SETTINGS)
ENGLISH = Words(Language("en"))
STATES = (*PLACED, *PLACELESS)
HOSTILE = "</script><script>alert(1)</script><!--\"'&amp;\u2028 ]]> % %(json)b \ue000json\ue001 \ud800"
FIRST_ROUND_TRIP_BYTES = 14 * 1024


def facts(state: str = "waiting", **changes: object) -> PageFacts:
    figures: dict[str, object] = {
        "number": 4711,
        "position": 1204,
        "ahead": 1203,
        "waiting": 5310,
        "rate_per_min": 120.0,
        "wait_low_s": 560.0,
        "wait_high_s": 700.0,
        "next_poll_s": 2.6,
        "server_time_ms": 1_760_000_000_123,
        "lobby_at": "2025-10-09T09:00:00Z",
        "opens_at": "2025-10-09T09:15:00Z",
    }
    if state in ("before", "lobby"):
        figures |= {"position": None, "ahead": None}
    state = "lobby" if state == "drawn" else state
    return PageFacts(state=state, **{**figures, **changes})  # type: ignore[arg-type]


def page(shown: PageFacts) -> str:
    return PAGES.waiting(shown, gzip=False)[1].decode()


class Reader(HTMLParser):
    """What a browser without styles and scripts would show, and the inline elements as sent."""

    def __init__(self, html: str, *, knows_hidden: bool = True) -> None:
        super().__init__(convert_charrefs=True)
        self.knows_hidden = knows_hidden
        self.open: list[tuple[str, bool]] = []
        self.shown: list[str] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if dict(attrs).get("type") == "submit" and not any(hidden for _, hidden in self.open):
            self.shown.append(dict(attrs)["value"] or "")
        if tag in ("script", "style"):
            self.inline.append((tag, dict(attrs), ""))
        if tag not in ("meta", "link", "input", "path", "br"):
            hidden = (self.knows_hidden and "hidden" in dict(attrs)) or tag in ("script", "style", "head")
            self.open.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        if tag == "path":
            return
        assert self.open[-1][0] == tag, f"</{tag}> closes <{self.open[-1][0]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] in ("script", "style"):
            tag, attrs, text = self.inline[-1]
            self.inline[-1] = (tag, attrs, text + data)
        elif not any(hidden for _, hidden in self.open):
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())

    def data(self, name: str) -> object:
        return next(json.loads(text) for tag, attrs, text in self.inline if attrs.get("id") == name)


def unfolded(html: str) -> str:
    """The page as its script makes it: with the parts for other states."""
    return re.sub(r'<script type="text/html">(.*?)</script>', r"\1", html, flags=re.DOTALL)


@pytest.mark.parametrize("state", STATES)
def test_a_text_browser_shows_what_is_so_and_nothing_else(state: str) -> None:
    """w3m and lynx know neither scripts nor `hidden`: each heading and each way on has to be that of the state."""
    others = {
        "waiting": "in line,",
        "called": "You are being let in",
        "lapsed": "turn has passed",
        "sold_out": "nothing left",
        "left": "have left the line",
        "closed": "sale has ended",
        "before": "no line yet",
        "lobby": "no order yet",
        "drawn": "place is drawn",
        "held": "line is paused",
    }

    html = page(facts(state))
    text = Reader(html, knows_hidden=False).text

    assert [tag for tag, _ in Reader(html).elements].count("h1") == 1
    also = ["sold_out"] * (state == "closed")  # it says that nothing is left to wait for, too
    assert [of for of, said in others.items() if said in text and of != state] == also
    assert "Tell me when" not in text


@pytest.mark.parametrize("state", STATES)
def test_the_gzip_stream_is_the_plain_page(state: str) -> None:
    headers, packed = PAGES.waiting(facts(state), gzip=True)
    plain_headers, plain = PAGES.waiting(facts(state), gzip=False)

    assert gzip.decompress(packed) == plain
    assert dict(headers)[b"content-length"] == b"%d" % len(packed)
    assert dict(headers)[b"content-encoding"] == b"gzip"
    assert dict(plain_headers)[b"content-length"] == b"%d" % len(plain)
    assert b"content-encoding" not in dict(plain_headers)


@pytest.mark.parametrize("state", STATES)
def test_a_page_fits_into_the_first_round_trip(state: str) -> None:
    _, packed = PAGES.waiting(facts(state, message="x" * 280, target="/a/" + "b" * 200), gzip=True)

    assert len(packed) <= FIRST_ROUND_TRIP_BYTES


@pytest.mark.parametrize("state", STATES)
def test_a_page_is_well_formed_and_loads_nothing(state: str) -> None:
    reader = Reader(unfolded(page(facts(state))))

    assert reader.open == []
    assert not any("src" in attrs for _, attrs in reader.elements)
    assert all((attrs["href"] or "").startswith("data:") for tag, attrs in reader.elements if tag == "link")
    assert [tag for tag, _ in reader.elements].count("h1") == len({*REACH.get(state, (state, *ENDS))}) + 1
    assert sum(attrs.get("id") is not None for _, attrs in reader.elements) == len(
        {attrs["id"] for _, attrs in reader.elements if attrs.get("id") is not None}
    )


@pytest.mark.parametrize("state", STATES)
def test_the_policy_allows_exactly_the_inlined_bytes(state: str) -> None:
    headers, body = PAGES.waiting(facts(state), gzip=False)
    policy = dict(headers)[b"content-security-policy"].decode()

    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    inlined = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for _, attrs, text in Reader(body.decode()).inline
        if "type" not in attrs
    }
    assert allowed == inlined
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not any(
        name.startswith("on") or name == "style" for _, attrs in Reader(body.decode()).elements for name in attrs
    )


def test_nobody_may_keep_the_page() -> None:
    headers, _ = PAGES.waiting(facts(), gzip=True)

    assert dict(headers)[b"cache-control"] == b"private, no-store"
    assert b"cookie" in dict(headers)[b"vary"]
    assert dict(headers)[b"x-robots-tag"] == b"noindex"
    assert dict(headers)[b"referrer-policy"] == b"same-origin"
    assert dict(headers)[b"retry-after"] == b"3"


def test_the_callers_changes_stay_with_one_answer() -> None:
    headers, _ = PAGES.waiting(facts(), gzip=True)
    headers.append((b"set-cookie", b"a=b"))

    assert b"set-cookie" not in dict(PAGES.waiting(facts(), gzip=True)[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [("faster", "lets people in faster"), ("slower", "more slowly"), ("resumed", "was paused and goes on now")],
)
def test_without_a_script_the_page_says_that_the_pace_changed(change: str, said: str) -> None:
    """P11"""
    told = re.search(r'<p class="box" id="change">(.*?)</p>', page(facts(change=change)))

    assert told is not None
    assert said in told[1]
    assert told[1].endswith("Your estimated wait has changed.")
    assert '<p class="box" id="change" hidden></p>' in page(facts())


def test_without_a_script_the_page_shows_the_figures() -> None:
    text = Reader(page(facts(message="Blue is sold out."))).text

    assert "re in line" in text
    assert "Your position 1,204" in text
    assert "9 to 12 minutes" in text
    assert "Ahead of you 1,203" in text
    assert "In line now 5,310" in text
    assert "120 a minute" in text
    assert "Blue is sold out." in text
    assert "Checked at 8:53:20 AM UTC" in text
    assert "10 minutes to come back" in text
    assert "Rhône & Fils" in text


@pytest.mark.parametrize(
    ("state", "says", "says_not"),
    [
        ("called", "s your turn", "re in line"),
        ("held", "The line is paused", "Estimated wait"),
        ("lapsed", "Join the line again", "Ahead of you"),
        ("before", "There is no line yet", "Your position"),
        ("before", "The waiting room opens in 7 minutes Thursday, October 9, 2025, 9:00 AM UTC", "Leave the line"),
        ("lobby", "The sale opens in 22 minutes Thursday, October 9, 2025, 9:15 AM UTC", "Your position"),
        ("lobby", "everyone here has the same chance", "Ahead of you"),
        ("drawn", "Your position 1,204 The sale opens in 22 minutes", "Estimated wait"),
        ("sold_out", "There is nothing left to wait for.", "Your position"),
        ("closed", "The sale has ended", "Leave the line"),
        ("left", "Join the line again", "Your position"),
        ("away", "This page tries again by itself", "Checked at"),
        ("retry", "It is kept.", "Checked at"),
    ],
)
def test_each_state_says_its_own_words_and_no_others(state: str, says: str, says_not: str) -> None:
    text = Reader(page(facts(state))).text

    assert says in text
    assert says_not not in text


def test_what_is_left_is_told_and_whether_more_are_ahead() -> None:
    plenty, scarce = Reader(page(facts(stock=5000))).text, Reader(page(facts(stock=300))).text

    assert "Still left about 5,000" in plenty
    assert "Still left about 300" in scarce
    assert "may be sold out before your turn" in scarce
    assert "sold out" not in plenty
    assert "Still left" not in Reader(page(facts())).text


def test_a_place_is_given_back_by_a_form_that_asks_first() -> None:
    html = page(facts())

    assert re.search(r'<details>\s*<summary[^>]*>Leave the line</summary>\s*<form method="post" [^>]*leave"', html)


def test_missing_figures_are_left_out() -> None:
    reader = Reader(page(facts(position=None, ahead=None, waiting=None, rate_per_min=None, wait_high_s=None)))

    assert "Your position –" in reader.text
    assert "Not known yet" in reader.text or "not known yet" in reader.text
    for absent in ("Ahead of you", "In line now", "Let in", "None"):
        assert absent not in reader.text
    data = reader.data("facts")
    assert isinstance(data, dict)
    assert data["position"] is None
    assert data["wait_s"] is None


def test_the_data_for_the_script_are_the_fields_of_status() -> None:
    data = Reader(page(facts(hold_s=25, target="/phones?x=1", rate_per_min=0.5))).data("facts")

    assert data == {
        "state": "waiting",
        "number": 4711,
        "position": 1204,
        "ahead": 1203,
        "waiting": 5310,
        "rate_per_min": 0.5,
        "wait_s": {"low": 560, "high": 700},
        "next_poll_s": 2.6,
        "hold_s": 25,
        "message": None,
        "change": None,
        "place": None,
        "phase": None,
        "lobby_at": "2025-10-09T09:00:00Z",
        "opens_at": "2025-10-09T09:15:00Z",
        "closes_at": None,
        "at_close": None,
        "stock": None,
        "target": "/phones?x=1",
        "server_time": "2025-10-09T08:53:20.123Z",
    }
    assert json.loads(b"{%b}" % members(facts())) == {
        **{name: value for name, value in data.items() if name != "target"},
        "hold_s": 0,
        "rate_per_min": 120,
    }


@pytest.mark.parametrize("state", STATES)
def test_hostile_values_are_inert(state: str) -> None:
    calm = Reader(page(facts(state, message="m", target="/t")))
    reader = Reader(page(facts(state, message=HOSTILE, target=HOSTILE)))

    assert [tag for tag, _ in reader.elements] == [tag for tag, _ in calm.elements]
    data = reader.data("facts")
    assert isinstance(data, dict)
    assert data["message"] == data["target"] == HOSTILE
    if state == "lapsed":
        value = next(attrs["value"] for tag, attrs in reader.elements if tag == "input")
        assert value == HOSTILE.replace("\ud800", "?")


@given(message=st.text(), target=st.text())
def test_any_text_comes_through_as_data_in_both_encodings(message: str, target: str) -> None:
    shown = facts("lapsed", message=message, target=target)

    plain = PAGES.waiting(shown, gzip=False)[1]

    assert gzip.decompress(PAGES.waiting(shown, gzip=True)[1]) == plain
    data = Reader(plain.decode()).data("facts")
    assert isinstance(data, dict)
    assert (data["message"] or "") == message
    assert data["target"] == target


def test_a_hostile_shop_name_is_inert() -> None:
    pages = Pages(SETTINGS.model_copy(update={"shop_name": HOSTILE.replace("\ud800", "").replace("\ue000", "")}))

    reader = Reader(pages.waiting(facts(), gzip=False)[1].decode())

    assert [tag for tag, _ in reader.elements] == [tag for tag, _ in Reader(page(facts())).elements]


@pytest.mark.parametrize("size", [0, 1, STORED_LIMIT_BYTES - 20, STORED_LIMIT_BYTES, STORED_LIMIT_BYTES + 1, 200_000])
def test_a_tail_of_any_size_makes_one_valid_stream(size: int) -> None:
    document = Document("<p>100 %</p>" * 50 + "\ue000x\ue001 5 % end")

    packed = document.body({b"x": b"y" * size}, gzip=True)

    unpacker = zlib.decompressobj(31)
    assert unpacker.decompress(packed) == document.body({b"x": b"y" * size}, gzip=False)
    assert unpacker.eof
    assert unpacker.unused_data == b""


def test_a_template_with_an_unknown_name_fails_at_the_start() -> None:
    templates = Templates(templates_dir())

    with pytest.raises(Exception, match="is undefined"):
        templates.compile("frame.html", {"language": Language("en"), "_": Language("en").in_html})


def test_comments_of_our_own_are_not_sent() -> None:
    html = page(facts())

    assert "Lines that are a comment" not in html
    assert "//" not in html.replace("https://", "").replace("http://", "")
    assert "{#" not in html


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, GZIP;q=0.8", True),
        (b"x-gzip", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"deflate, br", False),
        (b"", False),
        (b"gzippy", False),
    ],
)
def test_gzip_is_sent_to_those_who_accept_it(value: bytes, accepted: bool) -> None:
    assert accepts_gzip({b"host": b"x", b"accept-encoding": value}) is accepted


@pytest.mark.parametrize(
    ("low_s", "high_s", "words"),
    [
        (None, None, "not known yet"),
        (0, 59, "less than a minute"),
        (10, 60, "about a minute"),
        (10, 61, "up to 2 minutes"),
        (61, 119, "1 to 2 minutes"),
        (120, 120, "about 2 minutes"),
        (560, 700, "9 to 12 minutes"),
        (1000, 1300, "15 to 25 minutes"),
        (3600, 5400, "60 to 90 minutes"),
        (3600, 5401, "1 to 2 hours"),
        (600, 9000, "up to 2.5 hours"),
        (2000, 9000, "0.5 to 2.5 hours"),
        (18000, 25200, "5 to 7 hours"),
    ],
)
def test_the_wait_is_said_as_a_range(low_s: float | None, high_s: float | None, words: str) -> None:
    assert ENGLISH.wait(low_s, high_s) == words


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.25, "15 an hour"),
        (0.001, "1 an hour"),
        (1, "1 a minute"),
        (2.5, "2.5 a minute"),
        (9.96, "10 a minute"),
        (120, "120 a minute"),
        (36000, "36,000 a minute"),
    ],
)
def test_the_rate_is_said_in_a_unit_that_suits_it(rate: float, words: str) -> None:
    assert ENGLISH.rate(rate) == words


def test_durations_are_said_in_the_largest_unit_that_fits() -> None:
    assert [ENGLISH.duration(ms) for ms in (600_000, 60_000, 90_000, 7_200_000, 3_600_000)] == [
        "10 minutes",
        "1 minute",
        "90 seconds",
        "2 hours",
        "1 hour",
    ]


def refresh_s(pages: Pages, shown: PageFacts) -> int:
    html = pages.waiting(shown, gzip=False)[1].decode()
    return int(re.findall(r'<noscript><meta http-equiv="refresh" content="(\d+)"></noscript>', html)[0])


def test_a_shorter_away_after_makes_the_page_without_a_script_ask_sooner() -> None:
    assert refresh_s(PAGES, facts()) == 30
    assert refresh_s(Pages(SETTINGS.model_copy(update={"away_after": 45_000})), facts()) == 15


def test_near_the_turn_the_page_without_a_script_asks_sooner() -> None:
    assert refresh_s(PAGES, facts(wait_low_s=0, wait_high_s=4)) == 5
    assert refresh_s(PAGES, facts(wait_low_s=9, wait_high_s=25)) == 12
    assert refresh_s(PAGES, facts(wait_low_s=None, wait_high_s=None)) == 30
    assert refresh_s(PAGES, facts("called", position=None)) == 5


@pytest.mark.parametrize("target", ["/phones?x=1&y=%2F#z", "/ü ;url=//x.test/ '\"", "//x.test/", "/" + "a" * 5000])
def test_without_a_script_the_page_asks_again_by_way_of_enter(target: str) -> None:
    reader = Reader(page(facts(target=target)))

    again = next(attrs["href"] for tag, attrs in reader.elements if attrs.get("id") == "again")
    refresh = next(attrs["content"] for tag, attrs in reader.elements if attrs.get("http-equiv") == "refresh")
    assert refresh == f"30;url={again}"
    assert again is not None
    path, _, query = again.partition("?")
    assert path == "/-/waitroom/enter"
    assert parse_qs(query) == {"again": ["1"], "to": [target]}
    assert not set(again) & set("\"' ;#<>")


def test_the_page_of_a_named_room_names_it_in_every_own_route() -> None:
    settings = Settings.model_validate({"origin": "http://shop", "room": "drop", "named": True, "guard": "/drop*"})
    page = Pages(settings).waiting(PageFacts(state="waiting", number=1, target="/drop", server_time_ms=0), gzip=False)

    html = page[1].decode()
    assert 'data-room="room=drop"' in html
    routes = re.findall(r"/-/waitroom/[a-z-]+[^\"']*", html)
    named = [route for route in routes if "room=drop" in route]
    assert len(named) >= 2
    assert [route for route in routes if route not in named and not route.startswith("/-/waitroom/ ")] == []
