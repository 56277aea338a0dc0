"""Pruning takes out what matters least, makes up for it, and is the same in every form."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from studio.config import Config
from studio.engine.denoiser import Rows
from studio.engine.model import Model, load_model
from studio.engine.pruning import (
    Layer,
    choose,
    choose_neurons,
    gram_matrices,
    layers_of,
    num_parameters,
    num_to_remove,
    prune_unet,
    slim,
    timestep_weights,
)
from studio.engine.reference import distance
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import BadInput, BadModel
from studio.presets import load_presets
from studio.shrinking import Extent, prune, requests_of
from tests.exported_models import exported
from tests.test_tensorrt import following, rows


def layer(num_groups: int, width: int, *, seed: int = 0) -> Layer:
    torch.manual_seed(seed)
    linear = torch.nn.Linear(num_groups * width, 5)
    return Layer("here", linear, num_groups, width, is_attention=width > 1)


def gram(num: int) -> torch.Tensor:
    x = torch.randn((4 * num, num), generator=torch.Generator().manual_seed(1))
    x[:, 0] = x[:, 1] + 0.01 * x[:, 0]  # the first says what the second says
    return x.T @ x


def cost(change: torch.Tensor, gram: torch.Tensor) -> float:
    return float(torch.einsum("oi,ij,oj->", change.double(), gram.double(), change.double()))


def test_the_head_that_says_nothing_goes_first() -> None:
    one = layer(4, 3)
    one.output.weight.data[:, 6:9] = 0
    kept, _ = choose(one, gram(12), 1)
    assert kept == [0, 1, 3]


@pytest.mark.parametrize("pick", [choose, choose_neurons])
def test_what_stays_makes_up_for_what_goes(pick: Any) -> None:
    one = layer(4, 3) if pick is choose else layer(12, 1)
    before, whole = one.output.weight.data.clone(), gram(12)
    kept, corrected = pick(one, whole, 2)
    gone = [
        group * one.width + i
        for group in set(range(one.num_groups)) - set(kept)
        for i in range(one.width)
    ]
    plain = before.clone()
    plain[:, gone] = 0
    assert not corrected[:, gone].any()
    assert cost(corrected - before, whole) < 0.95 * cost(plain - before, whole)


def test_of_two_neurons_that_say_the_same_one_goes_for_nothing() -> None:
    one, whole = layer(12, 1), gram(12)
    before = one.output.weight.data.clone()
    kept, corrected = choose_neurons(one, whole, 1)
    assert {0, 1} - set(kept)
    assert cost(corrected - before, whole) < 0.01 * cost(before, whole)


def test_as_much_goes_from_layers_alike_and_never_all() -> None:
    assert [num_to_remove(layer(4, 2), ratio) for ratio in (0.1, 0.25, 0.9)] == [0, 1, 3]
    assert num_to_remove(layer(64, 1), 0.3) == 16
    assert num_to_remove(layer(8, 1), 0.9) == 7


@pytest.fixture(scope="module")
def pruned() -> tuple[torch.nn.Module, Mapping[str, Sequence[int]]]:
    """The tiny UNet with half of its heads and neurons zeroed; what stays."""
    model = exported("sdxl").model
    unet = copy.deepcopy(model.modules[0])
    denoiser = TorchDenoiser(unet)  # type: ignore[arg-type]
    return unet, prune_unet(denoiser, unet, [rows(4)], 0.5)


def pass_of(unet: torch.nn.Module, batch: Rows) -> torch.Tensor:
    denoiser = exported("sdxl").model.denoiser
    assert isinstance(denoiser, TorchDenoiser)
    return TorchDenoiser(unet, denoiser.controlnets).denoise(batch)  # type: ignore[arg-type]


def test_a_slim_network_computes_what_the_zeroed_one_does(pruned: Any) -> None:
    unet, kept = pruned
    small = copy.deepcopy(unet)
    slim(small, kept)
    assert num_parameters(small) < 0.9 * num_parameters(unet)
    batch = following(rows(3), [1])
    assert distance(pass_of(small, batch), pass_of(unet, batch)) < 1e-4


def test_late_steps_count_up_to_twice() -> None:
    assert timestep_weights(torch.tensor([1000.0, 500.0, 0.0])).tolist() == [1.0, 1.5, 2.0]


def test_every_attention_and_feed_forward_is_looked_at() -> None:
    model = exported("sdxl").model
    layers, denoiser = layers_of(model.modules[0]), model.denoiser
    assert isinstance(denoiser, TorchDenoiser)
    grams = gram_matrices(denoiser, layers, [rows(1)])
    assert all(float(each.diagonal().sum()) > 0 for each in grams.values())
    assert {each.is_attention for each in layers} == {True, False}


def test_a_pruning_of_another_network_is_refused(pruned: Any) -> None:
    with pytest.raises(BadModel, match="prune it again"):
        slim(copy.deepcopy(pruned[0]), {"nowhere": [0]})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model pruned as the command does it."""
    out = tmp_path_factory.mktemp("pruned") / "model"
    config = Config(model=exported("sdxl").folder, data_dir=out.parent / "data")
    figures = prune(config, 0.5, out, Extent(num_pictures=1, num_steps=2, seed=4))
    assert figures["removed_share"] > 0.1
    return out


def test_diffusers_loads_the_folder_and_draws_the_same(made: Path) -> None:
    model = load_model(made, precision="float32")
    theirs = UNet2DConditionModel.from_pretrained(made / "unet", low_cpu_mem_usage=False).eval()
    assert num_parameters(model.modules[0]) < num_parameters(theirs)
    assert distance(pass_of(theirs, rows(2)), pass_of(model.modules[0], rows(2))) < 1e-4
    assert model.card.name == "tiny-sdxl-pruned"


def test_the_report_stays_with_the_model(made: Path) -> None:
    figures = json.loads((made / "shrinking.json").read_text())
    assert figures["num_parameters"] < figures["num_parameters_before"]
    assert 0 < figures["pass_error_mean"] < 1


def test_nothing_is_written_over(made: Path) -> None:
    config = Config(model=exported("sdxl").folder, data_dir=made.parent / "data")
    with pytest.raises(BadInput, match="exists already"):
        prune(config, 0.5, made, Extent())


def test_briefs_are_of_the_presets_with_and_without_what_to_keep_out() -> None:
    model: Model = exported("sdxl").model
    presets = load_presets()
    requests = requests_of(model.card, presets, Extent(num_pictures=4))
    assert [bool(one.negative_prompt) for one in requests] == [False, True, False, True]
    assert requests == requests_of(model.card, presets, Extent(num_pictures=4))
