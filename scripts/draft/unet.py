"""Trains the UNet and both text encoders together, from nothing or from a shipped model.

Knows latents and captions; does not know pixels. The loss is the squared error of the velocity,
which already weighs noise levels evenly; a latent channel counts for the inverse of its spread, as
the quiet ones hold weave and grain. Timesteps are spread evenly over each batch to quieten it.
Renders that are encoded meanwhile join in at the next checkpoint.

A shipped model's quick way (`ways.py`) is taken along: every eighth row asks it, and learns what
the averaged weights of the last checkpoint say with guidance.

    python -m scripts.draft.unet --latents .draft/latents.pt --tokenizer .draft/tok \
        --from assets/models/draft --out .draft/unet.pt --minutes 60 --processes 2
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scripts.draft import loop, model, training
from scripts.draft.captions import caption
from scripts.draft.latents import channel_weights
from scripts.draft.loop import Course
from scripts.draft.ways import Asked, guided, time_ids
from studio.engine.autocast import autocast

QUICK_EVERY = 8


class Whole(nn.Module):
    """UNet and text encoders as one set of weights."""

    def __init__(self, tokenizer_folder: str) -> None:
        super().__init__()
        self.text = model.text(tokenizer_folder)
        self.encoders = self.text.encoders
        self.unet = model.unet()

    def forward(self, noisy: Tensor, t: Tensor, captions: list[str], ids: Tensor) -> Tensor:
        """The velocity, of rows with the size conditioning `ids` [N,6]."""
        asked = Asked(noisy, t, *self.text.encode(captions), ids.to(noisy.device))
        return asked.velocity(self.unet)


def timesteps(num_rows: int, g: torch.Generator) -> Tensor:
    """[N], spread evenly, which makes a batch's loss quieter than by lot."""
    spread = torch.arange(num_rows) / num_rows
    return ((torch.rand(1, generator=g) + spread) % 1 * 1000).long()


class Lessons:
    """Batches of noised latents with their captions; reads the file again when it has grown."""

    def __init__(self, path: Path, batch: int, device: str, seed: int) -> None:
        self.path, self.batch, self.device = path, batch, device
        self.rng = random.Random(seed)
        self.g = torch.Generator().manual_seed(seed)
        self.schedule = model.noise_schedule()
        self.read_at = 0.0
        self.refresh()

    def refresh(self) -> None:
        if self.path.stat().st_mtime > self.read_at:
            self.read_at = self.path.stat().st_mtime
            data = training.load(self.path)
            assert data is not None
            self.groups: list[dict[str, Any]] = data["groups"]
            self.sizes = torch.tensor([float(len(group["names"])) for group in self.groups])
            self.weights = channel_weights([group["latents"] for group in self.groups])

    def next(
        self, t: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, list[str], tuple[int, int]]:
        """(noisy latents, timesteps, velocities, captions, size of the pictures).

        The timesteps are `t` [batch], or spread evenly.
        """
        chosen = self.groups[int(torch.multinomial(self.sizes, 1, generator=self.g))]
        rows = torch.randint(len(chosen["names"]), (self.batch,), generator=self.g)
        flip = torch.rand(self.batch, 1, 1, 1, generator=self.g) < 0.5
        clean = torch.where(flip, chosen["flipped"][rows], chosen["latents"][rows]).float()
        self.rows, self.flip = rows, flip.flatten()  # for who needs the pictures too
        self.chosen = chosen
        captions = [caption(*chosen["names"][i], self.rng) for i in rows.tolist()]
        if t is None:
            t = timesteps(self.batch, self.g)
        noise = torch.randn(clean.shape, generator=self.g)
        noisy = self.schedule.add_noise(clean, noise, t)
        target = self.schedule.get_velocity(clean, noise, t)
        moved = (x.to(self.device) for x in (noisy, t, target))
        return (*moved, captions, chosen["size"])


class MeanTeacher:
    """The averaged weights of the last checkpoint, which tell the quick way what to say (Tarvainen
    and Valpola 2017).
    """

    def __init__(self, whole: Whole, checkpoint: Path) -> None:
        self.whole = copy.deepcopy(whole).requires_grad_(False).eval()
        self.checkpoint = checkpoint
        self.refresh()

    def refresh(self) -> None:
        if (state := training.load(self.checkpoint)) is not None:
            self.whole.load_state_dict(state["average"]["weights"])

    @torch.no_grad()
    def guided(self, z: Tensor, t: Tensor, captions: list[str], size: tuple[int, int]) -> Tensor:
        """What it answers with guidance, asked the full way."""
        ids = model.time_ids(*size, len(z)).to(z)
        asked = Asked(z, t, *self.whole.text.encode(captions), ids)
        nothing = self.whole.text.encode([""])
        return guided(asked, nothing, self.whole.unet, model.GUIDANCE_SCALE)


def quick_way(args: argparse.Namespace) -> dict[str, Any] | None:
    """What the card of the model that is learnt on from says of its quick way, if it has one."""
    if state := training.load(args.out):
        return state.get("quick")
    card = json.loads((args.shipped / "card.json").read_text()) if args.shipped else {}
    return card.get("quick")


def begin(args: argparse.Namespace, seed: int, is_new: bool) -> Course:
    """UNet and text encoders, taught the velocities of noised latents."""
    whole = Whole(str(args.tokenizer))
    if args.shipped and is_new:
        from scripts.draft.shipped import carry

        carry(whole, args.shipped)
    batch = args.batch // args.processes
    lessons = Lessons(args.latents, batch, args.device, seed)
    device_type = torch.device(args.device).type
    way = quick_way(args)
    teacher = MeanTeacher(whole.to(args.device), args.out) if way else None
    is_quick = (torch.arange(batch) % QUICK_EVERY == 0) & bool(way)

    def lesson() -> Tensor:
        noisy, t, target, captions, size = lessons.next()
        passes = autocast(device_type, args.precision.passes)
        with model.attention_for(device_type), passes:
            if teacher is not None:
                said = list(itertools.compress(captions, is_quick))
                target[is_quick] = teacher.guided(noisy[is_quick], t[is_quick], said, size)
            out = whole(noisy, t, captions, time_ids(size, is_quick))
        return (lessons.weights.to(out.device) * (out - target).square()).mean()

    def refresh() -> None:
        lessons.refresh()
        if teacher is not None:
            teacher.refresh()

    return Course(whole, lesson, refresh, {"quick": way} if way else {})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's UNet and text encoders.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--from", dest="shipped", type=Path, help="a model folder to go on from")
    loop.add_arguments(parser, rate=1e-3)
    args = parser.parse_args(argv)
    if not args.latents.exists():
        parser.error(f"no latents at {args.latents}; make them first")
    loop.start(begin, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
