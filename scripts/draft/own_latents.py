"""Latents as the UNet itself leaves them, for the decoder's last lessons.

A decoder that has only met encoded pictures shows every flaw of drawn latents as a block.
Here each picture's latents are noised part of the way and drawn back in a few steps, so the
scene stays and the flaws are the UNet's own; `decoder.py --own` then learns to see through
them. Knows the UNet and the latents; does not know pixels.

    python -m scripts.draft.own_latents --latents .draft/latents.pt --unet .draft/unet.pt \
        --tokenizer .draft/tok --out .draft/own.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor
from tqdm import tqdm

from scripts.draft import model, training
from scripts.draft.captions import canonical
from scripts.draft.unet import Whole
from studio.engine.autocast import autocast

NUM_STEPS = 16  # of a whole drawing; how many of the last ones are taken is drawn by lot
LAST_STEPS = (4, 9)


@torch.inference_mode()
def redraw(
    whole: Whole,
    latents: Tensor,
    captions: list[str],
    size: tuple[int, int],
    *,
    seed: int,
    dtype: torch.dtype,
) -> Tensor:
    """Latents [N,C,h,w] noised to one level and drawn back without guidance."""
    g = torch.Generator().manual_seed(seed)
    sampler = EulerDiscreteScheduler(**model.SCHEDULER)
    sampler.set_timesteps(NUM_STEPS)
    take = int(torch.randint(*LAST_STEPS, (1,), generator=g))
    sampler.set_begin_index(NUM_STEPS - take)
    noise = torch.randn(latents.shape, generator=g)
    device = next(whole.parameters()).device
    ids = model.time_ids(*size, len(latents))
    x = (latents + sampler.sigmas[NUM_STEPS - take] * noise).to(device)
    for t in sampler.timesteps[-take:]:
        with autocast(device.type, dtype):
            rows = t.to(device).expand(len(x))
            out = whole(sampler.scale_model_input(x, t), rows, captions, ids)
        x = sampler.step(out.float(), t, x).prev_sample
    return x.cpu()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Redraw the latents with the UNet.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--unet", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--limit", type=int, help="of each size, as a few hundred are enough")
    training.add_precision(parser)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    dtype = training.precision(args.precision, args.device, threads=args.threads).passes
    data, state = training.load(args.latents), training.load(args.unet)
    if data is None or state is None:
        parser.error("latents and UNet must be made first")
    whole = Whole(str(args.tokenizer))
    whole.load_state_dict(state["average"]["weights"])
    whole.eval().to(args.device)
    own = []
    for group in data["groups"]:
        drawn = []
        count = min(len(group["names"]), args.limit or len(group["names"]))
        for start in tqdm(range(0, count, args.batch), desc="redraw"):
            rows = slice(start, min(start + args.batch, count))
            captions = [canonical(*names) for names in group["names"][rows]]
            latents = group["latents"][rows].float()
            redrawn = redraw(whole, latents, captions, group["size"], seed=start, dtype=dtype)
            drawn.append(redrawn.half())
        own.append(torch.cat(drawn))
    training.save(args.out, own=own)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
