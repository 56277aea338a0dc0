"""Writes the shipped folder: a whole SDXL pipeline as fp16 safetensors.

Knows the checkpoints and diffusers' layout; the ControlNet is added by `controlnet.py`, the quick
way by `quick.py`, both through `put`. Every file is written beside the folder first and then moved
into place, so a reader never meets half a file.

    python -m scripts.draft.export --latents .draft/latents.pt --unet .draft/unet.pt \
        --tokenizer .draft/tok --out assets/models/draft
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, ModelMixin, StableDiffusionXLPipeline

from scripts.draft import model, training
from scripts.draft.autoencoder import CONFIG
from scripts.draft.shipped import carry
from scripts.draft.unet import Whole

CARD: dict[str, Any] = {
    "name": "draft",
    "version": "2",
    "closed_world": True,
    "default_size": [256, 256],
    "sizes": [[256, 256], [320, 256], [256, 320]],
    "default_num_steps": 10,
    "default_guidance_scale": model.GUIDANCE_SCALE,
    "default_sampler": "unipc",
    "license": "Apache-2.0",
}


def learnt(
    state: dict[str, Any] | None, tokenizer: Path, shipped: Path | None, share: float
) -> Whole:
    """UNet and text encoders of a checkpoint, or `share` of the way there from the shipped ones."""
    whole = Whole(str(tokenizer))
    if shipped is not None:
        carry(whole, shipped)
    if state is not None:
        training.blend(whole, state["average"]["weights"], share)
    return whole


def pipeline(whole: Whole, latents: Path | None, decoder: Path | None) -> StableDiffusionXLPipeline:
    """The pipeline with what there is of an autoencoder; the rest is untrained."""
    autoencoder = AutoencoderKL(**CONFIG)
    if decoder and (state := training.load(decoder)):
        autoencoder.load_state_dict(state["average"]["weights"])
    elif latents and (state := training.load(latents)):
        autoencoder.load_state_dict(state["vae"])
    return StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=whole.encoders[0],
        text_encoder_2=whole.encoders[1],
        tokenizer=whole.text.tokenizers[0],
        tokenizer_2=whole.text.tokenizers[1],
        unet=whole.unet,
        scheduler=EulerDiscreteScheduler(**model.SCHEDULER),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def write(
    pipe: StableDiffusionXLPipeline,
    out: Path,
    preview: dict[str, Any] | None,
    quick: dict[str, Any] | None,
) -> int:
    """Moves the new files into `out`, `quick` onto its card; answers its size in bytes."""
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(fresh, safe_serialization=True)
    for encoder in ("text_encoder", "text_encoder_2"):
        # transformers loads at the type named here: float32, like diffusers' own default.
        path = fresh / encoder / "config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"dtype": "float32"}, indent=2) + "\n"
        )
    for name in ("tokenizer", "tokenizer_2"):  # CLIP's two classic files, beside tokenizer.json
        model_ = json.loads((fresh / name / "tokenizer.json").read_text())["model"]
        merges = [" ".join(m) if isinstance(m, list) else m for m in model_["merges"]]
        (fresh / name / "vocab.json").write_text(json.dumps(model_["vocab"], ensure_ascii=False))
        (fresh / name / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    card = CARD | ({"quick": quick} if quick else {})
    (fresh / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    if preview:
        (fresh / "preview.json").write_text(json.dumps(preview) + "\n")
    for path in sorted(p for p in fresh.rglob("*") if p.is_file()):
        target = out / path.relative_to(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o644)
        path.replace(target)
    shutil.rmtree(fresh)
    shutil.rmtree(out / "controlnet", ignore_errors=True)  # it followed another UNet
    return sum(p.stat().st_size for p in out.rglob("*") if p.is_file())


def put(folder: Path, name: str, net: ModelMixin, facts: dict[str, Any]) -> int:
    """Puts a part into a finished folder, and `facts` on its card; answers the part's bytes."""
    fresh = folder / f"{name}.new"
    net.to(torch.float16).save_pretrained(fresh, safe_serialization=True)
    shutil.rmtree(folder / name, ignore_errors=True)
    fresh.rename(folder / name)
    for path in (folder / name).iterdir():
        path.chmod(0o644)
    card_path = folder / "card.json"
    card: dict[str, Any] = json.loads(card_path.read_text()) | facts
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    return sum(path.stat().st_size for path in (folder / name).iterdir())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Export the draft model.")
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--unet", type=Path)
    parser.add_argument(
        "--decoder", type=Path, help="a decoder trained on after the latents were made"
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--from", dest="shipped", type=Path, help="the model it grew out of")
    parser.add_argument(
        "--share", type=float, default=1.0, help="with --from: of what was learnt since (1)"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.share != 1 and not args.shipped:
        parser.error("--share goes with --from: part of the way from which model?")
    preview = None
    if args.latents and (encoded := training.load(args.latents)):
        preview = encoded["preview"]
    state = training.load(args.unet) if args.unet else None
    whole = learnt(state, args.tokenizer, args.shipped, args.share)
    pipe = pipeline(whole, args.latents, args.decoder)
    size = write(pipe, args.out, preview, state.get("quick") if state else None)
    print(f"{args.out}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
