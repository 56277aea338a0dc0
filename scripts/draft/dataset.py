"""The finished renders as tensors: pictures at training size, and what they show.

Knows the render folder; does not know models. Pictures are kept as uint8 at half the
rendered size (128 px on the short side) and grouped by size, since a batch has one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scripts.draft.vocabulary import FIELDS


@dataclass(frozen=True)
class Pictures:
    """All renders of one size: `pixels` uint8 [N,3,H,W], `names` the four ids of each."""

    pixels: Tensor
    names: list[tuple[str, str, str, str]]
    seeds: list[int]


def load(folder: Path, cache: Path | None = None, shrink: int = 2) -> list[Pictures]:
    """The renders by size, largest group first; pictures already in `cache` are not read again."""
    known: dict[int, tuple[np.ndarray, tuple[str, str, str, str]]] = {}
    if cache and cache.exists():
        known = torch.load(cache, weights_only=False)
    before = len(known)
    for path in sorted(folder.glob("*.png")):
        seed = int(path.stem)
        if seed in known:
            continue
        about = json.loads(path.with_suffix(".json").read_text())
        with Image.open(path) as image:
            small = image.resize(
                (image.width // shrink, image.height // shrink), Image.Resampling.BOX
            )
        known[seed] = (np.asarray(small), tuple(about[field] for field in FIELDS))
    if cache and len(known) > before:
        torch.save(known, cache)
    groups: dict[tuple[int, int], list[int]] = {}
    for seed, (pixels, _) in sorted(known.items()):
        groups.setdefault(pixels.shape[:2], []).append(seed)
    return [
        Pictures(
            torch.from_numpy(np.stack([known[s][0] for s in seeds]))
            .permute(0, 3, 1, 2)
            .contiguous(),
            [known[s][1] for s in seeds],
            seeds,
        )
        for seeds in sorted(groups.values(), key=len, reverse=True)
    ]


def to_float(pixels: Tensor) -> Tensor:
    """uint8 to -1..1."""
    return pixels.float() / 127.5 - 1
