"""Which language a browser is answered in."""

import pytest

from waitroom.edge.pages.accept_language import LONGEST_BYTES, MOST_RANGES, choose, lookup, ranges

OFFERED = frozenset(("en", "de", "fr", "pt-BR", "he", "nb", "zh-Hans", "zh-Hant"))


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        (b"de", "de"),
        (b"DE-at", "de"),
        (b"de-Latn-DE-1996", "de"),
        (b"fr;q=0.4, de;q=0.5", "de"),
        (b"fr;q=0.5, de;q=0.5", "fr"),
        (b"fr ; Q=0.5 , de ; q=0.7", "de"),
        (b"de;q=0, en", "en"),
        (b"xx, de;q=0.1", "de"),
        (b"en-x-pirate", "en"),
        (b"pt", "pt-BR"),
        (b"pt-PT, de;q=0.9", "pt-BR"),
        (b"zh", "zh-Hans"),
        (b"zh-CN", "zh-Hans"),
        (b"zh-SG", "zh-Hans"),
        (b"zh-TW", "zh-Hant"),
        (b"zh-HK", "zh-Hant"),
        (b"zh-Hant-HK", "zh-Hant"),
        (b"zh-Hans-TW", "zh-Hans"),
        (b"cmn", "zh-Hans"),
        (b"no", "nb"),
        (b"nn-NO", "nb"),
        (b"iw", "he"),
        (b"*", None),
        (b"*, de;q=0.5", "de"),
        (b"", None),
        (b"de;q=", None),
        (b"de;q=often, fr;q=0.1", "fr"),
        (b"\xff\xfe,;;q,=,-,de-", "de"),
        (b"x" * LONGEST_BYTES + b",de", None),
    ],
)
def test_the_heaviest_language_that_is_offered_is_chosen(header: bytes, tag: str | None) -> None:
    assert choose(header, OFFERED) == tag


def test_ranges_come_by_weight_and_equals_in_their_order() -> None:
    assert ranges(b"a;q=0.5, b, c;q=0.5, d;q=0.9, e;q=0") == ["b", "d", "a", "c"]


def test_of_a_long_list_only_the_first_are_looked_up() -> None:
    assert choose(b"xx," * MOST_RANGES + b"de", OFFERED) is None
    assert choose(b"xx;q=0.1," * MOST_RANGES + b"de", OFFERED) == "de"


def test_a_language_that_nobody_offers_is_none() -> None:
    assert lookup("tlh", OFFERED) is None
