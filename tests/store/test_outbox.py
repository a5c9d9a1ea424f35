"""What a worker tells Redis: the latest end of a seat, and each pass seen again once."""

from waitroom.store.ended import Ended
from waitroom.store.outbox import Outbox
from waitroom.store.room import Renewal


def test_an_earlier_end_does_not_take_the_place_of_a_later_one() -> None:
    """The way to the bank renews for 30 minutes, a request with the older cookie for 11: the seat was then uncounted
    while the longer pass was good (P2).
    """
    outbox = Outbox()
    for end_ms in (30, 11):
        outbox.renew("g", 7, end_ms, confirms=False)

    parcel = outbox.take(None, everything=True)
    outbox.renew("g", 7, 20, confirms=False)
    outbox.give_back(parcel)

    assert parcel.renewals == [Renewal("g", 7, 30)]
    assert outbox.take(None, everything=True).renewals == [Renewal("g", 7, 30)]


def test_giving_a_seat_back_is_the_last_word() -> None:
    outbox = Outbox()
    for end_ms in (30, 0, 40):
        outbox.renew("g", 7, end_ms, confirms=False)

    assert outbox.take(None, everything=True).renewals == [Renewal("g", 7, 0)]


def test_a_pass_seen_again_many_times_proves_one_cookie() -> None:
    """A browser's parallel requests with one provisional pass hid as many bots from the count."""
    outbox = Outbox()
    for place in (1, 1, 2, 1, 2):
        outbox.renew("g", place, 30, confirms=True)

    assert outbox.take(None, everything=True).confirmed == 2
    outbox.renew("g", 1, 30, confirms=True)
    assert outbox.take(None, everything=True).confirmed == 0


def test_an_ended_pass_is_remembered_for_the_life_of_a_pass() -> None:
    ended = Ended(1000)

    ended.add([b"g:1"], 0)
    ended.add([b"g:1", b"g:2"], 600)
    before = (ended.has("g", 1), ended.has("g", 2), ended.has("h", 1))
    ended.add([], 1000)

    assert before == (True, True, False)
    assert (ended.has("g", 1), ended.has("g", 2), len(ended)) == (False, True, 1)
