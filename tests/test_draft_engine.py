"""The engine on the real draft model: a seed means the same picture in any company."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from studio.config import draft_model_dir
from studio.engine.model import Model, load_model
from studio.request import Request
from tests.engine_tools import draw

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(draft_model_dir(), precision="float32")


def _request(model: Model, prompt: str, **values: object) -> Request:
    height, width = model.card.default_size
    request = Request(
        prompt=prompt,
        height=height,
        width=width,
        num_steps=6,
        guidance_scale=4.0,
        seed=17,
        model=model.card.name,
    )
    return dataclasses.replace(request, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mug(model: Model) -> Request:
    return _request(model, "a ceramic red mug on a wooden table")


@pytest.fixture(scope="module")
def alone(model: Model, mug: Request) -> torch.Tensor:
    return draw(model, {"mug": (0, mug)})["mug", 0]


def _others(model: Model) -> dict[str, Request]:
    """Three neighbours with other words, steps, guidance and samplers."""
    return {
        "sofa": _request(
            model, "a leather black sofa in a modern living room", num_steps=9, seed=3
        ),
        "vase": _request(model, "a blue vase", num_steps=4, seed=4, guidance_scale=1.0),
        "lamp": _request(
            model, "a metal lamp", num_steps=7, seed=5, guidance_scale=7.0, sampler="dpmpp_2m"
        ),
    }


def test_a_seed_draws_the_same_latents_in_a_batch_of_four_as_alone(
    model: Model, mug: Request, alone: torch.Tensor
) -> None:
    jobs = {"mug": (0, mug)} | {name: (0, other) for name, other in _others(model).items()}
    together = draw(model, jobs, max_rows=8)["mug", 0]
    torch.testing.assert_close(together, alone, atol=TOLERANCE, rtol=0)


def test_a_seed_draws_the_same_latents_joining_late_as_alone(
    model: Model, mug: Request, alone: torch.Tensor
) -> None:
    jobs = {"mug": (2, mug)} | {
        name: (turn, other) for turn, (name, other) in enumerate(_others(model).items())
    }
    late = draw(model, jobs, max_rows=8)["mug", 0]
    torch.testing.assert_close(late, alone, atol=TOLERANCE, rtol=0)


def test_our_loop_draws_what_the_diffusers_pipeline_draws(
    model: Model, mug: Request, alone: torch.Tensor
) -> None:
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(
        draft_model_dir(), dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    latents = pipeline(
        prompt=mug.prompt,
        negative_prompt=mug.negative_prompt,
        height=mug.height,
        width=mug.width,
        num_inference_steps=mug.num_steps,
        guidance_scale=mug.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(mug.seed),
        output_type="latent",
    ).images[0]
    torch.testing.assert_close(latents, alone, atol=1e-3, rtol=0)
