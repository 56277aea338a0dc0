"""`Reference`: what the measures hold a model against, taken from held-out renders.

How often the classifier itself is right on them (the ceiling), their features, their colours, and
the combinations they show. It is kept in the classifier's file, so that a model can be measured
where the renders are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from studio.evaluate.color_error import NamedColor, errors, masked_color, named_colors
from studio.evaluate.frechet import Gaussian, fit
from studio.evaluate.intervals import Estimate, median, share
from studio.evaluate.readings import Array, Readings, mask_overlap
from studio.evaluate.renders import Labels, Render


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """`ceiling` is by field and for "all", `color_errors` by "swatch" and "rendered".

    `mask_overlap` is how well the classifier finds the product (intersection over union), where
    masks were rendered.
    """

    combinations: tuple[Labels, ...]
    ceiling: Mapping[str, Estimate]
    features: Gaussian
    colors: Mapping[str, NamedColor]
    color_errors: Mapping[str, Estimate]
    mask_overlap: Estimate | None
    num: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the features apart; with them `from_dict` is its inverse."""
        return {
            "combinations": [list(one) for one in self.combinations],
            "ceiling": {name: one.to_dict() for name, one in self.ceiling.items()},
            "colors": {
                name: {
                    "swatch": None if one.swatch is None else _rounded(one.swatch),
                    "rendered": _rounded(one.rendered),
                }
                for name, one in self.colors.items()
            },
            "color_errors": {name: one.to_dict() for name, one in self.color_errors.items()},
            "mask_overlap": None if self.mask_overlap is None else self.mask_overlap.to_dict(),
            "num": self.num,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], features: Gaussian) -> Reference:
        overlap = values["mask_overlap"]
        return cls(
            combinations=tuple(Labels(*one) for one in values["combinations"]),
            ceiling={name: Estimate(**one) for name, one in values["ceiling"].items()},
            features=features,
            colors={
                name: NamedColor(
                    None if one["swatch"] is None else np.array(one["swatch"]),
                    np.array(one["rendered"]),
                )
                for name, one in values["colors"].items()
            },
            color_errors={name: Estimate(**one) for name, one in values["color_errors"].items()},
            mask_overlap=None if overlap is None else Estimate(**overlap),
            num=int(values["num"]),
        )


def reference_of(renders: Sequence[Render], readings: Readings) -> Reference:
    """The reference that `renders`, which the classifier read as `readings`, give; two at least."""
    wanted = [one.labels for one in renders]
    names = [one.color for one in wanted]
    # The masks the classifier finds and not the true ones: drawn pictures have no others, and an
    # error of the mask must weigh equally on both sides.
    colors = [
        masked_color(one.pixels(), mask) for one, mask in zip(renders, readings.masks, strict=True)
    ]
    references = named_colors(names, colors, [one.rgb for one in renders])
    own = errors(names, colors, references)
    overlaps = _overlaps(renders, readings)
    return Reference(
        combinations=tuple(sorted(set(wanted))),
        ceiling={name: share(hits) for name, hits in readings.hits(wanted).items()},
        features=fit(readings.features),
        colors=references,
        color_errors={name: median(values) for name, values in own.items() if values},
        mask_overlap=median(overlaps) if overlaps else None,
        num=len(renders),
    )


def _overlaps(renders: Sequence[Render], readings: Readings) -> list[float]:
    from PIL import Image

    overlaps = []
    for render, found in zip(renders, readings.masks, strict=True):
        true = render.mask()
        if true is not None:
            height, width = found.shape
            small = Image.fromarray(true.astype(np.uint8) * 255).resize(
                (width, height), Image.Resampling.BOX
            )
            overlaps.append(mask_overlap(found, np.asarray(small) > 127))
    return overlaps


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 3) for value in values]
