"""Our scripts and styles made smaller: the same text to a browser, in fewer bytes."""

import pytest

from waitroom.edge.pages.shrink import shrink_script, shrink_style


@pytest.mark.parametrize(
    ("source", "shrunk"),
    [
        ("// said\nconst first = 1; /* why\nnot */\nfirst();\n", "const a=1;a();"),
        ("let count = 0;\nconst add = (n) => { count += n; };", "let a=0;const b=(n)=>{a+=n;};"),
        ("const facts = {};\nshow({ facts });", "const facts={};show({facts});"),
        ("const state = 1;\nfacts.state = state;", "const state=1;facts.state=state;"),
        ("const lost = 1;\nsay({ lost: 2 }, lost ? lost : 3);", "const lost=1;say({lost:2},lost?lost:3);"),
        ("const text = 'const  text // no';", "const a='const  text // no';"),
        ('const found = text.replace(/\\{(\\w+)\\} "/g, 1) / 2 / 3;', 'const a=text.replace(/\\{(\\w+)\\} "/g,1)/2/3;'),
        ("a\nb", "a\nb"),
        ("const one = 1;\nconst two = (left, right) => left;\nlet more = 3;", "const c=1,e=(a,d)=>a;let b=3;"),
        ("const say = (of) => { for (const a of of) a(); };", "const b=(of)=>{for(const a of of)a();};"),
        ("for (const each of all) each();\nconst next = 1;", "for(const a of all)a();const b=1;"),
        ("try { go(); } catch (fault) { say(fault); }", "try{go();}catch(a){say(a);}"),
        ("const x = a + +b - -c;", "const x=a+ +b- -c;"),
        ("if (a) {\n  return b;\n}\nc();", "if(a){return b;}\nc();"),
    ],
)
def test_a_script_keeps_what_it_means(source: str, shrunk: str) -> None:
    assert shrink_script(source) == shrunk


def test_a_short_name_is_one_that_occurs_nowhere() -> None:
    assert shrink_script("const long = a + b + A;") == "const c=a+b+A;"


def test_a_template_literal_is_refused() -> None:
    with pytest.raises(ValueError, match="join strings"):
        shrink_script("const text = `${value}`;")


def test_a_style_keeps_what_it_means() -> None:
    source = (
        "/* why */\na :focus-visible, b { color: red; margin: 0 auto; }\n"
        "@media (width > 60rem) { p { x: calc(1px + 2px); } }"
    )

    assert shrink_style(source) == (
        "a :focus-visible,b{color:red;margin:0 auto}@media (width > 60rem){p{x:calc(1px + 2px)}}"
    )
