"""The network that reads a picture's four fields and finds its product; small, for a processor.

    picture [N, 3, 128, 128] ─▶ patches of 4 × 4 ─▶ four stages ─▶ features [N, 128] ─▶ field heads
                                                        └──▶ back up with skips ─▶ mask [N, 32, 32]

Patches keep every pixel (48 numbers each), so that textures are still there when the map is already
small enough to be cheap. Knows tensors; does not know files, words or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

SIDE = 128
"""Pictures of every size are resized to this square before they are read."""

PATCH = 4
MASK_SIDE = SIDE // PATCH
WIDTHS = (48, 80, 128, 128)
NUM_FEATURES = 128
MASK_WIDTH = 24


class Output(NamedTuple):
    """`logits` by field `[N, classes]`, `features` `[N, 128]`, `mask` logits `[N, 32, 32]`."""

    logits: dict[str, Tensor]
    features: Tensor
    mask: Tensor


class AttributeNet(nn.Module):
    """`num_classes` by field."""

    def __init__(self, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], PATCH, stride=PATCH, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList(
            [
                _Block(WIDTHS[0], WIDTHS[0], stride=1),
                *(_Block(before, after, stride=2) for before, after in pairwise(WIDTHS)),
            ]
        )
        self.features = nn.Linear(2 * WIDTHS[-1], NUM_FEATURES)
        self.heads = nn.ModuleDict(
            {field: nn.Linear(NUM_FEATURES, num) for field, num in num_classes.items()}
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, MASK_WIDTH, 1) for width in WIDTHS)
        self.merges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(MASK_WIDTH, MASK_WIDTH, 3, padding=1, bias=False),
                nn.BatchNorm2d(MASK_WIDTH),
                nn.ReLU(),
            )
            for _ in WIDTHS[:-1]
        )
        self.mask = nn.Conv2d(MASK_WIDTH, 1, 1)

    def forward(self, pictures: Tensor) -> Output:
        """`pictures` are RGB from -1 to 1."""
        x = self.stem(pictures)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        # What is anywhere, and how much of it: a material shows in places, a scene all over.
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        features = torch.relu(self.features(pooled))
        return Output(
            {field: head(features) for field, head in self.heads.items()},
            features,
            self._find_mask(levels),
        )

    def _find_mask(self, levels: list[Tensor]) -> Tensor:
        y = self.sides[-1](levels[-1])
        for level, side, merge in zip(
            reversed(levels[:-1]),
            reversed(list(self.sides)[:-1]),
            reversed(list(self.merges)),
            strict=True,
        ):
            y = merge(nn.functional.interpolate(y, scale_factor=2.0) + side(level))
        return cast("Tensor", self.mask(y)[:, 0])


class _Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))
