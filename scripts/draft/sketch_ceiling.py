"""How well edges could be followed at best: what held-out renders themselves score.

Knows renders, their masks and a finished model's autoencoder. `studio evaluate` says how well a
sketch is followed; a picture that were right in every latent would score the first figure against
its own edges, and the second against the outline of its product, whose scene has edges too.

    python -m scripts.draft.sketch_ceiling --model assets/models/draft --renders .draft/heldout
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from scripts.draft import autoencoder, dataset
from scripts.draft.latents import encode
from scripts.draft.sketches import Array, outline
from studio.engine.decoder import to_bytes
from studio.evaluate.adherence import Adherence, adherence
from studio.evaluate.sketched import edges_of


@torch.no_grad()
def through_autoencoder(vae: AutoencoderKL, group: dataset.Pictures) -> list[Adherence]:
    """Edges of each render, encoded and decoded, against those of the render."""
    latents = encode(*autoencoder.read(vae), group.pixels)
    found = []
    for latent, pixels in zip(latents, group.pixels, strict=True):
        picture = to_bytes(vae.decode(latent[None] / vae.config.scaling_factor).sample[0])
        found.append(adherence(edges_of(picture), edges_of(_image(pixels))))
    return found


def against_outline(group: dataset.Pictures, masks: Array) -> list[Adherence]:
    """Edges of each render against the outline of its product alone, from masks [N,H,W]."""
    return [
        adherence(edges_of(_image(pixels)), outline(mask) > 0)
        for pixels, mask in zip(group.pixels, masks, strict=True)
    ]


def _image(pixels: torch.Tensor) -> Array:
    return pixels.permute(1, 2, 0).numpy()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How well edges could be followed at best.")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder")
    parser.add_argument("--renders", type=Path, required=True, help="held-out renders")
    args = parser.parse_args(argv)
    if not dataset.finished(args.renders):
        parser.error(f"no renders in {args.renders}; make them first")
    vae = AutoencoderKL.from_pretrained(args.model / "vae", local_files_only=True)
    decoded: list[Adherence] = []
    outlined: list[Adherence] = []
    for group in dataset.load(args.renders):
        decoded += through_autoencoder(vae, group)
        outlined += against_outline(group, dataset.load_masks(args.renders, group.seeds))
    figures = {
        name: {
            "f1": round(float(np.mean([one.f1 for one in scores])), 3),
            "precision": round(float(np.mean([one.precision for one in scores])), 3),
            "recall": round(float(np.mean([one.recall for one in scores])), 3),
        }
        for name, scores in (("through_autoencoder", decoded), ("against_outline", outlined))
    }
    print(json.dumps({"num_renders": len(decoded)} | figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
