"""`Readings`: what the classifier saw in some pictures. Values only, in the pictures' order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from studio.evaluate.renders import Labels
from studio.presets import FIELDS

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Readings:
    """`labels` are the most likely ids, `features` `[N, D]`, `masks` `[N, h, w]` the main part."""

    labels: tuple[Labels, ...]
    features: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Sequence[int]) -> Readings:
        """The readings of some of the pictures."""
        chosen = list(indices)
        return Readings(
            tuple(self.labels[index] for index in chosen),
            self.features[chosen],
            self.masks[chosen],
        )

    def hits(self, wanted: Sequence[Labels]) -> Mapping[str, npt.NDArray[np.bool_]]:
        """By field, and for "all", whether each picture shows what was wanted of it."""
        right = np.array(
            [
                [seen == told for seen, told in zip(one, other, strict=True)]
                for one, other in zip(self.labels, wanted, strict=True)
            ],
            bool,
        ).reshape(len(wanted), len(FIELDS))
        by_field: dict[str, npt.NDArray[np.bool_]] = {
            field: right[:, index] for index, field in enumerate(FIELDS)
        }
        by_field["all"] = np.asarray(right.all(axis=1))
        return by_field


def mask_overlap(found: Mask, true: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    union = int((found | true).sum())
    return float((found & true).sum() / union) if union else 1.0
