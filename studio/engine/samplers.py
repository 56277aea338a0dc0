"""Samplers: the step rule of a noise schedule, one diffusers scheduler object per sample.

The objects carry history (multistep rules) and a position, so they are never shared between
samples. This file builds them and reads the predicted clean latent out of a step.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffusers
import torch

SAMPLERS: Mapping[str, str] = {
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "deis": "DEISMultistepScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "lcm": "LCMScheduler",
    "tcd": "TCDScheduler",
}
"""Names people choose by → diffusers' classes."""


def make_scheduler(
    name: str, config: Mapping[str, Any], *, num_steps: int, device: str = "cpu"
) -> tuple[Any, bool]:
    """A diffusers scheduler at its first of `num_steps` steps; whether its steps draw noise."""
    cls = getattr(diffusers, SAMPLERS[name])
    accepted = inspect.signature(cls.__init__).parameters
    scheduler = cls.from_config({k: v for k, v in config.items() if k in accepted})
    scheduler.set_timesteps(num_steps, device=device)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # spares the search for it, a host synchronisation
    return scheduler, "generator" in inspect.signature(cls.step).parameters


def num_evaluations(name: str, config: Mapping[str, Any], *, num_steps: int) -> int:
    """Forward passes that sampler `name` makes of `num_steps` steps: Heun's, nearly twice as many.

    Cheap once a number of steps is known.
    """
    return _count_evaluations(
        name, json.dumps(dict(config), sort_keys=True, default=str), num_steps
    )


@functools.lru_cache(maxsize=512)
def _count_evaluations(name: str, config: str, num_steps: int) -> int:
    scheduler, _ = make_scheduler(name, json.loads(config), num_steps=num_steps)
    return len(scheduler.timesteps)


class StepOutput(NamedTuple):
    """The next latents and the predicted clean latents, both `[C, h, w]` float32."""

    latents: torch.Tensor
    pred_original_sample: torch.Tensor


class Sampler:
    """One sample's own scheduler object, its noise generator, and its place in the schedule."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        *,
        num_steps: int,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self._scheduler, self._step_takes_generator = make_scheduler(
            name, config, num_steps=num_steps, device=device
        )
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._alphas_cumprod: torch.Tensor = self._scheduler.alphas_cumprod
        self._timesteps: list[float] = self._scheduler.timesteps.tolist()
        self._timestep_tensors: torch.Tensor = self._scheduler.timesteps

    @property
    def num_evaluations(self) -> int:
        """Forward passes in all; more than the steps for second-order rules."""
        return len(self._timesteps)

    @property
    def initial_sigma(self) -> float:
        """What the first noise is scaled by."""
        return float(self._scheduler.init_noise_sigma)

    def timestep(self, evaluation: int) -> float:
        """The model's timestep input for forward pass `evaluation`."""
        return self._timesteps[evaluation]

    def initial_noise(self, shape: tuple[int, int, int], device: str = "cpu") -> torch.Tensor:
        """The first latents, float32. Drawn on the CPU so that a seed means the same everywhere."""
        noise = torch.randn(shape, generator=self._generator, dtype=torch.float32)
        scaled: torch.Tensor = noise * self._scheduler.init_noise_sigma
        return scaled.to(device)

    def scale_model_input(self, latents: torch.Tensor, evaluation: int) -> torch.Tensor:
        """What the model is shown of `latents` at forward pass `evaluation`."""
        timestep = self._timestep_tensors[evaluation]
        scaled: torch.Tensor = self._scheduler.scale_model_input(latents, timestep)
        return scaled

    def step(
        self, model_output: torch.Tensor, latents: torch.Tensor, evaluation: int
    ) -> StepOutput:
        """One step of the rule. `model_output` and `latents` are `[C, h, w]` float32."""
        options = {"generator": self._generator} if self._step_takes_generator else {}
        timestep = self._timestep_tensors[evaluation]
        # A batch axis of one: the multistep solvers build their coefficients for batched tensors.
        output = self._scheduler.step(model_output[None], timestep, latents[None], **options)
        clean = getattr(output, "denoised", None)  # LCM's name for it
        if clean is None:
            clean = getattr(output, "pred_original_sample", None)
        if clean is None:
            clean = self._predict_original(model_output, latents, self._timesteps[evaluation])[None]
        return StepOutput(output.prev_sample[0], clean[0])

    def _predict_original(
        self, model_output: torch.Tensor, latents: torch.Tensor, timestep: float
    ) -> torch.Tensor:
        """x̂₀ where the rule does not report it (Ho et al. 2020, eq. 15; Salimans & Ho 2022, D).

        Latents of the multistep rules are variance-preserving; Heun's are scaled by 1/α and are
        brought back first. Good enough for a preview, used for nothing else.
        """
        alpha_squared = self._alphas_cumprod[round(timestep)].to(latents.device).clamp(min=1e-6)
        alpha, sigma = alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
        if float(self._scheduler.init_noise_sigma) != 1.0:
            latents = latents * alpha
        kind = self._scheduler.config.prediction_type
        if kind == "v_prediction":
            return alpha * latents - sigma * model_output
        if kind == "epsilon":
            return (latents - sigma * model_output) / alpha
        return model_output
