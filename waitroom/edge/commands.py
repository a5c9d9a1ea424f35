"""What the shop asks for beside its answer (`core.commands`) is done here: the one place where its word counts."""

from collections.abc import Sequence

from waitroom.core.commands import read_commands
from waitroom.core.figures import COMMANDS
from waitroom.core.requests import Header
from waitroom.core.tokens import Pass
from waitroom.edge.cookies import is_our_set_cookie
from waitroom.edge.visitor import Desk
from waitroom.store.line import Line


class ShopCommands:
    """Of one line."""

    def __init__(self, line: Line, desk: Desk) -> None:
        self.line = line
        self.desk = desk

    def heed(
        self, fields: Sequence[Header], pass_: Pass | None, added: Sequence[Header], *, secure: bool
    ) -> Sequence[Header]:
        """Do what the shop's `Waitroom-*` fields ask for; the fields for the client, which were to be `added`.

        `pass_` is that of the visitor whose request was answered. Without one, only what concerns everybody is done.
        """
        told, line, desk = read_commands(fields), self.line, self.desk
        for word in told.junk:
            line.counts[COMMANDS["junk"]] += 1
            line.findings[f"the shop sent a Waitroom-Command that is not known: {word}"] += 1
        if told.sold_out:
            line.counts[COMMANDS["sold-out"]] += 1
            line.sell_out()
        if told.stock is not None:
            line.counts[COMMANDS["stock"]] += 1
            line.set_stock(told.stock)
        if pass_ is None:
            return added
        now_ms = int(line.now_ms())
        if told.ends is not None:
            line.counts[COMMANDS[told.ends]] += 1
            line.end_pass(pass_.generation, pass_.place)
            return [*without_ours(added), *desk.forget(pass_, now_ms, secure=secure)]
        if told.extend_ms:
            line.counts[COMMANDS["extend"]] += 1
            longer = desk.renewal(pass_, now_ms, at_least_ms=told.extend_ms)
            if longer is not None:
                line.renew(longer.generation, longer.place, longer.end_ms, confirms=pass_.provisional)
                return [*without_ours(added), desk.set_pass(longer, now_ms, secure=secure)]
        return added


def without_ours(added: Sequence[Header]) -> list[Header]:
    return [(name, value) for name, value in added if name != b"set-cookie" or not is_our_set_cookie(value)]
