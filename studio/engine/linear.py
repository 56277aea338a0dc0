"""`LinearSchedule`: a sampler's step rule as numbers, where it is linear and has no memory.

Euler's step, or DDIM's without noise, takes latents x and model output o to

    x' = A x + B o          the next latents
    x̂₀ = C x + D o          the predicted clean latents

with numbers that depend on the schedule alone. They are read off the diffusers object itself, by
showing it unit vectors, so the object stays the one source of the rule; many samples then take
their steps in a handful of tensor operations, whatever the number of samples. Rules with a memory
(multistep), a second evaluation or noise are left to `samplers.Sampler`, one object per sample.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import torch

from studio.engine.samplers import make_scheduler

MEMORYLESS = frozenset({"euler", "ddim"})
"""Samplers whose rule may be linear; whether it is, for a configuration, is found by trying."""

SCALE, NEXT_X, NEXT_O, CLEAN_X, CLEAN_O = range(5)
"""Columns of `LinearSchedule.coefficients`: the input's scale, then A, B, C and D."""

TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class LinearSchedule:
    """`coefficients` `[E, 5]` and `timesteps` of E evaluations, which are the steps here.

    `initial_sigma` scales the first noise. All on the CPU, float32.
    """

    coefficients: torch.Tensor
    timesteps: tuple[float, ...]
    initial_sigma: float

    @property
    def num_evaluations(self) -> int:
        return len(self.timesteps)


def linear_schedule(
    name: str, config: Mapping[str, Any], *, num_steps: int
) -> LinearSchedule | None:
    """The schedule of sampler `name`, or `None` where its rule is not linear and memoryless."""
    if name not in MEMORYLESS:
        return None
    return _probe(name, json.dumps(dict(config), sort_keys=True, default=str), num_steps)


@functools.lru_cache(maxsize=64)
@torch.inference_mode()
def _probe(name: str, config: str, num_steps: int) -> LinearSchedule | None:
    scheduler, _ = make_scheduler(name, json.loads(config), num_steps=num_steps)
    # Rows: x alone, o alone, and one of both, which must come out as the sum of its parts.
    x = torch.tensor([1.0, 0.0, 0.7]).view(3, 1, 1, 1)
    o = torch.tensor([0.0, 1.0, -1.3]).view(3, 1, 1, 1)
    table = []
    for timestep in scheduler.timesteps:
        scale = scheduler.scale_model_input(torch.ones(1, 1, 1, 1), timestep)
        output = scheduler.step(o, timestep, x)
        if getattr(output, "pred_original_sample", None) is None:
            return None
        columns = [scale.item()]
        for answer in (output.prev_sample.flatten(), output.pred_original_sample.flatten()):
            by_x, by_o, by_both = answer.tolist()
            error = abs(0.7 * by_x - 1.3 * by_o - by_both)
            if error > TOLERANCE * (1 + abs(by_x) + abs(by_o)):
                return None
            columns += [by_x, by_o]
        table.append(columns)
    return LinearSchedule(
        coefficients=torch.tensor(table),
        timesteps=tuple(scheduler.timesteps.tolist()),
        initial_sigma=float(scheduler.init_noise_sigma),
    )
