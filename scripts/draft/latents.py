"""Writes the encoder down, turns the renders into latents, and fits the preview map.

Knows the autoencoder and the renders. The preview map is the linear one from latents to
colours that the studio shows while a picture is being drawn.

    python -m scripts.draft.latents --renders .draft/renders --out .draft/latents.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.draft import autoencoder, dataset, training

FIT_ON = 800  # pictures


def encode(matrix: Tensor, bias: Tensor, pixels: Tensor) -> Tensor:
    """Latents [N,C,h,w] of uint8 pictures: what the encoder computes, without the detour."""
    out = [
        F.conv2d(autoencoder.patches(dataset.to_float(chunk)), matrix[:, :, None, None], bias)
        for chunk in pixels.split(64)
    ]
    return torch.cat(out)


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
    parser = argparse.ArgumentParser(description="Encode the renders.")
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    groups = dataset.load(args.renders, args.renders.parent / "pictures.pt")
    first = groups[0].pixels[:FIT_ON]
    matrix, bias = autoencoder.fit(dataset.to_float(first))
    vae = autoencoder.build(matrix, bias)
    few = dataset.to_float(groups[0].pixels[:8])
    with torch.no_grad():
        through = vae.encode(few).latent_dist.mean
    direct = encode(matrix, bias, groups[0].pixels[:8])
    print(f"encoder against matrix: largest difference {(through - direct).abs().max():.4f}")
    encoded = [
        {
            "latents": encode(matrix, bias, g.pixels).half(),
            "flipped": encode(matrix, bias, g.pixels.flip(-1)).half(),
            "names": g.names,
            "seeds": g.seeds,
            "size": tuple(g.pixels.shape[-2:]),
        }
        for g in groups
    ]
    preview = fit_preview(encoded[0]["latents"][:FIT_ON].float(), first)
    training.save(args.out, groups=encoded, vae=vae.state_dict(), preview=preview)
    spread = encoded[0]["latents"].float().std((0, 2, 3))
    print(f"{sum(len(g.names) for g in groups)} pictures; spread of the channels {spread}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
