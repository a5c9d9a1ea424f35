"""What the demo says: what there is to see, this moment in a line, and what the crowd did."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from waitroom.core.sentences import people

if TYPE_CHECKING:
    from waitroom.demo.stage import Stage


def programme(stage: "Stage") -> Iterator[str]:
    """Before it begins."""
    yield ""
    yield f"  Open   {stage.gateway_url or stage.shop_url}/"
    yield ""
    if stage.options.storefront_only:
        yield f"  The shop without a gateway, and {stage.people} people in it at once."
        yield "  When they are too many it slows down, and then it fails."
        yield "  Run the demo without --storefront-only to see the same shop behind the line."
    else:
        if stage.sale is None:
            yield f"  {stage.people} people wait before you; {stage.options.rate} are let in."
        else:
            yield from sale_programme(stage)
        yield ""
        yield "  Try   close the tab and open the address again: your place is kept"
        yield "        a private window: a second visitor, further back"
        yield f"        the shop's own address, {stage.shop_url}/, which has no line before it"
        yield "        order something, then see what became of it, also while the shop is down:"
        yield f"        {stage.gateway_url}/-/waitroom/orders"
        yield "  In another shell"
        yield f"        export WAITROOM_DATA_DIR={stage.folder}"
        yield "        waitroom status --watch"
        yield "        waitroom orders"
        yield "        waitroom set rate=120/min"
        yield '        waitroom hold "A short break" ; waitroom resume'
    yield ""
    yield "  Below: the crowd now, its orders and failed pages, and how busy the shop is and how long a page takes."
    yield "  Ctrl-C ends everything."
    yield ""


def looking_back(stage: "Stage") -> Iterator[str]:
    """What the crowd did, once it is over."""
    figures = stage.figures
    if not figures:
        return
    if stage.options.storefront_only:
        yield f"  {figures['came']} people came to the shop by itself and placed {figures['orders']} orders."
    else:
        yield f"  {figures['came']} people came, {figures['let_in']} were let in, {figures['left']} left the line."
        yield f"  They placed {figures['orders']} orders; the gateway knew of {figures['confirmed']} when asked."
    failed = {0: "No page failed", 1: "1 page failed"}.get(figures["errors"], f"{figures['errors']:,} pages failed")
    yield f"  {failed}, and {people(figures['gave_up'])} gave up."


def sale_programme(stage: "Stage") -> Iterator[str]:
    yield f"  A sale opens in {stage.options.sale_in}: a countdown, then a lobby with {stage.people} people,"
    yield f"  a draw of the places, and {stage.options.rate} are let in."
    yield "  Open the address now: in the lobby it makes no difference who came first."
    yield ""
    yield "  After the draw   your page has checked its place; anybody can:"
    yield f"        curl -s {stage.gateway_url}/-/waitroom/draw > draw.json"
    yield "        waitroom verify-draw draw.json --number 0"


def this_moment(stage: "Stage", load: Mapping[str, int] | None) -> str:
    """The line that is replaced twice a second; `load` is the shop's, None where it does not answer."""
    figures = stage.figures
    parts = [] if stage.sale is None else [stage.sale.next_event(time.time())]
    if figures and not stage.options.storefront_only:
        parts.append(f"waiting {figures['waiting']}")
        parts.append(f"let in {figures['let_in_per_min']}/min")
    if figures:
        unsure = f", {figures['unsure']} unsure" if figures["unsure"] else ""
        parts += [f"inside {figures['inside']}", f"orders {figures['orders']}{unsure}"]
        parts += [f"errors {figures['errors']}"] if figures["errors"] else []  # 80 columns are few
    if load is None:
        parts.append("shop: no answer")
    else:
        parts.append(f"shop {load['busy']}/{load['workers']} busy, {load['page_ms']} ms")
        if load["refused"]:
            parts.append(f"{load['refused']} refused")
    return " · ".join(parts)
