"""Trains the UNet and both text encoders together, from nothing.

Knows latents and captions; does not know pixels. The loss is the plain squared error of
the velocity, which already weighs noise levels evenly; timesteps are spread evenly over
each batch to quieten it.

    python -m scripts.draft.unet --latents .draft/latents.pt --tokenizer .draft/tok \
        --out .draft/unet.pt --minutes 60
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from scripts.draft import model, training
from scripts.draft.captions import caption


class Whole(nn.Module):
    """UNet and text encoders as one set of weights."""

    def __init__(self, tokenizer_folder: str) -> None:
        super().__init__()
        self.text = model.text(tokenizer_folder)
        self.encoders = self.text.encoders
        self.unet = model.unet()

    def forward(
        self, noisy: Tensor, t: Tensor, captions: list[str], size: tuple[int, int]
    ) -> Tensor:
        states, pooled = self.text.encode(captions)
        conditions = {"text_embeds": pooled, "time_ids": model.time_ids(*size, len(captions))}
        return self.unet(noisy, t, states, added_cond_kwargs=conditions).sample


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's UNet and text encoders.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoint; resumed when it exists"
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="of training in all, resumed ones included"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=7e-4)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    data = training.load(args.latents)
    if data is None:
        parser.error(f"no latents at {args.latents}; make them first")
    groups = data["groups"]
    whole = Whole(str(args.tokenizer))
    average = training.Average(whole, 0.999)
    optimizer = torch.optim.AdamW(
        whole.parameters(), lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = model.noise_schedule()
    step, spent = 0, 0.0
    if state := training.load(args.out):
        whole.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["minutes"]
    rng, g = random.Random(step), torch.Generator().manual_seed(step)
    sizes = torch.tensor([float(len(group["names"])) for group in groups])

    def checkpoint(minutes: float) -> None:
        training.save(
            args.out,
            model=whole.state_dict(),
            average=average.state_dict(),
            optimizer=optimizer.state_dict(),
            step=step,
            minutes=minutes,
            batch=args.batch,
        )

    began, saved, smooth = time.time(), time.time(), 0.0
    bar = tqdm(mininterval=10, desc="unet", initial=step)
    while (minutes := spent + (time.time() - began) / 60) < args.minutes:
        for group in optimizer.param_groups:
            group["lr"] = training.rate(minutes / args.minutes, args.rate, floor=0.02)
        chosen = groups[int(torch.multinomial(sizes, 1, generator=g))]
        rows = torch.randint(len(chosen["names"]), (args.batch,), generator=g)
        flip = torch.rand(args.batch, 1, 1, 1, generator=g) < 0.5
        clean = torch.where(flip, chosen["flipped"][rows], chosen["latents"][rows]).float()
        captions = [caption(*chosen["names"][i], rng) for i in rows.tolist()]
        t = ((torch.rand(1, generator=g) + torch.arange(args.batch)) / args.batch % 1 * 1000).long()
        noise = torch.randn(clean.shape, generator=g)
        noisy = schedule.add_noise(clean, noise, t)
        target = schedule.get_velocity(clean, noise, t)
        with torch.autocast("cpu", torch.bfloat16):
            out = whole(noisy, t, captions, chosen["size"])
        value = (out.float() - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
        optimizer.step()
        average.update(whole)
        step += 1
        smooth = value.item() if step == 1 else 0.98 * smooth + 0.02 * value.item()
        bar.update()
        bar.set_postfix(loss=f"{smooth:.4f}", minutes=f"{minutes:.1f}", refresh=False)
        if time.time() - saved > 240:
            checkpoint(minutes)
            saved = time.time()
    checkpoint(minutes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
