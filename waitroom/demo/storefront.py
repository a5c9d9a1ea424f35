"""The example shop: six products, a basket, a checkout, and a capacity that can be overrun.

A shop like any other: it knows nothing of the gateway, but for greeting whoever brings a `Waitroom-Place`, and showing
them the gateway's page of orders.
It runs as a process of its own: `python -m waitroom.demo.storefront <listening socket's number>`.
"""

import secrets
import socket
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from waitroom.demo.capacity import Capacity, Limits, Overrun
from waitroom.demo.goods import BY_SLUG, PRODUCTS, Basket

FORM_BYTES = 8192
ORDERS_KEPT = 5000
BASKET_ID = "basket_id"
"""The cookie that tells one basket from the next, also once it was ordered, so it tells orders apart."""
ORDER_ROUTE = f"POST /checkout key=cookie:{BASKET_ID} success=location:/orders/* reference=location:/orders/*"
"""What a gateway before this shop has to be told."""
Handler = Callable[[Request], Awaitable[Response]]


class Storefront:
    """`app` is the shop. Orders are in memory alone, the last `ORDERS_KEPT` of them."""

    def __init__(self, limits: Limits, *, seed: int | None = None) -> None:
        self.capacity = Capacity(limits, seed=seed)
        self.orders: OrderedDict[str, Basket] = OrderedDict()
        self.pages = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        page, order = limits.page_s, limits.order_s
        self.app = Starlette(
            routes=[
                Route("/", self.borne(self.home, page)),
                Route("/products/{slug}", self.borne(self.product, page)),
                Route("/basket", self.borne(self.basket, page)),
                Route("/basket", self.borne(self.change_basket, page), methods=["POST"]),
                Route("/checkout", self.borne(self.checkout, page)),
                Route("/checkout", self.borne(self.order, order), methods=["POST"]),
                Route("/orders/{number}", self.borne(self.order_placed, page)),
                Route("/load", self.show_load),
                Route("/{path:path}", self.borne(self.missing, page)),
            ]
        )

    def borne(self, handler: Handler, work_s: float) -> Handler:
        """The handler, within what the shop can bear."""

        async def limited(request: Request) -> Response:
            try:
                async with self.capacity.serve(work_s):
                    return await handler(request)
            except Overrun:
                was_order = request.method == "POST" and request.url.path == "/checkout"
                answer = self.page(request, "overrun.html", status=503, was_order=was_order)
                answer.headers["retry-after"] = "10"
                return answer

        return limited

    def page(self, request: Request, name: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
        place = request.headers.get("waitroom-place", "")
        facts |= {
            "basket": facts.get("basket", read_basket(request)),
            "load": self.capacity.load,
            "place": int(place) + 1 if place.isascii() and place.isdecimal() else None,
        }
        headers = {"cache-control": "private, no-cache"}
        return HTMLResponse(self.pages.get_template(name).render(facts), status, headers)

    async def home(self, request: Request) -> Response:
        return self.page(request, "home.html", products=PRODUCTS)

    async def product(self, request: Request) -> Response:
        product = BY_SLUG.get(request.path_params["slug"])
        if product is None:
            return self.page(request, "missing.html", status=404)
        others = [other for other in PRODUCTS if other is not product][:3]
        return self.page(request, "product.html", product=product, others=others)

    async def basket(self, request: Request) -> Response:
        return self.page(request, "basket.html")

    async def change_basket(self, request: Request) -> Response:
        form = await read_form(request)
        slug, count = form.get("slug", ""), form.get("count")
        if slug not in BY_SLUG or (count is not None and not (count.isascii() and count.isdecimal())):
            return self.page(request, "missing.html", status=400)
        basket = read_basket(request)
        wanted = basket.count_of(slug) + 1 if count is None else int(count[:3])
        answer = with_basket(RedirectResponse("/basket", 303), basket.with_count(slug, wanted))
        if not basket.size:
            answer.set_cookie(BASKET_ID, secrets.token_hex(8), max_age=86_400, httponly=True, samesite="lax")
        return answer

    async def checkout(self, request: Request) -> Response:
        if not read_basket(request).size:
            return RedirectResponse("/basket", 303)
        return self.page(request, "checkout.html", faults=(), form={})

    async def order(self, request: Request) -> Response:
        basket, form = read_basket(request), await read_form(request)
        if not basket.size:
            return RedirectResponse("/basket", 303)
        faults = tuple(name for name in ("name", "email", "address") if not form.get(name, "").strip())
        if faults:
            return self.page(request, "checkout.html", status=422, faults=faults, form=form)
        number = f"T-{secrets.token_hex(3).upper()}"
        self.orders[number] = basket
        self.capacity.load.orders += 1
        if len(self.orders) > ORDERS_KEPT:
            self.orders.popitem(last=False)
        return with_basket(RedirectResponse(f"/orders/{number}", 303), Basket())

    async def order_placed(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number not in self.orders:
            return self.page(request, "missing.html", status=404)
        return self.page(request, "placed.html", number=number, ordered=self.orders[number])

    async def missing(self, request: Request) -> Response:
        return self.page(request, "missing.html", status=404)

    async def show_load(self, request: Request) -> Response:
        return JSONResponse(self.capacity.load.as_json(), headers={"cache-control": "no-store"})


def read_basket(request: Request) -> Basket:
    return Basket.read(request.cookies.get("basket"))


def with_basket(answer: Response, basket: Basket) -> Response:
    answer.set_cookie("basket", basket.write(), max_age=86_400, httponly=True, samesite="lax")
    return answer


async def read_form(request: Request) -> dict[str, str]:
    """The first value of each field. A body that is too long is read no further and counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            return {}
    fields = parse_qs(body.decode(errors="replace"), max_num_fields=20)
    return {name: values[0] for name, values in fields.items()}


def main(listening: socket.socket) -> None:
    config = uvicorn.Config(
        Storefront(Limits()).app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
