"""Turns the renders into latents for the UNet, and settles the autoencoder's scale.

Knows the autoencoder and the renders. The latents' mean and spread are folded into the
autoencoder's own 1x1 convolutions, so each channel has mean 0 and variance 1 and the
model needs no `latents_mean`; `scaling_factor` is 1. Also fits the linear map from
latents to colours that the studio previews with.

    python -m scripts.draft.latents --renders .draft/renders --ae .draft/ae.pt \\
        --out .draft/latents.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from scripts.draft import dataset, training
from scripts.draft.autoencoder import CONFIG


@torch.no_grad()
def encode(model: AutoencoderKL, pictures: Tensor, batch: int = 32) -> Tensor:
    """Mean latents [N,C,h,w] of uint8 pictures."""
    out = []
    for chunk in tqdm(pictures.split(batch), desc="encode", mininterval=5):
        with torch.autocast("cpu", torch.bfloat16):
            out.append(model.encode(dataset.to_float(chunk)).latent_dist.mean.float())
    return torch.cat(out)


@torch.no_grad()
def fold_scale(model: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Rewrites the 1x1 convolutions so that latents come out with mean 0 and spread 1."""
    c = len(mean)
    quant, post = model.quant_conv, model.post_quant_conv
    quant.weight[:c] /= std[:, None, None, None]
    quant.bias[:c] = (quant.bias[:c] - mean) / std
    quant.bias[c:] -= 2 * std.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= std[None, :, None, None]


def fit_preview(latents: Tensor, pictures: Tensor) -> dict[str, Any]:
    """Least-squares map latents -> RGB in -1..1: {"weight": [C][3], "bias": [3]}."""
    colours = F.avg_pool2d(dataset.to_float(pictures), 8).permute(0, 2, 3, 1).reshape(-1, 3)
    x = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    solution = torch.linalg.lstsq(x, colours).solution
    return {
        "weight": [[round(v, 5) for v in row] for row in solution[:-1].tolist()],
        "bias": [round(v, 5) for v in solution[-1].tolist()],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Encode the renders with the trained autoencoder.")
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--ae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    state = training.load(args.ae)
    if state is None:
        parser.error(f"no autoencoder at {args.ae}; train it first")
    model = AutoencoderKL(**CONFIG)
    model.load_state_dict(state["average"]["weights"])
    model.requires_grad_(False)
    groups = dataset.load(args.renders, args.renders.parent / "pictures.pt")
    sample = encode(model, groups[0].pixels[:400])
    flat = sample.transpose(0, 1).flatten(1)
    fold_scale(model, flat.mean(1), flat.std(1))
    encoded = [
        {
            "latents": encode(model, g.pixels).half(),
            "flipped": encode(model, g.pixels.flip(-1)).half(),
            "names": g.names,
            "seeds": g.seeds,
            "size": tuple(g.pixels.shape[-2:]),
        }
        for g in groups
    ]
    preview = fit_preview(encoded[0]["latents"][:400].float(), groups[0].pixels[:400])
    training.save(args.out, groups=encoded, vae=model.state_dict(), preview=preview)
    flat = encoded[0]["latents"].float().transpose(0, 1).flatten(1)
    print(
        "pictures", sum(len(e["names"]) for e in encoded), "mean", flat.mean(1), "std", flat.std(1)
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
