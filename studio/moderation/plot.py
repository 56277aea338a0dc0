"""The threshold curve as an SVG picture: precision and recall above, the queue's length below.

Written by hand, so that the page and the command line draw the same without a plotting library. Its
colours are the page's where it is shown there.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.moderation.learning import Point

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 560, 150, 56, 16, 28, 52
ACCENT, WARM = "var(--v-accent, #1d5f86)", "var(--v-warm, #8a6116)"
TEXT, MUTED = "var(--v-text, #1f2124)", "var(--v-muted, #62656b)"
LINE = "var(--v-line, #e0e0db)"


def curve_svg(points: Sequence[Point], *, hold_from: float, num_judged: int) -> str:
    """The picture; `hold_from` is marked as the threshold in use."""
    most = max((point.held_per_day for point in points), default=0.0) or 1.0
    lower = TOP + PANEL_HEIGHT + GAP
    height = lower + PANEL_HEIGHT + 40
    shares = [
        _frame(TOP, "Of decided pictures", ["0", "50 %", "100 %"]),
        _line(TOP, [(p.threshold, p.precision) for p in points], ACCENT),
        _line(TOP, [(p.threshold, p.recall) for p in points], WARM),
        _key(TOP, [("precision", ACCENT), ("recall", WARM)]),
    ]
    queue = [
        _frame(lower, "Held pictures per day", ["0", f"{most / 2:.3g}", f"{most:.3g}"]),
        _line(lower, [(p.threshold, p.held_per_day / most) for p in points], TEXT),
    ]
    marked = "".join(
        f'<line x1="{_x(hold_from)}" x2="{_x(hold_from)}" y1="{y}" y2="{y + PANEL_HEIGHT}" '
        f'stroke="{MUTED}" stroke-dasharray="3 3"/>'
        for y in (TOP, lower)
    )
    labels = "".join(
        f'<text x="{_x(tick)}" y="{lower + PANEL_HEIGHT + 16}" text-anchor="middle" '
        f'fill="{MUTED}">{tick:g}</text>'
        for tick in (0, 0.25, 0.5, 0.75, 1)
    )
    title = f"Threshold curve over {num_judged} decisions; in use: hold from {hold_from:g}"
    caption = (
        f'<text x="{_x(0.5)}" y="{height - 6}" text-anchor="middle" fill="{MUTED}">hold from this '
        f"score on (dashed: in use, {hold_from:g})</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{title}" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{title}</title>{''.join(shares)}{''.join(queue)}{marked}{labels}{caption}</svg>"
    )


def _x(share: float) -> str:
    return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"


def _y(top: int, share: float) -> str:
    return f"{top + (1 - share) * PANEL_HEIGHT:.1f}"


def _frame(top: int, title: str, ticks: Sequence[str]) -> str:
    parts = [f'<text x="{LEFT}" y="{top - 10}" fill="{TEXT}" font-weight="600">{title}</text>']
    for place, tick in enumerate(ticks):
        y = _y(top, place / (len(ticks) - 1))
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="{LINE}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end" fill="{MUTED}">'
            f"{tick}</text>"
        )
    return "".join(parts)


def _line(top: int, values: Sequence[tuple[float, float | None]], color: str) -> str:
    places = " ".join(f"{_x(x)},{_y(top, y)}" for x, y in values if y is not None)
    return f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2"/>'


def _key(top: int, names: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<text x="{WIDTH - RIGHT - 72 * (len(names) - 1 - place)}" y="{top - 10}" '
        f'text-anchor="end" fill="{color}">{name}</text>'
        for place, (name, color) in enumerate(names)
    )
