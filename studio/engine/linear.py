"""`LinearSchedule`: a sampler's step rule as numbers, where it is linear.

Euler's step, or DDIM's without noise, takes latents x and model output o to a weighted sum of both;
Heun's and the multistep rules (DPM-Solver++, UniPC, DEIS) look back one or two steps more:

    x'  = Σ_j  a_j x_j + b_j o_j          the next latents
    x̂₀ = Σ_j  c_j x_j + d_j o_j          the predicted clean latents,   j = 0 (now), 1, 2 steps ago

with numbers that depend on the schedule alone. They are read off the diffusers object itself: it
is led through all its steps with unit vectors for the first latents and for every output, and the
numbers are what fits its answers exactly. So the object stays the one source of the rule, and many
samples take their steps in a handful of tensor operations, whatever the number of samples. Rules
with noise, with a longer memory, or that clip are left to `samplers.Sampler`, one object for each
sample.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import torch

from studio.engine.samplers import Sampler

CANDIDATES = frozenset({"euler", "heun", "dpmpp_2m", "unipc", "deis", "ddim"})
"""Samplers whose rule may be linear; whether it is, for a configuration, is found by trying."""

MAX_MEMORY = 2
"""Steps that a rule may look back."""

TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class LinearSchedule:
    """Of E evaluations, which are the forward passes: what the model is shown is `scales` `[E]`
    times the latents, at `timesteps`; the weights of the next and of the clean latents are
    `coefficients` `[E, 2, S]`, over the S slots x and o of now, x and o of one step ago, ...

    `initial_sigma` scales the first noise. All on the CPU, float32.
    """

    coefficients: torch.Tensor
    scales: torch.Tensor
    timesteps: tuple[float, ...]
    initial_sigma: float

    @property
    def num_evaluations(self) -> int:
        return len(self.timesteps)

    @property
    def num_past(self) -> int:
        """Slots of what is past: latents and output of each step that the rule looks back."""
        return self.coefficients.shape[-1] - 2


def linear_step(
    coefficients: torch.Tensor,
    latents: torch.Tensor,
    outputs: torch.Tensor,
    past: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One step of n samples: the next latents, the clean latents, and what is then past.

    `coefficients` is `[n, 2, S]`, `latents` and `outputs` are `[n, C, h, w]`, `past` is
    `[n, S - 2, C, h, w]`.
    """
    slots = torch.cat([latents[:, None], outputs[:, None], past], dim=1)
    both = torch.bmm(coefficients, slots.flatten(2)).view(-1, 2, *latents.shape[1:])
    return both[:, 0], both[:, 1], slots[:, : past.shape[1]]


def linear_schedule(
    name: str, config: Mapping[str, Any], *, num_steps: int
) -> LinearSchedule | None:
    """The schedule of sampler `name`, or `None` where its rule is not linear, or not for sure."""
    if name not in CANDIDATES:
        return None
    return _read_off(name, json.dumps(dict(config), sort_keys=True, default=str), num_steps)


@functools.lru_cache(maxsize=64)
@torch.inference_mode()
def _read_off(name: str, config: str, num_steps: int) -> LinearSchedule | None:
    sampler = Sampler(name, json.loads(config), num_steps=num_steps, seed=0)
    walk = _walk(sampler)
    if walk is None:
        return None
    for memory in range(MAX_MEMORY + 1):
        coefficients = _fit(walk, memory)
        if coefficients is not None:
            return LinearSchedule(
                coefficients=coefficients.float(),
                scales=walk.scales,
                timesteps=tuple(sampler.timestep(e) for e in range(sampler.num_evaluations)),
                initial_sigma=sampler.initial_sigma,
            )
    return None


@dataclasses.dataclass(frozen=True)
class _Walk:
    """What a sampler does with unit vectors: of every evaluation the latents before and after, and
    the clean ones, each `[E, 1 + E]` as weights of the first latents and of the outputs so far.
    """

    before: torch.Tensor
    after: torch.Tensor
    clean: torch.Tensor
    scales: torch.Tensor


def _walk(sampler: Sampler) -> _Walk | None:
    """`None` where the answer to a sum is not the sum of the answers."""
    num = sampler.num_evaluations
    # Beside the unit vectors goes one mixture of them all, large enough to be clipped if any is.
    mixture = 3.0 * torch.randn(1 + num, generator=torch.Generator().manual_seed(0))
    latents = torch.zeros(1, 1, 2 + num)
    latents[..., 0], latents[..., -1] = 1.0, mixture[0]
    before, after, clean, scales = [], [], [], []
    for evaluation in range(num):
        output = torch.zeros(1, 1, 2 + num)
        output[..., 1 + evaluation], output[..., -1] = 1.0, mixture[1 + evaluation]
        scales.append(sampler.scale_model_input(torch.ones(1, 1, 1), evaluation).flatten())
        step = sampler.step(output, latents, evaluation)
        for answer in step:
            *parts, of_mixture = answer.flatten()
            by_part = torch.stack(parts).double() * mixture.double()
            if abs(by_part.sum() - of_mixture) > TOLERANCE * (1 + by_part.abs().sum()):
                return None
        before.append(latents.flatten()[:-1])
        after.append(step.latents.flatten()[:-1])
        clean.append(step.pred_original_sample.flatten()[:-1])
        latents = step.latents
    return _Walk(
        before=torch.stack(before).double(),
        after=torch.stack(after).double(),
        clean=torch.stack(clean).double(),
        scales=torch.cat(scales),
    )


def _fit(walk: _Walk, memory: int) -> torch.Tensor | None:
    """Weights `[E, 2, 2 (1 + memory)]` that give the walk exactly; `None` where none do."""
    num = len(walk.before)
    fitted = torch.zeros(num, 2, 2 * (1 + memory), dtype=torch.float64)
    outputs = torch.eye(num, 1 + num, dtype=torch.float64).roll(1, dims=1)
    for evaluation in range(num):
        seen = [evaluation - back for back in range(memory + 1) if back <= evaluation]
        slots = torch.stack([v for e in seen for v in (walk.before[e], outputs[e])], dim=1)
        answers = torch.stack([walk.after[evaluation], walk.clean[evaluation]], dim=1)
        sizes = slots.norm(dim=0)
        # The smallest weights that do: several may, as the past says some things twice.
        weights = torch.linalg.lstsq(slots / sizes, answers, rcond=1e-7, driver="gelsd").solution
        errors = (slots / sizes @ weights - answers).abs()
        if (errors > TOLERANCE * (1 + answers.abs())).any():
            return None
        fitted[evaluation, :, : 2 * len(seen)] = (weights / sizes[:, None]).T
    return fitted
