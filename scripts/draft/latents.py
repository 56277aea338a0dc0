"""Writes the encoder down, turns the renders into latents, and fits the preview map.

Knows the autoencoder and the renders. Run again, it adds the latents of renders that have been
finished since; the encoder stays as it was first written. The preview map is the linear one from
latents to colours that the studio shows while a picture is being drawn.

    python -m scripts.draft.latents --renders .draft/renders --out .draft/latents.pt \
        --from assets/models/draft
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from scripts.draft import autoencoder, dataset, training

FIT_ON = 300  # pictures
FIRST_CHANNELS = 12  # those of the picture at half its size


def encode(matrix: Tensor, bias: Tensor, pixels: Tensor) -> Tensor:
    """Latents [N,C,h,w] of uint8 pictures: what the encoder computes, without the detour."""
    kernel = matrix[:, :, None, None]
    out = [
        F.conv2d(autoencoder.patches(dataset.to_float(chunk)), kernel, bias)
        for chunk in pixels.split(32)
    ]
    return torch.cat(out)


def channel_weights(groups: Sequence[Tensor]) -> Tensor:
    """What a channel counts for in a loss, [C,1,1] and 1 in the mean.

    It is the inverse of its spread over latents [N,C,h,w] of several sizes, as the quiet channels
    hold weave, grain and where an edge is.
    """
    sizes = torch.tensor([float(len(latents)) for latents in groups])
    spread = torch.stack([latents.float().std((0, 2, 3)) for latents in groups])
    weights = (sizes[:, None] * spread).sum(0).reciprocal()
    return (weights / weights.mean())[:, None, None]


def fit_preview(latents: Tensor, pictures: Tensor) -> dict[str, Any]:
    """Least-squares map latents -> RGB in -1..1: {"weight": [C][3], "bias": [3]}."""
    small = F.avg_pool2d(dataset.to_float(pictures), autoencoder.FOLD)
    colours = small.permute(0, 2, 3, 1).reshape(-1, 3)
    x = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], 1)
    solution = torch.linalg.lstsq(x, colours).solution
    return {
        "weight": [[round(v, 5) for v in row] for row in solution[:-1].tolist()],
        "bias": [round(v, 5) for v in solution[-1].tolist()],
    }


def first_autoencoder(pictures: Tensor, shipped: Path | None) -> AutoencoderKL:
    """The autoencoder of a shipped folder, or one written for `pictures`, [N,3,H,W] in -1..1."""
    if shipped is not None:
        return autoencoder.narrowed(AutoencoderKL.from_pretrained(shipped / "vae"))
    matrix, bias = autoencoder.principal(F.avg_pool2d(pictures, 2), FIRST_CHANNELS)
    return autoencoder.build(*autoencoder.fit(pictures, autoencoder.lift(matrix), bias))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Encode the renders.")
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="shipped", type=Path, help="a model folder to go on from")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    seeds = dataset.finished(args.renders)
    if not seeds:
        parser.error(f"no renders in {args.renders}; make them first")
    state = training.load(args.out)
    if state is None:
        few = dataset.load(args.renders, seeds[:FIT_ON])[0].pixels
        vae = first_autoencoder(dataset.to_float(few), args.shipped)
        matrix, bias = autoencoder.read(vae)
        latents = encode(matrix, bias, few)
        state = {
            "groups": [],
            "vae": vae.state_dict(),
            "map": (matrix, bias),
            "preview": fit_preview(latents, few),
        }
        print("spread of the channels:", [round(v, 2) for v in latents.std((0, 2, 3)).tolist()])
    matrix, bias = state["map"]
    known = {seed for group in state["groups"] for seed in group["seeds"]}
    by_size = {group["size"]: group for group in state["groups"]}
    for new in dataset.load(args.renders, [seed for seed in seeds if seed not in known]):
        size = (new.pixels.shape[2], new.pixels.shape[3])
        made = {
            "latents": encode(matrix, bias, new.pixels).half(),
            "flipped": encode(matrix, bias, new.pixels.flip(-1)).half(),
            "names": new.names,
            "seeds": new.seeds,
            "size": size,
        }
        if size in by_size:
            group = by_size[size]
            for key in ("latents", "flipped"):
                group[key] = torch.cat([group[key], made[key]])
            group["names"], group["seeds"] = group["names"] + new.names, group["seeds"] + new.seeds
        else:
            by_size[size] = made
    state["groups"] = sorted(by_size.values(), key=lambda group: -len(group["names"]))
    training.save(args.out, **state)
    print(f"{sum(len(group['names']) for group in state['groups'])} pictures")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
