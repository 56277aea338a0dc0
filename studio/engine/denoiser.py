"""`Denoiser`: one forward pass of the network over the rows of a step batch.

Two implementers here: `torch_denoiser.TorchDenoiser` (the reference, everywhere) and
`gaussian.GaussianDenoiser` (a closed form, for tests and dry runs). Guidance is not its business:
it sees rows, and two of them may belong to one sample.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch


@dataclasses.dataclass(frozen=True)
class Rows:
    """The input of one forward pass over R rows, in diffusers' names.

    `latents` `[R, C, h, w]`, `timestep` `[R]`, `encoder_hidden_states` `[R, T, D]`, `text_embeds`
    (pooled) `[R, P]`, `time_ids` `[R, 6]` (original height and width, crop top and left, target
    height and width in pixels); all float32 on the model's device.
    """

    latents: torch.Tensor
    timestep: torch.Tensor
    encoder_hidden_states: torch.Tensor
    text_embeds: torch.Tensor
    time_ids: torch.Tensor


class Denoiser(Protocol):
    """`denoise` returns the model output `[R, C, h, w]` in float32; no row affects another."""

    def denoise(self, rows: Rows) -> torch.Tensor: ...
