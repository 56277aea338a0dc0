"""`Faults`: what can go wrong in a model, made to go wrong on purpose, for the soak and its tests.

A prompt that holds `NAN_WORD` is embedded as not-a-number, which the network carries into the
latents of that row and no other. Tokens are counted as if every prompt could be read, so that one
that is too long comes as far as the encoder. Once armed, passes over many rows run out of memory
now and then. Nothing else about the model changes.
"""

from __future__ import annotations

import dataclasses
import gc
import random

import torch

from studio.engine.denoiser import Denoiser, Rows
from studio.engine.model import Model
from studio.engine.text import Encoder, PromptEmbedding
from studio.request import Lora

NAN_WORD = "unpaintable"


class Faults:
    """Puts faults into a model. `out_of_memory_share` of the larger passes fail when armed."""

    def __init__(self, *, seed: int, out_of_memory_share: float = 0.05) -> None:
        self.is_armed = False
        self.num_out_of_memory = 0
        self._chance = random.Random(seed)
        self._share = out_of_memory_share

    def into(self, model: Model) -> Model:
        """`model` with these faults in it."""
        return dataclasses.replace(
            model,
            encoder=_FaultyEncoder(model.encoder),
            denoiser=_FaultyDenoiser(model.denoiser, self),
        )

    def allocate(self, num_rows: int) -> None:
        """Stand for the allocator of a pass over `num_rows` rows.

        Raises:
            torch.OutOfMemoryError: as a real one does.
        """
        if self.is_armed and num_rows > 2 and self._chance.random() < self._share:
            self.num_out_of_memory += 1
            raise torch.OutOfMemoryError("injected: the allocator failed on demand")


class _FaultyEncoder:
    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.max_tokens = encoder.max_tokens

    def num_tokens(self, prompt: str) -> int:
        return min(self._encoder.num_tokens(prompt), self.max_tokens)

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        if NAN_WORD not in prompt.split():
            return self._encoder.encode(prompt, loras)
        embedding = self._encoder.encode("", loras)
        return PromptEmbedding(
            torch.full_like(embedding.hidden_states, torch.nan),
            torch.full_like(embedding.pooled, torch.nan),
        )


class _FaultyDenoiser:
    def __init__(self, denoiser: Denoiser, faults: Faults) -> None:
        self._denoiser, self._faults = denoiser, faults

    def denoise(self, rows: Rows) -> torch.Tensor:
        self._faults.allocate(len(rows.latents))
        return self._denoiser.denoise(rows)


def num_live_tensors() -> int:
    """Tensors that anything in this process still refers to."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
