"""Curves as a picture: one SVG by hand, light and dark by the viewer's choice, readable without seeing it."""

from xml.sax.saxutils import escape

from waitroom.cli.curves import Curve, clock, nice_top, time_ticks

WIDTH, LEFT, RIGHT = 960, 88, 28
HEAD, PANEL, GAP, FOOT = 134, 150, 46, 56
TICKS = 10
STYLE = """
.sale{--paper:#fff;--ink:#1b2330;--faint:#5d6878;--grid:#e4e8ee;--waiting:#2563c9;--inside:#a13d97;--admitted:#1d7f56;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
@media (prefers-color-scheme:dark){.sale{--paper:#12161d;--ink:#e9edf3;--faint:#9aa6b6;--grid:#262d38;--waiting:#76a8ff;
--inside:#e58bdb;--admitted:#5fd09c}}
.paper{fill:var(--paper)}
.title{fill:var(--ink);font-size:22px;font-weight:650}
.fine{fill:var(--faint);font-size:13.5px}
.name{fill:var(--ink);font-size:15px;font-weight:600}
.tick{fill:var(--faint);font-size:12.5px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid);stroke-width:1}
.base{stroke:var(--faint);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.area{stroke:none;opacity:.14}
.mark{stroke:var(--faint);stroke-width:1;stroke-dasharray:4 4}
.waiting{stroke:var(--waiting)}.waiting-area{fill:var(--waiting)}
.inside{stroke:var(--inside)}.inside-area{fill:var(--inside)}
.admitted_per_min{stroke:var(--admitted)}.admitted_per_min-area{fill:var(--admitted)}
""".strip()


def svg(
    curves: tuple[Curve, ...], *, title: str, subtitle: str, words: str, limits: dict[str, tuple[float, str]]
) -> str:
    """The picture. `words` says what came of it; `limits` are lines to draw: a curve's key → (value, name)."""
    height = HEAD + len(curves) * (PANEL + GAP) + FOOT - GAP
    seconds = len(curves[0].values) * curves[0].step_s
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'class="sale" role="img" aria-labelledby="title words">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="words">{escape(words)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="10"/>',
        text(28, 42, title, "title"),
        text(28, 66, subtitle, "fine"),
        text(28, 86, words, "fine"),
    ]
    for index, curve in enumerate(curves):
        parts += panel(curve, HEAD + index * (PANEL + GAP), seconds, limits.get(curve.key))
    bottom = height - FOOT
    for tick_s in time_ticks(seconds, TICKS):
        parts.append(text(x_of(tick_s, seconds), bottom + 20, clock(tick_s), "tick", anchor="middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 42, "time since the opening", "fine", anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def panel(curve: Curve, top: float, seconds: float, limit: tuple[float, str] | None) -> list[str]:
    """One curve with its axis, its name and its peak."""
    # A limit is drawn where the curve comes near it, and does not flatten a curve that stays far below.
    limit = limit if limit and limit[0] <= 2.5 * curve.top else None
    scale = nice_top(max(curve.top, limit[0] if limit else 0))
    bottom = top + PANEL

    def y_of(value: float) -> float:
        return bottom - value / scale * PANEL

    parts = [text(LEFT, top - 12, curve.name, "name")]
    parts.append(text(WIDTH - RIGHT, top - 12, f"at most {curve.top:,.0f}", "fine", anchor="end"))
    ticks = [x_of(tick_s, seconds) for tick_s in time_ticks(seconds, TICKS)]
    marks = [scale * part for part in (0.0, 0.5, 1.0)]
    parts += [line(x, top, x, bottom, "grid") for x in ticks]
    parts += [line(LEFT, y_of(mark), WIDTH - RIGHT, y_of(mark), "grid") for mark in marks]
    parts += [text(LEFT - 10, y_of(mark) + 4, f"{mark:,.10g}", "tick", anchor="end") for mark in marks]
    points = " ".join(
        f"{x_of(index * curve.step_s, seconds):.1f},{y_of(value):.1f}" for index, value in enumerate(curve.values)
    )
    last_x = x_of((len(curve.values) - 1) * curve.step_s, seconds)
    parts.append(
        f'<polygon class="area {curve.key}-area" points="{LEFT},{bottom} {points} {last_x:.1f},{bottom}"/>'
        f'<polyline class="line {curve.key}" points="{points}"/>'
    )
    if limit:
        parts.append(line(LEFT, y_of(limit[0]), WIDTH - RIGHT, y_of(limit[0]), "mark"))
        parts.append(text(WIDTH - RIGHT - 6, y_of(limit[0]) + 15, limit[1], "tick", anchor="end"))
    return [*parts, line(LEFT, bottom, WIDTH - RIGHT, bottom, "base")]


def x_of(at_s: float, seconds: float) -> float:
    return LEFT + at_s / max(1.0, seconds) * (WIDTH - LEFT - RIGHT)


def text(x: float, y: float, words: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
