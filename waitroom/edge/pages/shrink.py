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
      | (?P<sign>=>|\?\.|\S)""",
    re.DOTALL | re.VERBOSE,
)
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
BEFORE_PATTERN = frozenset((*"(,=:[!&|?{};", "=>"))
DECLARE = ("const", "let")
WORDS = frozenset(("as", "async", "await", "do", "get", "if", "in", "of", "set"))
"""What may not become a name, or may be one and something else."""
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
    tokens = [*tokens_of(source), ("end", ";")]
    short = short_names(tokens)
    parts: list[str] = []
    before, gap = ";", ""
    under_way, ended = [""], [""]  # for each bracket that is open: the first word of this statement and the one before
    for kind, text in tokens[:-1]:
        if kind == "gap":
            gap = text
            continue
        if not under_way[-1] and text == ended[-1] in DECLARE:
            parts[-1] = ","  # one declaration instead of two
        else:
            parts.append(gap_between(before, gap, text) if gap else "")
            parts.append(short.get(text, text) if kind == "name" else text)
        if text == ";":
            ended[-1], under_way[-1] = under_way[-1], ""
        else:
            under_way[-1] = under_way[-1] or text
        if kind == "sign" and text in "([{":
            under_way.append("")
            ended.append("")
        elif kind == "sign" and text in ")]}":
            under_way.pop()
            ended.pop()
        before, gap = "," if parts[-1] == "," else text, ""
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
    solid = [("sign", ";"), *(token for token in tokens if token[0] != "gap")]
    counts = Counter(text for kind, text in solid if kind == "name")
    declared, kept = set[str](), {*WORDS}
    open_at: list[int] = []
    for index, (kind, text) in enumerate(solid[:-1]):
        before, after = solid[index - 1][1], solid[index + 1][1]
        if kind == "sign" and text in "([{":
            open_at.append(index)
        elif kind == "sign" and text in ")]}":
            begins = open_at.pop()
            if after == "=>" or solid[begins - 1][1] == "catch":  # parameters
                declared.update(text for kind, text in solid[begins:index] if kind == "name")
        elif kind == "name" and (before in DECLARE or after == "=>"):
            declared.add(text)
        elif kind == "name":
            is_member = bool(open_at) and solid[open_at[-1]][1] == "{" and before in "{," and after in ":,}"
            if before in (".", "?.") or is_member:
                kept.add(text)
    letters = ("".join(part) for size in (1, 2) for part in itertools.product(string.ascii_letters, repeat=size))
    free = (name for name in letters if name not in counts and name not in WORDS)
    ordered = sorted((name for name in declared - kept if len(name) > 1), key=lambda name: (-counts[name], name))
    return dict(zip(ordered, free, strict=False))
