"""How far the product's colour in a picture is from the colour that was named, in ΔE2000.

A named colour is held against two things. The *swatch* is the mean of what products of that colour
were made of, before any light fell on them: what a person means by the word. The *rendered* colour
is the mean of what such products look like in renders, shade and shine included. The renders' own
error against both says how much of it is light.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from studio.evaluate.ciede2000 import ciede2000, lab_of
from studio.evaluate.readings import Array, Mask
from studio.events import Pixels

MIN_PIXELS = 12
"""A mask of fewer is no mask: the product was not found."""


@dataclasses.dataclass(frozen=True)
class NamedColor:
    """CIELAB `[3]` of a colour's swatch, where it is known, and of its look in renders."""

    swatch: Array | None
    rendered: Array


def masked_color(pixels: Pixels, mask: Mask) -> Array | None:
    """The median CIELAB colour within `mask`, or `None` where next to nothing is in it.

    The picture is brought to the mask's size, by areas. The rim of the mask is left out where
    enough remains: pixels there are half background.
    """
    height, width = mask.shape
    inner = eroded(mask)
    chosen = inner if inner.sum() >= MIN_PIXELS else mask
    if chosen.sum() < MIN_PIXELS:
        return None
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    median: Array = np.median(lab_of(np.asarray(small))[chosen], axis=0)
    return median


def eroded(mask: Mask) -> Mask:
    """The mask without its outermost ring of pixels."""
    padded = np.pad(mask, 1)
    inner: npt.NDArray[np.bool_] = (
        padded[1:-1, 1:-1]
        & padded[:-2, 1:-1]
        & padded[2:, 1:-1]
        & padded[1:-1, :-2]
        & padded[1:-1, 2:]
    )
    return inner


def named_colors(
    names: Sequence[str],
    colors: Sequence[Array | None],
    swatches: Sequence[tuple[float, float, float] | None],
) -> dict[str, NamedColor]:
    """The reference of each named colour, from renders: names, masked colours, swatches."""
    found = {}
    for name in sorted(set(names)):
        seen = [c for n, c in zip(names, colors, strict=True) if n == name and c is not None]
        made = [s for n, s in zip(names, swatches, strict=True) if n == name and s is not None]
        if seen:
            swatch = lab_of(np.array(made)).mean(axis=0) if made else None
            found[name] = NamedColor(swatch, np.mean(seen, axis=0))
    return found


def errors(
    names: Sequence[str], colors: Sequence[Array | None], reference: Mapping[str, NamedColor]
) -> dict[str, list[float]]:
    """ΔE2000 to "swatch" and "rendered" of every picture whose product was found."""
    result: dict[str, list[float]] = {"swatch": [], "rendered": []}
    for name, color in zip(names, colors, strict=True):
        if color is None or name not in reference:
            continue
        named = reference[name]
        result["rendered"].append(float(ciede2000(color, named.rendered)))
        if named.swatch is not None:
            result["swatch"].append(float(ciede2000(color, named.swatch)))
    return result
