"""Weights are read whole or refused by name, and how far that is can be watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from studio.engine.loading import REPORT_INTERVAL_SECONDS, Progress, WithoutWeights
from studio.engine.model import load_model
from studio.errors import BadModel
from tests.tiny_models import write_model

UNET = "unet/diffusion_pytorch_model.safetensors"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path, "sd15")


def change(file: Path, change: Callable[[Tensors], None]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def weights(folder: Path, precision: str = "float32") -> Tensors:
    return load_model(folder, precision=precision).modules[0].state_dict()


def assert_same(ours: Tensors, theirs: Tensors) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_weights_are_those_diffusers_and_transformers_read(folder: Path) -> None:
    model = load_model(folder, precision="float32")
    unet, vae = model.modules
    (encoder,) = model.text_modules
    theirs = CLIPTextModel.from_pretrained(folder / "text_encoder")
    assert_same(encoder.state_dict(), theirs.state_dict())
    assert_same(
        unet.state_dict(), UNet2DConditionModel.from_pretrained(folder / "unet").state_dict()
    )
    assert_same(vae.state_dict(), AutoencoderKL.from_pretrained(folder / "vae").state_dict())


def test_buffers_a_file_does_not_hold_are_kept(folder: Path) -> None:
    (encoder,) = load_model(folder, precision="float32").text_modules
    theirs = dict(CLIPTextModel.from_pretrained(folder / "text_encoder").named_buffers())
    assert_same(dict(encoder.named_buffers()), theirs)


def test_weights_read_in_another_precision_are_those_cast_to_it(folder: Path) -> None:
    precise = weights(folder)
    coarse = weights(folder, "bfloat16")
    assert_same(coarse, {name: tensor.bfloat16() for name, tensor in precise.items()})


def test_the_weights_do_not_change_with_their_file(folder: Path) -> None:
    model = load_model(folder, precision="float32")
    name, before = next(iter(model.modules[0].state_dict().items()))
    before = before.clone()
    content = bytearray((folder / UNET).read_bytes())
    content[-len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    with (folder / UNET).open("r+b") as file:  # in place, as a copy over it would
        file.write(content)
    assert torch.equal(model.modules[0].state_dict()[name], before)


def test_shards_are_read_together(folder: Path) -> None:
    whole = weights(folder)
    tensors = load_file(folder / UNET)
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, kept in shards.items():
        save_file({name: tensors[name] for name in kept}, folder / "unet" / shard)
    (folder / UNET).unlink()
    weight_map = {name: shard for shard, kept in shards.items() for name in kept}
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_same(weights(folder), whole)


def test_half_precision_files_are_read_where_there_are_no_others(folder: Path) -> None:
    whole = weights(folder)
    tensors = {name: tensor.half() for name, tensor in load_file(folder / UNET).items()}
    (folder / UNET).unlink()
    save_file(tensors, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert_same(weights(folder), {name: tensor.half().float() for name, tensor in whole.items()})


def test_a_missing_weight_is_named(folder: Path) -> None:
    change(folder / UNET, lambda tensors: tensors.__delitem__("conv_out.bias"))
    with pytest.raises(BadModel, match=r"conv_out\.bias is missing"):
        load_model(folder, precision="float32")


def test_a_weight_too_many_is_named(folder: Path) -> None:
    change(folder / UNET, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(BadModel, match="extra is not a weight of it"):
        load_model(folder, precision="float32")


def test_a_weight_of_another_shape_is_named(folder: Path) -> None:
    change(folder / UNET, lambda tensors: tensors.update({"conv_out.bias": torch.zeros(9)}))
    with pytest.raises(BadModel, match=r"conv_out\.bias is 9, not 4"):
        load_model(folder, precision="float32")


def test_a_model_that_does_not_draw_from_words_alone_is_refused(folder: Path) -> None:
    """Nine channels in: the UNet of an inpainting model."""
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 9}))
    change(
        folder / UNET, lambda tensors: tensors.update({"conv_in.weight": torch.zeros(32, 9, 3, 3)})
    )
    with pytest.raises(BadModel, match="for inpainting"):
        load_model(folder, precision="float32")


def test_modules_are_made_without_weights_on_one_thread_only() -> None:
    with WithoutWeights():
        here = torch.nn.Linear(2, 3)
        with ThreadPoolExecutor(1) as beside:
            there = beside.submit(torch.nn.Linear, 2, 3).result()
    assert here.weight.is_meta
    assert not there.weight.is_meta


def test_every_part_is_reported(tmp_path: Path) -> None:
    told: list[str] = []
    folder = write_model(tmp_path, "sdxl", controlnet=True)
    load_model(folder, precision="float32", report=told.append)
    parts = list(dict.fromkeys(line.split(",")[0] for line in told))
    assert parts == [
        "text encoder",
        "second text encoder",
        "autoencoder",
        "UNet",
        "ControlNet for canny",
        "digest",
    ]


def test_progress_is_told_in_percent_and_not_too_often() -> None:
    told: list[str] = []
    clock = iter(number * REPORT_INTERVAL_SECONDS * 0.26 for number in range(100))
    progress = Progress(told.append, "UNet", 1000, lambda: next(clock))
    for _ in range(20):
        progress.add(50)
    assert told == ["UNet", "UNet, 20 %", "UNet, 40 %", "UNet, 60 %", "UNet, 80 %", "UNet, 100 %"]
