"""The twelve products, by the subject's id.

Knows which file builds what, and the size a product has; does not know materials or the renderer.
A product stands on z=0 and looks towards -y.
"""

from __future__ import annotations

import numpy as np

from scripts.draft import furniture, tableware, wearables
from scripts.draft.parts import Part, Shape

__all__ = ["Part", "Shape", "build"]


def build(subject: str, shape: Shape, material: str) -> list[Part]:
    """The parts of a product, scaled so that its longest side is about 1.6 units."""
    parts = _BUILDERS[subject](shape, material)
    points = np.concatenate([p.mesh.vertices for p in parts])
    low, high = points.min(0), points.max(0)
    scale = 1.6 / float((high - low).max())
    centre = (low + high) / 2
    return [
        Part(p.role, p.mesh.moved(-centre[0], -centre[1], -low[2]).scaled(scale)) for p in parts
    ]


_BUILDERS = {
    "sofa": furniture.seat,
    "armchair": furniture.seat,
    "stool": furniture.stool,
    "lamp": furniture.lamp,
    "vase": tableware.vase,
    "mug": tableware.mug,
    "bottle": tableware.bottle,
    "handbag": wearables.handbag,
    "teapot": tableware.teapot,
    "shoe": wearables.shoe,
    "watch": wearables.watch,
    "headphones": wearables.headphones,
}
