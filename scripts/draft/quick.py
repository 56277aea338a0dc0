"""Teaches a finished draft model the quick way beside its own, in the same weights.

Asked the quick way (`ways.py`) the UNet learns to come in one step, without guidance, as far as it
comes in several with guidance when it is asked the full way (Salimans and Ho 2022; Meng et al.
2023). Where the full way comes by is drawn beforehand (`trajectories.py`). The steps are the DDIM
steps of a trailing schedule, which is how Euler's sampler draws with them. Every other row of a
batch holds the full way to what the finished model says of pictures it drew, half of them without
words.

Knows trajectories, with their captions, and a finished model, whose text encoders stay as they are;
`--export` puts UNet and card into its folder. Any diffusers draws with it:
`StableDiffusionXLPipeline(..., crops_coords_top_left=(1024, 1024), guidance_scale=1)`.

    python -m scripts.draft.quick --model assets/models/draft --trajectories .draft/trajectories \
        --out .draft/quick.pt --minutes 60 --processes 2
    python -m scripts.draft.quick --model assets/models/draft --out .draft/quick.pt --export
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from scripts.draft import loop, model, training, trajectories
from scripts.draft.export import put
from scripts.draft.latents import channel_weights
from scripts.draft.loop import Course
from scripts.draft.teacher import Teacher
from scripts.draft.trajectories import Trajectories
from scripts.draft.unet import timesteps
from scripts.draft.ways import CORNER, Asked, open_quick_way, time_ids
from studio.engine.autocast import autocast

FULL_EVERY = 2
SILENT_EVERY = 2  # full row: guidance makes as much of what is said without words as of the rest
NUM_STEPS = 4
DIVISORS = (2, 3, 4, 6)  # a step of the quick way is several whole ones of a trajectory


def trailing(num_steps: int) -> Tensor:
    """[num_steps+1]: where the DDIM steps begin and end, -1 being the clean picture."""
    every = trajectories.sampler().timesteps
    return torch.cat([every[:: trajectories.NUM_STEPS // num_steps], torch.tensor([-1])])


def angles(t: Tensor) -> Tensor:
    """φ of timesteps: signal cos φ, noise sin φ; 0 for -1, the clean picture."""
    signal = model.noise_schedule().alphas_cumprod.double()
    return torch.cat([signal.sqrt().acos(), torch.zeros(1, dtype=torch.float64)])[t].float()


def velocity_between(z: Tensor, after: Tensor, by: Tensor) -> Tensor:
    """The velocity with which one DDIM step, a turn by that angle [N], leads from `z` to `after`
    (Salimans and Ho 2022, appendix D).
    """
    by = by[:, None, None, None]
    return (by.cos() * z - after) / by.sin()


def begin(args: argparse.Namespace, seed: int, is_new: bool) -> Course:
    """The UNet of the finished model, taught the quick way."""
    teacher = Teacher(args.model, args.device)
    net = copy.deepcopy(teacher.unet).requires_grad_(True)
    if is_new and "quick" not in json.loads((args.model / "card.json").read_text()):
        open_quick_way(net)
    batch = args.batch // args.processes
    num_full = batch // FULL_EVERY
    paths = Trajectories(args.trajectories)
    schedule, g = model.noise_schedule(), torch.Generator().manual_seed(seed)
    times = trailing(args.num_steps)
    phi = angles(times)
    weights = channel_weights(paths.all_finished()).to(args.device)
    device_type = torch.device(args.device).type

    def full_rows() -> tuple[Asked, Tensor, tuple[int, int]]:
        clean, captions, size = paths.finished(num_full, g)
        captions = ["" if i % SILENT_EVERY == 0 else said for i, said in enumerate(captions)]
        t = timesteps(num_full, g)
        z = schedule.add_noise(clean, torch.randn(clean.shape, generator=g), t)
        z, t, ids = (x.to(args.device) for x in (z, t, model.time_ids(*size, num_full)))
        rows = Asked(z, t, *teacher.words(captions), ids)
        return rows, rows.velocity(teacher.unet), size

    def quick_rows(size: tuple[int, int]) -> tuple[Asked, Tensor]:
        num_rows = batch - num_full
        z, after, steps, captions = paths.next(size, num_rows, args.num_steps, g)
        wanted = velocity_between(z, after, phi[steps] - phi[steps + 1])
        ids = time_ids(size, torch.ones(num_rows, dtype=torch.bool))
        z, t, ids, wanted = (x.to(args.device) for x in (z, times[steps], ids, wanted))
        return Asked(z, t, *teacher.words(captions), ids), wanted

    def lesson() -> Tensor:
        with (
            model.attention_for(device_type),
            autocast(device_type, args.precision.passes),
        ):
            with torch.no_grad():
                full, kept, size = full_rows()
                quick, wanted = quick_rows(size)
            out = full.and_those_of(quick).velocity(net)
        error = out - torch.cat([kept, wanted])
        return (weights * error.square()).mean()

    way = {"num_steps": args.num_steps, "guidance_scale": 1.0, "crop": list(CORNER)}
    return Course(net, lesson, paths.refresh, {"quick": way | {"sampler": "euler"}})


def export(folder: Path, checkpoint: Path, share: float) -> int:
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
    return put(folder, "unet", net, {"quick": state["quick"]})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Teach a finished draft model its quick way.")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--trajectories", type=Path, help="a folder of them")
    parser.add_argument(
        "--num-steps", type=int, choices=DIVISORS, default=NUM_STEPS, help="of the quick way (4)"
    )
    loop.add_arguments(parser, rate=3e-4)
    parser.add_argument("--export", action="store_true", help="put it into the model's folder")
    parser.add_argument("--share", type=float, default=1.0, help="exported: of what was learnt (1)")
    args = parser.parse_args(argv)
    if args.export:
        num_bytes = export(args.model, args.out, args.share)
        print(f"{args.model / 'unet'}: {num_bytes / 1e6:.1f} MB")
        return 0
    if args.trajectories is None or not any(args.trajectories.glob("*.pt")):
        parser.error("--trajectories must be a folder of trajectories; draw them first")
    loop.start(begin, args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
