"""The two ways in which one UNet may be asked: the full way, and the quick one without guidance.

SDXL is told where the crop's corner was; ours are never cropped, so it is always (0, 0). Another
corner is a question of its own: asked with `CORNER`, the UNet answers what it answers with guidance
when it is asked the full way (Meng et al. 2023). Knows what a UNet is asked; does not know who
learns from whom.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn

from scripts.draft import model

# No crop of a picture of ours can begin there, so no honest size conditioning is taken away; and a
# power of two is exact in every number format that a backend may cast it to.
CORNER = (1024, 1024)


def time_ids(size: tuple[int, int], is_quick: Tensor) -> Tensor:
    """SDXL's size conditioning [N,6] of rows that ask the quick way or the full one (bool [N])."""
    ids = model.time_ids(*size, len(is_quick))
    ids[is_quick, 2:4] = torch.tensor(CORNER, dtype=ids.dtype)
    return ids


def open_quick_way(unet: UNet2DConditionModel) -> None:
    """Lets the quick way begin as the full way without guidance, whatever the corner meant."""
    corner = dict.fromkeys((float(side) for side in (0, *CORNER)), 0.0)
    rename(unet.add_embedding.linear_1, corner, slots=(2, 3))


@torch.no_grad()
def rename(layer: nn.Linear, names: dict[float, float], slots: Iterable[int]) -> None:
    """Changes the layer so that it answers to the keys of `names` as it did to their values, in
    those of the six slots of size conditioning.
    """
    width = model.TIME_IDS_WIDTH

    def embedded(numbers: list[float]) -> Tensor:
        return get_timestep_embedding(torch.tensor(numbers), width, True, 0)

    now, then = embedded(list(names)), embedded(list(names.values()))
    for i in slots:
        start = model.POOLED + i * width
        slot = layer.weight[:, start : start + width]
        change = (then - now) @ slot.T  # [names, out], to be had from `now`
        slot += (torch.linalg.pinv(now) @ change).T


@dataclass(frozen=True)
class Asked:
    """Rows for a UNet: noised latents [N,C,h,w], timesteps [N], words, size conditioning [N,6]."""

    z: Tensor
    t: Tensor
    states: Tensor
    pooled: Tensor
    ids: Tensor

    def and_those_of(self, other: Asked) -> Asked:
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Asked(*(torch.cat(pair) for pair in pairs))

    def velocity(self, unet: UNet2DConditionModel) -> Tensor:
        added = {"text_embeds": self.pooled, "time_ids": self.ids}
        out: Tensor = unet(self.z, self.t, self.states, added_cond_kwargs=added).sample
        return out.float()


def guided(
    asked: Asked, nothing: tuple[Tensor, Tensor], unet: UNet2DConditionModel, scale: float
) -> Tensor:
    """Guidance (Ho and Salimans 2022, eq. 6); `nothing` are the states [1,77,D] and the pooled
    embedding [1,E] of no words.
    """
    states, pooled = (words.expand(len(asked.z), *words.shape[1:]) for words in nothing)
    without = replace(asked, states=states, pooled=pooled).velocity(unet)
    return without + scale * (asked.velocity(unet) - without)
