"""Trains the UNet and both text encoders together, from nothing.

Knows latents and captions; does not know pixels. The loss is the plain squared error of
the velocity, which already weighs noise levels evenly; timesteps are spread evenly over
each batch to quieten it. On a few shared cores one process of one thread for each core is
faster than one process of many threads, so gradients are averaged between processes.

    python -m scripts.draft.unet --latents .draft/latents.pt --tokenizer .draft/tok \
        --out .draft/unet.pt --minutes 60 --processes 2
"""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
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


def average_gradients(weights: list[nn.Parameter], is_over: bool, num_processes: int) -> bool:
    """Replaces every gradient by its mean over the processes; whether any of them is over."""
    if num_processes == 1:
        return is_over
    flat = torch.cat([w.grad.flatten() for w in weights] + [torch.tensor([float(is_over)])])
    distributed.all_reduce(flat)
    flat /= num_processes
    start = 0
    for w in weights:
        w.grad.copy_(flat[start : start + w.numel()].view_as(w))
        start += w.numel()
    return bool(flat[-1] > 0)


def train(rank: int, args: argparse.Namespace) -> None:
    """One process of the training; the first one keeps the checkpoint."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.processes > 1:
        meeting = f"file://{args.out.resolve()}.meeting"
        distributed.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    data = training.load(args.latents)
    assert data is not None
    groups = data["groups"]
    whole = Whole(str(args.tokenizer))
    average = training.Average(whole, args.decay)
    weights = [w for w in whole.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = model.noise_schedule()
    step, spent = 0, 0.0
    if state := training.load(args.out):
        whole.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["minutes"]
    rng = random.Random(step * 64 + rank)
    g = torch.Generator().manual_seed(step * 64 + rank)
    sizes = torch.tensor([float(len(group["names"])) for group in groups])
    batch = args.batch // args.processes
    began, saved, smooth = time.time(), time.time(), 0.0
    bar = tqdm(mininterval=10, desc="unet", initial=step, disable=rank > 0)
    stop = threading.Event()  # asked to end, it keeps what it has learnt
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    is_over = False
    while not is_over:
        minutes = spent + (time.time() - began) / 60
        for group in optimizer.param_groups:
            group["lr"] = training.rate(minutes / args.minutes, args.rate, floor=0.02)
        chosen = groups[int(torch.multinomial(sizes, 1, generator=g))]
        rows = torch.randint(len(chosen["names"]), (batch,), generator=g)
        flip = torch.rand(batch, 1, 1, 1, generator=g) < 0.5
        clean = torch.where(flip, chosen["flipped"][rows], chosen["latents"][rows]).float()
        captions = [caption(*chosen["names"][i], rng) for i in rows.tolist()]
        t = (torch.rand(1, generator=g) + torch.arange(batch) / batch) % 1 * 1000
        t = t.long()
        noise = torch.randn(clean.shape, generator=g)
        noisy = schedule.add_noise(clean, noise, t)
        target = schedule.get_velocity(clean, noise, t)
        with torch.autocast("cpu", torch.bfloat16):
            out = whole(noisy, t, captions, chosen["size"])
        value = (out.float() - target).square().mean()
        for w in weights:  # zeroed, not dropped: an unused weight must have a gradient to average
            w.grad = None if w.grad is None else w.grad.zero_()
        value.backward()
        for w in weights:
            if w.grad is None:
                w.grad = torch.zeros_like(w)
        is_over = stop.is_set() or minutes >= args.minutes
        is_over = average_gradients(weights, is_over, args.processes)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        smooth = value.item() if smooth == 0 else 0.98 * smooth + 0.02 * value.item()
        if rank > 0:
            continue
        average.update(whole)
        bar.update()
        bar.set_postfix(loss=f"{smooth:.4f}", minutes=f"{minutes:.1f}", refresh=False)
        if is_over or time.time() - saved > 240:
            training.save(
                args.out,
                model=whole.state_dict(),
                average=average.state_dict(),
                optimizer=optimizer.state_dict(),
                step=step,
                minutes=minutes,
                batch=args.batch,
            )
            saved = time.time()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's UNet and text encoders.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed if it exists")
    parser.add_argument("--minutes", type=float, default=60, help="in all, restarts included")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--batch", type=int, default=20, help="over all processes")
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--decay", type=float, default=0.998, help="of the averaged weights")
    args = parser.parse_args(argv)
    if not args.latents.exists():
        parser.error(f"no latents at {args.latents}; make them first")
    Path(f"{args.out}.meeting").unlink(missing_ok=True)
    if args.processes == 1:
        train(0, args)
    else:
        torch.multiprocessing.spawn(train, (args,), nprocs=args.processes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
