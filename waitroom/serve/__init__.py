"""The gateway's processes: a parent that listens, keeps Redis and the workers alive, and ends them in order.

```
parent ── listening sockets, signals                 run, parent.py
  ├─ redis-server, if it is our own                  waitroom.store.embedded
  ├─ worker ── uvicorn, app: a fresh interpreter     worker.py
  ├─ worker …  accepting from the same sockets, so that nothing is lost in the queue of a dead one
  └─ admin ──── metrics, health and the admin API, on a socket of its own    admin.py
```
What the workers count stands in memory that all of them share (board.py).
A process that ends is started again: at once the first time, then after growing pauses. However the parent ends, the
rest ends with it (waitroom.store.lifeline). SIGTERM and SIGINT stop in order; a second one stops at once.

The settings travel to a process as a value over a socket pair: a secret never stands in the environment or on the
command line of one. Nothing is printed here.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from socket import socket

from pydantic import SecretStr

from waitroom.core.addresses import Listen, host_and_port
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.settings import Settings
from waitroom.serve.listening import CannotListen, listen, raise_file_limit
from waitroom.serve.parent import Parent, noted_signals
from waitroom.store.data_folder import with_secret
from waitroom.store.embedded import EmbeddedRedis, start_embedded

__all__ = ["CannotListen", "run"]

APP = "waitroom.app:create_app"


def run(settings: Settings, *, announce: Callable[[str], None], app: str = APP) -> int:
    """Run the gateway until a signal; returns the exit status. Call from the main thread.

    `announce` is given a few lines for people once the first worker takes requests: where it listens, what it
    guards, which Redis it uses, where metrics are. `app` names the function that makes the app of a worker. Raises
    CannotListen, EmbeddedUnavailable or DataFolderBusy, with what to do, before any worker runs.
    """
    raise_file_limit()
    with ExitStack() as stack:
        signals = stack.enter_context(noted_signals())
        sockets = listen(settings.host, settings.port)
        for each in sockets:
            stack.callback(each.close)
        admin_sockets = listen_for_admin(settings.admin_listen)
        for each in admin_sockets:
            stack.callback(each.close)
        lines = announcement(settings, sockets, admin_sockets)

        def announce_all() -> None:
            for line in lines:
                announce(line)

        redis: EmbeddedRedis | None = None
        if settings.redis_url is None:
            redis = start_embedded(settings.data_dir)
            stack.callback(redis.stop)
            settings = with_secret(settings).throughout(redis_url=SecretStr(redis.url))
        parent = Parent(settings, sockets, admin_sockets, redis, signals, app=app, announce=announce_all)
        stack.callback(parent.close)
        return parent.watch()


def guarding(room: Settings) -> str:
    guarded = ", ".join(room.guard) or "nothing"
    return f"{guarded} of {room.origin} at {room.rate}" + (f" (room {room.room})" if room.named else "")


def listen_for_admin(address: Listen | None) -> list[socket]:
    """The sockets of the admin process; none where it is off."""
    if address is None:
        return []
    setting = "WAITROOM_ADMIN_LISTEN"
    return listen(address.host, address.port, host_setting=setting, port_setting=setting)


def announcement(settings: Settings, sockets: Sequence[socket], admin_sockets: Sequence[socket]) -> list[str]:
    """What an operator wants to read first. No password, no key."""
    if settings.redis_url is None:
        store = f"an embedded Redis in {settings.data_dir}"
    else:
        store = f"Redis at {redis_url_shown(settings.redis_url.get_secret_value())}"
    lines = [
        f"Listening on http://{host_and_port(settings.host, sockets[0].getsockname()[1])}",
        *(f"Guarding {guarding(room)}" for room in settings.every_room),
        f"Keeping the line in {store}",
    ]
    shadows = [room.room for room in settings.every_room if room.shadow]
    if shadows:
        where = f" in {', '.join(shadows)}" if settings.rooms else ""
        lines.insert(0, f"IN SHADOW: everybody is let through{where}; `waitroom status` says who would have waited")
    if settings.admin_listen is not None:
        admin = settings.admin_listen._replace(port=admin_sockets[0].getsockname()[1])
        what = "Metrics and health" if settings.admin_token is None else "Metrics, health and the admin API"
        lines.append(f"{what} on http://{admin}")
    return lines
