"""Curves in the terminal, in block characters."""

from rich.console import Group
from rich.text import Text

from waitroom.cli.curves import Curve, clock, time_ticks

EIGHTHS = " ▁▂▃▄▅▆▇█"
STYLES = ("cyan", "magenta", "green")
ROWS = 5
LABEL = 9


def block_plot(curves: tuple[Curve, ...], columns: int) -> Group:
    """One below the other, over the same time."""
    lines: list[Text] = []
    for curve, style in zip(curves, STYLES, strict=False):
        lines.append(Text(f"{'':>{LABEL}}  {curve.name}", style="bold"))
        lines += rows(curve, style)
    step_s, points = curves[0].step_s, len(curves[0].values)
    lines += [Text(f"{'':>{LABEL}} └{'─' * points}", style="dim"), Text(axis(points, step_s, columns), style="dim")]
    return Group(*lines)


def rows(curve: Curve, style: str) -> list[Text]:
    """Heights in eighths of a row; what is above nothing shows."""
    top = curve.top or 1.0
    heights = [max(1, round(value / top * ROWS * 8)) if value > 0 else 0 for value in curve.values]
    drawn = []
    for row in range(ROWS - 1, -1, -1):
        label = f"{curve.top:,.0f}" if row == ROWS - 1 else "0" if row == 0 else ""
        bar = "".join(EIGHTHS[min(8, max(0, height - 8 * row))] for height in heights)
        drawn.append(Text.assemble((f"{label:>{LABEL}} {'┤' if label else '│'}", "dim"), (bar, style)))
    return drawn


def axis(points: int, step_s: int, columns: int) -> str:
    """Round moments below the plot, as many as fit."""
    line = [" "] * (LABEL + 2 + points)
    for tick_s in time_ticks(points * step_s, max(1, columns // 14)):
        at, text = LABEL + 2 + int(tick_s / step_s), clock(tick_s)
        if at + len(text) <= columns:
            line[at : at + len(text)] = text
    return "".join(line)
