"""What people read: sentences marked for translation, and how counts, times and names stand in one.

`waitroom.edge.pages.languages` says how a translated sentence is added; what operators read is English.
"""


def N_(sentence: str) -> str:
    """The sentence as it is. The name is the one that extraction looks for; the translation happens at the edge."""
    return sentence


def people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def duration(seconds: float) -> str:
    """Rounded for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def one_line(text: str) -> str:
    """A text from outside as it may be shown: what cannot be printed is a blank, and blanks are evened out."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
