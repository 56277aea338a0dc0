"""How well a picture follows a sketch: F1 of its edges against the sketch's, within a few pixels.

Takes edge maps; how they come about is not known here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Edges = npt.NDArray[np.bool_]
"""`[height, width]`, true on an outline."""

TOLERANCE = 3
"""Pixels an edge may be off and still count as followed."""


@dataclasses.dataclass(frozen=True)
class Adherence:
    """`precision` is the share of the picture's edges that are near the sketch, `recall` the share
    of the sketch that the picture's edges come near.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def adherence(picture: Edges, sketch: Edges, tolerance: int = TOLERANCE) -> Adherence:
    """The boundary measure of Martin, Fowlkes, Malik 2004, by distance instead of by matching.

    Both maps `[H, W]`. A picture without edges has precision 0, as an empty sketch has recall 0.
    """
    near_sketch, near_picture = widened(sketch, tolerance), widened(picture, tolerance)
    return Adherence(
        precision=float(near_sketch[picture].mean()) if picture.any() else 0.0,
        recall=float(near_picture[sketch].mean()) if sketch.any() else 0.0,
    )


def widened(edges: Edges, radius: int) -> Edges:
    """Every pixel within `radius` (Euclidean) of an edge."""
    height, width = edges.shape
    padded = np.pad(edges, radius)
    result = np.zeros_like(edges)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                top, left = radius + dy, radius + dx
                result |= padded[top : top + height, left : left + width]
    return result
