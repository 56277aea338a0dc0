"""Trains the decoder alone, once the latents are fixed.

Knows latents and pictures; does not know the encoder, which stays as the UNet learnt it.
It learns from crops of latents against crops of pictures, and the UNet can train at the same
time. Crops are judged to their edges, or it would not learn what a picture's edge is. Restarted,
it goes on, and takes the latents that have been added since. Its last lessons are on latents that
the UNet redrew (`--own`), and a critic is its second judge (`--critic`).

    python -m scripts.draft.decoder --latents .draft/latents.pt --renders .draft/renders \
        --out .draft/decoder.pt --minutes 20
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from scripts.draft import dataset, training
from scripts.draft.autoencoder import CONFIG, FOLD, freeze_encoder, loss
from scripts.draft.critic import Critic, critics_loss, decoders_loss
from studio.engine.autocast import autocast

CROP = 8  # latents on a side
JITTER = 0.03  # a little noise on the latents, as a sampler's are never exact


def crops(
    latents: Tensor, pixels: Tensor, rows: list[int], g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """([N,C,CROP,CROP] latents, [N,3,FOLD*CROP,FOLD*CROP] pictures in -1..1) at the same places."""
    h, w = latents.shape[-2:]
    z, x = [], []
    for i in rows:
        top = int(torch.randint(h - CROP + 1, (1,), generator=g))
        left = int(torch.randint(w - CROP + 1, (1,), generator=g))
        z.append(latents[i, :, top : top + CROP, left : left + CROP])
        x.append(pixels[i, :, FOLD * top :, FOLD * left :][:, : FOLD * CROP, : FOLD * CROP])
    return torch.stack(z).float(), dataset.to_float(torch.stack(x))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's decoder on.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed if it exists")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--own", type=Path, help="latents the UNet redrew, for half of each batch")
    parser.add_argument("--critic", action="store_true", help="let a critic judge as well")
    training.add_precision(parser)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    middle = {"channels": CONFIG["block_out_channels"][2], "side": FOLD * CROP // 2}
    passes = training.precision(args.precision, args.device, threads=args.threads, **middle).passes
    g = torch.Generator().manual_seed(int(time.time()))
    data = training.load(args.latents)
    if data is None:
        parser.error(f"no latents at {args.latents}; make them first")
    own = training.load(args.own) if args.own else None
    groups = []
    for i, group in enumerate(data["groups"]):
        pixels = dataset.load(args.renders, group["seeds"])[0].pixels
        latents = group["latents"]
        if own is not None:
            redrawn = own["own"][i]
            latents = torch.cat([latents, redrawn])
            pixels = torch.cat([pixels, pixels[: len(redrawn)]])
        groups.append((latents, pixels))
    sizes = torch.tensor([float(len(latents)) for latents, _ in groups])
    vae = AutoencoderKL(**CONFIG)
    vae.load_state_dict(data["vae"])
    freeze_encoder(vae)
    vae.to(args.device, memory_format=torch.channels_last)
    average = training.Average(vae, 0.998)
    step = 0
    critic = Critic().to(args.device) if args.critic else None
    learns = torch.optim.AdamW(critic.parameters(), lr=4e-4, betas=(0.5, 0.9)) if critic else None
    if state := training.load(args.out):
        vae.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        step = state["step"]
        if critic is not None and state.get("critic"):
            critic.load_state_dict(state["critic"])
    weights = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.0)
    saved, smooth = time.time(), 0.0
    bar = tqdm(training.until(time.time() + args.minutes * 60), desc="decoder", mininterval=10)
    for progress in bar:
        for group in optimizer.param_groups:
            group["lr"] = training.rate(progress, args.rate)
        latents, pixels = groups[int(torch.multinomial(sizes, 1, generator=g))]
        rows = torch.randint(len(latents), (args.batch,), generator=g).tolist()
        z, x = crops(latents, pixels, rows, g)
        z = z + JITTER * torch.randn(z.shape, generator=g)
        z, x = z.to(args.device), x.to(args.device)
        with autocast(torch.device(args.device).type, passes):
            out = vae.decode(z).sample.float()
        value = loss(out, x)
        if critic is not None and learns is not None:
            learns.zero_grad(set_to_none=True)
            critics_loss(critic, out, x).backward()
            learns.step()
            value = value + decoders_loss(critic, out, x, value, vae.decoder.conv_out.weight)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update(vae)
        step += 1
        if step % 50 == 0:
            smooth = value.item() if smooth == 0 else 0.9 * smooth + 0.1 * value.item()
            bar.set_postfix(step=step, loss=f"{smooth:.4f}")
        if time.time() - saved > 150:
            training.save(args.out, **kept(vae, average, step, critic))
            saved = time.time()
    training.save(args.out, **kept(vae, average, step, critic))
    return 0


def kept(
    vae: AutoencoderKL, average: training.Average, step: int, critic: Critic | None
) -> dict[str, Any]:
    """The checkpoint's contents."""
    judge = critic.state_dict() if critic else None
    return {
        "model": vae.state_dict(),
        "average": average.state_dict(),
        "step": step,
        "critic": judge,
    }


if __name__ == "__main__":
    raise SystemExit(main())
