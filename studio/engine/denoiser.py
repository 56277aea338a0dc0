"""`Denoiser`: one forward pass of the network over the rows of a step batch.

Two implementers here: `torch_denoiser.TorchDenoiser` (the reference, everywhere) and
`gaussian.GaussianDenoiser` (a closed form, for tests and dry runs). Guidance is not its business:
it sees rows, and two of them may belong to one sample.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch

from studio.request import Lora


@dataclasses.dataclass(frozen=True)
class ControlRows:
    """The rows of a pass that follow a control image of one kind ("canny", …): K of the R rows.

    `indices` `[K]` int64, which rows; `images` `[K, 3, H, W]` float32 in [0, 1], in pixels;
    `scales` `[K]` float32. A row without control is in none; no row is twice in one.
    """

    kind: str
    indices: torch.Tensor
    images: torch.Tensor
    scales: torch.Tensor

    def part(self, start: int, stop: int) -> ControlRows:
        """Those among rows `start` to `stop`, counted from `start`; there may be none."""
        kept = (self.indices >= start) & (self.indices < stop)
        return ControlRows(
            kind=self.kind,
            indices=self.indices[kept] - start,
            images=self.images[kept],
            scales=self.scales[kept],
        )


@dataclasses.dataclass(frozen=True)
class Rows:
    """The input of one forward pass over R rows, in diffusers' names.

    `latents` `[R, C, h, w]`, `timestep` `[R]`, `encoder_hidden_states` `[R, T, D]`, `text_embeds`
    (pooled) `[R, P]`, `time_ids` `[R, 6]` (original height and width, crop top and left, target
    height and width in pixels); all float32 on the model's device. Networks without size and pooled
    conditions (Stable Diffusion 1.5) leave the last two unread. `loras` act on all rows.
    """

    latents: torch.Tensor
    timestep: torch.Tensor
    encoder_hidden_states: torch.Tensor
    text_embeds: torch.Tensor
    time_ids: torch.Tensor
    controls: tuple[ControlRows, ...] = ()
    loras: tuple[Lora, ...] = ()

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop`, for a pass that does not fit whole."""
        controls = (control.part(start, stop) for control in self.controls)
        return Rows(
            latents=self.latents[start:stop],
            timestep=self.timestep[start:stop],
            encoder_hidden_states=self.encoder_hidden_states[start:stop],
            text_embeds=self.text_embeds[start:stop],
            time_ids=self.time_ids[start:stop],
            controls=tuple(control for control in controls if len(control.indices)),
            loras=self.loras,
        )


class Denoiser(Protocol):
    """`denoise` returns the model output `[R, C, h, w]` in float32; no row affects another.

    ControlNets run inside it, over the rows that have control only; their residuals enter the
    network scaled by row. Out of memory is raised as it comes: the engine halves and tries again.
    """

    def denoise(self, rows: Rows) -> torch.Tensor: ...
