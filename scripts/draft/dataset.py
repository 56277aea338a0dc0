"""The finished renders as tensors, and what they show.

Knows the render folder; does not know models. Pictures are kept as uint8 as they were rendered
(256 px on the short side) and grouped by size, since a batch has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scripts.draft.vocabulary import FIELDS

Names = tuple[str, str, str, str]


@dataclass(frozen=True)
class Pictures:
    """Renders of one size: `pixels` uint8 [N,3,H,W], `names` the four ids of each."""

    pixels: Tensor
    names: list[Names]
    seeds: list[int]


def finished(folder: Path) -> list[int]:
    """The seeds whose renders are there, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.png"))


def load(folder: Path, seeds: Iterable[int] | None = None) -> list[Pictures]:
    """The renders by size, largest group first; all that are finished unless `seeds` are given."""
    groups: dict[tuple[int, int], list[tuple[np.ndarray, Names, int]]] = {}
    for seed in finished(folder) if seeds is None else seeds:
        path = folder / f"{seed:06d}.png"
        about = json.loads(path.with_suffix(".json").read_text())
        names: Names = tuple(about[field] for field in FIELDS)
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        groups.setdefault(pixels.shape[:2], []).append((pixels, names, seed))
    return [
        Pictures(
            torch.from_numpy(np.stack([pixels for pixels, _, _ in group]))
            .permute(0, 3, 1, 2)
            .contiguous(),
            [names for _, names, _ in group],
            [seed for _, _, seed in group],
        )
        for group in sorted(groups.values(), key=len, reverse=True)
    ]


def load_masks(folder: Path, seeds: Iterable[int]) -> np.ndarray:
    """Where those renders, all of one size, show the brief's material and colour: bool [N,H,W]."""
    masks = []
    for seed in seeds:
        with Image.open(folder / "masks" / f"{seed:06d}.png") as image:
            masks.append(np.asarray(image.convert("1")))
    return np.stack(masks)


def to_float(pixels: Tensor) -> Tensor:
    """uint8 to -1..1."""
    return pixels.float() / 127.5 - 1
