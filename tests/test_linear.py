"""Linear schedules: the same steps as the sampler objects they are read from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from studio.engine.linear import CLEAN_O, CLEAN_X, NEXT_O, NEXT_X, SCALE, linear_schedule
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
@pytest.mark.parametrize("name", ["euler", "ddim"])
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
    for evaluation in range(sampler.num_evaluations):
        assert schedule.timesteps[evaluation] == sampler.timestep(evaluation)
        k = schedule.coefficients[evaluation].tolist()
        shown = sampler.scale_model_input(latents, evaluation)
        torch.testing.assert_close(k[SCALE] * latents, shown, atol=1e-5, rtol=1e-5)
        output = torch.tanh(shown)
        clean = k[CLEAN_X] * latents + k[CLEAN_O] * output
        following = k[NEXT_X] * latents + k[NEXT_O] * output
        latents, expected = sampler.step(output, latents, evaluation)
        torch.testing.assert_close(following, latents, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(clean, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"euler", "ddim"}))
def test_a_rule_with_memory_or_noise_is_left_to_its_object(name: str) -> None:
    assert linear_schedule(name, CONFIG, num_steps=5) is None


def test_a_rule_that_clips_is_not_taken_for_linear() -> None:
    config = CONFIG | {"clip_sample": True, "clip_sample_range": 0.1}
    assert linear_schedule("ddim", config, num_steps=5) is None
