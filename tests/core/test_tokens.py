"""Nothing to forge (P5): tokens are read only if we signed them, for this room and purpose."""

import string
import time
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from waitroom.core.meter import HORIZON_US
from waitroom.core.tokens import (
    LONGEST_LEAD_MS,
    LONGEST_TOKEN,
    TICKET_LIFETIME_MS,
    Mac,
    Pass,
    Ticket,
    Tokens,
    Unreadable,
)

NOW = 1_790_000_000_000
VISITOR = "kX3-_v9TqLwZ0aBcDeFgHi"
OLD, NEW, STRANGE = "o" * 32, "n" * 40, "s" * 40
TOKENS = Tokens("shop", [NEW, OLD])
TICKET = Ticket("shop", "gen-1_A", 1_234_567, VISITOR, NOW)
PASS = Pass("shop", VISITOR, "gen-1_A", 77, NOW, NOW + 660_000, NOW - 5, provisional=False)
SIGNED_TICKET = TOKENS.sign_ticket(TICKET)
SIGNED_PASS = TOKENS.sign_pass(PASS)
ALPHABET = string.ascii_letters + string.digits + "-_."

names = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=32)
visitors = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=22, max_size=32)
integers = st.integers(min_value=0, max_value=10**15 - 1)


def test_what_was_signed_is_read() -> None:
    assert TOKENS.read_ticket(SIGNED_TICKET, NOW) == TICKET
    assert TOKENS.read_ticket(SIGNED_TICKET.encode(), NOW) == TICKET
    assert TOKENS.read_pass(SIGNED_PASS, NOW) == PASS


@given(generation=names, number=integers, visitor=visitors, issued_ms=integers)
def test_every_ticket_survives_the_way_there_and_back(
    generation: str, number: int, visitor: str, issued_ms: int
) -> None:
    ticket = Ticket("shop", generation, number, visitor, issued_ms)

    assert TOKENS.read_ticket(TOKENS.sign_ticket(ticket), issued_ms) == ticket


@given(
    generation=names,
    place=integers,
    visitor=visitors,
    times=st.tuples(integers, integers, integers),
    provisional=st.booleans(),
)
def test_every_pass_survives_the_way_there_and_back(
    generation: str, place: int, visitor: str, times: tuple[int, int, int], provisional: bool
) -> None:
    pass_ = Pass("shop", visitor, generation, place, *times, provisional)

    assert TOKENS.read_pass(TOKENS.sign_pass(pass_), 0) == pass_


def test_tokens_are_short_and_safe_in_urls_cookies_and_headers() -> None:
    assert set(SIGNED_TICKET + SIGNED_PASS) <= set(ALPHABET)
    assert len(SIGNED_TICKET) < 120
    assert len(SIGNED_PASS) < 150


@pytest.mark.parametrize("signed", [SIGNED_TICKET, SIGNED_PASS])
def test_a_truncated_or_extended_token_is_nothing(signed: str) -> None:
    shorter = [signed[:end] for end in range(len(signed))] + [signed[start:] for start in range(1, len(signed))]
    longer = [signed + more for more in (*ALPHABET, "=", "==", " ", "\n", "\0", ".x", signed)]
    longer += [more + signed for more in (*ALPHABET, " ", "\n")]

    for token in shorter + longer:
        assert TOKENS.read_ticket(token, NOW) is None
        assert TOKENS.read_pass(token, NOW) is None


@given(st.integers(0, 200), st.sampled_from(ALPHABET + '=+/ ;,"%é\u0661\u00b2'))
def test_changing_any_one_character_makes_it_nothing(position: int, character: str) -> None:
    for signed in (SIGNED_TICKET, SIGNED_PASS):
        at = position % len(signed)
        if signed[at] == character:
            continue

        changed = signed[:at] + character + signed[at + 1 :]

        assert not isinstance(TOKENS.read_ticket(changed, NOW), Ticket)
        assert not isinstance(TOKENS.read_pass(changed, NOW), Pass)


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.text(ALPHABET, max_size=3)), min_size=1, max_size=4)
)
def test_no_cutting_and_pasting_makes_a_token(edits: list[tuple[int, int, str]]) -> None:
    for signed in (SIGNED_TICKET, SIGNED_PASS):
        text = signed
        for at, removed, added in edits:
            text = text[:at] + added + text[at + removed :]

        if text != signed:
            assert not isinstance(TOKENS.read_ticket(text, NOW), Ticket)
            assert not isinstance(TOKENS.read_pass(text, NOW), Pass)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.from_regex(r"[tp]1\.shop(\.[A-Za-z0-9_-]*){4,9}")))
def test_rubbish_is_nothing(token: str | bytes) -> None:
    assert not isinstance(TOKENS.read_ticket(token, NOW), Ticket)
    assert not isinstance(TOKENS.read_pass(token, NOW), Pass)


def test_the_spelling_of_a_token_is_unique() -> None:
    """Base64 ignores the spare bits of its last character, so that four signatures would say the same."""
    siblings = [SIGNED_TICKET[:-1] + last for last in ALPHABET]

    assert [token for token in siblings if TOKENS.read_ticket(token, NOW)] == [SIGNED_TICKET]


def test_a_ticket_is_no_pass_and_a_pass_no_ticket() -> None:
    assert TOKENS.read_pass(SIGNED_TICKET, NOW) is None
    assert TOKENS.read_ticket(SIGNED_PASS, NOW) is None
    assert TOKENS.read_pass("p1" + SIGNED_TICKET[2:], NOW) is None


def test_another_rooms_token_is_nothing_even_when_renamed() -> None:
    other = Tokens("shop2", [NEW, OLD])
    signed = other.sign_pass(PASS._replace(room="shop2"))

    assert TOKENS.read_pass(signed, NOW) is None
    assert TOKENS.read_pass(signed.replace("shop2", "shop"), NOW) is None
    with pytest.raises(ValueError, match="shop2"):
        TOKENS.sign_ticket(TICKET._replace(room="shop2"))


def test_each_purpose_and_room_has_a_key_of_its_own() -> None:
    """Whatever the text says: a signature made for one purpose or room is none for another."""
    ticket_text, pass_text = (signed.rpartition(".")[0].encode() for signed in (SIGNED_TICKET, SIGNED_PASS))

    assert TOKENS.read_pass(TOKENS._tickets._mac.sign(pass_text), NOW) is None
    assert TOKENS.read_ticket(TOKENS._passes._mac.sign(ticket_text), NOW) is None
    assert TOKENS.read_ticket(Tokens("shop2", [NEW])._tickets._mac.sign(ticket_text), NOW) is None


@given(st.binary(max_size=320), st.binary(min_size=1, max_size=64))
def test_a_signature_is_the_one_that_itsdangerous_makes(text: bytes, key: bytes) -> None:
    theirs = Signer(key, key_derivation="none", digest_method=sha256)

    assert Mac(key).sign(text) == theirs.sign(text)


def test_a_token_of_another_generation_says_so_and_cannot_be_moved() -> None:
    signed = TOKENS.sign_ticket(TICKET._replace(generation="gen-0"))
    read = TOKENS.read_ticket(signed, NOW)

    assert isinstance(read, Ticket)
    assert read.generation == "gen-0"
    assert TOKENS.read_ticket(signed.replace("gen-0", "gen-1_A"), NOW) is None


def test_a_ticket_lasts_its_lifetime() -> None:
    assert TOKENS.read_ticket(SIGNED_TICKET, NOW + TICKET_LIFETIME_MS - 1) == TICKET
    assert TOKENS.read_ticket(SIGNED_TICKET, NOW + TICKET_LIFETIME_MS) is None
    assert Tokens("shop", [NEW], ticket_lifetime_ms=1000).read_ticket(SIGNED_TICKET, NOW + 1000) is None


def test_a_ticket_from_the_future_is_kept() -> None:
    """A fail-over to a slow clock must not cost anybody a place (P7)."""
    assert TOKENS.read_ticket(SIGNED_TICKET, NOW - 3_600_000) == TICKET


def test_a_pass_is_valid_from_its_admission_to_its_end() -> None:
    assert not PASS.is_valid(NOW - 1)
    assert PASS.is_valid(NOW)
    assert PASS.is_valid(NOW + 659_999)
    assert not PASS.is_valid(NOW + 660_000)


def test_a_pass_that_begins_further_off_than_any_admission_is_of_a_clock_that_went_back() -> None:
    """P9: whoever holds it was let in before; nothing is waited for."""
    assert [PASS.lead_ms(NOW - lead_ms) for lead_ms in (-1, 0, 1, LONGEST_LEAD_MS)] == [0, 0, 1, LONGEST_LEAD_MS]
    assert PASS.lead_ms(NOW - LONGEST_LEAD_MS - 1) == 0
    assert LONGEST_LEAD_MS > HORIZON_US / 1000


def test_a_pass_that_ended_is_still_read_for_a_lifetime() -> None:
    assert TOKENS.read_pass(SIGNED_PASS, PASS.end_ms + TICKET_LIFETIME_MS - 1) == PASS
    assert TOKENS.read_pass(SIGNED_PASS, PASS.end_ms + TICKET_LIFETIME_MS) is None


def test_the_first_key_signs_and_every_key_is_accepted() -> None:
    """itsdangerous signs with the last key of a list; our settings name the newest first."""
    newest_first = Tokens("shop", [NEW, OLD])
    signed_new, signed_old = Tokens("shop", [NEW]).sign_ticket(TICKET), Tokens("shop", [OLD]).sign_ticket(TICKET)

    assert newest_first.sign_ticket(TICKET) == signed_new
    assert Tokens("shop", [OLD, NEW]).sign_ticket(TICKET) == signed_old
    assert newest_first.read_ticket(signed_new, NOW) == newest_first.read_ticket(signed_old, NOW) == TICKET
    assert newest_first.signing_key_id == Tokens("shop", [NEW]).signing_key_id
    assert newest_first.key_ids == Tokens("shop", [OLD, NEW]).key_ids


@pytest.mark.parametrize("step", [[OLD], [OLD, NEW], [NEW, OLD], [NEW]])
def test_a_rotation_step_by_step_never_meets_an_unreadable_token(step: list[str]) -> None:
    """Append the new key, roll, move it to the front, roll, drop the old: neighbours always read each other."""
    order = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    before = order[max(0, order.index(step) - 1)]

    assert Tokens("shop", step).read_ticket(Tokens("shop", before).sign_ticket(TICKET), NOW) == TICKET or step == [NEW]
    assert Tokens("shop", before).read_ticket(Tokens("shop", step).sign_ticket(TICKET), NOW) == TICKET


def test_a_token_under_an_unknown_key_is_unreadable_and_nothing_more() -> None:
    strange = Tokens("shop", [STRANGE])

    assert TOKENS.read_ticket(strange.sign_ticket(TICKET), NOW) == Unreadable(strange.signing_key_id)
    assert TOKENS.read_pass(strange.sign_pass(PASS), NOW) == Unreadable(strange.signing_key_id)
    assert strange.signing_key_id not in TOKENS.key_ids


def test_naming_a_key_that_is_held_does_not_help_a_forger() -> None:
    strange = Tokens("shop", [STRANGE])
    renamed = strange.sign_pass(PASS).replace(strange.signing_key_id, TOKENS.signing_key_id)

    assert TOKENS.read_pass(renamed, NOW) is None


@pytest.mark.parametrize(
    "guess",
    [
        lambda text: Signer(NEW).sign(text),
        lambda text: Signer(NEW, key_derivation="none").sign(text),
        lambda text: Signer(NEW, salt="waitroom.t1.shop", key_derivation="hmac").sign(text),
        lambda text: text + b"." + b"A" * 43,
        lambda text: text + b".",
    ],
)
def test_other_ways_to_sign_the_same_text_are_refused(guess: Callable[[bytes], bytes]) -> None:
    text = SIGNED_TICKET.rpartition(".")[0].encode()

    assert TOKENS.read_ticket(guess(text), NOW) is None


@pytest.mark.parametrize(
    "number", ["01", "+1", "-1", "1_0", " 1", "1 ", "1.0", "0x1", "", "1" * 16, "\u0661", "\u00b2", "\uff11"]
)
def test_numbers_have_one_spelling(number: str) -> None:
    """Even with our own key: a number is read strictly before any signature is checked."""
    text = SIGNED_TICKET.rpartition(".")[0].replace(str(TICKET.number), number).encode()
    mac = TOKENS._tickets._mac

    assert TOKENS.read_ticket(mac.sign(text), NOW) is None
    assert TOKENS.read_ticket(mac.sign(SIGNED_TICKET.rpartition(".")[0].encode()), NOW) == TICKET


@pytest.mark.parametrize(
    "ticket",
    [
        TICKET._replace(number=-1),
        TICKET._replace(number=10**15),
        TICKET._replace(generation=""),
        TICKET._replace(generation="a.b"),
        TICKET._replace(generation="g" * 33),
        TICKET._replace(visitor="short"),
        TICKET._replace(visitor="é" * 22),
        TICKET._replace(issued_ms=-1),
    ],
)
def test_what_could_not_be_read_back_is_not_signed(ticket: Ticket) -> None:
    with pytest.raises(ValueError, match="cannot"):
        TOKENS.sign_ticket(ticket)


def test_the_longest_token_of_all_is_read() -> None:
    tokens = Tokens("r" * 32, [NEW])
    largest = 10**15 - 1
    signed = tokens.sign_pass(Pass("r" * 32, "v" * 32, "g" * 32, largest, largest, largest, largest, provisional=True))

    assert len(signed) <= LONGEST_TOKEN
    assert isinstance(tokens.read_pass(signed, 0), Pass)


def test_a_room_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        Tokens("shop", [])


@pytest.mark.timed
def test_a_check_costs_microseconds() -> None:
    """Stated: 8 µs; the bound here leaves room for a busy machine."""
    signed, rounds = SIGNED_PASS.encode(), 2000

    def once() -> float:
        started = time.thread_time()
        for _ in range(rounds):
            TOKENS.read_pass(signed, NOW)
        return (time.thread_time() - started) / rounds

    assert min(once() for _ in range(5)) < 40e-6
