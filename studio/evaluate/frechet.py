"""The Fréchet distance between two clouds of features, each taken for a Gaussian.

The formula of FID (Heusel et al. 2017, “GANs Trained by a Two Time-Scale Update Rule”, eq. 6)
without its network: on which features it stands is said where it is used, since figures on
different features cannot be compared.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean `[D]` and covariance `[D, D]` of features, and of how many pictures."""

    mean: Array
    covariance: Array
    num: int


def fit(features: npt.NDArray[np.floating]) -> Gaussian:
    """The Gaussian of features `[N, D]`, N at least 2; the covariance is the unbiased one."""
    values = np.asarray(features, float)
    return Gaussian(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)), len(values))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), squared as FID is given.

    Tr (Σ₁ Σ₂)^½ is the trace of the root of Σ₁^½ Σ₂ Σ₁^½, which has the same eigenvalues and is
    symmetric: so it stays real where a covariance is singular.
    """
    root = _root(one.covariance)
    inner = root @ other.covariance @ root
    eigenvalues = np.linalg.eigvalsh((inner + inner.T) / 2).clip(0)
    shift = float(((one.mean - other.mean) ** 2).sum())
    traces = float(np.trace(one.covariance) + np.trace(other.covariance))
    return max(0.0, shift + traces - 2 * float(np.sqrt(eigenvalues).sum()))


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root: Array = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root
