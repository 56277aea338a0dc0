"""`Teacher`: a finished model in its folder, from which something else learns.

Knows diffusers' layout; its weights stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from torch import Tensor

from scripts.draft import autoencoder, model
from scripts.draft.latents import encode


class Teacher:
    """It encodes pictures and words, and tells the velocity of noised latents."""

    def __init__(self, folder: Path, device: str) -> None:
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
        self.unet = pipe.unet.to(device).requires_grad_(False)
        self.text = model.Text(
            (pipe.tokenizer, pipe.tokenizer_2),
            torch.nn.ModuleList([pipe.text_encoder, pipe.text_encoder_2]).to(device),
        )
        vae: AutoencoderKL = pipe.vae
        self.map = autoencoder.read(vae)
        self.known: dict[str, tuple[Tensor, Tensor]] = {}

    def encode(self, pixels: Tensor) -> Tensor:
        return encode(*self.map, pixels)

    @torch.no_grad()
    def words(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """(states [N,77,D], pooled [N,E]), remembered by caption."""
        if new := sorted(set(captions) - self.known.keys()):
            for text, states, pooled in zip(new, *self.text.encode(new), strict=True):
                self.known[text] = states, pooled
        states, pooled = zip(*(self.known[text] for text in captions), strict=True)
        return torch.stack(states), torch.stack(pooled)
