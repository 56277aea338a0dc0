"""Trains the ControlNet that makes a shipped draft model follow edges, and puts it in its folder.

Knows renders, their edges and a finished model, whose other weights stay as they are. Run again, it
goes on from its checkpoint and takes the renders finished since.

    python -m scripts.draft.controlnet --model assets/models/draft --renders .draft/renders \
        --from .draft/before --out .draft/controlnet.pt --minutes 40
    python -m scripts.draft.controlnet --model assets/models/draft --out .draft/controlnet.pt \
        --export
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor

from scripts.draft import dataset, loop, model, training
from scripts.draft.captions import canonical
from scripts.draft.export import put
from scripts.draft.latents import channel_weights
from scripts.draft.loop import Course
from scripts.draft.sketches import edges, hand_drawn
from scripts.draft.teacher import Teacher
from studio.engine.autocast import autocast

SILENT_SHARE = 0.15  # captions left out
FOLDER = "controlnet"


@dataclass
class Group:
    """Renders of one size: `pixels` uint8 [N,3,H,W], `masks` bool [N,H,W], latents [N,C,h,w]."""

    pixels: Tensor
    masks: Tensor
    latents: tuple[Tensor, Tensor]  # as rendered, and mirrored
    captions: list[str]


def first_controlnet(teacher: Teacher, folder: Path, shipped: Path | None) -> ControlNetModel:
    """The one in the model's folder; or else that of a shipped model; or else a new one."""
    for known in (folder, shipped):
        if known is not None and (known / FOLDER).is_dir():
            return ControlNetModel.from_pretrained(known / FOLDER, local_files_only=True)
    return new_controlnet(teacher)


def new_controlnet(teacher: Teacher) -> ControlNetModel:
    """The first half of the UNet without attention; it says nothing at first."""
    net = model.controlnet()
    mine, known = net.state_dict(), teacher.unet.state_dict()
    for name, weight in mine.items():
        if name in known and known[name].shape == weight.shape:
            weight.copy_(known[name])
    return net


def read_groups(folder: Path, teacher: Teacher) -> list[Group]:
    """The renders by size, with what they show in the studio's own words."""
    made = []
    for group in dataset.load(folder):
        masks = torch.from_numpy(dataset.load_masks(folder, group.seeds))
        latents = teacher.encode(group.pixels), teacher.encode(group.pixels.flip(-1))
        captions = [canonical(*names) for names in group.names]
        made.append(Group(group.pixels, masks, latents, captions))
    return made


def controls(group: Group, rows: list[int], flips: list[bool], rng: random.Random) -> Tensor:
    """What to follow, [N,3,H,W] in 0..1: Canny edges of the renders, half of them as by hand."""
    out = []
    for i, is_flipped in zip(rows, flips, strict=True):
        picture = group.pixels[i].permute(1, 2, 0).numpy()
        lines = edges(picture, rng)
        if rng.random() < 0.5:
            lines = hand_drawn(lines, group.masks[i].numpy(), rng)
        out.append(np.ascontiguousarray(lines[:, ::-1]) if is_flipped else lines)
    return torch.from_numpy(np.stack(out)).float()[:, None].expand(-1, 3, -1, -1) / 255


class Lessons:
    """Batches of noised latents with what to follow; reads the renders again when asked."""

    def __init__(self, folder: Path, teacher: Teacher, batch: int, seed: int) -> None:
        self.folder, self.teacher, self.batch = folder, teacher, batch
        self.rng = random.Random(seed)
        self.g = torch.Generator().manual_seed(seed)
        self.schedule = model.noise_schedule()
        self.refresh()

    def refresh(self) -> None:
        self.groups = read_groups(self.folder, self.teacher)
        self.sizes = torch.tensor([float(len(group.captions)) for group in self.groups])
        self.weights = channel_weights([group.latents[0] for group in self.groups])

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor, list[str], tuple[int, int]]:
        """(noisy latents, timesteps, velocities, controls, captions, size of the pictures)."""
        chosen = self.groups[int(torch.multinomial(self.sizes, 1, generator=self.g))]
        rows = torch.randint(len(chosen.captions), (self.batch,), generator=self.g).tolist()
        flips = [self.rng.random() < 0.5 for _ in rows]
        clean = torch.stack([chosen.latents[f][i] for i, f in zip(rows, flips, strict=True)])
        follow = controls(chosen, rows, flips, self.rng)
        said = ["" if self.rng.random() < SILENT_SHARE else chosen.captions[i] for i in rows]
        # The layout is decided early in a drawing, so late steps are taken less often.
        u = (torch.rand(1, generator=self.g) + torch.arange(self.batch) / self.batch) % 1
        t = (1000 * u**0.7).long().clamp_max(999)
        noise = torch.randn(clean.shape, generator=self.g)
        noisy = self.schedule.add_noise(clean, noise, t)
        target = self.schedule.get_velocity(clean, noise, t)
        height, width = chosen.pixels.shape[-2:]
        return noisy, t, target, follow, said, (height, width)


def begin(args: argparse.Namespace, seed: int, is_new: bool) -> Course:
    """The ControlNet, taught what the finished UNet needs to be told of the lines."""
    teacher = Teacher(args.model, args.device)
    net = first_controlnet(teacher, args.model, args.shipped) if is_new else new_controlnet(teacher)
    batches = Lessons(args.renders, teacher, args.batch // args.processes, seed)
    device_type = torch.device(args.device).type

    def lesson() -> Tensor:
        noisy, t, target, follow, said, size = batches.next()
        noisy, t, target, follow = (x.to(args.device) for x in (noisy, t, target, follow))
        states, pooled = teacher.words(said)
        ids = model.time_ids(*size, len(said)).to(args.device)
        passes = autocast(device_type, args.precision.passes)
        with model.attention_for(device_type), passes:
            down, middle = net(noisy, t, states, follow, return_dict=False)
            out = teacher.unet(
                noisy,
                t,
                states,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": ids},
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        return (batches.weights.to(out.device) * (out.float() - target).square()).mean()

    return Course(net, lesson, batches.refresh)


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
    parser.add_argument(
        "--from", dest="shipped", type=Path, help="a shipped model whose ControlNet it goes on from"
    )
    loop.add_arguments(parser, rate=1e-3)
    parser.set_defaults(batch=24, decay=0.99)
    parser.add_argument("--export", action="store_true", help="put it into the model's folder")
    args = parser.parse_args(argv)
    if args.export:
        print(f"{args.model / FOLDER}: {export(args.model, args.out) / 1e6:.1f} MB")
        return 0
    if args.renders is None or not dataset.finished(args.renders):
        parser.error("--renders must be a folder of renders; make them first")
    loop.start(begin, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
