"""How sure a share or a difference is: intervals and tests over counts and over resampled pictures.

Pure functions over numbers; nothing here knows what was counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

Z_95 = 1.959963984540054
NUM_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, and how many pictures it rests on."""

    value: float
    low: float
    high: float
    num: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "num": self.num,
        }


def share(hits: Sequence[bool] | npt.NDArray[np.bool_]) -> Estimate:
    """The share of true ones with Wilson's score interval."""
    num = len(hits)
    low, high = wilson(int(np.sum(hits)), num)
    return Estimate(float(np.mean(hits)) if num else math.nan, low, high, num)


def wilson(num_hits: int, num: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927; Brown, Cai, DasGupta 2001, eq. 4).

    Unlike the normal interval it stays within [0, 1], and is not empty at no hits or all.
    """
    if num == 0:
        return math.nan, math.nan
    p, shrink = num_hits / num, 1 + z * z / num
    middle = (p + z * z / (2 * num)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / num + z * z / (4 * num * num))
    # At no hits and at all hits one end is exact; rounding must not say otherwise.
    low = 0.0 if num_hits == 0 else max(0.0, middle - half)
    high = 1.0 if num_hits == num else min(1.0, middle + half)
    return low, high


def mean(values: Sequence[float] | Array, *, seed: int = 0) -> Estimate:
    """The mean with a percentile bootstrap interval (Efron 1979)."""
    return _bootstrap(np.asarray(values, float), np.mean, seed)


def median(values: Sequence[float] | Array, *, seed: int = 0) -> Estimate:
    """The median with a percentile bootstrap interval."""
    return _bootstrap(np.asarray(values, float), np.median, seed)


def paired_difference(
    ours: Sequence[float] | npt.NDArray[Any],
    theirs: Sequence[float] | npt.NDArray[Any],
    *,
    seed: int = 0,
) -> Estimate:
    """Mean of `ours` minus mean of `theirs`, resampled by pair: the same brief with the same seed.

    Raises:
        ValueError: they are not as many.
    """
    one, other = np.asarray(ours, float), np.asarray(theirs, float)
    if one.shape != other.shape:
        raise ValueError("pairs need as many of one as of the other")
    return mean(one - other, seed=seed)


def binomial_tail(num_hits: int, num: int, p: float) -> float:
    """P(X ≥ `num_hits`) for X binomial with `num` trials of chance `p`, exactly."""
    below = sum(math.comb(num, k) * p**k * (1 - p) ** (num - k) for k in range(num_hits))
    return min(1.0, max(0.0, 1.0 - below))


def _bootstrap(values: Array, statistic: Any, seed: int) -> Estimate:
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(values), size=(NUM_RESAMPLES, len(values)))
    low, high = np.quantile(statistic(values[drawn], axis=1), [0.025, 0.975])
    return Estimate(float(statistic(values)), float(low), float(high), len(values))
