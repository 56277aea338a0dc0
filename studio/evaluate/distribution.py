"""Distribution distance: FID's formula on the features of Vitrine's own attribute classifier.

It is not the FID of other people's papers, whose network saw a million photographs: it is called by
its name wherever it is shown, and compares models of this world on the same number of pictures
only. How far a sample of renders of the same size is from the rest says what "no difference" reads
as.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from studio.evaluate.frechet import Gaussian, fit, frechet_distance

NAME = "FID on Vitrine attribute features"
MIN_HELD_OUT = 4


@dataclasses.dataclass(frozen=True)
class Distance:
    """`value` is of the drawn pictures, `renders` of as many held-out renders, if there are any.

    `num_drawn` and `num_reference` say on how many pictures both stand. With fewer of either than
    there are features, `is_enough` is false: a covariance has then directions that no picture
    showed, and the figure tells next to nothing.
    """

    value: float
    renders: float | None
    num_drawn: int
    num_reference: int
    is_enough: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "value": round(self.value, 3),
            "renders": None if self.renders is None else round(self.renders, 3),
            "num_drawn": self.num_drawn,
            "num_reference": self.num_reference,
            "is_enough": self.is_enough,
        }


def distance(
    drawn: npt.NDArray[np.floating],
    reference: Gaussian,
    held_out: npt.NDArray[np.floating] | None,
    seed: int,
) -> Distance:
    """Of features `drawn` `[N, D]` to those of held-out renders.

    Some of `held_out` `[M, D]`, as many as are drawn or at most half, stand in for a perfect model:
    both are held against the rest, in equal numbers. Without them `reference` is what to hold
    against.
    """
    rest, perfect, num = reference, None, len(drawn)
    if held_out is not None and len(held_out) >= MIN_HELD_OUT:
        num = min(num, len(held_out) // 2)
        order = np.random.default_rng(seed).permutation(len(held_out))
        rest = fit(held_out[order[num:]])
        perfect = frechet_distance(fit(held_out[order[:num]]), rest)
    return Distance(
        value=frechet_distance(fit(drawn[:num]), rest),
        renders=perfect,
        num_drawn=num,
        num_reference=rest.num,
        is_enough=min(num, rest.num) > drawn.shape[1],
    )
