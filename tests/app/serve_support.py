"""A gateway's parent with a tiny app, as a program: `python -m tests.app.serve_support <settings as JSON> <app>`."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from waitroom import log
from waitroom.core.figures import READY, Figures
from waitroom.core.settings import Settings
from waitroom.serve import run


class App:
    def __init__(self, settings: Settings, *, fresh_store: bool) -> None:
        self.settings = settings
        self.fresh_store = fresh_store
        self.stop_asked = asyncio.Event()
        self.opened = False
        self.figures = [Figures()]

    def look(self) -> None:
        self.figures[0].gauges[READY] = 1

    async def open(self) -> None:
        self.opened = True

    async def stopping(self) -> None:
        self.stop_asked.set()

    async def drain(self, limit_s: float) -> None: ...

    async def close(self) -> None:
        (self.settings.data_dir / f"closed-{os.getpid()}").touch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/crash":
                os._exit(9)
            case "/held":
                await self.stop_asked.wait()
            case "/slow":
                await asyncio.sleep(1.5)
            case "/endless":
                await asyncio.sleep(3600)
        facts: dict[str, Any] = {
            "pid": os.getpid(),
            "opened": self.opened,
            "stopping": self.stop_asked.is_set(),
            "fresh_store": self.fresh_store,
            "redis_url": self.settings.redis_url and self.settings.redis_url.get_secret_value(),
            "secret": [key.get_secret_value() for key in self.settings.secret],
        }
        body = json.dumps(facts).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def create_app(settings: Settings, *, fresh_store: bool) -> App:
    return App(settings, fresh_store=fresh_store)


def create_broken(settings: Settings, *, fresh_store: bool) -> App:
    with (settings.data_dir / "attempts").open("a") as file:
        file.write("x")
    raise RuntimeError("no app")


def main(settings_json: str, app: str) -> int:
    values = json.loads(settings_json)
    settings = Settings(**{"admin_listen": "off", **values, "data_dir": Path(values["data_dir"])})
    log.set_up(settings)
    return run(settings, announce=lambda line: print(line, flush=True), app=f"tests.app.serve_support:{app}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
