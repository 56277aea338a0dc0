"""The engine on both families, tiny: control images and adapters, mixed, are as each alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    EulerDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
)

from studio.engine.engine import Engine
from studio.engine.model import Model, load_model
from studio.events import Event, PictureFinished, Pixels
from studio.request import Control, Lora, Request
from tests.engine_tools import KeepingDecoder, request, run_all
from tests.tiny_models import HEIGHT, WIDTH, Family, write_lora, write_model

TOLERANCE = 1e-4

EDGES = Control(
    image_digest="edges", conditioning_scale=0.8, guidance_start=0.25, guidance_end=0.75
)
GLOSSY = (Lora(name="glossy", weight=0.6),)


@pytest.fixture(scope="module", params=["sdxl", "sd15"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family: Family = request.param
    folder = tmp_path_factory.mktemp(family)
    write_lora(folder / "glossy.safetensors", family)
    write_model(folder / "model", family, controlnet=True)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    loras = {"glossy": folder / "glossy.safetensors"}
    return load_model(folder / "model", precision="float32", loras=loras)


def control_image(digest: str) -> Pixels:
    """White lines on black, as of `digest`."""
    generator = np.random.default_rng(len(digest))
    lines = (generator.random((HEIGHT // 4, WIDTH // 4, 1)) > 0.7).astype(np.uint8) * 255
    return lines.repeat(4, axis=0).repeat(4, axis=1).repeat(3, axis=2)


def draw(model: Model, arrivals: Mapping[str, tuple[int, Request]]) -> dict[str, torch.Tensor]:
    """The latents of every job's picture, each arriving at its turn."""
    decoder = KeepingDecoder(model.decoder)
    events: list[Event] = []
    engine = Engine(
        dataclasses.replace(model, decoder=decoder),
        max_rows=8,
        emit=events.append,
        load_control=control_image,
    )
    for turn in range(1 + max(turn for turn, _ in arrivals.values())):
        for job_id, (arrival, wanted) in arrivals.items():
            if arrival == turn:
                engine.submit(job_id, wanted)
        engine.step()
    run_all(engine)
    finished = [event.job_id for event in events if isinstance(event, PictureFinished)]
    return dict(zip(finished, decoder.latents, strict=True))


def wanted(model: Model, **values: object) -> Request:
    """A request for a small picture by `model`."""
    return request(**({"model": model.card.name, "height": HEIGHT, "width": WIDTH} | values))  # type: ignore[arg-type]


def jobs(model: Model) -> dict[str, Request]:
    return {
        "plain": wanted(model, seed=1),
        "edges": wanted(model, seed=2, control=EDGES, num_steps=6),
        "glossy": wanted(model, seed=3, loras=GLOSSY),
        "both": wanted(model, seed=4, loras=GLOSSY, control=EDGES, guidance_scale=1.0),
        "other": wanted(model, seed=5, num_steps=7, control=Control(image_digest="other")),
    }


def test_pictures_of_every_kind_come_out_together_as_each_alone(model: Model) -> None:
    together = draw(
        model, {name: (turn, job) for turn, (name, job) in enumerate(jobs(model).items())}
    )
    for name, job in jobs(model).items():
        alone = draw(model, {name: (0, job)})[name]
        # In proportion, as what an untrained network draws may be large.
        assert (together[name] - alone).norm() < TOLERANCE * alone.norm()


def test_control_and_adapters_make_a_difference(model: Model) -> None:
    plain = draw(model, {"job": (0, wanted(model))})["job"]
    for changes in ({"control": EDGES}, {"loras": GLOSSY}):
        changed = draw(model, {"job": (0, wanted(model, **changes))})["job"]
        assert not torch.allclose(changed, plain, atol=1e-2)


def test_a_control_image_is_followed_as_in_the_pipeline_of_diffusers(
    folder: Path, model: Model
) -> None:
    job = wanted(model, control=EDGES, num_steps=8)
    extra = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    controlnet = ControlNetModel.from_pretrained(folder / "model" / "controlnet")
    pipeline = (
        StableDiffusionXLControlNetPipeline.from_pretrained(
            folder / "model", controlnet=controlnet, add_watermarker=False
        )
        if model.family == "sdxl"
        else StableDiffusionControlNetPipeline.from_pretrained(
            folder / "model", controlnet=controlnet, **extra
        )
    )
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    image = torch.from_numpy(control_image("edges")).permute(2, 0, 1)[None] / 255
    theirs = pipeline(
        job.prompt,
        image=image,
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=job.num_steps,
        guidance_scale=job.guidance_scale,
        controlnet_conditioning_scale=EDGES.conditioning_scale,
        control_guidance_start=EDGES.guidance_start,
        control_guidance_end=EDGES.guidance_end,
        generator=torch.Generator().manual_seed(job.seed),
        output_type="latent",
    ).images[0]
    ours = draw(model, {"job": (0, job)})["job"]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
