"""One file in the original layout becomes a folder that holds the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from studio.engine.layout import check_folder
from studio.engine.model import load_model
from studio.engine.single_file import (
    FAMILIES,
    _module,
    _renamed,
    convert_checkpoint,
    convert_controlnet,
    vocabulary,
    write_tokenizer,
)
from studio.errors import BadModel
from tests.original_layout import (
    original_unet,
    original_vae,
    write_original,
    write_original_controlnet,
)
from tests.tiny_models import MERGES, Family, write_controlnet, write_model

FAMILY_NAMES: tuple[Family, ...] = ("sdxl", "sd15")
PARTS = {"sdxl": 4, "sd15": 3}


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models by family, and their configurations where the full ones would stand."""
    folder = tmp_path_factory.mktemp("families")
    for family in FAMILY_NAMES:
        write_model(folder / family, family, True, card=False)
    return folder


@pytest.fixture(scope="module")
def originals(configs: Path) -> dict[str, Path]:
    """The same models as one file each."""
    return {
        family: write_original(configs / family, configs / f"{family}.safetensors", family)
        for family in FAMILY_NAMES
    }


@pytest.fixture(scope="module")
def converted(configs: Path, originals: dict[str, Path]) -> dict[str, Path]:
    """What the studio makes of those files."""
    for family, file in originals.items():
        folder = configs / f"converted-{family}"
        convert_checkpoint(file, folder, family=family, merges=MERGES, configs=configs)
    return {family: configs / f"converted-{family}" for family in originals}


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """All weights of a folder under today's names, as the libraries read them."""
    classes: dict[str, Any] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }
    return {
        part: cls.from_pretrained(folder / part).state_dict()
        for part, cls in classes.items()
        if (folder / part).is_dir()
    }


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_checkpoint_becomes_the_folder_it_was(
    configs: Path, converted: dict[str, Path], family: Family
) -> None:
    found, wanted = weights(converted[family]), weights(configs / family)
    assert found.keys() == wanted.keys()
    assert len(wanted) == PARTS[family]
    for part, tensors in wanted.items():
        assert found[part].keys() == tensors.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(found[part][name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_studio_loads_what_was_converted(converted: dict[str, Path], family: Family) -> None:
    folder = converted[family]
    assert check_folder(folder).family == family
    model = load_model(folder, precision="float32")
    assert model.card.family == family


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_tokenizers_are_those_of_the_family(
    configs: Path, converted: dict[str, Path], family: Family
) -> None:
    folder = converted[family]
    for name in ("tokenizer", "tokenizer_2")[: PARTS[family] - 2]:
        ours = CLIPTokenizer.from_pretrained(folder / name)
        theirs = CLIPTokenizer.from_pretrained(configs / family / name)
        text = ["a red mug", ""]
        options = {"padding": "max_length", "max_length": 77, "truncation": True}
        assert ours(text, **options).input_ids == theirs(text, **options).input_ids


def test_half_precision_stays_half(
    configs: Path, originals: dict[str, Path], tmp_path: Path
) -> None:
    half = {
        name: tensor.half() if name.startswith("model.") else tensor
        for name, tensor in load_file(originals["sdxl"]).items()
    }
    save_file(half, tmp_path / "half.safetensors")
    convert_checkpoint(
        tmp_path / "half.safetensors",
        tmp_path / "model",
        family="sdxl",
        merges=MERGES,
        configs=configs,
    )
    found = {
        part: {tensor.dtype for tensor in load_file(file).values()}
        for part in ("unet", "vae", "text_encoder")
        for file in (tmp_path / "model" / part).glob("*.safetensors")
    }
    assert found == {
        "unet": {torch.float16},
        "vae": {torch.float32},
        "text_encoder": {torch.float32},
    }


def test_what_training_did_otherwise_is_in_the_scheduler(
    configs: Path, originals: dict[str, Path], tmp_path: Path
) -> None:
    told: list[str] = []
    convert_checkpoint(
        originals["sdxl"],
        tmp_path / "model",
        family="sdxl",
        merges=MERGES,
        configs=configs,
        scheduler={"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        report=told.append,
    )
    config = json.loads((tmp_path / "model/scheduler/scheduler_config.json").read_text())
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"]
    assert config["beta_schedule"] == "scaled_linear"
    assert told == ["unet", "vae", "text_encoder", "text_encoder_2"]


@pytest.mark.parametrize(
    ("lost", "part"),
    [
        ("model.diffusion_model.middle_block.1.norm.weight", "unet"),
        ("first_stage_model.decoder.conv_out.bias", "vae"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "text_encoder"),
        ("conditioner.embedders.1.model.transformer.resblocks.1.ln_2.bias", "text_encoder_2"),
    ],
)
def test_a_checkpoint_with_a_hole_is_refused(
    configs: Path, originals: dict[str, Path], tmp_path: Path, lost: str, part: str
) -> None:
    file = tmp_path / "original.safetensors"
    tensors = load_file(originals["sdxl"])
    del tensors[lost]
    save_file(tensors, file)
    with pytest.raises(BadModel, match=f"is not complete: .* of the {part} is missing"):
        convert_checkpoint(file, tmp_path / "m", family="sdxl", merges=MERGES, configs=configs)
    assert not (tmp_path / "m" / "model_index.json").exists()


def test_weights_of_another_shape_are_refused(originals: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        BadModel, match=r"does not fit its family: conv_in\.weight of the unet is 32"
    ):
        convert_checkpoint(originals["sd15"], tmp_path / "model", family="sd15", merges=MERGES)


def test_eight_bits_become_sixteen(
    configs: Path, originals: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "eight.safetensors"
    name = "model.diffusion_model.out.2.weight"
    tensors = load_file(originals["sd15"])
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, file)
    convert_checkpoint(file, tmp_path / "m", family="sd15", merges=MERGES, configs=configs)
    unet = load_file(tmp_path / "m" / "unet" / "diffusion_pytorch_model.safetensors")
    torch.testing.assert_close(unet["conv_out.weight"], tensors[name].half(), rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("prefix", ["control_model.", "", "diffusers"])
def test_a_controlnet_file_becomes_a_folder(
    configs: Path, tmp_path: Path, family: Family, prefix: str
) -> None:
    wanted = write_controlnet(tmp_path / "wanted", family)
    if prefix == "diffusers":
        file = wanted / "diffusion_pytorch_model.safetensors"
    else:
        file = write_original_controlnet(wanted, tmp_path / "one.safetensors", prefix=prefix)
    convert_controlnet(file, tmp_path / "made", family=family, configs=configs)
    made = ControlNetModel.from_pretrained(tmp_path / "made").state_dict()
    for name, tensor in ControlNetModel.from_pretrained(wanted).state_dict().items():
        torch.testing.assert_close(made[name], tensor, rtol=0, atol=0)


def full(family: str, part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((FAMILIES / family / part / "config.json").read_text())
    return config


def millions(module: torch.nn.Module) -> float:
    return round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 1)


@pytest.mark.parametrize(
    ("family", "part", "count"),
    [
        ("sdxl", "unet", 2567.5),
        ("sdxl", "vae", 83.7),
        ("sdxl", "text_encoder", 123.1),
        ("sdxl", "text_encoder_2", 694.7),
        ("sdxl", "controlnet", 1251.0),
        ("sd15", "unet", 859.5),
        ("sd15", "vae", 83.7),
        ("sd15", "text_encoder", 123.1),
        ("sd15", "controlnet", 361.3),
    ],
)
def test_the_full_configurations_have_the_known_sizes(family: str, part: str, count: float) -> None:
    with torch.device("meta"):
        module = _module(part, full(family, part))
    assert millions(module) == count


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("part", ["unet", "vae", "controlnet"])
def test_every_weight_of_a_full_checkpoint_finds_its_place(family: str, part: str) -> None:
    with torch.device("meta"):
        module = _module(part, full(family, part))
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    original = original_vae(module.state_dict()) if part == "vae" else original_unet(module)
    prefix = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}.get(part, "")
    checkpoint = {prefix + name: tensor for name, tensor in original.items()}
    found = _renamed(part, checkpoint, full(family, part), module)
    assert {name: tensor.shape for name, tensor in found.items()} == wanted


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_names_are_those_of_the_published_files(family: str) -> None:
    """Some names, by hand, that the checkpoints of Stability AI and Runway hold."""
    with torch.device("meta"):
        unet = original_unet(UNet2DConditionModel.from_config(full(family, "unet")))
        vae = original_vae(AutoencoderKL.from_config(full(family, "vae")).state_dict())
    assert "decoder.up.3.upsample.conv.weight" in vae
    assert vae["encoder.mid.attn_1.q.weight"].shape == (512, 512, 1, 1)
    if family == "sdxl":
        name = "input_blocks.8.1.transformer_blocks.9.attn2.to_k.weight"
        assert unet[name].shape == (1280, 2048)
        assert unet["label_emb.0.0.weight"].shape == (1280, 2816)
        assert unet["output_blocks.2.2.conv.weight"].shape == (1280, 1280, 3, 3)
    else:
        assert unet["output_blocks.11.0.skip_connection.weight"].shape == (320, 640, 1, 1)
        assert unet["output_blocks.2.1.conv.weight"].shape == (1280, 1280, 3, 3)
        name = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
        assert unet[name].shape == (320, 768)


def test_clips_own_vocabulary_numbers_words_as_clip_does(tmp_path: Path) -> None:
    from studio.clip_vocabulary import clip_merges

    merges = clip_merges(tmp_path)
    assert len(vocabulary(merges)) == 49408
    write_tokenizer(tmp_path / "tokenizer", merges)
    write_tokenizer(tmp_path / "tokenizer_2", merges)
    first = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer")
    second = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer_2")
    words = [49406, 320, 1125, 539, 320, 2368, 49407]
    assert first("a photo of a cat").input_ids == words
    padded = {"padding": "max_length", "max_length": 9}
    assert first("a photo of a cat", **padded).input_ids == [*words, 49407, 49407]
    assert second("a photo of a cat", **padded).input_ids == [*words, 0, 0]
