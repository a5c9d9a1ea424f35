"""What the shop may say beside its answers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core import commands as module
from waitroom.core.commands import NONE, Commands, read_commands

COMMAND = b"waitroom-command"
DRAWN = {
    "complete": Commands("complete"),
    "revoke": Commands("revoke"),
    "extend=10m": Commands(extend_ms=600_000),
    "sold-out": Commands(sold_out=True),
    "stock=120": Commands(stock=120),
}


def told(*values: str) -> Commands:
    return read_commands([(COMMAND, value.encode()) for value in values])


def test_every_command_of_the_table_is_read() -> None:
    rows = [re.split(r" {2,}", line.strip()) for line in (module.__doc__ or "").splitlines() if line.startswith("    ")]

    assert {row[0]: told(row[0]) for row in rows[2:]} == DRAWN


@pytest.mark.parametrize("values", [("complete, stock=3",), ("complete", "stock=3"), (" complete ,, stock=3 ,",)])
def test_several_stand_in_one_field_or_in_several(values: tuple[str, ...]) -> None:
    assert told(*values) == Commands("complete", stock=3)


def test_whoever_is_revoked_is_not_complete() -> None:
    assert told("revoke, complete").ends == told("complete, revoke").ends == "revoke"


def test_no_stock_is_sold_out() -> None:
    assert told("stock=0") == Commands(sold_out=True, stock=0)


@pytest.mark.parametrize(
    "word",
    [
        "Complete",
        "stock=-1",
        "stock=",
        "stock=1.5",
        "stock=²",
        "extend",
        "extend=",
        "extend=0",
        "extend=3h",
        "extend=x",
        "extend=" + "9" * 400 + "s",
        "sold_out",
        "x" * 50,
    ],
)
def test_anything_else_is_junk(word: str) -> None:
    read = told(f"{word}, complete")

    assert read.ends == "complete"
    assert len(read.junk) == 1
    assert read.junk[0][:5] == word[:5]
    assert len(read.junk[0]) <= module.LONGEST_JUNK


def test_another_field_of_the_shops_is_junk_by_its_name_but_the_order_is_not() -> None:
    assert read_commands([(b"waitroom-order-id", b"complete"), (b"waitroom-comand", b"complete")]).junk == (
        "waitroom-comand",
    )


def test_no_field_asks_for_nothing() -> None:
    assert read_commands([]) == NONE


@given(st.lists(st.tuples(st.sampled_from([COMMAND, b"waitroom-x", b"waitroom-order-id"]), st.binary(max_size=60))))
def test_no_field_raises_anything(fields: list[tuple[bytes, bytes]]) -> None:
    read = read_commands(fields)

    assert len(read.junk) <= module.MOST_JUNK
    assert all(word.isascii() and word.isprintable() for word in read.junk)
