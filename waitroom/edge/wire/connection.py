"""One client connection: the order of requests and answers, its time limits, its end.

- A lost connection is told to the request under way, also when data stands behind it: that data is read into a
  bounded buffer, never left in the socket, where it would hide the end of the connection.
- An answer sent before its request body was read closes the connection, in a way that lets it arrive.
- A refusal waits for the answers before it, so that it never lands in the middle of one.
- An upgrade is an ordinary request, whose connection can be taken over (`Exchange.hijack`).

A client that closes its sending side counts as gone, as it does for uvicorn. While an app leaves more than 64 KiB of
its own request's body unread, reading pauses, and an end behind them is seen when it reads on.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import httptools
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from waitroom.core.figures import ANSWERS_AT
from waitroom.edge.wire.crowding import make_room
from waitroom.edge.wire.cycle import HIGH_WATER_BYTES, Cycle
from waitroom.edge.wire.exchange import Exchange, reset_on_close
from waitroom.edge.wire.heads import HeadReader, Refused, refusal

log = structlog.get_logger()


class EdgeProtocol(HeadReader):
    """One client connection.

    `latest` is the request whose body is being read, `running` the one being answered (`fresh`, as long as the app was
    not called for it: while bytes are parsed), `behind` what was read whole in between, `held` the bytes behind them
    that were not parsed yet.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.asgi_app = cast(ASGIApp, self.app)
        self.latest: Cycle | None = None
        self.running: Cycle | None = None
        self.fresh: Cycle | None = None
        self.behind: list[Cycle] = []
        self.held = bytearray()
        self.discarding = False
        self.replay = b""
        self.replaying = False
        self.timer: asyncio.TimerHandle | None = None
        self.head_timer: asyncio.TimerHandle | None = None
        self.deadline: float | None = None
        self.suspect: object = None
        self.write_pauses = 0

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            make_room(cast(set[EdgeProtocol], self.connections), self, self.limits.connections)
        self.deadline = self.loop.time() + self.limits.idle_s
        self.timer = self.loop.call_later(self.limits.idle_s, self.tick)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self.stop_timers()
        self.lose()
        self.flow.resume_writing()
        self.latest = self.running = None
        self.parser = None  # type: ignore[assignment]

    def lose(self) -> None:
        self.lost = True
        self.discarding = True
        self.behind.clear()
        self.held.clear()
        if self.running is not None and not self.running.disconnected:
            self.running.lose()

    def break_off(self) -> None:
        if self.running is not None and self.running.raw:
            reset_on_close(self.transport)
        self.lose()
        self.transport.abort()

    def pause_writing(self) -> None:
        self.write_pauses += 1
        super().pause_writing()

    def shutdown(self) -> None:
        """The server stops: finish what is under way. (A head half read is finished too, under its own limit.)"""
        if self.running is not None:
            self.running.keep_alive = False
        elif not self.in_head:
            self.transport.close()

    # Time. One timer for the life of the connection; a request only moves `deadline`.

    def tick(self) -> None:
        now = self.loop.time()
        if self.deadline is not None and self.deadline <= now:
            self.deadline = None
            self.transport.close()
        suspect = self.stalled_on()
        if suspect is not None and suspect == self.suspect:
            self.break_off()
            return
        self.suspect = suspect
        wait_s = self.limits.idle_s if self.deadline is None else self.deadline - now
        self.timer = self.loop.call_later(wait_s, self.tick)

    def stalled_on(self) -> object:
        """What this connection waits for from its peer; the same at two ticks means no progress in between."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and (self.flow.write_paused or self.transport.is_closing()):
            return (self.write_pauses, unsent)
        latest = self.latest
        if latest is not None and latest.more_body and latest.waiter is not None:
            return latest.waiter
        return None

    def stop_timers(self) -> None:
        for timer in (self.timer, self.head_timer):
            if timer is not None:
                timer.cancel()
        self.timer = self.head_timer = None

    def head_late(self) -> None:
        self.head_timer = None
        self.refuse(408)

    # Bytes in.

    def data_received(self, data: bytes) -> None:
        if self.discarding:
            return
        running = self.running
        if running is not None and not self.in_head and (self.behind or not running.more_body):
            self.hold(data)
        else:
            self.feed(data)
            fresh, self.fresh = self.fresh, None
            if fresh is not None and not fresh.answer_at_once():
                fresh.attempt(self.asgi_app, fresh.open(), fresh.receive, fresh.send)

    def hold(self, data: bytes) -> None:
        self.held += data
        if len(self.held) > self.limits.behind_bytes:
            self.cut_off().keep_alive = False

    def feed(self, data: bytes) -> None:
        size = len(data)
        self.read_bytes += size
        self.progress = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.read_on_after_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            if len(self.behind) >= self.limits.behind_requests:
                self.cut_off().keep_alive = False
            else:
                self.refuse(self.refused or 400)
            return
        if self.progress:
            self.read_bytes = 0
            self.slack_bytes = size if self.in_head else 0
        elif self.read_bytes > self.limits.head_bytes:
            # Of a head, or of a trailer section or chunk extension.
            self.refuse(431 if self.in_head or self.running is None else 400)
            return
        if self.in_head and self.head_timer is None:
            self.deadline = None
            self.head_timer = self.loop.call_later(self.limits.head_s, self.head_late)

    def read_on_after_upgrade(self, rest: bytes) -> None:
        """llhttp ends at an upgrade's head, also where a body follows; RFC 9110 §7.8 wants the body read first."""
        self.read_bytes = self.slack_bytes = 0
        if self.replay:
            head, self.replay = self.replay, b""
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.replaying = True
            self.parser.feed_data(head)
            self.replaying = False
            if rest:
                self.feed(rest)
        elif rest:
            self.hold(rest)

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        if len(self.behind) >= self.limits.behind_requests:
            raise Refused
        if not self.replaying:
            super().on_message_begin()

    def opened(self, method: str, version: str, *, keep_alive: bool, upgrade: bool) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
        self.deadline = None
        if upgrade:
            self.replay = self.framing()
            upgrade = version == "1.1" and not self.replay
        self.latest = cycle = Cycle(
            self, method, self.url, version, self.headers, keep_alive=keep_alive, upgrade=upgrade
        )
        if self.expect_100_continue and version == "1.1":
            cycle.expects_continue = True
        if self.running is None:
            self.running = self.fresh = cycle
        else:
            self.behind.append(cycle)

    def on_body(self, body: bytes) -> None:
        self.progress = True
        cycle = self.latest
        if cycle is not None:
            cycle.take(body)
            if cycle.buffered_bytes > HIGH_WATER_BYTES and cycle is self.running:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self.progress = True
        if self.latest is not None and not self.replay:
            self.latest.more_body = False
            if self.coding is not None and not self.parser.should_keep_alive():
                self.latest.keep_alive = False  # a trailer `Connection: close`: the parser reads nothing more
            self.latest.wake()

    # Answers out.

    def begin(self, cycle: Cycle) -> None:
        """Within the answer to another request: its turn comes with the loop's."""
        self.running = cycle
        self.spawn(cycle.run(cycle.call(self.asgi_app)))

    def spawn(self, rest: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(rest)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def answered(self, cycle: Exchange) -> None:
        """`cycle` has its whole answer: go on to what stands behind it, or close."""
        self.server_state.total_requests += 1
        self.running = None
        if self.lost or self.transport.is_closing():
            return
        if cycle.keep_alive and not (cycle.upgrade and self.held):
            self.flow.resume_reading()
            self.go_on()
        elif cycle.more_body or self.held or self.discarding:
            # (What follows an upgrade that did not happen may be of the other protocol.)
            self.linger()
        else:
            self.transport.close()

    def go_on(self) -> None:
        if self.behind:
            self.begin(self.behind.pop(0))
        elif self.refused is not None:
            self.write_refusal(self.refused)
            return
        running = self.running
        if self.held and not self.behind and (running is None or running.more_body):
            data = bytes(self.held)
            self.held.clear()
            self.feed(data)
            fresh, self.fresh = self.fresh, None
            if fresh is not None:
                self.begin(fresh)
        if self.running is None and not self.in_head and not self.discarding:
            self.deadline = self.loop.time() + self.limits.idle_s

    def cut_off(self) -> Cycle:
        """Read nothing more; what was read whole is still answered. Returns the last that will be."""
        self.discarding = True
        self.held.clear()
        if self.behind and self.behind[-1].more_body:
            self.behind.pop()
        last = self.behind[-1] if self.behind else self.running
        assert last is not None
        return last

    def refuse(self, status: int) -> None:
        """Answer what cannot be a request, after the answers before it, and close."""
        log.debug("request_refused", status=status)
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
        running = self.running
        if running is not None and (running is not self.latest or not running.more_body or self.in_head):
            self.refused = status
            self.cut_off()
        elif running is not None and running.response_started:
            self.break_off()
        else:
            self.write_refusal(status)
            self.lose()

    def write_refusal(self, status: int) -> None:
        self.edge.counts[ANSWERS_AT + status // 100] += 1
        self.transport.write(refusal(status))
        self.linger()

    def linger(self, unsent: int | None = None) -> None:
        """Close so that the answer arrives.

        A close with unread bytes resets the connection, and what the client has not read yet is lost to it. So
        close our side, read and drop what comes, and end after `linger_s` without progress (RFC 9112 §9.6).
        """
        transport = self.transport
        if unsent is None:
            self.discarding = True
            self.behind.clear()
            self.held.clear()
            self.flow.resume_reading()
            if not transport.can_write_eof():
                transport.close()
                return
            transport.write_eof()
        now_unsent = transport.get_write_buffer_size()
        if unsent is not None and (now_unsent == 0 or now_unsent == unsent):
            transport.abort()
            return
        self.stop_timers()
        self.timer = self.loop.call_later(self.limits.linger_s, self.linger, now_unsent)
