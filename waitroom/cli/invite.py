"""`waitroom invite`: links that let people into the line of the invited, and taking them back."""

import csv
import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from waitroom.cli.console import MISUSED, fail, say
from waitroom.cli.room import operator, speak
from waitroom.core.invites import ID, MOST_INVITES, MOST_USES, Invite, InviteTokens, invited_part
from waitroom.core.paths import own_path
from waitroom.core.settings import Settings
from waitroom.core.times import iso_utc, parse_when
from waitroom.store.data_folder import with_secret
from waitroom.store.invites import note_batch, revoke
from waitroom.store.room import Room

BATCH = "23456789abcdefghjkmnpqrstuvwxyz"
"""Letters and digits that nobody takes for each other."""
BATCH_LENGTH = 6
COLUMNS = ("id", "link", "uses", "expires", "early")


class Wanted(NamedTuple):
    """What `waitroom invite` was told to make."""

    number: int
    uses: int
    expires: str
    is_early: bool
    url: str | None
    out: Path | None


def make_invites(settings: Settings, wanted: Wanted, *, as_json: bool) -> None:
    """Sign the links, note the batch in Redis, write the file; or say why not, and end."""
    if not invited_part(settings):
        fail(
            f"The room {settings.room!r} has no line for people with an invite: set WAITROOM_INVITE_SHARE (or "
            "WAITROOM_INVITE_ONLY), also at the gateway.",
            code=MISUSED,
        )
    if not 1 <= wanted.number <= MOST_INVITES:
        fail(f"--count {wanted.number} is not between 1 and {MOST_INVITES:,}.", code=MISUSED)
    if not 1 <= wanted.uses <= MOST_USES:
        fail(f"--uses {wanted.uses} is not between 1 and {MOST_USES:,}.", code=MISUSED)
    expires_ms = read_expires(wanted.expires, now_ms=int(time.time() * 1000))
    base = (wanted.url or settings.public_url or "").rstrip("/")
    if not base.startswith(("http://", "https://")):
        fail("Say how browsers reach the shop: set WAITROOM_PUBLIC_URL, or --url https://shop.example.", code=MISUSED)
    tokens = InviteTokens(settings.room, with_secret(settings).signing_keys)
    batch = "".join(secrets.choice(BATCH) for _ in range(BATCH_LENGTH))
    facts = {
        "count": str(wanted.number),
        "uses": str(wanted.uses),
        "expires": str(expires_ms),
        "early": str(int(wanted.is_early)),
        "by": operator(),
        "made": str(int(time.time() * 1000)),
    }
    # First in Redis: a link that nobody could take back is never given out.
    speak(settings, lambda room: note_batch(room, batch, facts, expires_ms=expires_ms))

    def rows() -> Iterator[tuple[str, ...]]:
        for serial in range(wanted.number):
            invite = Invite(batch, serial, wanted.uses, wanted.is_early, expires_ms)
            link = base + own_path("invite", settings.room_query, f"t={tokens.sign(invite)}")
            yield invite.id, link, str(wanted.uses), iso_utc(expires_ms), "yes" if wanted.is_early else "no"

    write(rows(), wanted)
    told = f"{wanted.number:,} invites for room {settings.room}, batch {batch}, until {iso_utc(expires_ms)}"
    if as_json:
        out = None if wanted.out is None else str(wanted.out)
        about = {"batch": batch, "room": settings.room, "count": wanted.number, "uses": wanted.uses}
        say(json.dumps({**about, "expires": iso_utc(expires_ms), "early": wanted.is_early, "out": out}))
    elif wanted.out is not None:
        say(f"{told}: {wanted.out}", f"To take all of them back: waitroom invite --revoke-batch {batch}")
    else:
        print(told, file=sys.stderr, flush=True)


def write(rows: Iterator[tuple[str, ...]], wanted: Wanted) -> None:
    """As CSV into the file, which must not be there yet, or to standard output; with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    with ExitStack() as stack:
        file = sys.stdout
        if wanted.out is not None:
            try:
                file = stack.enter_context(wanted.out.open("x", newline="", encoding="utf-8"))
                wanted.out.chmod(0o600)
            except FileExistsError:
                fail(f"{wanted.out} is there already; name another file.", code=MISUSED)
            except OSError as error:
                fail(f"{wanted.out} cannot be written: {error.strerror}.")
        console = Console(stderr=True)
        shown = track(rows, "Signing", total=wanted.number, console=console, disable=not console.is_terminal)
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(shown)


def read_expires(text: str, *, now_ms: int) -> int:
    """A time, or so long from now; a day counts to its end, in UTC."""
    written = text.strip()
    if len(written) == len("2026-12-01") and written[4:5] == "-":
        written += "T23:59:59+00:00"
    try:
        when = parse_when(written)
    except ValueError as error:
        fail(f"--expires {text} {error}", code=MISUSED)
    if when is None:
        fail("--expires is missing: say until when the links count, like 2026-12-01 or 14d.", code=MISUSED)
    expires_ms = now_ms + when.ms if when.is_span else when.ms
    if expires_ms <= now_ms:
        fail(f"--expires {text} has passed.", code=MISUSED)
    return expires_ms


def revoke_invites(settings: Settings, *, id_: str | None, batch: str | None, as_json: bool) -> None:
    """Take back one invite, or a batch. Whoever used it already keeps the place."""
    serial: int | None = None
    if id_ is not None:
        found = ID.fullmatch(id_.strip())
        if found is None:
            fail(f"{id_!r} is not the id of an invite; the file has them, like k3vw9q-17.", code=MISUSED)
        batch, serial = found[1], int(found[2])
    assert batch is not None

    async def take_back(room: Room) -> dict[str, str] | None:
        return await revoke(room, batch, serial, by=operator())

    noted = speak(settings, take_back)
    if noted is None or (serial is not None and serial >= int(noted["count"])):
        fail(f"The room {settings.room!r} knows of no such invite; it may have expired.")
    what = f"Batch {batch}, {int(noted['count']):,} invites," if serial is None else f"Invite {batch}-{serial}"
    if as_json:
        say(json.dumps({"room": settings.room, "batch": batch, "serial": serial, "revoked": True}))
    else:
        say(f"{what} taken back. Whoever used one already keeps the place.")
