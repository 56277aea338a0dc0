"""The model that ships: its folder, its promises, and a few honest looks at what it draws."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from scripts.contact_sheet import held_out_briefs
from scripts.draft.autoencoder import psnr
from scripts.draft.captions import canonical
from scripts.draft.vocabulary import FIELDS, words
from scripts.draft.world import is_held_out
from studio.config import draft_model_dir

if TYPE_CHECKING:
    from diffusers import StableDiffusionXLPipeline

FOLDER = draft_model_dir()
MAX_BYTES = 64 * 10**6


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    with warnings.catch_warnings():
        # diffusers 0.42 names arguments that transformers 5 has renamed.
        warnings.simplefilter("ignore")
        from diffusers import StableDiffusionXLPipeline

        made = StableDiffusionXLPipeline.from_pretrained(FOLDER, local_files_only=True)
    made.set_progress_bar_config(disable=True)
    return made


def draw(
    pipe: StableDiffusionXLPipeline, prompt: str, *, steps: int = 8, **more: Any
) -> np.ndarray:
    """A picture as floats 0..1 [H,W,3]."""
    options = {"height": 256, "width": 256, "guidance_scale": 3.0, "output_type": "np"} | more
    noise = torch.Generator().manual_seed(options.pop("seed", 0))
    with torch.inference_mode():
        made = pipe(prompt, num_inference_steps=steps, generator=noise, **options)
    picture: np.ndarray = made.images[0]
    return picture


def test_the_folder_loads_as_an_sdxl_pipeline_and_draws_every_size_of_its_card(
    pipe: StableDiffusionXLPipeline,
) -> None:
    for height, width in card()["sizes"]:
        picture = draw(pipe, "a red mug", steps=2, height=height, width=width)
        assert picture.shape == (height, width, 3)
        assert np.isfinite(picture).all()


def test_the_folder_is_at_most_64_megabytes() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= MAX_BYTES


def test_weights_are_safetensors_and_nothing_in_the_folder_can_run() -> None:
    kinds = {p.suffix for p in FOLDER.rglob("*") if p.is_file()}
    assert kinds <= {".safetensors", ".json", ".txt", ".md", ".png"}
    assert len(list(FOLDER.rglob("*.safetensors"))) == 5


def card() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((FOLDER / "card.json").read_text("utf-8"))
    return values


def test_the_card_is_complete() -> None:
    facts = card()
    assert facts["name"] == "draft"
    assert facts["closed_world"] is True
    assert facts["default_size"] in facts["sizes"]
    assert all(side % 32 == 0 for size in facts["sizes"] for side in size)
    assert facts["default_num_steps"] > 0
    assert facts["default_guidance_scale"] > 1
    assert facts["license"] == "Apache-2.0"


def test_the_model_card_shows_its_contact_sheet_and_names_licence_and_recipe() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    assert (FOLDER / "contact_sheet.png").is_file()
    for needed in ("contact_sheet.png", "Apache-2.0", "scripts.draft.render", "What fails"):
        assert needed in text


def test_the_contact_sheet_shows_24_briefs_never_trained_on_and_every_word() -> None:
    briefs = held_out_briefs()
    assert len(set(briefs)) == 24
    assert all(is_held_out(*brief) for brief in briefs)
    for i, field in enumerate(FIELDS):
        assert {brief[i] for brief in briefs} == {entry.id for entry in words(field)}


def test_every_word_of_the_vocabulary_is_a_few_tokens(pipe: StableDiffusionXLPipeline) -> None:
    for field in FIELDS:
        for entry in words(field):
            for said in (entry.phrase or entry.en, *entry.english_synonyms):
                ids = pipe.tokenizer(said).input_ids
                assert len(ids) - 2 <= 2 * len(said.split()), said
    assert pipe.tokenizer.model_max_length == 77


def test_a_caption_of_any_script_is_encoded_without_an_unknown_token(
    pipe: StableDiffusionXLPipeline,
) -> None:
    ids = pipe.tokenizer("红色马克杯 ñandú ☕").input_ids
    assert pipe.tokenizer.unk_token_id not in ids[1:-1]


def centre(picture: np.ndarray) -> np.ndarray:
    """Mean colour of the middle quarter."""
    h, w = picture.shape[:2]
    mean: np.ndarray = picture[h * 3 // 8 : h * 5 // 8, w * 3 // 8 : w * 5 // 8].mean((0, 1))
    return mean


@pytest.mark.parametrize("scene", ["studio", "wooden_table"])
def test_a_red_mug_is_redder_than_a_blue_mug(pipe: StableDiffusionXLPipeline, scene: str) -> None:
    red, blue = (
        centre(draw(pipe, canonical("mug", "ceramic", color, scene), seed=3))
        for color in ("red", "blue")
    )
    assert red[0] - red[2] > 0.2
    assert blue[2] - blue[0] > 0.1


def test_a_white_studio_is_white_round_a_black_product(pipe: StableDiffusionXLPipeline) -> None:
    picture = draw(pipe, canonical("armchair", "ceramic", "black", "studio"), seed=1)
    corners = picture[[8, 8, -8, -8], [8, -8, 8, -8]]
    assert corners.min() > 0.75
    assert centre(picture).mean() < 0.45


def test_the_preview_map_shows_what_the_decoder_shows(pipe: StableDiffusionXLPipeline) -> None:
    fit = json.loads((FOLDER / "preview.json").read_text("utf-8"))
    prompt = canonical("armchair", "fabric", "green", "living_room")
    latents = torch.as_tensor(draw(pipe, prompt, output_type="latent"))
    with torch.inference_mode():
        decoded = pipe.vae.decode(latents[None] / pipe.vae.config.scaling_factor).sample[0]
    small = torch.nn.functional.avg_pool2d(decoded, 16)
    guess = torch.einsum("chw,cr->rhw", latents, torch.tensor(fit["weight"]))
    guess = guess + torch.tensor(fit["bias"])[:, None, None]
    assert (guess - small).abs().mean() < 0.12


def test_half_and_full_precision_decode_to_the_same_picture(
    pipe: StableDiffusionXLPipeline,
) -> None:
    noise = torch.Generator().manual_seed(0)
    latents = torch.randn(1, pipe.vae.config.latent_channels, 8, 8, generator=noise)
    with torch.inference_mode():
        full = pipe.vae.decode(latents).sample
        with torch.autocast("cpu", torch.bfloat16):
            half = pipe.vae.decode(latents).sample.float()
    assert (full - half).abs().mean() < 0.03


def test_the_encoder_is_linear(pipe: StableDiffusionXLPipeline) -> None:
    noise = torch.Generator().manual_seed(0)
    one, two = (torch.rand(1, 3, 64, 64, generator=noise) - 0.5 for _ in range(2))
    with torch.inference_mode():
        a, b, both, neither = (
            pipe.vae.encode(x).latent_dist.mean for x in (one, two, one + two, 0 * one)
        )
    assert (a + b - both - neither).abs().max() < 0.02


def test_the_autoencoder_gives_back_a_picture_of_its_world(
    pipe: StableDiffusionXLPipeline,
) -> None:
    picture = torch.as_tensor(draw(pipe, canonical("sofa", "fabric", "red", "studio")))
    picture = picture.permute(2, 0, 1)[None] * 2 - 1
    with torch.inference_mode():
        again = pipe.vae.decode(pipe.vae.encode(picture).latent_dist.mean).sample
    assert psnr(again, picture) > 24
