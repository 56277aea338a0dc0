"""Teaches a finished draft model the quick way beside its own, in the same weights.

Asked the quick way (`ways.py`) the UNet learns to answer what it answers with guidance when it is
asked the full way, which halves what a step costs. Every fourth row of a batch holds the full way
to what the finished model says. A model that has its quick way keeps it while `unet.py` trains it
on.

With `--steps` the quick way then learns to take in one step what its teacher (`--leader`, a
checkpoint of the first lesson or of one with more steps) takes in two (Salimans and Ho 2022), along
the trailing schedules of so many DDIM steps, which is how Euler's sampler draws with them.

Knows latents, captions and a finished model, whose text encoders stay as they
are; `--export` puts UNet and card into its folder. Any diffusers draws with it:
`StableDiffusionXLPipeline(..., crops_coords_top_left=(1024, 1024), guidance_scale=1)`.

    python -m scripts.draft.quick --model assets/models/draft --latents .draft/latents.pt \
        --out .draft/quick.pt --minutes 60 --processes 2
    python -m scripts.draft.quick --model assets/models/draft --latents .draft/latents.pt \
        --leader .draft/quick.pt --steps 6 8 --out .draft/few.pt --minutes 60 --processes 2
    python -m scripts.draft.quick --model assets/models/draft --out .draft/few.pt --export
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from scripts.draft import loop, model, training
from scripts.draft.export import put
from scripts.draft.loop import Course
from scripts.draft.teacher import Teacher
from scripts.draft.unet import Lessons
from scripts.draft.ways import CORNER, Asked, guided, open_quick_way, time_ids

FULL_EVERY = 4
NUM_STEPS = 6


def trailing(num_steps: int) -> Tensor:
    """[num_steps,3]: begin, middle and end of each DDIM step, -1 being the clean picture."""
    ends = 1000 - torch.arange(2 * num_steps + 1, dtype=torch.float64) * 500 / num_steps
    at = ends.round().long() - 1
    return torch.stack([at[:-1:2], at[1::2], at[2::2]], 1)


def angles(t: Tensor) -> Tensor:
    """φ of timesteps: signal cos φ, noise sin φ; 0 for -1, the clean picture."""
    signal = model.noise_schedule().alphas_cumprod.double()
    return torch.cat([signal.sqrt().acos(), torch.zeros(1, dtype=torch.float64)])[t].float()


def turned(z: Tensor, velocity: Tensor, by: Tensor) -> Tensor:
    """A DDIM step of v prediction: z turned by an angle [N] (Salimans and Ho 2022, appendix D)."""
    by = by[:, None, None, None]
    return by.cos() * z - by.sin() * velocity


def velocity_between(z: Tensor, after: Tensor, by: Tensor) -> Tensor:
    """The velocity with which one step by that angle leads from `z` to `after`."""
    by = by[:, None, None, None]
    return (by.cos() * z - after) / by.sin()


def in_two_steps(asked: Asked, path: Tensor, leader: UNet2DConditionModel) -> Tensor:
    """The velocity that leads along `path` [N,3] in one step to where the leader comes in two."""
    first, second, third = angles(path.cpu()).to(asked.z.device).unbind(1)
    z = turned(asked.z, asked.velocity(leader), first - second)
    half_way = replace(asked, z=z, t=path[:, 1])
    z = turned(z, half_way.velocity(leader), second - third)
    return velocity_between(asked.z, z, first - third)


def begin(args: argparse.Namespace, seed: int, is_new: bool) -> Course:
    """The UNet of the finished model, taught the quick way."""
    teacher = Teacher(args.model, args.device)
    card = json.loads((args.model / "card.json").read_text())
    net = copy.deepcopy(teacher.unet).requires_grad_(True)
    leader = None
    if args.leader:
        leader = copy.deepcopy(teacher.unet)
        leader.load_state_dict(training.load(args.leader)["average"]["weights"])
        net.load_state_dict(leader.state_dict())
    elif is_new and "quick" not in card:
        open_quick_way(net)
    batch = args.batch // args.processes
    lessons = Lessons(args.latents, batch, args.device, seed)
    device_type = torch.device(args.device).type
    is_quick = (torch.arange(batch) % FULL_EVERY != 0).to(args.device)

    def ask(path: Tensor | None) -> tuple[Asked, Asked]:
        """The next batch as the student is asked, and all of it the full way."""
        z, t, _, captions, size = lessons.next(None if path is None else path[:, 0])
        full = Asked(z, t, *teacher.text.encode(captions), model.time_ids(*size, batch).to(z))
        return replace(full, ids=time_ids(size, is_quick.cpu()).to(z)), full

    def answer(asked: Asked, full: Asked, path: Tensor | None) -> Tensor:
        """What the student is to say."""
        quick, wanted = full.of(is_quick), torch.empty_like(full.z)
        wanted[~is_quick] = full.of(~is_quick).velocity(teacher.unet)
        if leader is not None and path is not None:
            there = path.to(args.device)[is_quick]
            wanted[is_quick] = in_two_steps(asked.of(is_quick), there, leader)
        else:
            scale = card["default_guidance_scale"]
            wanted[is_quick] = guided(quick, teacher.words([""]), teacher.unet, scale)
        return wanted

    def lesson() -> Tensor:
        path = drawn_paths(args.steps, is_quick.cpu(), lessons.g) if args.steps else None
        with (
            model.attention_for(device_type),
            training.autocast(device_type, args.precision.passes),
        ):
            with torch.no_grad():
                asked, full = ask(path)
                wanted = answer(asked, full, path)
            out = asked.velocity(net)
        return (lessons.weights.to(out.device) * (out - wanted).square()).mean()

    way = {"num_steps": NUM_STEPS, "guidance_scale": 1.0, "crop": list(CORNER)}
    if args.steps:
        way |= {"num_steps": max(args.steps), "sampler": "euler"}
    return Course(net, lesson, lessons.refresh, {"quick": way})


def drawn_paths(nums: Sequence[int], is_quick: Tensor, g: torch.Generator) -> Tensor:
    """[N,3]: for each quick row a step of one of the schedules; the others begin anywhere."""
    every = [trailing(num) for num in nums]
    paths = torch.randint(1000, (len(is_quick), 3), generator=g)
    for i in is_quick.nonzero().flatten().tolist():
        schedule = every[int(torch.randint(len(every), (1,), generator=g))]
        paths[i] = schedule[int(torch.randint(len(schedule), (1,), generator=g))]
    return paths


def export(folder: Path, checkpoint: Path, num_steps: int | None, share: float) -> int:
    """Puts the quick way and `share` of what was learnt into the model's folder; answers the bytes.

    The rest of each weight stays as in the folder. What was learnt for the quick way moves the full
    one a little, most of all what it says without words, which guidance makes much of; part of the
    way keeps nearly all of both.
    """
    state = training.load(checkpoint)
    assert state is not None
    net = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
    net.load_state_dict(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"))
    if "quick" not in json.loads((folder / "card.json").read_text()):
        open_quick_way(net)
    training.blend(net, state["average"]["weights"], share)
    way: dict[str, Any] = state["quick"] | ({"num_steps": num_steps} if num_steps else {})
    return put(folder, "unet", net, {"quick": way})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Teach a finished draft model its quick way.")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--leader", type=Path, help="a checkpoint whose two steps become one")
    parser.add_argument("--steps", type=int, nargs="+", help="of the schedules to be learnt")
    loop.add_arguments(parser, rate=3e-4)
    parser.add_argument("--export", action="store_true", help="put it into the model's folder")
    parser.add_argument("--num-steps", type=int, help="exported: the steps the card names")
    parser.add_argument("--share", type=float, default=1.0, help="exported: of what was learnt (1)")
    args = parser.parse_args(argv)
    if args.export:
        num_bytes = export(args.model, args.out, args.num_steps, args.share)
        print(f"{args.model / 'unet'}: {num_bytes / 1e6:.1f} MB")
        return 0
    if args.latents is None or not args.latents.exists():
        parser.error("--latents must be a file of latents; make it first")
    if bool(args.steps) != bool(args.leader):
        parser.error("--steps and --leader go together")
    if args.leader and not args.leader.exists():
        parser.error(f"no checkpoint at {args.leader}; train it first")
    loop.start(begin, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
