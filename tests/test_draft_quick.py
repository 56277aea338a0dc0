"""The quick way: a second question to the same UNet, learnt from the finished model itself."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scripts.draft import autoencoder, export, model, quick, shipped, training, ways
from scripts.draft import unet as unet_training
from scripts.draft.teacher import Teacher
from studio.config import draft_model_dir
from studio.engine.model import load_model
from studio.model_card import Way, read_card

FOLDER = draft_model_dir()
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher(FOLDER, "cpu")


def asked(teacher: Teacher, corner: tuple[int, int]) -> ways.Asked:
    ids = torch.tensor([[256, 256, *corner, 256, 256]], dtype=torch.float)
    words = teacher.words(["a ceramic red mug on a wooden table"])
    z = noise(1, autoencoder.CHANNELS, 16, 16)
    return ways.Asked(z, torch.tensor([400]), *words, ids)


@torch.no_grad()
def test_the_quick_way_begins_as_the_full_one_without_guidance() -> None:
    fresh = Teacher(FOLDER, "cpu")
    full, other = asked(fresh, (0, 0)), asked(fresh, ways.CORNER)
    before = full.velocity(fresh.unet)
    ways.open_quick_way(fresh.unet)
    assert (full.velocity(fresh.unet) - before).abs().max() < 1e-3
    assert (other.velocity(fresh.unet) - before).abs().max() < 1e-3


def test_only_quick_rows_are_told_of_the_corner() -> None:
    ids = ways.time_ids((256, 320), torch.tensor([True, False]))
    assert ids.tolist() == [[256, 320, 1024, 1024, 256, 320], [256, 320, 0, 0, 256, 320]]


@pytest.mark.parametrize("num_steps", [4, 6, 8])
def test_steps_are_those_that_eulers_sampler_takes(num_steps: int) -> None:
    from diffusers import EulerDiscreteScheduler

    sampler = EulerDiscreteScheduler(**model.SCHEDULER)
    sampler.set_timesteps(num_steps)
    steps = quick.trailing(num_steps)
    assert steps[:, 0].tolist() == sampler.timesteps.tolist()
    assert steps[1:, 0].tolist() == steps[:-1, 2].tolist()
    velocities = noise(num_steps, 1, 4, 8, 8, seed=1)
    z = noise(1, 4, 8, 8)
    # The sampler's own latents are the picture with noise added, ours both weighed.
    x = z * (sampler.sigmas[0] ** 2 + 1).sqrt()
    for t, (first, _, last), v in zip(sampler.timesteps, steps, velocities, strict=True):
        x = sampler.step(v, t, x).prev_sample
        z = quick.turned(z, v, (quick.angles(first) - quick.angles(last))[None])
    np.testing.assert_allclose(z, x, atol=1e-3)


def test_what_is_learnt_ends_in_one_step_where_the_leader_comes_in_two() -> None:
    def leader(z: Tensor, t: Tensor, states: Tensor, **_: Any) -> SimpleNamespace:
        """Another velocity at every place and time."""
        return SimpleNamespace(sample=z.tanh() + t[:, None, None, None] / 500 + states)

    path = quick.trailing(4)[[0, 3]]
    z, states = noise(2, 4, 8, 8), torch.ones(2, 4, 8, 8)
    rows = ways.Asked(z, path[:, 0], states, states, torch.zeros(2, 6))
    first, second, third = quick.angles(path).unbind(1)
    half_way = quick.turned(z, leader(z, path[:, 0], states).sample, first - second)
    there = quick.turned(half_way, leader(half_way, path[:, 1], states).sample, second - third)
    found = quick.in_two_steps(rows, path, leader)  # type: ignore[arg-type]
    torch.testing.assert_close(quick.turned(z, found, first - third), there, atol=1e-4, rtol=0)


def test_a_taught_model_has_both_ways_in_its_folder(tmp_path: Path) -> None:
    made = noise(4, autoencoder.CHANNELS, 16, 16).half()
    names = [("mug", "metal", "red", "studio")] * 4
    group = {"latents": made, "flipped": made, "names": names, "size": (256, 256)}
    training.save(tmp_path / "latents.pt", groups=[group])
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    config = (folder / "unet" / "config.json").read_text()

    def run(out: str, *more: str) -> dict[str, Any]:
        arguments = ["--model", str(folder), "--latents", str(tmp_path / "latents.pt")]
        arguments += ["--batch", "4", "--precision", "float32", "--out", str(tmp_path / out)]
        assert quick.main([*arguments, *more]) == 0
        state = training.load(tmp_path / out)
        assert state is not None
        return state

    first = run("quick.pt", "--minutes", "0.001")
    again = run("quick.pt", "--minutes", str(first["minutes"] + 0.001))
    assert again["step"] > first["step"] > 0
    leader = str(tmp_path / "quick.pt")
    run("few.pt", "--minutes", "0.001", "--leader", leader, "--steps", "4", "6")
    few = ["--model", str(folder), "--out", str(tmp_path / "few.pt"), "--export"]
    before = load_file(folder / WEIGHTS)
    learnt = training.load(tmp_path / "few.pt")["average"]["weights"]  # type: ignore[index]
    assert quick.main([*few, "--num-steps", "5", "--share", "0.5"]) == 0
    key = "conv_in.weight"
    half_way = (before[key].float() + learnt[key]) / 2
    torch.testing.assert_close(load_file(folder / WEIGHTS)[key], half_way.half())
    way = Way(num_steps=5, guidance_scale=1.0, crop=ways.CORNER, sampler="euler")
    assert read_card(folder).quick == way
    assert json.loads((folder / "unet" / "config.json").read_text()) == json.loads(config)
    assert load_model(folder, precision="float32").card.quick == way


@torch.no_grad()
def test_guidance_is_learnt_as_the_samplers_have_it(teacher: Teacher) -> None:
    full = asked(teacher, (0, 0))
    states, pooled = teacher.words([""])
    nothing = dataclasses.replace(full, states=states, pooled=pooled)
    plain, without = full.velocity(teacher.unet), nothing.velocity(teacher.unet)
    found = ways.guided(full, (states, pooled), teacher.unet, 2.5)
    torch.testing.assert_close(found, 2.5 * plain - 1.5 * without, atol=1e-4, rtol=0)


def test_a_model_that_is_trained_on_takes_its_quick_way_along(tmp_path: Path) -> None:
    made = noise(2, autoencoder.CHANNELS, 16, 16).half()
    names = [("mug", "metal", "red", "studio")] * 2
    group = {"latents": made, "flipped": made, "names": names, "size": (256, 256)}
    training.save(tmp_path / "latents.pt", groups=[group])
    tokens = ["--tokenizer", str(FOLDER)]
    arguments = ["--latents", str(tmp_path / "latents.pt"), *tokens, "--precision", "float32"]
    arguments += ["--out", str(tmp_path / "unet.pt"), "--batch", "2"]
    first = ["--from", str(FOLDER), "--minutes", "0.001"]
    assert unet_training.main([*arguments, *first]) == 0
    spent = training.load(tmp_path / "unet.pt")["minutes"]  # type: ignore[index]
    assert unet_training.main([*arguments, "--minutes", str(spent + 0.001)]) == 0
    made_of = ["--unet", str(tmp_path / "unet.pt"), *tokens, "--out", str(tmp_path / "model")]
    assert export.main([*made_of, "--from", str(FOLDER), "--share", "0.5"]) == 0
    assert read_card(tmp_path / "model").quick == read_card(FOLDER).quick
    key = "conv_in.weight"
    now = training.load(tmp_path / "unet.pt")["average"]["weights"][f"unet.{key}"]  # type: ignore[index]
    half_way = (load_file(FOLDER / WEIGHTS)[key].float() + now) / 2
    torch.testing.assert_close(load_file(tmp_path / "model" / WEIGHTS)[key], half_way.half())


@torch.no_grad()
def test_the_quick_way_is_told_what_the_last_checkpoint_says_with_guidance(
    teacher: Teacher, tmp_path: Path
) -> None:
    whole = unet_training.Whole(str(FOLDER))
    teaching = unet_training.MeanTeacher(whole, tmp_path / "unet.pt")
    shipped.carry(whole, FOLDER)
    training.save(tmp_path / "unet.pt", average={"weights": whole.state_dict()})
    teaching.refresh()
    full = asked(teacher, (0, 0))
    wanted = ways.guided(full, teacher.words([""]), teacher.unet, model.GUIDANCE_SCALE)
    said = ["a ceramic red mug on a wooden table"]
    torch.testing.assert_close(
        teaching.guided(full.z, full.t, said, (256, 256)), wanted, atol=1e-3, rtol=0
    )


def test_a_share_of_what_was_learnt_needs_the_model_it_was_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        export.main(["--tokenizer", str(FOLDER), "--out", str(tmp_path / "m"), "--share", "0.5"])
    assert "--share goes with --from" in capsys.readouterr().err
