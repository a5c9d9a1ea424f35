"""Links in the foot of the pages: to https, or to this site."""

import pytest

from waitroom.core.links import Link, parse_links


def test_links_are_label_and_address() -> None:
    assert parse_links("Help=https://help.example/a?b=c, Imprint = /imprint ,") == (
        Link("Help", "https://help.example/a?b=c"),
        Link("Imprint", "/imprint"),
    )
    assert parse_links("") == ()


@pytest.mark.parametrize(
    "text",
    ["Help", "=https://x.example", "Help=http://x.example", "Help=//x.example", "Help=javascript:alert(1)",
     "Help=/\\x.example", "Help=https://", "Help=", "x" * 41 + "=/a", "A=/a b", 'A=/a"b', "A=/" + "a" * 300,
     ",".join(f"{i}=/{i}" for i in range(7))],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"link|leads to"):
        parse_links(text)
