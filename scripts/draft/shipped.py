"""Weights of a model that was shipped, carried over into one that knows more.

Knows what version 2 has more than version 1: latent channels, words, and pictures of twice the
size. What both have is copied, what is new counts for nothing at first, so that training goes on
from what the old one could do. From a model of the same version everything is simply copied.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from scripts.draft import model
from scripts.draft.unet import Whole

OLD_CHANNELS = 12
SIDES = {256.0: 128.0, 320.0: 160.0, 0.0: 0.0}  # what a side is called now, and was then


@torch.no_grad()
def carry(whole: Whole, folder: Path) -> None:
    """Fills `whole` with the weights of the model in `folder`."""
    old_unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    copy_what_fits(whole.unet, old_unet)
    if old_unet.config.in_channels == OLD_CHANNELS:
        whole.unet.conv_in.weight[:, OLD_CHANNELS:] = 0
        whole.unet.conv_out.weight[OLD_CHANNELS:] = 0
        whole.unet.conv_out.bias[OLD_CHANNELS:] = 0
        _rename_sides(whole.unet.add_embedding.linear_1)
    classes = (CLIPTextModel, CLIPTextModelWithProjection)
    for i, (encoder, cls) in enumerate(zip(whole.encoders, classes, strict=True)):
        suffix = "_2" if i else ""
        old = cls.from_pretrained(folder / f"text_encoder{suffix}")
        before = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        copy_what_fits(encoder, old)
        _teach(encoder, old, whole.text.tokenizers[i], before)


def copy_what_fits(new: nn.Module, old: nn.Module) -> None:
    """Weights of the same name; of a larger one, the part the old one had."""
    known = old.state_dict()
    for name, weight in new.state_dict().items():
        if name in known:
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


def _rename_sides(layer: nn.Linear) -> None:
    """Changes the layer so that it answers to the new sides as it did to the old ones."""

    def embedded(sides: list[float]) -> Tensor:
        width = model.TIME_IDS_WIDTH
        return get_timestep_embedding(torch.tensor(sides), width, True, 0)

    now, then = embedded(list(SIDES)), embedded(list(SIDES.values()))
    for start in range(model.POOLED, layer.in_features, model.TIME_IDS_WIDTH):
        slot = layer.weight[:, start : start + model.TIME_IDS_WIDTH]
        change = (then - now) @ slot.T  # [sides, out], to be had from `now`
        slot += (torch.linalg.pinv(now) @ change).T
