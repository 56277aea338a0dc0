"""Trains the ControlNet that makes a shipped draft model follow edges, and puts it in its folder.

Knows renders, their edges and a finished model, whose other weights stay as they are; works for
either version. Run again, it goes on from its checkpoint and takes the renders finished since.

    python -m scripts.draft.controlnet --model assets/models/draft --renders .draft/renders \
        --from .draft/version_1 --out .draft/controlnet.pt --minutes 40
    python -m scripts.draft.controlnet --model assets/models/draft --out .draft/controlnet.pt \
        --export
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel
from torch import Tensor
from tqdm import tqdm

from scripts.draft import dataset, model, training
from scripts.draft.export import put
from scripts.draft.optimizers import Muon
from scripts.draft.shipped import OLD_CHANNELS, carry_controlnet
from scripts.draft.sketches import edges, hand_drawn
from scripts.draft.teacher import Teacher
from scripts.draft.vocabulary import FIELDS, word, words

SILENT_SHARE = 0.15  # captions left out
FOLDER = "controlnet"


@dataclass
class Lesson:
    """Renders of one size: `pixels` uint8 [N,3,H,W], `masks` bool [N,H,W], latents [N,C,h,w]."""

    pixels: Tensor
    masks: Tensor
    latents: tuple[Tensor, Tensor]  # as rendered, and mirrored
    captions: list[str]


def first_controlnet(teacher: Teacher, folder: Path, shipped: Path | None) -> ControlNetModel:
    """The one in the model's folder; or else that of a shipped model, carried over; or the UNet's
    first half, which says nothing at first.
    """
    if (folder / FOLDER).is_dir():
        return ControlNetModel.from_pretrained(folder / FOLDER, local_files_only=True)
    net = new_controlnet(teacher)
    is_grown = teacher.unet.config.in_channels != OLD_CHANNELS
    if is_grown and shipped is not None and (shipped / FOLDER).is_dir():
        carry_controlnet(net, shipped / FOLDER)
    return net


def new_controlnet(teacher: Teacher) -> ControlNetModel:
    """The first half of the UNet, with its weights and without attention."""
    widths = model.CONTROLNET["conditioning_embedding_out_channels"]
    config = model.CONTROLNET | {
        "in_channels": teacher.unet.config.in_channels,
        # One halving less for an eightfold autoencoder.
        "conditioning_embedding_out_channels": widths[2 - teacher.fold // 8 :],
    }
    net = ControlNetModel(**config)
    mine, known = net.state_dict(), teacher.unet.state_dict()
    for name, weight in mine.items():
        if name in known and known[name].shape == weight.shape:
            weight.copy_(known[name])
    return net


def lessons(folder: Path, teacher: Teacher) -> list[Lesson]:
    """The renders at the size the model draws, with what they show in words it knows."""
    shrink = 16 // teacher.fold
    known = {field: {entry.id for entry in words(field, shipped=True)} for field in FIELDS}
    made = []
    for group in dataset.load(folder):
        masks = torch.from_numpy(dataset.load_masks(folder, group.seeds))
        pixels = group.pixels
        if shrink > 1:
            small = F.avg_pool2d(pixels.float(), shrink)
            pixels = small.round().byte()
            masks = F.avg_pool2d(masks[:, None].float(), shrink)[:, 0] > 0.5
        captions = []
        for names in group.names:
            said = {f: id for f, id in zip(FIELDS, names, strict=True) if id in known[f]}
            place = word("scene", said.pop("scene")).phrase if "scene" in said else ""
            order = [word(f, said[f]).en for f in ("material", "color", "subject") if f in said]
            captions.append(" ".join(["a", *order, place]).strip())
        latents = teacher.encode(pixels), teacher.encode(pixels.flip(-1))
        made.append(Lesson(pixels, masks, latents, captions))
    return made


def controls(lesson: Lesson, rows: list[int], flips: list[bool], rng: random.Random) -> Tensor:
    """What to follow, [N,3,H,W] in 0..1: Canny edges of the renders, half of them as by hand."""
    out = []
    for i, is_flipped in zip(rows, flips, strict=True):
        picture = lesson.pixels[i].permute(1, 2, 0).numpy()
        lines = edges(picture, rng)
        if rng.random() < 0.5:
            lines = hand_drawn(lines, lesson.masks[i].numpy(), rng)
        out.append(np.ascontiguousarray(lines[:, ::-1]) if is_flipped else lines)
    return torch.from_numpy(np.stack(out)).float()[:, None].expand(-1, 3, -1, -1) / 255


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    teacher = Teacher(args.model, args.device)
    net = first_controlnet(teacher, args.model, args.shipped).to(args.device)
    average = training.Average(net, 0.99)
    weights = list(net.parameters())
    precision = training.precision(args.precision, args.device, threads=args.threads)
    optimizer = Muon(weights, lr=args.rate, products=precision.products)
    step, spent = 0, 0.0
    if state := training.load(args.out):
        net.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["minutes"]
    groups = lessons(args.renders, teacher)
    schedule = model.noise_schedule()
    g = torch.Generator().manual_seed(step)
    rng = random.Random(step)
    device_type = torch.device(args.device).type
    began, saved, smooth = time.time(), time.time(), 0.0
    bar = tqdm(mininterval=10, desc="controlnet", initial=step)
    minutes = spent
    while minutes < args.minutes:
        minutes = spent + (time.time() - began) / 60
        for group in optimizer.param_groups:
            group["lr"] = training.rate(minutes / args.minutes, args.rate)
        sizes = torch.tensor([float(len(lesson.captions)) for lesson in groups])
        lesson = groups[int(torch.multinomial(sizes, 1, generator=g))]
        rows = torch.randint(len(lesson.captions), (args.batch,), generator=g).tolist()
        flips = [rng.random() < 0.5 for _ in rows]
        clean = torch.stack([lesson.latents[f][i] for i, f in zip(rows, flips, strict=True)])
        follow = controls(lesson, rows, flips, rng).to(args.device)
        said = ["" if rng.random() < SILENT_SHARE else lesson.captions[i] for i in rows]
        # The layout is decided early in a drawing, so late steps are taken less often.
        u = (torch.rand(1, generator=g) + torch.arange(args.batch) / args.batch) % 1
        t = (1000 * u**0.7).long().clamp_max(999)
        noise = torch.randn(clean.shape, generator=g)
        noisy = schedule.add_noise(clean, noise, t).to(args.device)
        target = schedule.get_velocity(clean, noise, t).to(args.device)
        states, pooled = teacher.words(said)
        ids = model.time_ids(*lesson.pixels.shape[-2:], len(rows)).to(args.device)
        added = {"text_embeds": pooled, "time_ids": ids}
        t = t.to(args.device)
        passes = training.autocast(device_type, precision.passes)
        with model.attention_for(device_type), passes:
            down, middle = net(noisy, t, states, follow, return_dict=False)
            out = teacher.unet(
                noisy,
                t,
                states,
                added_cond_kwargs=added,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        value = (out.float() - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update(net)
        step += 1
        smooth = value.item() if smooth == 0 else 0.95 * smooth + 0.05 * value.item()
        bar.update()
        bar.set_postfix(loss=f"{smooth:.4f}", minutes=f"{minutes:.1f}", refresh=False)
        if minutes >= args.minutes or time.time() - saved > args.save_every * 60:
            training.save(
                args.out,
                model=net.state_dict(),
                average=average.state_dict(),
                optimizer=optimizer.state_dict(),
                step=step,
                minutes=minutes,
            )
            groups = lessons(args.renders, teacher)
            saved = time.time()


def export(folder: Path, checkpoint: Path) -> int:
    """Puts the averaged weights into the model's folder; answers the bytes they take."""
    state = training.load(checkpoint)
    assert state is not None
    net = new_controlnet(Teacher(folder, "cpu"))
    net.load_state_dict(state["average"]["weights"])
    return put(folder, FOLDER, net, {"control_kind": "canny"})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's ControlNet.")
    parser.add_argument("--model", type=Path, required=True, help="the model that is to follow")
    parser.add_argument("--renders", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed if it exists")
    parser.add_argument(
        "--from", dest="shipped", type=Path, help="a shipped model whose ControlNet it goes on from"
    )
    parser.add_argument("--minutes", type=float, default=40, help="in all, restarts included")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--save-every", type=float, default=5, help="minutes")
    training.add_precision(parser)
    parser.add_argument("--export", action="store_true", help="put it into the model's folder")
    args = parser.parse_args(argv)
    if args.export:
        print(f"{args.model / FOLDER}: {export(args.model, args.out) / 1e6:.1f} MB")
        return 0
    if args.renders is None or not dataset.finished(args.renders):
        parser.error("--renders must be a folder of renders; make them first")
    train(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
