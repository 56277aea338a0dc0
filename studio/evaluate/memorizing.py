"""Whether a model gives back pictures it learned from, instead of drawing.

A picture that is nearer to some training picture than honest strangers are is suspect. The
strangers are held-out renders: pictures of the same world that no training saw. Their distances to
the nearest training picture give the threshold below which 1 % of them lie; were nothing memorized,
about 1 % of the drawn pictures would lie below it too, and an exact binomial test says whether more
do than chance allows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from studio.evaluate.intervals import binomial_tail
from studio.events import Pixels

Array = npt.NDArray[np.float64]

LEVEL = 0.01
THUMBNAIL = 32
"""Pixels are compared at this side: small enough to see composition and colour through blur."""


@dataclasses.dataclass(frozen=True)
class Nearest:
    """For each picture the distance to the nearest training picture, and which one that is."""

    distances: Array
    indices: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class NearestTest:
    """`threshold` is the distance below which `LEVEL` of the held-out renders lie.

    `chance` is the probability that as many drawn pictures or more lie below it by chance, if they
    were strangers too; `is_passed` where that is at least `LEVEL`.
    """

    threshold: float
    closest_held_out: float
    closest_drawn: float
    num_below: int
    num_drawn: int
    num_held_out: int
    chance: float

    @property
    def is_passed(self) -> bool:
        return self.chance >= LEVEL

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": round(self.threshold, 4),
            "closest_held_out": round(self.closest_held_out, 4),
            "closest_drawn": round(self.closest_drawn, 4),
            "num_below": self.num_below,
            "num_drawn": self.num_drawn,
            "num_held_out": self.num_held_out,
            "chance": round(self.chance, 4),
            "is_passed": self.is_passed,
        }


def nearest(vectors: npt.NDArray[np.floating], training: npt.NDArray[np.floating]) -> Nearest:
    """Euclidean distances from `vectors` `[N, D]` to the nearest of `training` `[M, D]`.

    Divided by √D, so that a distance is the root mean square over the entries.
    """
    one, other = np.asarray(vectors, float), np.asarray(training, float)
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    indices = squared.argmin(axis=1)
    # Once more without the expansion, which loses the digits of very near pairs.
    apart = ((one - other[indices]) ** 2).mean(axis=1)
    return Nearest(np.sqrt(apart), indices)


def nearest_test(drawn: Nearest, held_out: Nearest) -> NearestTest:
    """The test of the module's head."""
    threshold = float(np.quantile(held_out.distances, LEVEL))
    num_below, num = int((drawn.distances < threshold).sum()), len(drawn.distances)
    return NearestTest(
        threshold=threshold,
        closest_held_out=float(held_out.distances.min()),
        closest_drawn=float(drawn.distances.min()),
        num_below=num_below,
        num_drawn=num,
        num_held_out=len(held_out.distances),
        chance=binomial_tail(num_below, num, LEVEL),
    )


def thumbnails(pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
    """Every picture as a vector of `THUMBNAIL`² · 3 numbers from 0 to 1, resized by areas."""
    size = (THUMBNAIL, THUMBNAIL)
    return np.stack(
        [
            np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX), np.float32).ravel()
            / 255
            for one in pictures
        ]
    )
