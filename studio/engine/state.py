"""`State`: the tensors of one sample in flight, and its steps when it takes them by itself."""

from __future__ import annotations

import dataclasses

import torch

from studio.engine.linear import LinearSchedule, linear_step
from studio.engine.model import Model
from studio.engine.samplers import Sampler
from studio.engine.text import PromptEmbedding


@dataclasses.dataclass(eq=False)
class State:
    """`latents` and `clean` (the predicted clean latents) are `[C, h, w]` float32.

    `conditions` has the unconditional embedding first, where there is guidance. Steps are taken by
    `schedule`, which many samples can do at once and which looks back at `past`
    `[schedule.num_past, C, h, w]`, or else by a `sampler` of its own. `control_image` is
    `[3, H, W]` in [0, 1].
    """

    model: Model
    latents: torch.Tensor
    conditions: tuple[PromptEmbedding, ...]
    time_ids: torch.Tensor
    schedule: LinearSchedule | None
    sampler: Sampler | None
    control_image: torch.Tensor | None = None
    clean: torch.Tensor | None = None
    past: torch.Tensor = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        num_past = 0 if self.schedule is None else self.schedule.num_past
        self.past = self.latents.new_zeros((num_past, *self.latents.shape))

    def timestep(self, evaluation: int) -> float:
        """The model's timestep input for forward pass `evaluation`."""
        if self.schedule is not None:
            return self.schedule.timesteps[evaluation]
        assert self.sampler is not None
        return self.sampler.timestep(evaluation)

    def model_input(self, evaluation: int) -> torch.Tensor:
        """The latents as the model is shown them at forward pass `evaluation`."""
        if self.schedule is not None:
            return self.latents * self.schedule.scales[evaluation].item()
        assert self.sampler is not None
        return self.sampler.scale_model_input(self.latents, evaluation)

    def advance(self, model_output: torch.Tensor, evaluation: int) -> None:
        """One step; `model_output` is `[C, h, w]` float32, guidance combined."""
        if self.schedule is not None:
            coefficients = self.schedule.coefficients[evaluation].to(model_output.device)
            latents, clean, past = (
                tensor[0]
                for tensor in linear_step(
                    coefficients[None], self.latents[None], model_output[None], self.past[None]
                )
            )
            self.past = past
        else:
            assert self.sampler is not None
            latents, clean = self.sampler.step(model_output, self.latents, evaluation)
        self.latents, self.clean = latents, clean
