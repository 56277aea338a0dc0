"""Renders the draft model's pictures with Mitsuba 3, resumable and seeded.

Knows how a world becomes a finished PNG, its description and the product's mask; `stage.py`
knows Mitsuba's side of it. Does not know training.

    python -m scripts.draft.render --out .draft/renders --count 6000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from scripts.draft.stage import stage_for
from scripts.draft.world import HELD_OUT_SEEDS, World, describe

Array = NDArray[Any]
CLEAR_MORE = 3  # times the samples where light goes through the product


def render(world: World, spp: int, denoise: bool = True) -> tuple[Array, Array]:
    """The picture of a world as uint8 RGB [H,W,3], and the product's mask as bool [H,W].

    The mask holds what is of the brief's material and colour, not the quiet legs and trim.
    """
    import mitsuba as mi

    stage = stage_for(world)
    exposure = stage.dress(world)
    spp *= CLEAR_MORE if stage.is_clear else 1
    colour = _mend(
        np.array(mi.render(stage.scene, integrator=stage.path, seed=world.seed, spp=spp))
    )
    if denoise:
        guides = np.array(mi.render(stage.scene, integrator=stage.guides, seed=world.seed, spp=16))
        colour = _denoise(colour, *np.split(guides.astype(np.float32), 2, axis=-1))
    return tonemap(colour * exposure), stage.mask()


def _mend(colour: Array) -> Array:
    """The picture [H,W,3], pixels that came out as no number filled from their neighbours."""
    good = np.isfinite(colour).all(-1)
    total = np.where(good[..., None], colour, 0).clip(0, 30)
    weight = good.astype(np.float32)
    while not weight.all():
        near_total, near_weight = (
            sum(np.roll(x, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
            for x in (total, weight)
        )
        hole = weight == 0
        total[hole], weight[hole] = near_total[hole], near_weight[hole]
    return (total / weight[..., None]).astype(np.float32)


def tonemap(linear: Array) -> Array:
    """Linear radiance to 8-bit sRGB with a soft shoulder above 0.7."""
    x = np.maximum(linear, 0)
    x = np.where(x > 0.7, 0.7 + 0.3 * (1 - np.exp(-(x - 0.7) / 0.3)), x)
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return (x * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _denoise(colour: Array, albedo: Array, normal: Array) -> Array:
    """Intel Open Image Denoise, guided by albedo and normals."""
    import pyoidn

    return np.asarray(
        pyoidn.denoise(
            colour, albedo=albedo, normal=normal, hdr=True, clean_aux=True, quality="balanced"
        )
    )


def finished(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def write_whole(path: Path, picture: Array) -> None:
    """The file appears complete or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    Image.fromarray(picture).save(temporary, "PNG")
    temporary.replace(path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the draft model's pictures.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--held-out", action="store_true", help="combinations never trained on")
    parser.add_argument("--spp", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1, help="processes, each on its own seeds")
    parser.add_argument("--variant", default="llvm_ad_rgb", help="or scalar_rgb (15 times slower)")
    parser.add_argument("--threads", type=int, default=0, help="threads a process; 0 is all")
    args = parser.parse_args(argv)
    (args.out / "masks").mkdir(parents=True, exist_ok=True)
    if args.workers > 1:
        each = -(-args.count // args.workers)
        base = [
            sys.executable,
            "-m",
            "scripts.draft.render",
            "--out",
            str(args.out),
            "--spp",
            str(args.spp),
            "--variant",
            args.variant,
            "--threads",
            "1",
        ]
        if args.held_out:
            base.append("--held-out")
        jobs = [
            subprocess.Popen([*base, "--start", str(args.start + i * each), "--count", str(each)])
            for i in range(args.workers)
        ]
        return max(job.wait() for job in jobs)

    import mitsuba as mi

    mi.set_variant(args.variant)
    if args.threads:
        import drjit as dr

        dr.set_thread_count(args.threads)
    first = args.start + (HELD_OUT_SEEDS if args.held_out else 0)
    for seed in tqdm(range(first, first + args.count), desc="render", mininterval=5):
        path = args.out / f"{seed:06d}.png"
        if finished(path):
            continue
        world = describe(seed)
        picture, mask = render(world, args.spp)
        path.with_suffix(".json").write_text(json.dumps(world.as_json()))
        write_whole(args.out / "masks" / path.name, mask)
        write_whole(path, picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
