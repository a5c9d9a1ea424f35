"""`GET draw`: the public record of the draw. Anybody may read it, also from another site: it is the same for all."""

from waitroom.core.sale.draw_state import Draw
from waitroom.edge.answers import Answer, json_headers
from waitroom.edge.pages.problems import Problems
from waitroom.edge.request import Request
from waitroom.edge.routes import READ, Routes
from waitroom.store.line import Line


class DrawRoute:
    """Answers from the snapshot; the record is put into words once."""

    def __init__(self, line: Line, routes: Routes, problems: Problems) -> None:
        self._line = line
        self._problems = problems
        self._said: tuple[Draw, bytes] | None = None
        routes.add("draw", READ, self._answer)

    async def _answer(self, request: Request) -> None:
        snapshot = self._line.snapshot
        draw = snapshot.state.draw if snapshot else None
        if draw is None:
            await request.answer(self._problems.not_found(request.asked()))
            return
        if self._said is None or self._said[0] != draw:
            self._said = draw, draw.record(self._line.settings.room).to_json().encode()
        body = self._said[1]
        await request.answer(Answer(200, [*json_headers(body), (b"access-control-allow-origin", b"*")], body))
