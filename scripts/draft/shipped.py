"""Weights of the model that ships, carried over into one that learns on.

Knows that the new one may have more words: a new token starts as the mean of the tokens it used to
be written with. Everything else is copied.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from scripts.draft.unet import Whole


@torch.no_grad()
def carry(whole: Whole, folder: Path) -> None:
    """Fills `whole` with the weights of the model in `folder`."""
    whole.unet.load_state_dict(UNet2DConditionModel.from_pretrained(folder / "unet").state_dict())
    classes = (CLIPTextModel, CLIPTextModelWithProjection)
    for i, (encoder, cls) in enumerate(zip(whole.encoders, classes, strict=True)):
        suffix = "_2" if i else ""
        old = cls.from_pretrained(folder / f"text_encoder{suffix}")
        before = CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        copy_what_fits(encoder, old)
        _teach(encoder, old, whole.text.tokenizers[i], before)


def copy_what_fits(new: nn.Module, old: nn.Module) -> None:
    """Weights of the same name; of a longer table, the rows the old one had."""
    known = old.state_dict()
    for name, weight in new.state_dict().items():
        if name in known:
            weight[: len(known[name])] = known[name].to(weight.dtype)


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
