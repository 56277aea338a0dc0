"""Trains the autoencoder: eight-fold smaller pictures in eight channels.

Knows pixels only; does not know captions. Trained on 64 px crops, which a processor
does four times faster than whole pictures, with an absolute loss on pixels, on their
gradients and on their spectrum: the last two stand in for a perceptual network, which
would be somebody else's weights, and keep edges and weaves sharp.

    python -m scripts.draft.autoencoder --renders .draft/renders --out .draft/ae.pt --minutes 30
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from scripts.draft import dataset, training

CROP = 64
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 8,
    "sample_size": 128,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [32, 64, 64, 128],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "force_upcast": False,
    "mid_block_add_attention": True,
}


def loss(out: Tensor, target: Tensor) -> Tensor:
    """Pixels, gradients at two scales, and the spectrum's amplitudes and phases."""
    total = (out - target).abs().mean()
    a, b = out, target
    for weight in (0.7, 0.5):
        for dim in (2, 3):
            total = total + weight * (a.diff(dim=dim) - b.diff(dim=dim)).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    spectrum = torch.fft.rfft2(out - target, norm="ortho")
    return total + 0.25 * spectrum.abs().mean()


def crops(groups: list[dataset.Pictures], batch: int, g: torch.Generator) -> Tensor:
    """Random 64 px crops, flipped half the time, -1..1; batches of one picture group."""
    sizes = torch.tensor([len(p.seeds) for p in groups], dtype=torch.float)
    pixels = groups[int(torch.multinomial(sizes, 1, generator=g))].pixels
    h, w = pixels.shape[-2:]
    picked = []
    for i in torch.randint(len(pixels), (batch,), generator=g).tolist():
        y = int(torch.randint(h - CROP + 1, (1,), generator=g))
        x = int(torch.randint(w - CROP + 1, (1,), generator=g))
        crop = pixels[i, :, y : y + CROP, x : x + CROP]
        picked.append(crop.flip(-1) if torch.rand((), generator=g) < 0.5 else crop)
    return dataset.to_float(torch.stack(picked)).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def psnr(model: AutoencoderKL, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over whole pictures [N,3,H,W] in -1..1."""
    with torch.autocast("cpu", torch.bfloat16):
        out = model.decode(model.encode(pictures).latent_dist.mean).sample
    error = ((out.float().clamp(-1, 1) - pictures) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's autoencoder.")
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoint; resumed when it exists"
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--start", type=float, default=0.0, help="where on the rate's curve to start, 0..1"
    )
    parser.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(int(time.time()))
    groups = dataset.load(args.renders, args.renders.parent / "pictures.pt")
    model = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    average = training.Average(model, 0.998)
    step = 0
    if state := training.load(args.out):
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        step = state["step"]
    weights = list(model.parameters())
    if args.freeze_encoder:
        weights = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    optimizer = torch.optim.AdamW(weights, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.0)
    held = dataset.to_float(groups[0].pixels[:24])
    saved = time.time()
    bar = tqdm(training.until(time.time() + args.minutes * 60), desc="autoencoder", mininterval=10)
    for progress in bar:
        for group in optimizer.param_groups:
            group["lr"] = training.rate(args.start + (1 - args.start) * progress, args.rate)
        pictures = crops(groups, args.batch, g)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(pictures).latent_dist
            out = model.decode(posterior.sample()).sample
        value = loss(out.float(), pictures) + 1e-6 * posterior.kl().mean()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update(model)
        step += 1
        if step % 50 == 0:
            bar.set_postfix(step=step, loss=f"{float(value):.4f}")
        if time.time() - saved > 150 or step % 2000 == 0:
            training.save(
                args.out, model=model.state_dict(), average=average.state_dict(), step=step
            )
            judge = AutoencoderKL(**CONFIG)
            judge.load_state_dict(average.weights)
            tqdm.write(f"step {step} psnr {psnr(judge, held):.2f} dB")
            saved = time.time()
    training.save(args.out, model=model.state_dict(), average=average.state_dict(), step=step)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
