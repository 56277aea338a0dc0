"""The ControlNet acts on the rows that ask for it, as strongly as they ask, and on no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    UNet2DConditionModel,
)

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.model import load_model
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import GenerationFailed
from tests.tiny_models import HIDDEN_SIZE, Family, write_controlnet, write_model

FAMILIES: tuple[Family, ...] = ("sdxl", "sd15")
NUM_ROWS = 4
TOLERANCE = 1e-5

Parts = tuple[UNet2DConditionModel, ControlNetModel]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / str(request.param)
    return write_model(folder, request.param, controlnet=True)


@pytest.fixture(scope="module")
def parts(folder: Path) -> Parts:
    return (
        UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
        ControlNetModel.from_pretrained(folder / "controlnet").eval(),
    )


@pytest.fixture(scope="module")
def denoiser(parts: Parts) -> TorchDenoiser:
    unet, controlnet = parts
    return TorchDenoiser(unet, {"canny": controlnet})


@pytest.fixture(scope="module")
def rows(parts: Parts) -> Rows:
    generator = torch.Generator().manual_seed(0)
    tokens, pooled = parts[0].config.cross_attention_dim, HIDDEN_SIZE
    return Rows(
        latents=torch.randn((NUM_ROWS, 4, 8, 8), generator=generator),
        timestep=torch.tensor([981.0, 500.0, 20.5, 741.0]),
        encoder_hidden_states=torch.randn((NUM_ROWS, 77, tokens), generator=generator),
        text_embeds=torch.randn((NUM_ROWS, pooled), generator=generator),
        time_ids=torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]] * NUM_ROWS),
    )


def control(indices: list[int], scales: list[float], kind: str = "canny") -> ControlRows:
    images = torch.rand((len(indices), 3, 64, 64), generator=torch.Generator().manual_seed(1))
    return ControlRows(kind, torch.tensor(indices), images, torch.tensor(scales))


def test_rows_without_control_come_out_exactly_as_without_a_controlnet(
    denoiser: TorchDenoiser, rows: Rows
) -> None:
    plain = denoiser.denoise(rows)
    mixed = denoiser.denoise(dataclasses.replace(rows, controls=(control([3, 1], [1.0, 0.7]),)))
    assert torch.equal(mixed[[0, 2]], plain[[0, 2]])
    assert (mixed[[1, 3]] - plain[[1, 3]]).abs().amax() > 100 * TOLERANCE


def test_a_control_of_scale_zero_changes_nothing(denoiser: TorchDenoiser, rows: Rows) -> None:
    controls = (control([0, 1, 2, 3], [0.0] * NUM_ROWS),)
    controlled = denoiser.denoise(dataclasses.replace(rows, controls=controls))
    assert torch.equal(controlled, denoiser.denoise(rows))


@torch.inference_mode()
def test_a_row_with_control_is_what_the_networks_of_diffusers_say(
    denoiser: TorchDenoiser, parts: Parts, rows: Rows
) -> None:
    unet, controlnet = parts
    chosen = control([2, 0], [0.5, 1.25])
    ours = denoiser.denoise(dataclasses.replace(rows, controls=(chosen,)))
    for place, row in enumerate(chosen.indices.tolist()):
        one = slice(row, row + 1)
        added = {"text_embeds": rows.text_embeds[one], "time_ids": rows.time_ids[one]}
        down, middle = controlnet(
            rows.latents[one],
            rows.timestep[row],
            encoder_hidden_states=rows.encoder_hidden_states[one],
            controlnet_cond=chosen.images[place : place + 1],
            conditioning_scale=float(chosen.scales[place]),
            added_cond_kwargs=added,
            return_dict=False,
        )
        theirs = unet(
            rows.latents[one],
            rows.timestep[row],
            encoder_hidden_states=rows.encoder_hidden_states[one],
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        torch.testing.assert_close(ours[one], theirs, atol=TOLERANCE, rtol=0)


def test_controls_of_two_kinds_add_up(
    parts: Parts, rows: Rows, folder: Path, tmp_path: Path
) -> None:
    unet, canny = parts
    family: Family = "sdxl" if folder.name == "sdxl" else "sd15"
    depth = ControlNetModel.from_pretrained(write_controlnet(tmp_path, family, seed=9)).eval()
    both = TorchDenoiser(unet, {"canny": canny, "depth": depth})
    controls = (control([0, 1], [1.0, 0.0]), control([2, 1], [0.0, 1.0], "depth"))
    ours = both.denoise(dataclasses.replace(rows, controls=controls))
    edges = both.denoise(dataclasses.replace(rows, controls=controls[:1]))
    depths = both.denoise(dataclasses.replace(rows, controls=controls[1:]))
    torch.testing.assert_close(ours[0], edges[0], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(ours[1], depths[1], atol=TOLERANCE, rtol=0)
    assert torch.equal(ours[2:], both.denoise(rows)[2:])


def test_rows_and_steps_give_what_the_controlnet_pipeline_of_diffusers_draws(
    folder: Path, parts: Parts, denoiser: TorchDenoiser
) -> None:
    """Every step of the pipeline, its UNet asked through ours."""
    pipelines = {
        "sdxl": StableDiffusionXLControlNetPipeline,
        "sd15": StableDiffusionControlNetPipeline,
    }
    extra = {"safety_checker": None, "feature_extractor": None} if folder.name == "sd15" else {}
    pipeline = pipelines[folder.name].from_pretrained(folder, controlnet=parts[1], **extra)
    pipeline.set_progress_bar_config(disable=True)
    image = control([0], [1.0]).images
    seen: list[float] = []

    def compare(
        module: torch.nn.Module,
        args: tuple[torch.Tensor, ...],
        kwargs: dict[str, object],
        out: object,
    ) -> None:
        added = kwargs["added_cond_kwargs"] or {}
        assert isinstance(added, dict)
        embeds = kwargs["encoder_hidden_states"]
        assert isinstance(embeds, torch.Tensor)
        assert isinstance(out, tuple)
        ours = denoiser.denoise(
            Rows(
                latents=args[0],
                timestep=args[1].float().expand(2),
                encoder_hidden_states=embeds,
                text_embeds=added.get("text_embeds", torch.zeros(2, 0)),
                time_ids=added.get("time_ids", torch.zeros(2, 6)),
                controls=(
                    ControlRows(
                        "canny",
                        torch.tensor([0, 1]),
                        image.expand(2, -1, -1, -1),
                        torch.full((2,), 0.8),
                    ),
                ),
            )
        )
        torch.testing.assert_close(ours, out[0], atol=TOLERANCE, rtol=0)
        seen.append(float(args[1]))

    with pipeline.unet.register_forward_hook(compare, with_kwargs=True):
        pipeline(
            "a red mug",
            image=image,
            height=64,
            width=64,
            num_inference_steps=3,
            controlnet_conditioning_scale=0.8,
            output_type="latent",
        )
    assert len(seen) >= 3


def test_control_follows_a_change_of_precision(folder: Path, rows: Rows) -> None:
    model = load_model(folder, precision="float32")
    controlled = dataclasses.replace(rows, controls=(control([1, 2], [0.5, 1.0]),))
    precise = model.denoiser.denoise(controlled)
    coarse = model.in_precision("bfloat16").denoiser.denoise(controlled)
    assert (coarse - precise).norm() < 0.1 * precise.norm()


def test_a_kind_the_model_lacks_is_refused_with_what_it_has(
    denoiser: TorchDenoiser, rows: Rows
) -> None:
    with pytest.raises(GenerationFailed, match="no ControlNet for depth images, only for canny"):
        denoiser.denoise(dataclasses.replace(rows, controls=(control([0], [1.0], "depth"),)))


def test_a_model_without_controlnets_says_so(parts: Parts, rows: Rows) -> None:
    with pytest.raises(GenerationFailed, match="has no ControlNet"):
        TorchDenoiser(parts[0]).denoise(dataclasses.replace(rows, controls=(control([0], [1.0]),)))
