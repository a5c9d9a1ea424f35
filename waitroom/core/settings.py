"""The settings: one frozen value; each field carries its parser, bounds, help and default.

The environment variable of a field is ``WAITROOM_`` and the field's name in capitals. Only
`waitroom.config` reads the environment; everything else is handed this value. A default is
written as an operator would write it, and goes through the same parser.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from waitroom.core.addresses import (
    Listen,
    Origin,
    parse_cookie_domain,
    parse_host,
    parse_listen,
    parse_origin,
    parse_origins,
    parse_public_url,
)
from waitroom.core.agreement import disagreements
from waitroom.core.colour import parse_colour
from waitroom.core.links import Link, parse_links
from waitroom.core.orders.routes import check_routes
from waitroom.core.parse import (
    LANGUAGES,
    Between,
    Bypass,
    Matching,
    Network,
    Rate,
    check_patterns,
    duration_text,
    from_text,
    parse_bypass,
    parse_duration_ms,
    parse_file,
    parse_folder,
    parse_integer,
    parse_language,
    parse_networks,
    parse_number,
    parse_rate,
    parse_secrets,
    parse_share,
    parse_size_bytes,
    parse_switch,
    parse_token,
    size_text,
    split_list,
)
from waitroom.core.redis_url import parse_redis_url
from waitroom.core.sale.changes import LEAD_BOUNDS_MS
from waitroom.core.sale.schedule import Schedule, schedule_of
from waitroom.core.times import When, parse_lobby, parse_moment, parse_when

__all__ = ["Bypass", "Listen", "Network", "Origin", "Rate", "Settings"]

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ORDER_ANSWER_MS = 30 * SECOND
"""So long the shop may take over the answer to an order beyond the time it has to begin one."""
KIB = 1024
MIB = 1024 * KIB

DurationMs = Annotated[int, from_text(parse_duration_ms)]
SizeBytes = Annotated[int, from_text(parse_size_bytes)]
Integer = Annotated[int, from_text(parse_integer)]
Switch = Annotated[bool, from_text(parse_switch)]
File = Annotated[Path | None, from_text(parse_file)]


def setting(default: str, help_text: str) -> Any:
    """A field whose default is text, parsed like the environment's."""
    return Field(default, validate_default=True, description=help_text)


def matching(pattern: str, fault: str) -> AfterValidator:
    return AfterValidator(Matching(pattern, fault))


def within(low_ms: int, high_ms: int) -> AfterValidator:
    return AfterValidator(Between(low_ms, high_ms, duration_text))


def between(low: float, high: float) -> AfterValidator:
    return AfterValidator(Between(low, high))


LINE = r"[^\x00-\x1f\x7f]{0,200}"


class Settings(BaseModel):
    """Everything an operator can set. Durations are milliseconds here and `90s` in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    origin: Annotated[Origin, from_text(parse_origin)] = Field(
        description="The shop: `http(s)://host[:port]`, or `unix:` and a path."
    )
    origin_host: Annotated[str | None, from_text(parse_host)] = setting(
        "", "The `Host` that the shop is told; what the browser sent if unset."
    )
    origin_ca: File = setting(
        "", "A file of certificates (PEM) that an https shop is verified by; the system's if unset."
    )
    origin_cert: File = setting("", "A client certificate (PEM) to show to an https shop.")
    origin_key: File = setting("", "The private key (PEM) of the client certificate, if it is in a file of its own.")
    origin_timeout: Annotated[DurationMs, within(SECOND, HOUR)] = setting(
        "60s", "How long the shop may take to begin an answer, and between two pieces of it."
    )
    origin_connections: Annotated[Integer, between(1, 100_000)] = setting(
        "1000", "Requests under way to the shop, per worker; further ones wait up to 5 s for their turn."
    )
    shop_secret: Annotated[tuple[SecretStr, ...], from_text(parse_secrets)] = setting(
        "",
        "A secret shared with the shop, 32 characters or more: signs each request to it (`Waitroom-Signature`), so "
        "that it can refuse others; several, comma separated, while it is replaced: the first signs.",
    )
    public_url: Annotated[str | None, from_text(parse_public_url)] = setting(
        "", "How browsers reach the gateway, like `https://shop.example`; taken from the request if unset."
    )
    room: Annotated[
        str,
        matching("[a-z0-9][a-z0-9-]{0,31}", "is not a room's name; use at most 32 small letters, digits and hyphens"),
    ] = setting("shop", "The room's name; part of cookies and Redis keys.")
    shop_name: Annotated[str, matching(r"|(?=.*\S).{1,80}", "is not a name of 1 to 80 characters")] = setting(
        "", "The shop's name on the pages; the words for \"the shop\" in the page's language if unset."
    )
    accent: Annotated[tuple[int, int, int] | None, from_text(parse_colour)] = setting(
        "", "The pages' accent, like `#0b6e63`; made lighter or darker until it can be read."
    )
    logo: File = setting("", "A picture (SVG, PNG or WebP, about 1 KB packed) for the head of the pages.")
    links: Annotated[tuple[Link, ...], from_text(parse_links)] = setting(
        "", "Links in the foot of the pages, comma separated: `Help=https://help.example,Imprint=/imprint`."
    )
    templates: File = setting("", "A folder of templates that stand in for ours of the same name.")
    language: Annotated[str | None, from_text(parse_language)] = setting(
        "", f"The language of all pages, one of {', '.join(LANGUAGES)}; what the browser prefers if unset."
    )

    rate: Annotated[Rate, from_text(parse_rate)] = setting(
        "60/min", "Admissions: `10/s`, `600/min`, `36000/h`, `unlimited`, or `0` to hold the line."
    )
    burst: Annotated[float | None, from_text(parse_number), between(1, 100_000)] = setting(
        "", "How many may come in at once; one second of the rate, at least 1, if unset."
    )
    max_active: Annotated[Integer, between(0, 10_000_000)] = setting(
        "0", "Shoppers inside at the same time; `0` is no cap."
    )
    session_idle: Annotated[DurationMs, within(30 * SECOND, DAY)] = setting(
        "10m", "A pass ends after this long without a request."
    )
    session_max: Annotated[DurationMs, within(0, 7 * DAY)] = setting(
        "0", "A pass ends this long after the claim; `0` is never."
    )
    payment_held: Annotated[DurationMs, within(MINUTE, DAY)] = setting(
        "30m", "How long a pass lasts at least for the way back from a payment provider."
    )
    away_after: Annotated[DurationMs, within(45 * SECOND, HOUR)] = setting(
        "90s", "A waiting visitor not seen for this long counts as away."
    )
    turn_held: Annotated[DurationMs, within(10 * SECOND, DAY)] = setting(
        "10m", "How long a turn is kept for someone who was away when called."
    )
    claim_repeat: Annotated[DurationMs, within(SECOND, HOUR)] = setting(
        "2m", "How long a claim may be repeated for the same pass."
    )

    guard: Annotated[tuple[str, ...], from_text(split_list), AfterValidator(check_patterns)] = setting(
        "/*", "Paths behind the line, comma separated."
    )
    bypass: Annotated[Bypass, from_text(parse_bypass)] = setting(
        "/.well-known/*,/robots.txt,/favicon.ico",
        "What needs no pass: paths, addresses (`10.0.0.0/8`), `header:Name=secret`; comma separated.",
    )
    shadow: Switch = setting("0", "Only count who would have been queued, and let everybody through: `1`, or `0`.")

    opens_at: Annotated[int | None, from_text(parse_moment)] = setting(
        "", "When the sale opens: `2026-12-01 10:00 Europe/Berlin`, or ISO 8601 with an offset; without it no sale."
    )
    lobby_at: Annotated[When, from_text(parse_lobby)] = setting(
        "15m", "When the lobby opens: a time, or how long before the opening; `0` is no lobby, and no draw."
    )
    closes_at: Annotated[When | None, from_text(parse_when)] = setting(
        "", "When the sale closes: a time, or how long after the opening; never if unset."
    )
    at_close: Literal["drain", "stop"] = setting(
        "drain", "What closing means to people in line: `drain` (they still get a turn) or `stop`."
    )
    draw_lead: Annotated[DurationMs, within(*LEAD_BOUNDS_MS)] = setting(
        "60s", "How long before the opening the lobby's places are drawn."
    )

    draw_source: Annotated[str, matching(LINE, "is not one line of at most 200 characters")] = setting(
        "",
        "Where the note of the draw will come from, like a lottery's result of that day: named when the lobby opens; "
        "the opening waits for `waitroom draw --note`. Without it no note is used.",
    )
    invite_share: Annotated[float, from_text(parse_share), AfterValidator(Between(0, 0.9, "{:.0%}".format))] = setting(
        "0", "The part of the rate that is for people with an invite, like `20%`; `0` is no invites."
    )
    invite_only: Switch = setting("0", "Let in nobody without an invite: `1`, or `0`.")

    order_routes: Annotated[str, AfterValidator(check_routes)] = setting(
        "",
        "Requests that place an order, like `POST /checkout/confirm key=form:basket_id success=location:/thanks/*`; "
        "several, comma separated.",
    )
    order_ignore: Annotated[tuple[str, ...], from_text(split_list)] = setting(
        "known",
        "Fields of an order's form that change each time it is shown, comma separated; `known` are the CSRF fields of "
        "the big frameworks.",
    )
    order_body_max: Annotated[SizeBytes, AfterValidator(Between(KIB, 64 * MIB, size_text))] = setting(
        "1MiB", "The largest body of an order that is read whole; a larger one is recorded, but not kept from repeats."
    )
    order_repeat: Annotated[DurationMs, within(0, HOUR)] = setting(
        "60s", "How long after an order was confirmed the same one is answered like the first instead of being sent."
    )
    order_keep: Annotated[DurationMs, within(HOUR, 366 * DAY)] = setting(
        "30d", "How long a shopper can look up what came of an order; after that nothing of it is kept."
    )

    redis_url: Annotated[SecretStr | None, from_text(parse_redis_url)] = setting(
        "",
        "`redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` or `redis+cluster://`; "
        "an embedded Redis is started if unset.",
    )
    data_dir: Annotated[Path, from_text(parse_folder)] = setting(
        "./waitroom-data", "Folder of the embedded Redis and the generated secret."
    )
    secret: Annotated[tuple[SecretStr, ...], from_text(parse_secrets)] = setting(
        "", "Signing keys, comma separated, the first signs, 32 characters or more each; generated when embedded."
    )

    host: Annotated[
        str,
        matching("[0-9A-Za-z.:_-]{1,253}", "is not an address to listen on; write it like 127.0.0.1, 0.0.0.0 or ::"),
    ] = setting("127.0.0.1", "The address to listen on.")
    port: Annotated[Integer, between(0, 65535)] = setting("8080", "The port to listen on; `0` takes a free one.")
    workers: Annotated[Integer, between(1, 64)] = setting("1", "Gateway processes.")
    admin_listen: Annotated[Listen | None, from_text(parse_listen)] = setting(
        "127.0.0.1:8081", "Where metrics, health and the admin API are, never on the public address; `off` for none."
    )
    admin_token: Annotated[SecretStr | None, from_text(parse_token)] = setting(
        "", "Bearer token of the admin API, 32 characters or more; without it there are only metrics and health."
    )
    trusted_proxies: Annotated[tuple[Network, ...], from_text(parse_networks)] = setting(
        "", "Addresses (CIDRs) of proxies in front whose `X-Forwarded-*` count; comma separated."
    )
    forwarded: Switch = setting("0", "Tell the shop by `Forwarded` (RFC 7239), too, who asks: `1`, or `0`.")
    forward_auth: Switch = setting(
        "0",
        "Tell trusted proxies at `/-/waitroom/auth` whether a request may go to the shop, which they then send there "
        "themselves: `1`, or `0`.",
    )
    cookie_domain: Annotated[str | None, from_text(parse_cookie_domain)] = setting(
        "", "A parent domain for shops over several hosts, like `shop.example`."
    )
    cors_origins: Annotated[tuple[str, ...], from_text(parse_origins)] = setting(
        "", "Origins that may read our JSON from other hosts, comma separated."
    )
    cloudflare_json: Switch = setting(
        "0",
        "`1` adds the object `cfWaitingRoom` to our JSON, for apps that were written for Cloudflare's waiting room.",
    )
    on_store_failure: Literal["hold", "open"] = setting(
        "hold", "What newcomers meet while Redis is away: `hold` (a page that retries) or `open` (let in, metered)."
    )
    waiting_status: Annotated[Literal[200, 202, 429, 503], from_text(parse_integer)] = setting(
        "503", "The status of the waiting page: 200, 202, 429 or 503."
    )
    stop_delay: Annotated[DurationMs, within(0, 5 * MINUTE)] = setting(
        "5s", "How long connections are still taken after SIGTERM, while `ready` says 503."
    )
    retry: Switch = setting(
        "1", "Try GET, HEAD and OPTIONS once more on a reused connection that was closed; `0` turns it off."
    )
    tunnel_idle: Annotated[DurationMs, within(10 * SECOND, DAY)] = setting(
        "10m", "A WebSocket or other upgraded connection is closed after this long without a byte either way."
    )
    log: Literal["auto", "json", "console"] = setting(
        "auto", "Log lines as `json` or for the `console`; `auto` is console on a terminal."
    )

    config: File = setting(
        "",
        "A TOML file with further rooms, each with a line of its own, and with settings by their names in lower case.",
    )
    rooms: tuple["Settings", ...] = ()
    """The further rooms, each with all its settings; the whole gateway's are alike in all of them."""
    named: bool = False
    """Whether own routes have to name this room: it is not the one that they mean by themselves."""

    @property
    def every_room(self) -> tuple["Settings", ...]:
        """The room of the environment, then the further ones."""
        return (self, *self.rooms)

    def throughout(self, **changed: Any) -> Self:
        """A copy in which these settings, the whole gateway's, are others, in every room."""
        rooms = tuple(room.model_copy(update=changed) for room in self.rooms)
        return self.model_copy(update={**changed, "rooms": rooms})

    @property
    def signing_keys(self) -> list[str]:
        """As text; the first signs."""
        return [key.get_secret_value() for key in self.secret]

    @property
    def room_query(self) -> str:
        """What names this room in the query of an own route; empty where none has to."""
        return f"room={self.room}" if self.named else ""

    @property
    def entrance(self) -> str:
        """A path of this site where its line begins: what stands before the `*` of a room's first guard."""
        if not self.named:
            return "/"
        return quote(unquote(self.guard[0].partition("*")[0]))

    @property
    def schedule(self) -> Schedule | None:
        """The sale's times, if there is one."""
        return schedule_of(self)

    @property
    def order_limit_ms(self) -> int:
        """How long an order may take, from the first byte sent to the last of the answer; 0 if there are none."""
        return self.origin_timeout + ORDER_ANSWER_MS if self.order_routes else 0

    @property
    def burst_now(self) -> float:
        least = 2.0 if self.invite_share and not self.invite_only else 1.0
        return self.burst if self.burst is not None else max(least, self.rate.per_s)

    @model_validator(mode="after")
    def agree(self) -> Self:
        """One ValueError for all disagreements, one a line."""
        faults = list(disagreements(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self
