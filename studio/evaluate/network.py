"""The network that reads a picture's four fields and finds its product; small, for a processor.

    picture [N, 3, 128, 128] ─▶ trunk ─┬─▶ scene, and a first guess at subject and colour
                                       └─▶ mask [N, 32, 32] ─┬─▶ its outline: subject
                                                             ├─▶ the pixels under it: colour
    picture's grain ─▶ a label at each place ────────────────┴─▶ averaged under it: material

It finds the product first and judges by what is there: renders are few, and so seen, a sofa's
outline, a vase's hue and a hand's breadth of leather each are evidence, whatever else is around.
Knows tensors; does not know files, words or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 128
"""Pictures of every size are resized to this square before they are read."""

PATCH = 4
MASK_SIDE = SIDE // PATCH
WIDTHS = (48, 80, 128, 128)
NUM_FEATURES = 128
MASK_WIDTH, GRAIN_WIDTHS, OUTLINE_WIDTH = 24, (48, 64), 32
DROPOUT = 0.2
LUMA = (0.299, 0.587, 0.114)


class Output(NamedTuple):
    """`logits` by field `[N, classes]`, `features` `[N, 192]`, `mask` logits `[N, 32, 32]`.

    `grain` are material logits at each place `[N, classes, 16, 16]`, of which those under the mask
    are averaged.
    """

    logits: dict[str, Tensor]
    features: Tensor
    mask: Tensor
    grain: Tensor


class AttributeNet(nn.Module):
    """`num_classes` by field."""

    def __init__(self, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = _Trunk()
        self.grain = _Grain(num_classes["material"])
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.ModuleDict(
            {
                field: nn.Linear(NUM_FEATURES, num)
                for field, num in num_classes.items()
                if field != "material"
            }
        )
        self.outline = nn.Sequential(
            nn.Conv2d(1, OUTLINE_WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(OUTLINE_WIDTH, 2 * OUTLINE_WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(2 * OUTLINE_WIDTH * 16, num_classes["subject"]),
        )
        self.hue = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, num_classes["color"]))

    def forward(self, pictures: Tensor) -> Output:
        """`pictures` are RGB from -1 to 1."""
        features, mask = self.trunk(pictures)
        # What is judged under the mask must not bend the mask to its liking.
        product = torch.sigmoid(mask.detach().float())
        grain, grain_features = self.grain(pictures)
        under = functional.avg_pool2d(product[:, None], 2)
        kept = self.dropout(features)
        logits = {field: head(kept) for field, head in self.heads.items()}
        logits["subject"] = logits["subject"] + self.outline(product[:, None] * 2 - 1)
        logits["color"] = logits["color"] + self.hue(_colors_under(pictures, product))
        logits["material"] = _mean_under(grain, under)
        both = torch.cat([features, _mean_under(grain_features, under)], dim=1)
        return Output(logits, both, mask, grain)


class _Trunk(nn.Module):
    """Residual stages over patches, which keep every pixel, and back up to the mask with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolved(3, WIDTHS[0], PATCH, stride=PATCH, padding=0)
        self.stages = nn.ModuleList(
            [
                _Block(WIDTHS[0], WIDTHS[0], stride=1),
                *(_Block(before, after, stride=2) for before, after in pairwise(WIDTHS)),
            ]
        )
        self.features = nn.Linear(2 * WIDTHS[-1], NUM_FEATURES)
        self.sides = nn.ModuleList(nn.Conv2d(width, MASK_WIDTH, 1) for width in WIDTHS)
        self.merges = nn.ModuleList(_convolved(MASK_WIDTH, MASK_WIDTH, 3) for _ in WIDTHS[:-1])
        self.mask = nn.Conv2d(MASK_WIDTH, 1, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(pictures)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        # What is anywhere, and how much of it.
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        y = self.sides[-1](x)
        for index in reversed(range(len(WIDTHS) - 1)):
            larger = functional.interpolate(y, scale_factor=2.0)
            y = self.merges[index](larger + self.sides[index](levels[index]))
        return torch.relu(self.features(pooled)), cast("Tensor", self.mask(y)[:, 0])


class _Grain(nn.Module):
    """A material's label at every place, from some fifty pixels around it, without its colour."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        first, last = GRAIN_WIDTHS
        self.body = nn.Sequential(
            _convolved(2, first, 7, stride=PATCH),
            _Block(first, first, stride=1),
            _Block(first, last, stride=2),
        )
        self.dropout = nn.Dropout2d(DROPOUT)
        self.head = nn.Conv2d(last, num_classes, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.tensor(LUMA, device=pictures.device).view(1, 3, 1, 1)
        light = (pictures * weights).sum(1, keepdim=True)
        around = functional.avg_pool2d(light, 17, stride=1, padding=8, count_include_pad=False)
        features = self.body(torch.cat([light, 4 * (light - around)], dim=1))
        return self.head(self.dropout(features)), features


class _Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolved(before, after, 3, stride=stride),
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


def _convolved(
    before: int, after: int, size: int, *, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    margin = size // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride=stride, padding=margin, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def _mean_under(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of `values` `[N, C, h, w]` weighted by `weights` `[N, 1, h, w]`; float32."""
    heavy = weights + 1e-3
    return (values.float() * heavy).sum((2, 3)) / heavy.sum((2, 3))


def _colors_under(pictures: Tensor, product: Tensor) -> Tensor:
    """Mean and spread of each colour channel under the product `[N, 6]`."""
    small = functional.avg_pool2d(pictures.float(), PATCH)
    weights = product[:, None]
    mean = _mean_under(small, weights)
    spread = _mean_under((small - mean[:, :, None, None]) ** 2, weights)
    return torch.cat([mean, (spread + 1e-6).sqrt()], dim=1)
