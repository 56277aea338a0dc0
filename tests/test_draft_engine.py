"""The engine on the real draft model: a seed means the same picture in any company, and again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config, draft_model_dir
from studio.engine.model import Model, load_model
from studio.gallery import Look
from studio.person import LOCAL_PERSON, Person, Role
from studio.reproduction import Outcome
from studio.request import Request
from tests.engine_tools import draw

TOLERANCE = 1e-4
WAIT_SECONDS = 200.0


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


@pytest.mark.parametrize("corner", [(0, 0), (1024, 1024)])
def test_our_loop_draws_what_the_diffusers_pipeline_draws(
    model: Model, mug: Request, corner: tuple[int, int]
) -> None:
    from diffusers import StableDiffusionXLPipeline

    mug = dataclasses.replace(mug, crops_coords_top_left=corner)
    alone = draw(model, {"mug": (0, mug)})["mug", 0]
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
        crops_coords_top_left=corner,
        generator=torch.Generator("cpu").manual_seed(mug.seed),
        output_type="latent",
    ).images[0]
    torch.testing.assert_close(latents, alone, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def studio(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    config = Config(data_dir=tmp_path_factory.mktemp("data"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        yield studio


def test_a_picture_is_reproduced_byte_for_byte_from_its_record(studio: Studio) -> None:
    """The second of three that were drawn together, alone."""
    brief = Brief(subject="mug", color="red", num_images=3, num_steps=4, seed=17)
    image = studio.wait(studio.submit(brief).id, WAIT_SECONDS).images[1]
    job = studio.reproductions.begin(LOCAL_PERSON, image.id)
    (copy,) = studio.wait(job.id, WAIT_SECONDS).images.values()
    assert studio.image(copy.id)[1].read_bytes() == studio.image(image.id)[1].read_bytes()
    assert studio.reproductions.outcome(LOCAL_PERSON, image.id, job.id).outcome is Outcome.SAME


def test_a_shipped_example_is_what_its_record_draws(studio: Studio) -> None:
    """As near as another processor's arithmetic allows; on the one that drew it to the byte."""
    newcomer = Person(name="newcomer", roles=frozenset(Role))
    example = studio.gallery.page(newcomer, Look()).items[0].image
    job = studio.reproductions.begin(newcomer, example.id)
    (copy,) = studio.wait(job.id, WAIT_SECONDS).images.values()
    shipped, drawn = (
        np.asarray(Image.open(studio.image(one.id, newcomer.name)[1]).convert("RGB"), np.int16)
        for one in (example, copy)
    )
    assert np.abs(shipped - drawn).mean() < 1
