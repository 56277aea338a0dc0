"""Draws with a finished model the full way and keeps where its latents came by.

The quick way learns from these trajectories (`quick.py`). Knows captions of what was rendered and a
finished model; does not know who learns. Every batch is a file of its own, so several processes of
different seeds may draw into one folder, and whatever is there can be learnt from.

    python -m scripts.draft.trajectories --model assets/models/draft --latents .draft/latents.pt \
        --out .draft/trajectories --minutes 20
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor
from tqdm import tqdm

from scripts.draft import model, training
from scripts.draft.autoencoder import CHANNELS, FOLD
from scripts.draft.captions import caption
from scripts.draft.teacher import Teacher
from scripts.draft.ways import Asked, guided
from studio.engine.autocast import autocast

NUM_STEPS = 12  # of a trajectory: 2, 3, 4 or 6 steps of the quick way are as many of them each


@dataclass(frozen=True)
class Batch:
    """`latents` [NUM_STEPS+1,N,C,h,w], from noise to the clean picture; `size` in pixels."""

    latents: Tensor
    captions: list[str]
    size: tuple[int, int]


class Trajectories:
    """The batches of a folder; `refresh` takes those that were added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: set[Path] = set()
        self.by_size: dict[tuple[int, int], list[Batch]] = {}
        self.refresh()

    def refresh(self) -> None:
        for path in sorted(set(self.folder.glob("*.pt")) - self.known):
            batch = Batch(**torch.load(path))
            self.by_size.setdefault(batch.size, []).append(batch)
            self.known.add(path)

    def next(
        self, size: tuple[int, int], num_rows: int, num_steps: int, g: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """(latents [N,C,h,w], those a step of the quick way later, which step [N], captions)."""
        stride = NUM_STEPS // num_steps
        steps = torch.arange(num_rows) % num_steps
        before, after, captions = [], [], []
        for step in steps.tolist():
            batch, row = self._any(size, g)
            before.append(batch.latents[stride * step, row].float())
            after.append(batch.latents[stride * (step + 1), row].float())
            captions.append(batch.captions[row])
        return torch.stack(before), torch.stack(after), steps, captions

    def finished(
        self, num_rows: int, g: torch.Generator
    ) -> tuple[Tensor, list[str], tuple[int, int]]:
        """(clean latents [N,C,h,w], captions, size of the pictures), of any size in its share."""
        sizes = list(self.by_size)
        weights = torch.tensor([float(len(self.by_size[size])) for size in sizes])
        size = sizes[int(torch.multinomial(weights, 1, generator=g))]
        chosen = [self._any(size, g) for _ in range(num_rows)]
        latents = torch.stack([batch.latents[-1, row] for batch, row in chosen])
        return latents.float(), [batch.captions[row] for batch, row in chosen], size

    def all_finished(self) -> list[Tensor]:
        """The clean latents [N,C,h,w] of every size."""
        return [
            torch.cat([batch.latents[-1] for batch in batches]) for batches in self.by_size.values()
        ]

    def _any(self, size: tuple[int, int], g: torch.Generator) -> tuple[Batch, int]:
        batches = self.by_size[size]
        batch = batches[int(torch.randint(len(batches), (1,), generator=g))]
        return batch, int(torch.randint(len(batch.captions), (1,), generator=g))


def sampler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ (2M, Lu et al. 2022): each step leaves the noise that the next time has."""
    made = DPMSolverMultistepScheduler(**model.SCHEDULER)
    made.set_timesteps(NUM_STEPS)
    return made


@torch.no_grad()
def draw(
    teacher: Teacher, captions: list[str], size: tuple[int, int], noise: Tensor, scale: float
) -> Batch:
    """Draws a batch from `noise` [N,C,h,w] with guidance `scale`."""
    steps = sampler()
    ids = model.time_ids(*size, len(captions)).to(noise)
    words, nothing = teacher.words(captions), teacher.words([""])
    z, passed = noise, [noise]
    for t in steps.timesteps:
        asked = Asked(z, t.expand(len(z)).to(z.device), *words, ids)
        z = steps.step(guided(asked, nothing, teacher.unet, scale), t, z).prev_sample
        passed.append(z)
    return Batch(torch.stack(passed).half().cpu(), captions, size)


def asked_for(
    groups: list[dict[str, Any]], num_rows: int, seed: int, number: int
) -> tuple[list[str], tuple[int, int], Tensor]:
    """Captions of what was rendered, a size, as often as rendered, and noise, for a batch."""
    chance = random.Random(f"{seed} {number}")
    # Multiples of the golden ratio meet every size soon, and each in its share.
    at = number * (math.sqrt(5) - 1) / 2 % 1 * sum(len(each["names"]) for each in groups)
    ends = itertools.accumulate(len(each["names"]) for each in groups)
    group = next(each for each, end in zip(groups, ends, strict=True) if at < end)
    names = chance.choices(group["names"], k=num_rows)
    shape = (num_rows, CHANNELS, *(side // FOLD for side in group["size"]))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(chance.getrandbits(63)))
    return [caption(*each, chance) for each in names], group["size"], noise


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep the trajectories of a finished model.")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--latents", type=Path, required=True, help="whose captions are drawn")
    parser.add_argument("--out", type=Path, required=True, help="the folder of trajectories")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of each process another")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    training.add_precision(parser)
    args = parser.parse_args(argv)
    if not args.latents.exists():
        parser.error(f"no latents at {args.latents}; make them first")
    precision = training.precision(args.precision, args.device, threads=args.threads)
    torch.set_num_threads(args.threads)
    teacher = Teacher(args.model, args.device)
    scale = json.loads((args.model / "card.json").read_text())["default_guidance_scale"]
    groups = training.load(args.latents)["groups"]  # type: ignore[index]
    args.out.mkdir(parents=True, exist_ok=True)
    deadline = time.time() + args.minutes * 60
    bar = tqdm(desc=args.out.stem, unit="picture", mininterval=10)
    device_type = torch.device(args.device).type
    for number in itertools.count():
        path = args.out / f"{args.seed}-{number:05d}.pt"
        if path.exists():
            continue
        captions, size, noise = asked_for(groups, args.batch, args.seed, number)
        passes = autocast(device_type, precision.passes)
        with model.attention_for(device_type), passes:
            batch = draw(teacher, captions, size, noise.to(args.device), scale)
        torch.save(vars(batch), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
        bar.update(args.batch)
        if time.time() > deadline:
            break
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
