"""Adapters change a picture as much as they are told to, and leave nothing behind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.engine.denoiser import Rows
from studio.engine.lora import check_lora
from studio.engine.model import Model, load_model
from studio.errors import BadModel, GenerationFailed
from studio.request import Lora
from tests.test_families import PROMPT, pipeline_of
from tests.tiny_models import Family, write_lora, write_model

FAMILIES: tuple[Family, ...] = ("sdxl", "sd15")
STYLES: tuple[Literal["kohya", "sgm"], ...] = ("kohya", "sgm")
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and three adapters of it: of either origin, and one for the other family."""
    family: Family = request.param
    folder = tmp_path_factory.mktemp(family)
    write_model(folder / "model", family)
    write_lora(folder / "glossy.safetensors", family)
    write_lora(folder / "kohya.safetensors", family, style="kohya", seed=1)
    write_lora(folder / "foreign.safetensors", "sd15" if family == "sdxl" else "sdxl")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    files = {path.stem: path for path in folder.glob("*.safetensors")}
    return load_model(folder / "model", precision="float32", loras=files)


def rows(model: Model, loras: tuple[Lora, ...]) -> Rows:
    """Two rows whose prompt, too, was read with the adapters."""
    embedding = model.encoder.encode(PROMPT, loras)
    generator = torch.Generator().manual_seed(3)
    return Rows(
        latents=torch.randn((2, 4, 8, 8), generator=generator),
        timestep=torch.tensor([801.0, 401.0]),
        encoder_hidden_states=embedding.hidden_states.expand(2, -1, -1),
        text_embeds=embedding.pooled.expand(2, -1),
        time_ids=torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]] * 2),
        loras=loras,
    )


def draw(model: Model, *loras: Lora) -> torch.Tensor:
    return model.denoiser.denoise(rows(model, loras))


@pytest.mark.parametrize(
    "loras",
    [
        (Lora(name="glossy"),),
        (Lora(name="glossy", weight=0.4),),
        (Lora(name="kohya"),),
        (Lora(name="glossy", weight=0.7), Lora(name="kohya", weight=-0.5)),
    ],
    ids=lambda loras: "+".join(f"{lora.name}*{lora.weight}" for lora in loras),
)
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # the pipeline's own
@torch.no_grad()
def test_adapters_act_as_in_the_pipeline_of_diffusers(
    folder: Path, model: Model, loras: tuple[Lora, ...]
) -> None:
    pipeline = pipeline_of(folder / "model")
    for lora in loras:
        pipeline.load_lora_weights(
            folder, weight_name=f"{lora.name}.safetensors", adapter_name=lora.name
        )
    pipeline.set_adapters([lora.name for lora in loras], [lora.weight for lora in loras])
    encoded = pipeline.encode_prompt(
        PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    embedding = model.encoder.encode(PROMPT, loras)
    torch.testing.assert_close(embedding.hidden_states, encoded[0][0], atol=TOLERANCE, rtol=0)
    wanted = rows(model, loras)
    theirs = pipeline.unet(
        wanted.latents,
        wanted.timestep,
        encoder_hidden_states=wanted.encoder_hidden_states,
        added_cond_kwargs={"text_embeds": wanted.text_embeds, "time_ids": wanted.time_ids},
    ).sample
    ours = model.denoiser.denoise(wanted)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=1e-4)
    assert not torch.allclose(ours, draw(model), atol=100 * TOLERANCE)


def test_a_file_that_counts_the_blocks_as_the_original_code_does_is_read_alike(
    tmp_path: Path,
) -> None:
    files = {
        style: write_lora(tmp_path / f"{style}.safetensors", "sdxl", style=style, seed=1)
        for style in STYLES
    }
    model = load_model(write_model(tmp_path / "model", "sdxl"), precision="float32", loras=files)
    assert torch.equal(draw(model, Lora(name="sgm")), draw(model, Lora(name="kohya")))


def test_nothing_of_an_adapter_is_left_once_it_is_off(folder: Path, model: Model) -> None:
    untouched = load_model(folder / "model", precision="float32")
    plain = draw(untouched)
    draw(model, Lora(name="glossy"), Lora(name="kohya", weight=2.0))
    after = model.encoder._encoder.encode(PROMPT)  # type: ignore[attr-defined]  # not remembered
    assert torch.equal(after.hidden_states, untouched.encoder.encode(PROMPT).hidden_states)
    assert torch.equal(after.pooled, untouched.encoder.encode(PROMPT).pooled)
    assert torch.equal(draw(model), plain)


def test_an_adapter_alone_is_the_same_after_another(model: Model) -> None:
    first = draw(model, Lora(name="kohya"))
    draw(model, Lora(name="glossy"))
    assert torch.equal(draw(model, Lora(name="kohya")), first)


def test_an_adapter_of_weight_zero_changes_nothing(model: Model) -> None:
    assert torch.equal(draw(model, Lora(name="glossy", weight=0.0)), draw(model))


def test_an_adapter_named_twice_acts_with_both_weights(model: Model) -> None:
    twice = draw(model, Lora(name="glossy", weight=0.5), Lora(name="glossy", weight=0.25))
    once = draw(model, Lora(name="glossy", weight=0.75))
    torch.testing.assert_close(twice, once, atol=TOLERANCE, rtol=0)


def test_what_an_adapter_adds_to_a_layer_grows_linearly_with_its_weight(model: Model) -> None:
    unet = model.modules[0]
    draw(model, Lora(name="kohya"))
    (name,) = [name for name, _ in unet.named_modules() if name.endswith("attn1.to_q")][:1]
    layer = unet.get_submodule(name)
    inputs = torch.randn((2, layer.in_features), generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    outputs = {}
    for weight in (0.0, 1.0, -2.0):
        model.denoiser.denoise(
            dataclasses.replace(rows(model, ()), loras=(Lora(name="kohya", weight=weight),))
        )
        with torch.no_grad():
            outputs[weight] = layer(inputs)
    torch.testing.assert_close(
        outputs[-2.0] - outputs[0.0],
        -2 * (outputs[1.0] - outputs[0.0]),
        atol=TOLERANCE,
        rtol=1e-4,
    )


def test_embeddings_are_remembered_by_prompt_and_adapters(model: Model) -> None:
    loras = (Lora(name="glossy"),)
    assert model.encoder.encode(PROMPT, loras) is model.encoder.encode(PROMPT, loras)
    assert model.encoder.encode(PROMPT, loras) is not model.encoder.encode(PROMPT)


def test_adapters_follow_a_change_of_precision(folder: Path) -> None:
    files = {"glossy": folder / "glossy.safetensors"}
    model = load_model(folder / "model", precision="float32", loras=files)
    precise = draw(model, Lora(name="glossy", weight=0.1))
    coarse = draw(model.in_precision("bfloat16"), Lora(name="glossy", weight=0.1))
    torch.testing.assert_close(coarse, precise, atol=0.15, rtol=0.1)


def test_an_adapter_nobody_added_is_refused_with_those_there_are(model: Model) -> None:
    with pytest.raises(GenerationFailed, match="no LoRA called “matte”, only foreign, glossy"):
        draw(model, Lora(name="matte"))


def test_an_adapter_of_another_model_is_refused_and_leaves_nothing_behind(model: Model) -> None:
    plain, glossy = draw(model), draw(model, Lora(name="glossy"))
    with pytest.raises(GenerationFailed, match="“foreign” does not fit this model"):
        draw(model, Lora(name="foreign"))
    assert torch.equal(draw(model), plain)
    assert torch.equal(draw(model, Lora(name="glossy")), glossy)


def test_a_file_that_is_no_adapter_is_refused_before_the_model_is_loaded(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(BadModel, match="is not a LoRA"):
        load_model(folder / "model", precision="float32", loras={"x": file})


@pytest.mark.parametrize("name", ["missing.safetensors", "pickled.bin"])
def test_an_adapter_must_be_a_safetensors_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "pickled.bin").touch()
    with pytest.raises(BadModel, match=r"name a \.safetensors file"):
        check_lora(tmp_path / name)


def test_an_adapter_cut_short_is_refused(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "x.safetensors", "sd15")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadModel, match="copy it again"):
        check_lora(file)


def test_an_adapter_diffusers_would_run_wrong_is_refused(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "x.safetensors", "sd15")
    save_file(load_file(file) | {"unet.conv_in.lora.dora_scale": torch.ones(1)}, file)
    with pytest.raises(BadModel, match="DoRA"):
        check_lora(file)
