"""Both families, tiny and in their real layouts, draw what diffusers draws with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)

from studio.engine.denoiser import Rows
from studio.engine.model import Model, load_model
from studio.errors import BadModel
from studio.events import Pixels
from tests.tiny_models import HEIGHT, WIDTH, Family, write_controlnet, write_model

FAMILIES: tuple[Family, ...] = ("sdxl", "sd15")
PREDICTION_TYPES = ("epsilon", "v_prediction")
PROMPT, NEGATIVE = "a red mug on a table", "text"
GUIDANCE_SCALE = 4.0
NUM_STEPS = 3


def pipeline_of(folder: Path) -> DiffusionPipeline:
    if (folder / "text_encoder_2").exists():
        pipeline = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    else:
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw_with_pipeline(folder: Path, negative_prompt: str) -> Pixels:
    image = pipeline_of(folder)(
        PROMPT,
        negative_prompt=negative_prompt or None,
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=NUM_STEPS,
        guidance_scale=GUIDANCE_SCALE,
        generator=torch.Generator().manual_seed(5),
        output_type="pil",
    ).images[0]
    return np.asarray(image)


def draw_with_model(model: Model, negative_prompt: str) -> Pixels:
    """The same picture, in the fewest lines, from the parts of our model."""
    scheduler = DDIMScheduler.from_config(model.sampler_config)
    scheduler.set_timesteps(NUM_STEPS)
    positive, negative = model.encoder.encode(PROMPT), model.encoder.encode(negative_prompt)
    pooled, hidden = negative.pooled, negative.hidden_states
    if not negative_prompt and model.zeroes_empty_prompt:
        pooled, hidden = torch.zeros_like(pooled), torch.zeros_like(hidden)
    latents = torch.randn(
        (1, *model.latent_shape(HEIGHT, WIDTH)), generator=torch.Generator().manual_seed(5)
    )
    for timestep in scheduler.timesteps:
        rows = Rows(
            latents=latents.repeat(2, 1, 1, 1),
            timestep=timestep.float().expand(2),
            encoder_hidden_states=torch.stack([hidden, positive.hidden_states]),
            text_embeds=torch.stack([pooled, positive.pooled]),
            time_ids=torch.tensor([[HEIGHT, WIDTH, 0, 0, HEIGHT, WIDTH]] * 2).float(),
        )
        without, with_prompt = model.denoiser.denoise(rows).chunk(2)
        output = without + GUIDANCE_SCALE * (with_prompt - without)
        latents = scheduler.step(output, timestep, latents).prev_sample
    return model.decoder.decode(latents[0])


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_draws_what_the_pipeline_of_diffusers_draws(
    tmp_path: Path, family: Family, prediction_type: str
) -> None:
    folder = write_model(tmp_path, family, prediction_type=prediction_type)
    ours = draw_with_model(load_model(folder, precision="float32"), NEGATIVE)
    theirs = draw_with_pipeline(folder, NEGATIVE)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
    assert theirs.std() > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_negative_prompt_is_taken_as_diffusers_takes_it(
    tmp_path: Path, family: Family
) -> None:
    folder = write_model(tmp_path, family)
    ours = draw_with_model(load_model(folder, precision="float32"), "")
    theirs = draw_with_pipeline(folder, "")
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_knows_its_family_and_what_its_controlnet_follows(
    tmp_path: Path, family: Family
) -> None:
    model = load_model(write_model(tmp_path, family, controlnet=True), precision="float32")
    assert (model.family, model.card.family) == (family, family)
    assert model.control_kinds == {"canny"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_keeps_its_family_in_other_arithmetic(tmp_path: Path, family: Family) -> None:
    model = load_model(write_model(tmp_path, family, controlnet=True), precision="float32")
    model = model.in_precision("bfloat16")
    assert model.family == family
    assert {next(module.parameters()).dtype for module in model.modules} == {torch.bfloat16}
    assert draw_with_model(model, NEGATIVE).shape == (HEIGHT, WIDTH, 3)


def test_a_model_without_a_second_encoder_reads_no_pooled_prompt(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path, "sd15"), precision="float32")
    assert model.encoder.encode(PROMPT).pooled.shape == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_controlnets_may_come_from_elsewhere(tmp_path: Path, family: Family) -> None:
    folder = write_model(tmp_path / "model", family, controlnet=True)
    depth = write_controlnet(tmp_path / "depth", family, seed=4)
    model = load_model(folder, precision="float32", controlnets={"depth": depth})
    assert model.control_kinds == {"canny", "depth"}


def test_a_controlnet_of_the_other_family_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "sdxl")
    other = write_controlnet(tmp_path / "other", "sd15")
    with pytest.raises(BadModel, match="ControlNet for depth is of another family"):
        load_model(folder, precision="float32", controlnets={"depth": other})


def test_a_folder_that_is_no_controlnet_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "sd15")
    with pytest.raises(BadModel, match="not a ControlNetModel"):
        load_model(folder, precision="float32", controlnets={"depth": folder / "unet"})
