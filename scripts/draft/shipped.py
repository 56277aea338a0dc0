"""Weights of a model that was shipped, carried over into one that knows more.

Knows what version 2 has more than version 1: latent channels, words, and pictures of twice the
size. What both have is copied, what is new counts for nothing at first, so that training goes on
from what the old one could do. From a model of the same version everything is simply copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from scripts.draft import model
from scripts.draft.unet import Whole

OLD_CHANNELS = 12
SIDES = {256.0: 128.0, 320.0: 160.0, 0.0: 0.0}  # what a side is called now, and was then
LOUD = 20.0


@torch.no_grad()
def carry(whole: Whole, folder: Path) -> None:
    """Fills `whole` with the weights of the model in `folder`."""
    old_unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    copy_what_fits(whole.unet, old_unet)
    if old_unet.config.in_channels == OLD_CHANNELS:
        whole.unet.conv_in.weight[:, OLD_CHANNELS:] = 0
        whole.unet.conv_out.weight[OLD_CHANNELS:] = 0
        whole.unet.conv_out.bias[OLD_CHANNELS:] = 0
        rename(whole.unet.add_embedding.linear_1, SIDES, range(6))
    classes = (CLIPTextModel, CLIPTextModelWithProjection)
    for i, (encoder, cls) in enumerate(zip(whole.encoders, classes, strict=True)):
        suffix = "_2" if i else ""
        old = cls.from_pretrained(folder / f"text_encoder{suffix}")
        before = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        copy_what_fits(encoder, old)
        _teach(encoder, old, whole.text.tokenizers[i], before)


@torch.no_grad()
def carry_controlnet(net: ControlNetModel, folder: Path) -> None:
    """Fills `net`, of version 2, with the ControlNet in `folder`: all of what version 1 knew.

    What comes of the picture's lines is one halving longer. The new halving goes before the old
    layers: three convolutions see a square of six pixels, which is what the first old one saw at
    half the size, and can say the same of it.
    """
    old = ControlNetModel.from_pretrained(folder, local_files_only=True)
    if old.config.in_channels != OLD_CHANNELS:
        net.load_state_dict(old.state_dict())
        return
    inside = "controlnet_cond_embedding"
    mine, seen = getattr(net, inside), getattr(old, inside)
    copy_what_fits(net, old, but=inside)
    net.conv_in.weight[:, OLD_CHANNELS:] = 0
    known = [*seen.blocks, seen.conv_out]
    for layer, before in zip([*mine.blocks[2:], mine.conv_out], known, strict=True):
        layer.load_state_dict(before.state_dict())
    lines, shifted, halved = mine.conv_in, mine.blocks[0], mine.blocks[1]
    # Lines are not negative, and a large number passes SiLU as it is. A line one pixel wide fills
    # half of a square of two by two, and was a whole pixel then.
    lines.weight[0], lines.bias[0] = 0, 0
    lines.weight[0, :, 1:, 1:] = LOUD * 2 / 4 / 3
    shifted.weight[:9], shifted.bias[:9] = 0, 0
    halved.weight.zero_()
    halved.bias.copy_(seen.conv_in.bias)
    for i in range(9):
        y, x = divmod(i, 3)
        shifted.weight[i, 0, y, x] = 1
        halved.weight[:, i, y, x] = seen.conv_in.weight[:, :, y, x].sum(1) / LOUD


def copy_what_fits(new: nn.Module, old: nn.Module, but: str | None = None) -> None:
    """Weights of the same name; of a larger one, the part the old one had. Not those of `but`."""
    known = old.state_dict()
    for name, weight in new.state_dict().items():
        if name in known and not (but and name.startswith(but)):
            part = known[name]
            weight[tuple(slice(n) for n in part.shape)] = part.to(weight.dtype)


def _teach(
    encoder: nn.Module, old: nn.Module, tokenizer: CLIPTokenizer, before: CLIPTokenizer
) -> None:
    """A new token starts as the mean of the tokens it used to be written with."""
    into = encoder.get_input_embeddings().weight
    known = old.get_input_embeddings().weight
    vocabulary = before.get_vocab()
    for token, i in tokenizer.get_vocab().items():
        if token not in vocabulary:
            text = tokenizer.convert_tokens_to_string([token]).strip()
            pieces = before(text).input_ids[1:-1]
            into[i] = known[pieces].mean(0)


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
