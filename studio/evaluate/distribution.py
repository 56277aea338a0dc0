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


@dataclasses.dataclass(frozen=True)
class Distance:
    """`value` is of the drawn pictures, `renders` of as many held-out renders, if there are enough.

    `num_drawn` and `num_reference` say on how many pictures both stand.
    """

    value: float
    renders: float | None
    num_drawn: int
    num_reference: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "value": round(self.value, 3),
            "renders": None if self.renders is None else round(self.renders, 3),
            "num_drawn": self.num_drawn,
            "num_reference": self.num_reference,
        }


def distance(
    drawn: npt.NDArray[np.floating],
    reference: Gaussian,
    held_out: npt.NDArray[np.floating] | None,
    seed: int,
) -> Distance:
    """Of features `drawn` `[N, D]` to those of held-out renders.

    Where `held_out` `[M, D]` holds more than twice as many, N of them stand in for a perfect model,
    and both are held against the rest; else `reference` is all there is to hold against.
    """
    num = len(drawn)
    if held_out is None or len(held_out) <= 2 * num:
        return Distance(frechet_distance(fit(drawn), reference), None, num, reference.num)
    order = np.random.default_rng(seed).permutation(len(held_out))
    rest = fit(held_out[order[num:]])
    perfect = frechet_distance(fit(held_out[order[:num]]), rest)
    return Distance(frechet_distance(fit(drawn), rest), perfect, num, rest.num)
