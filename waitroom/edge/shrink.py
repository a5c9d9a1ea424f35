"""Make our scripts and styles smaller before they are inlined: a page has one round trip to arrive in.

Comments and needless blanks go, and the script's own names become short ones; together that saves a sixth of what is
left after compression. No general minifier: it knows the language of `templates/_partials`, and refuses what it does
not know (template literals). What it makes is what every browser test runs.
"""

import itertools
import re
import string
from collections import Counter
from collections.abc import Iterator

TOKEN = re.compile(
    r"""(?P<gap>(?:\s+|//[^\n]*|/\*.*?\*/)+)
      | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<number>\d[\w.]*)
      | (?P<sign>\?\.|\S)""",
    re.DOTALL | re.VERBOSE,
)
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
BEFORE_PATTERN = frozenset("(,=:[!&|?{};")
NO_END = frozenset("{;,([")
"""After these a line may be joined with the next: no statement ends there."""


def shrink_style(source: str) -> str:
    """A style sheet without comments and needless blanks."""
    text = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ?([{};,]) ?", r"\1", text)
    return re.sub(r"([{;(][\w-]+): ", r"\1:", text).replace(";}", "}").strip()


def shrink_script(source: str) -> str:
    """A script with short names. ValueError for a template literal, whose inside would have to be read as well."""
    tokens = list(tokens_of(source))
    short = short_names(tokens)
    parts: list[str] = []
    for index, (kind, text) in enumerate(tokens):
        if kind != "gap":
            parts.append(short.get(text, text) if kind == "name" else text)
        elif parts and index + 1 < len(tokens):
            parts.append(gap_between(tokens[index - 1][1], text, tokens[index + 1][1]))
    return "".join(parts)


def gap_between(before: str, gap: str, after: str) -> str:
    """What has to stay of a gap: a line's end where a statement may end, a blank where two words would become one."""
    if "\n" in gap and before not in NO_END and after != "}":
        return "\n"
    words = (before[-1] + after[0]).replace("$", "_").replace("_", "a")
    return " " if words.isalnum() or before == after in ("+", "-") else ""


def tokens_of(source: str) -> Iterator[tuple[str, str]]:
    """(kind, text) in order; together they are the source."""
    at, last = 0, ";"
    while at < len(source):
        pattern = PATTERN.match(source, at) if last in BEFORE_PATTERN or last == "return" else None
        found = TOKEN.match(source, at)
        assert found is not None, "every character is blank or not"
        kind, text = found.lastgroup or "sign", found[0]
        if pattern is not None and kind == "sign":
            kind, text = "pattern", pattern[0]
        if text == "`":
            raise ValueError("template literals are not understood; join strings with + instead")
        if kind != "gap":
            last = text
        yield kind, text
        at += len(text)


def short_names(tokens: list[tuple[str, str]]) -> dict[str, str]:
    """Each name that the script declares → a short one that occurs nowhere, the most frequent first. A name that is
    anywhere a property's as well is left alone.
    """
    solid = [(kind, text) for kind, text in tokens if kind != "gap"]
    counts = Counter(text for kind, text in solid if kind == "name")
    declared: set[str] = set()
    kept: set[str] = set()
    nesting: list[str] = []
    ends = [("sign", "")]
    for (_, before), (kind, text), (_, after) in zip([*ends, *solid], solid, [*solid[1:], *ends], strict=False):
        if text in "([{" and kind == "sign":
            nesting.append(text)
        elif text in ")]}" and kind == "sign":
            nesting.pop()
        elif kind == "name" and before in ("const", "let"):
            declared.add(text)
        elif kind == "name":
            is_member = nesting[-1:] == ["{"] and before in "{," and after in ":,}"
            if before in (".", "?.") or is_member:
                kept.add(text)
    letters = ("".join(letters) for size in (1, 2) for letters in itertools.product(string.ascii_letters, repeat=size))
    free = (name for name in letters if name not in counts and name not in ("do", "if", "in", "of", "as"))
    ordered = sorted((name for name in declared - kept if len(name) > 1), key=lambda name: (-counts[name], name))
    return dict(zip(ordered, free, strict=False))
