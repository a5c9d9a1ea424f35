"""Mark the sentences that people read in their own language; `waitroom.edge.pages.languages` says how one is added."""


def N_(sentence: str) -> str:
    """The sentence as it is. The name is the one that extraction looks for; the translation happens at the edge."""
    return sentence
