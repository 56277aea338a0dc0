"""Full-size networks without a card: what the script writes, compares and builds, on small ones."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors import safe_open

from scripts.full_size import builds, parity
from scripts.full_size.architecture import SDXL, Architecture
from scripts.full_size.write import num_parameters, write_model
from studio.engine.graphs import graphs_of
from studio.engine.layout import weight_files
from studio.engine.loading import WithoutWeights
from studio.engine.model import load_model
from studio.engine.networks import load_networks
from studio.engine.plans import PlanCache
from studio.engine.quantized import is_quantized
from studio.engine.tensorrt_builder import PROFILES
from tests.tiny_models import HEIGHT, HIDDEN_SIZE, UNETS

UNET: dict[str, Any] = UNETS["sdxl"] | {"layers_per_block": 1}
TINY = Architecture(
    unet=UNET,
    controlnet={name: UNET[name] for name in SDXL.controlnet if name in UNET}
    | {"conditioning_embedding_out_channels": (4, 8, 8, 16)},
    vae=SDXL.vae
    | {
        "block_out_channels": (8, 8, 8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": HEIGHT,
    },
    text_widths=(HIDDEN_SIZE, HIDDEN_SIZE),
    sizes=((HEIGHT, HEIGHT),),
)


TWO_BLOCKS = dataclasses.replace(
    TINY,
    unet=UNET
    | {
        "block_out_channels": (32, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1),
        "attention_head_dim": (2, 2),
    },
)
"""Less of everything: exporting takes its time for each layer, and so does building."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "model"
    write_model(out, TINY, report=lambda _: None)
    return out


@pytest.mark.parametrize(
    ("cls", "config", "num"),
    [
        (UNet2DConditionModel, SDXL.unet, 2_567_463_684),
        (ControlNetModel, SDXL.controlnet, 1_251_014_160),
        (AutoencoderKL, SDXL.vae, 83_653_863),
    ],
    ids=["unet", "controlnet", "vae"],
)
def test_networks_have_as_many_parameters_as_are_told_of_them(
    cls: Any, config: dict[str, Any], num: int
) -> None:
    with WithoutWeights():
        assert num_parameters(cls(**config)) == num


def test_what_is_written_is_loaded_as_any_model(folder: Path) -> None:
    model = load_model(folder, precision="float32")
    assert model.control_kinds == {"canny"}
    assert model.card.default_size == TINY.sizes[0]


def test_weights_are_half_precision(folder: Path) -> None:
    for name in ("unet", "controlnet", "vae", "text_encoder", "text_encoder_2"):
        with safe_open(weight_files(folder / name)[0], framework="pt") as opened:
            assert {opened.get_tensor(key).dtype for key in opened.offset_keys()} == {torch.float16}


def test_the_same_seed_writes_the_same_weights(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "again", TINY, report=lambda _: None)
    first, again = (weight_files(one / "unet")[0] for one in (folder, tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()


def test_large_networks_are_written_in_shards_that_hold_no_more(tmp_path: Path) -> None:
    write_model(tmp_path / "model", TINY, max_shard_bytes=200_000, report=lambda _: None)
    files = weight_files(tmp_path / "model" / "unet")
    assert len(files) > 2
    assert all(file.stat().st_size < 250_000 for file in files)
    assert not list(tmp_path.rglob("*.shard"))
    load_networks(tmp_path / "model", precision="float32")


def test_no_layer_of_the_controlnet_gives_nothing(folder: Path) -> None:
    networks = load_networks(folder, precision="float32")
    (graph,) = [one for one in graphs_of(networks, (64, 64)) if one.file.startswith("controlnet")]
    down, middle = graph.module(*graph.inputs.values())
    assert all(0.001 < float(tensor.std()) < 100 for tensor in (*down, middle))


@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_layers_are_written_in_one_byte(form: str, folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", TINY, form=form, report=lambda _: None)
    unet = load_networks(tmp_path / "model", precision="float16", parts=["unet"]).unet
    assert is_quantized(unet) == form
    sizes = [weight_files(one / "unet")[0].stat().st_size for one in (folder, tmp_path / "model")]
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("graph", ["unet_control", "controlnet_canny", "decoder"])
def test_onnx_runtime_answers_as_torch_does(graph: str, folder: Path, tmp_path: Path) -> None:
    asked = parity.answer(folder, graph, HEIGHT, tmp_path)
    assert asked["num_parameters"] > 1000
    assert parity.compare(graph, tmp_path)["error"] < parity.MAX_ERROR


def test_an_answer_that_is_off_is_seen(folder: Path, tmp_path: Path) -> None:
    parity.answer(folder, "decoder", HEIGHT, tmp_path)
    kept = dict(np.load(tmp_path / parity.ANSWERS))
    kept["out 1 image"] *= 1.01
    np.savez(tmp_path / parity.ANSWERS, **kept)  # type: ignore[arg-type]
    assert parity.compare("decoder", tmp_path)["error"] > 5 * parity.MAX_ERROR


def test_every_graph_of_a_model_is_compared(folder: Path) -> None:
    assert parity.graph_names(folder) == ["unet", "controlnet_canny", "unet_control", "decoder"]


def test_a_graph_is_compared_by_processes_of_its_own(folder: Path) -> None:
    said: list[str] = []
    (row,) = parity.compare_all(folder, HEIGHT, ["decoder"], report=said.append)
    assert row.error < parity.MAX_ERROR
    assert row.memory_bytes > 1e8
    assert parity.summary([row], HEIGHT)["worst"] == row.error
    assert len(said) == 2
    assert not list(folder.parent.glob(".parity-*"))


def test_not_a_number_is_infinitely_far() -> None:
    wanted = np.ones((2, 3), np.float32)
    assert parity.distance(np.array([[1, np.nan, 1], [1, 1, 1]], np.float32), wanted) == np.inf


def test_a_quantized_model_of_its_shape_is_built_for_several_cards(tmp_path: Path) -> None:
    write_model(tmp_path / "model", TWO_BLOCKS, form="int8", report=lambda _: None)
    shutil.rmtree(tmp_path / "model" / "controlnet")  # whose plan takes as long as the UNet's
    cache = PlanCache(tmp_path / "cache")
    made = builds.build_each(
        {"int8": tmp_path / "model"},
        cache,
        capabilities=["8.6", "12.0"],
        profiles=PROFILES[:1],
        report=lambda _: None,
    )
    assert [one.refused for one in made] == ["", ""]
    assert all(one.num_bytes > 1_000_000 for one in made)
    assert len(list(cache.folder.glob("graphs-*"))) == 1  # exported once


def test_what_the_builder_refuses_is_told_with_its_reason(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "model"))
    weight_files(broken / "vae")[0].write_bytes(b"nothing")
    made = builds.build_each(
        {"half": broken}, PlanCache(tmp_path / "cache"), capabilities=["8.6"], report=lambda _: None
    )
    assert "could not be made" in builds.table(made)
    assert builds.summary(made)["num_refused"] == 1
