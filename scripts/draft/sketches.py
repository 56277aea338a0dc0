"""Lines to follow: Canny edges of a picture, and what a hand would have made of them.

Knows pictures as arrays; does not know models. The studio hands a ControlNet lines one pixel wide
(`studio.sketch`); a few thicker ones are learnt for the sake of other programs.
"""

from __future__ import annotations

import random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.sketch import canny_edges

Array = NDArray[Any]


def edges(picture: Array, rng: random.Random | None = None) -> Array:
    """White lines on black, uint8 [H,W], of an RGB picture; thresholds vary with `rng`."""
    if rng is None:
        return canny_edges(picture)
    return canny_edges(picture, rng.uniform(40, 110), rng.uniform(110, 220))


def outline(mask: Array) -> Array:
    """White lines on black, uint8 [H,W], around what a mask [H,W] holds."""
    shape = mask.astype(np.uint8) * 255
    return canny_edges(np.repeat(shape[..., None], 3, 2))


def hand_drawn(lines: Array, mask: Array, rng: random.Random) -> Array:
    """The lines as by hand: perhaps the product's alone, wobbling, broken, thicker or doubled."""
    height, width = lines.shape
    side = min(height, width)
    if rng.random() < 0.7:  # legs and straps stand out of the mask by a little
        near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=side // 24)
        lines = np.where(near > 0, lines, 0).astype(np.uint8)
    if rng.random() < 0.3:  # the outline alone
        lines = outline(mask)
    if rng.random() < 0.7:
        lines = _wobbled(lines, rng.uniform(0.4, 0.014 * side), rng)
    if rng.random() < 0.2:
        lines = np.maximum(lines, _wobbled(lines, 0.012 * side, rng))
    for _ in range(rng.choice((0, 0, 1, 3, 6))):
        h, w = (int(rng.uniform(0.05, 0.2) * side) for _ in range(2))
        y, x = rng.randrange(height - h), rng.randrange(width - w)
        lines = lines.copy()
        lines[y : y + h, x : x + w] = 0
    if rng.random() < 0.2:
        thick = rng.choice((2, 2, 3))
        lines = cv2.dilate(lines, np.ones((thick, thick), np.uint8))
    return np.asarray(lines)


def _wobbled(lines: Array, pixels: float, rng: random.Random) -> Array:
    """Moved by a smooth random field of about that many pixels."""
    height, width = lines.shape
    draw = np.random.default_rng(rng.randrange(1 << 30))
    coarse = draw.normal(0, pixels, (2, 6, 6)).astype(np.float32)
    dx, dy = (cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(lines, x + dx, y + dy, cv2.INTER_LINEAR)
    return np.where(moved > 90, 255, 0).astype(np.uint8)
