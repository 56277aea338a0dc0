"""Linear schedules: the same steps as the sampler objects they are read from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from studio.engine.linear import CANDIDATES, linear_schedule, linear_step
from studio.engine.samplers import SAMPLERS, Sampler

CONFIG: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", sorted(CANDIDATES))
@pytest.mark.parametrize("num_steps", [1, 4, 23])
def test_every_step_equals_the_reference(name: str, prediction_type: str, num_steps: int) -> None:
    config = CONFIG | {"prediction_type": prediction_type}
    schedule = linear_schedule(name, config, num_steps=num_steps)
    assert schedule is not None
    sampler = Sampler(name, config, num_steps=num_steps, seed=3)
    latents = sampler.initial_noise((4, 8, 8))
    generator = torch.Generator().manual_seed(3)
    own = torch.randn((4, 8, 8), generator=generator) * schedule.initial_sigma
    torch.testing.assert_close(own, latents)
    past = torch.zeros(1, schedule.num_past, *own.shape)
    for evaluation in range(sampler.num_evaluations):
        assert schedule.timesteps[evaluation] == sampler.timestep(evaluation)
        shown = sampler.scale_model_input(latents, evaluation)
        torch.testing.assert_close(schedule.scales[evaluation] * own, shown, atol=1e-4, rtol=1e-5)
        output = torch.tanh(shown)
        coefficients = schedule.coefficients[evaluation][None]
        following, clean, past = linear_step(coefficients, own[None], output[None], past)
        own = following[0]
        latents, expected = sampler.step(output, latents, evaluation)
        torch.testing.assert_close(own, latents, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(clean[0], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "num_past"), [("euler", 0), ("ddim", 0), ("heun", 2), ("dpmpp_2m", 2), ("unipc", 4)]
)
def test_a_rule_keeps_no_more_of_the_past_than_it_looks_at(name: str, num_past: int) -> None:
    schedule = linear_schedule(name, CONFIG, num_steps=10)
    assert schedule is not None
    assert schedule.num_past == num_past


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - CANDIDATES))
def test_a_rule_with_a_long_memory_or_noise_is_left_to_its_object(name: str) -> None:
    assert linear_schedule(name, CONFIG, num_steps=5) is None


def test_a_rule_that_clips_is_not_taken_for_linear() -> None:
    config = CONFIG | {"clip_sample": True, "clip_sample_range": 0.1}
    assert linear_schedule("ddim", config, num_steps=5) is None


def test_a_rule_that_draws_noise_is_not_taken_for_linear() -> None:
    config = CONFIG | {"algorithm_type": "sde-dpmsolver++"}
    assert linear_schedule("dpmpp_2m", config, num_steps=5) is None
