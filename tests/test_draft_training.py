"""How the draft model is trained: the written encoder, grown models, short runs that go on."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor

from scripts.draft import (
    autoencoder,
    controlnet,
    dataset,
    latents,
    model,
    narrow_decoder,
    shipped,
    sketch_ceiling,
    tokenizer,
    training,
)
from scripts.draft import unet as unet_training
from scripts.draft.critic import Critic, critics_loss, decoders_loss
from scripts.draft.optimizers import Muon, orthogonal
from scripts.draft.sketches import edges, hand_drawn
from scripts.draft.teacher import Teacher
from scripts.draft.vocabulary import FIELDS, words
from scripts.draft.world import describe
from studio.config import draft_model_dir
from studio.engine.model import load_model
from studio.model_card import read_card

FOLDER = draft_model_dir()


def pictures(count: int, seed: int = 0) -> Tensor:
    """Smooth colourful pictures [N,3,64,64] in -1..1."""
    noise = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=noise) * 2 - 1
    return F.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(-1, 1)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped tokenizers, grown."""
    folder = tmp_path_factory.mktemp("tokens")
    tokenizer.grow(FOLDER, folder)
    return folder


def test_the_written_encoder_computes_its_matrix_and_begins_with_the_one_it_grew_from() -> None:
    seen = pictures(40)
    first, bias = autoencoder.principal(F.avg_pool2d(seen, 2), 12)
    matrix, whole_bias = autoencoder.fit(seen, autoencoder.lift(first), bias)
    vae = autoencoder.build(matrix, whole_bias)
    read, read_bias = autoencoder.read(vae)
    assert (read - matrix).abs().max() < 1e-3
    assert (read_bias - whole_bias).abs().max() < 1e-2
    new = pictures(2, seed=1)
    with torch.no_grad():
        made = vae.encode(new).latent_dist.mean
    half = autoencoder.patches(F.avg_pool2d(new, 2), autoencoder.FOLD // 2)
    known = torch.einsum("cp,nphw->nchw", first, half) + bias[:, None, None]
    assert (made[:, :12] - known).abs().max() < 0.05


def test_a_narrower_autoencoder_encodes_as_the_wide_one_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = pictures(40)
    first, bias = autoencoder.principal(F.avg_pool2d(seen, 2), 12)
    with monkeypatch.context() as wider:
        wider.setitem(autoencoder.CONFIG, "block_out_channels", [32, 32, 64, 64, 128])
        wide = autoencoder.build(*autoencoder.fit(seen, autoencoder.lift(first), bias))
    narrow = autoencoder.narrowed(wide)
    assert narrow.config.block_out_channels == [16, 32, 64, 64, 128]
    with torch.no_grad():
        made = (vae.encode(pictures(2, seed=1)).latent_dist.mean for vae in (narrow, wide))
        torch.testing.assert_close(*made)


def test_a_narrower_decoder_learns_from_what_the_model_drew_and_ships(tmp_path: Path) -> None:
    drawn = torch.randn(1, 2, autoencoder.CHANNELS, 16, 16).half()
    batch = {"latents": drawn, "captions": ["one", "two"], "size": (256, 256)}
    paths, checkpoint = tmp_path / "trajectories", tmp_path / "decoder.pt"
    paths.mkdir()
    torch.save(batch, paths / "0-0.pt")
    arguments = ["--model", str(FOLDER), "--trajectories", str(paths), "--out", str(checkpoint)]
    arguments += ["--precision", "float32", "--batch", "1"]

    def run(minutes: float) -> dict[str, Any]:
        assert narrow_decoder.main([*arguments, "--minutes", str(minutes)]) == 0
        state = training.load(checkpoint)
        assert state is not None
        return state

    first = run(0.001)
    again = run(first["minutes"] + 0.001)
    assert again["step"] > first["step"] > 0
    unlearnt = autoencoder.narrowed(AutoencoderKL.from_pretrained(FOLDER / "vae")).state_dict()
    learnt = again["average"]["weights"]
    changed = {name.split(".")[0] for name in learnt if (learnt[name] != unlearnt[name]).any()}
    assert changed == {"decoder", "post_quant_conv"}
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    assert narrow_decoder.main(["--model", str(folder), "--out", str(checkpoint), "--export"]) == 0
    now = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float16).state_dict()
    torch.testing.assert_close(dict(now), {k: w.half() for k, w in learnt.items()})
    assert read_card(folder) == read_card(FOLDER)


def test_a_grown_tokenizer_writes_what_it_knew_as_before_and_new_words_whole(tokens: Path) -> None:
    from transformers import CLIPTokenizer

    old = CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")
    new = CLIPTokenizer.from_pretrained(tokens / "tokenizer")
    for field in FIELDS:
        for entry in words(field):
            assert new(entry.en).input_ids == old(entry.en).input_ids
        for entry in words(field):
            for said in (entry.phrase or entry.en, *entry.english_synonyms):
                assert len(new(said).input_ids) - 2 <= 2 * len(said.split()), said


def test_a_carried_model_says_at_first_what_the_shipped_one_says(tokens: Path) -> None:
    whole = unet_training.Whole(str(tokens))
    shipped.carry(whole, FOLDER)
    old = Teacher(FOLDER, "cpu")
    prompt = ["a leather black sofa in a modern living room"]
    x, t = torch.randn(1, autoencoder.CHANNELS, 16, 16), torch.tensor([500])
    with torch.no_grad():
        states, pooled = old.text.encode(prompt)
        added = {"text_embeds": pooled, "time_ids": model.time_ids(256, 256, 1)}
        before = old.unet(x, t, states, added_cond_kwargs=added).sample
        after = whole(x, t, prompt, model.time_ids(256, 256, 1))
    assert (after - before).abs().max() < 1e-3


def test_training_goes_on_where_it_stopped_and_takes_new_pictures(
    tokens: Path, tmp_path: Path
) -> None:
    def keep(count: int) -> None:
        made = torch.randn(count, autoencoder.CHANNELS, 16, 16).half()
        names = [("mug", "metal", "red", "studio")] * count
        group = {"latents": made, "flipped": made, "names": names, "size": (256, 256)}
        training.save(tmp_path / "latents.pt", groups=[group])

    def run(minutes: float) -> dict[str, float]:
        arguments = ["--latents", str(tmp_path / "latents.pt"), "--tokenizer", str(tokens)]
        arguments += ["--out", str(tmp_path / "unet.pt"), "--from", str(FOLDER)]
        arguments += ["--precision", "float32"]
        assert unet_training.main([*arguments, "--batch", "2", "--minutes", str(minutes)]) == 0
        state = training.load(tmp_path / "unet.pt")
        assert state is not None
        return {key: state[key] for key in ("step", "minutes")}

    keep(2)
    first = run(0.001)
    keep(4)
    second = run(first["minutes"] + 0.001)
    assert second["step"] > first["step"] > 0
    assert second["minutes"] > first["minutes"]


def test_the_precision_is_measured_unless_one_is_named() -> None:
    named = training.precision("bfloat16", "cpu", threads=1)
    assert named == training.Precision(torch.bfloat16, torch.bfloat16)
    found = training.precision("auto", "cpu", threads=1, channels=32, side=8)
    assert {found.passes, found.products} <= {torch.float32, torch.bfloat16}


def test_a_trained_controlnet_is_found_in_the_models_folder(tmp_path: Path) -> None:
    renders, folder = tmp_path / "renders", tmp_path / "model"
    (renders / "masks").mkdir(parents=True)
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 255, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(renders / f"{seed:06d}.png")
        Image.fromarray(pixels[..., 0] > 99).save(renders / "masks" / f"{seed:06d}.png")
        (renders / f"{seed:06d}.json").write_text(json.dumps(describe(seed).as_json()))
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("controlnet"))
    arguments = ["--model", str(folder), "--out", str(tmp_path / "controlnet.pt")]
    more = ["--renders", str(renders), "--minutes", "0.001", "--batch", "2"]
    more += ["--precision", "float32"]
    assert controlnet.main([*arguments, *more]) == 0
    assert controlnet.main([*arguments, "--export"]) == 0
    net = load_model(folder, precision="float32").denoiser.controlnets
    assert list(net) == ["canny"]


def test_edges_of_a_scene_count_against_the_outline_of_its_product_and_latents_lose_some() -> None:
    mask = np.zeros((1, 128, 128), bool)
    mask[0, 40:90, 30:100] = True
    plain = torch.from_numpy(mask).to(torch.uint8)[:, None].expand(1, 3, 128, 128) * 255
    busy = plain.clone()
    busy[..., 100:, ::8] = 255
    alone, within = (
        sketch_ceiling.against_outline(dataset.Pictures(pixels, [], []), mask)[0]
        for pixels in (plain, busy)
    )
    assert alone.f1 == 1.0
    assert within.precision < within.recall == 1.0
    vae = AutoencoderKL.from_pretrained(FOLDER / "vae", local_files_only=True)
    (decoded,) = sketch_ceiling.through_autoencoder(vae, dataset.Pictures(busy, [], []))
    assert 0 < decoded.f1 < 1


def test_momentum_made_orthogonal_has_singular_values_about_one() -> None:
    for shape in ((40, 90), (90, 40)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.4 < values.min() < values.max() < 1.4


def test_processes_that_share_muons_matrices_step_every_one_as_one_process_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Muon, "_exchange", lambda self: None)
    noise = torch.Generator().manual_seed(0)
    start = [torch.randn(32 + 8 * i, 40, generator=noise) for i in range(5)]
    slopes = [torch.randn(w.shape, generator=noise) for w in start]

    def stepped(**share: int) -> list[Tensor]:
        weights = [w.clone().requires_grad_() for w in start]
        for w, slope in zip(weights, slopes, strict=True):
            w.grad = slope
        Muon(weights, lr=0.1, **share).step()
        return [w.detach() for w in weights]

    alone = stepped()
    shared = [stepped(rank=rank, num_processes=2) for rank in (0, 1)]
    for i, whole in enumerate(alone):
        moved = [half[i] for half in shared if not torch.equal(half[i], start[i])]
        assert len(moved) == 1
        assert torch.equal(moved[0], whole)


def test_a_critic_lets_the_decoder_learn_and_does_not_learn_with_it() -> None:
    critic = Critic()
    last = torch.nn.Conv2d(3, 3, 3, padding=1)
    decoded = last(pictures(2))
    compared = decoded.square().mean()
    value = decoders_loss(critic, decoded, pictures(2, seed=1), compared, last.weight)
    (slope,) = torch.autograd.grad(value, last.weight, retain_graph=True)
    assert slope.abs().sum() > 0
    critics_loss(critic, decoded, pictures(2, seed=1)).backward()
    assert last.weight.grad is None
    assert all(weight.grad is not None for weight in critic.parameters())


def test_lines_by_hand_stay_lines_of_the_picture() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[40:90, 30:100] = 200
    mask = picture[..., 0] > 0
    lines = edges(picture)
    assert 0 < (lines > 0).mean() < 0.1
    for seed in range(20):
        drawn = hand_drawn(lines, mask, random.Random(seed))
        assert drawn.shape == lines.shape
        assert set(np.unique(drawn)) <= {0, 255}
        assert (drawn > 0).mean() < 0.2


def test_the_preview_map_finds_a_linear_one() -> None:
    made = latents.fit_preview(torch.randn(2, 4, 4, 4), torch.zeros(2, 3, 64, 64).byte())
    assert np.allclose(made["bias"], -1)
