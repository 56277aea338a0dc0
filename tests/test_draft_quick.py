"""The quick way: a second question to the same UNet, learnt from the finished model itself."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scripts.draft import autoencoder, export, model, quick, shipped, training, trajectories, ways
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


@pytest.mark.parametrize("num_steps", quick.DIVISORS)
def test_what_is_learnt_leads_eulers_sampler_along_the_trajectory(num_steps: int) -> None:
    from diffusers import EulerDiscreteScheduler

    sampler = EulerDiscreteScheduler(**model.SCHEDULER)
    sampler.set_timesteps(num_steps)
    times = quick.trailing(num_steps)
    assert times[:-1].tolist() == sampler.timesteps.tolist()
    phi = quick.angles(times)
    places = noise(num_steps + 1, 1, 4, 8, 8, seed=1)
    # The sampler's own latents are the picture with noise added, ours both weighed.
    x = places[0] / phi[0].cos()
    for i, t in enumerate(sampler.timesteps):
        velocity = quick.velocity_between(places[i], places[i + 1], (phi[i] - phi[i + 1])[None])
        x = sampler.step(velocity, t, x).prev_sample
        np.testing.assert_allclose(x * phi[i + 1].cos(), places[i + 1], atol=1e-3)


def test_a_trajectory_ends_where_diffusers_pipeline_does(teacher: Teacher) -> None:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(FOLDER, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    start = noise(1, autoencoder.CHANNELS, 16, 20)
    said = "a ceramic red mug on a wooden table"
    theirs = pipe(
        said,
        negative_prompt="",
        height=256,
        width=320,
        num_inference_steps=trajectories.NUM_STEPS,
        guidance_scale=2.5,
        latents=start.clone(),
        output_type="latent",
    ).images
    ours = trajectories.draw(teacher, [said], (256, 320), start, 2.5)
    assert ours.latents.shape == (trajectories.NUM_STEPS + 1, 1, *start.shape[1:])
    torch.testing.assert_close(ours.latents[-1].float(), theirs, atol=2e-2, rtol=0)


def test_trajectories_come_of_every_size_as_often_as_it_was_rendered() -> None:
    names = [("mug", "metal", "red", "studio")]
    groups = [{"names": names * 6, "size": (256, 256)}, {"names": names * 2, "size": (256, 320)}]
    drawn = [trajectories.asked_for(groups, 2, seed=3, number=number) for number in range(40)]
    assert {size for _, size, _ in drawn[:4]} == {(256, 256), (256, 320)}
    assert abs(sum(size == (256, 320) for _, size, _ in drawn) - 10) <= 1
    assert all(noise.shape[-1] == size[1] // 16 for _, size, noise in drawn)


@pytest.fixture
def kept(tmp_path: Path) -> trajectories.Trajectories:
    """Of two sizes: latents that say where on the way they are, and of which row."""
    at = torch.arange(13.0)[:, None, None, None, None]
    for number, size in enumerate([(256, 256), (256, 320)]):
        places = (at + 100 * number).repeat(1, 2, 1, 16, size[1] // 16).half()
        places[:, 1] += 1000
        batch = {"latents": places, "captions": ["one", "two"], "size": size}
        torch.save(batch, tmp_path / f"0-{number}.pt")
    return trajectories.Trajectories(tmp_path)


def test_a_row_is_taken_with_where_its_step_leads(kept: trajectories.Trajectories) -> None:
    z, after, steps, captions = kept.next((256, 320), 8, 4, torch.Generator().manual_seed(0))
    assert z.shape == (8, 1, 16, 20)
    assert steps.tolist() == [0, 1, 2, 3] * 2
    assert (z[:, 0, 0, 0] % 1000).tolist() == [100.0, 103.0, 106.0, 109.0] * 2
    assert (after - z == 3).all()
    assert set(captions) == {"one", "two"}


def test_finished_latents_come_with_their_own_captions(kept: trajectories.Trajectories) -> None:
    seen = set()
    g = torch.Generator().manual_seed(0)
    for _ in range(8):
        z, captions, size = kept.finished(4, g)
        assert z.shape == (4, 1, 16, size[1] // 16)
        ends = {"one": 0, "two": 1000}
        wanted = [ends[said] + 12 + 100 * (size == (256, 320)) for said in captions]
        assert z[:, 0, 0, 0].tolist() == wanted
        seen.add(size)
    assert seen == {(256, 256), (256, 320)}
    assert sorted(z.shape[-1] for z in kept.all_finished()) == [16, 20]


def test_a_taught_model_has_both_ways_in_its_folder(tmp_path: Path) -> None:
    made = noise(4, autoencoder.CHANNELS, 16, 16).half()
    names = [("mug", "metal", "red", "studio")] * 4
    group = {"latents": made, "flipped": made, "names": names, "size": (256, 256)}
    training.save(tmp_path / "latents.pt", groups=[group])
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    config = (folder / "unet" / "config.json").read_text()
    common = ["--model", str(folder), "--precision", "float32", "--batch", "4"]
    drawing = [*common, "--latents", str(tmp_path / "latents.pt"), "--minutes", "0"]
    paths = tmp_path / "trajectories"

    for num_batches in (1, 2):  # the second run adds to the first
        assert trajectories.main([*drawing, "--out", str(paths)]) == 0
        assert len(list(paths.glob("0-*.pt"))) == num_batches

    def run(minutes: float) -> dict[str, Any]:
        arguments = [*common, "--trajectories", str(paths), "--num-steps", "4"]
        arguments += ["--out", str(tmp_path / "quick.pt"), "--minutes", str(minutes)]
        assert quick.main(arguments) == 0
        state = training.load(tmp_path / "quick.pt")
        assert state is not None
        return state

    first = run(0.001)
    again = run(first["minutes"] + 0.001)
    assert again["step"] > first["step"] > 0
    before = load_file(folder / WEIGHTS)
    export_it = ["--model", str(folder), "--out", str(tmp_path / "quick.pt"), "--export"]
    assert quick.main([*export_it, "--share", "0.5"]) == 0
    key = "conv_in.weight"
    half_way = (before[key].float() + again["average"]["weights"][key]) / 2
    torch.testing.assert_close(load_file(folder / WEIGHTS)[key], half_way.half())
    way = Way(num_steps=4, guidance_scale=1.0, crop=ways.CORNER, sampler="euler")
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
