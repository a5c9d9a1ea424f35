"""Taking a client's connection over from the server after an upgrade (RFC 9110 §7.8)."""

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from waitroom.edge.wire.connection import EdgeProtocol
    from waitroom.edge.wire.exchange import Exchange


def can_hijack(connection: "EdgeProtocol", exchange: "Exchange") -> bool:
    """`exchange` is under way, asked for an upgrade, and nothing was answered yet."""
    running = connection.running
    return (
        running is not None
        and running is exchange
        and exchange.upgrade
        and not running.response_started
        and not connection.discarding
    )


def hijack(connection: "EdgeProtocol", exchange: "Exchange", protocol: asyncio.Protocol) -> asyncio.Transport:
    """Give the socket to `protocol`, and then at once what came behind the request."""
    running = connection.running
    if running is None or not can_hijack(connection, exchange):
        raise RuntimeError("this connection cannot be taken over")
    running.response_started = running.response_complete = True
    # The app's task lives as long as the tunnel; until then a stop closes the connection as an idle one.
    task = cast(asyncio.Task[None], asyncio.current_task())
    task.add_done_callback(lambda _: connection.connections.discard(connection))
    connection.stop_timers()
    connection.running = connection.latest = None
    connection.parser = None  # type: ignore[assignment]
    connection.discarding = True
    transport = connection.transport
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    connection.flow.resume_reading()
    if connection.held:
        protocol.data_received(bytes(connection.held))
    return transport
