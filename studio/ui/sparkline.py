"""Sparklines: ten minutes of one number as a small inline SVG. Knows numbers and HTML only."""

from __future__ import annotations

from collections.abc import Sequence

from studio.ui.markup import escape

WIDTH, HEIGHT = 160, 32

Points = Sequence[tuple[float, float | None]]
"""(seconds before now as a number of 0 or less, the value or `None` for a gap)."""


def sparkline(points: Points, *, span_seconds: float, label: str, top: float | None = None) -> str:
    """A line from 0 at the bottom to `top`, or to the largest value, over `span_seconds`.

    A gap in the values is a gap in the line; without two values there is an empty frame.
    """
    values = [value for _, value in points if value is not None]
    highest = top if top is not None else max(values, default=0.0) * 1.1
    highest = highest or 1.0
    parts: list[list[str]] = [[]]
    for at, value in points:
        if value is None:
            parts.append([])
            continue
        x = WIDTH * (1 + at / span_seconds)
        y = 1 + (HEIGHT - 2) * (1 - min(1.0, max(0.0, value / highest)))
        parts[-1].append(f"{x:.1f},{y:.1f}")
    lines = "".join(f'<polyline points="{" ".join(part)}"/>' for part in parts if len(part) > 1)
    return (
        f'<svg class="v-spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}">'
        f'<path class="v-spark-base" d="M0 {HEIGHT - 0.5}H{WIDTH}"/>{lines}</svg>'
    )
