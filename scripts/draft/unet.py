"""Trains the UNet and both text encoders together, from nothing or from a shipped model.

Knows latents and captions; does not know pixels. The loss is the plain squared error of
the velocity, which already weighs noise levels evenly; timesteps are spread evenly over
each batch to quieten it. Renders that are encoded meanwhile join in at the next checkpoint. On a
few shared cores one process of one thread for each core is faster than one process of many
threads, so gradients are averaged between processes; `--device cuda` takes one process.

    python -m scripts.draft.unet --latents .draft/latents.pt --tokenizer .draft/tok \
        --from assets/models/draft --out .draft/unet.pt --minutes 60 --processes 2
"""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from tqdm import tqdm

from scripts.draft import model, training
from scripts.draft.captions import caption
from scripts.draft.optimizers import Muon


class Whole(nn.Module):
    """UNet and text encoders as one set of weights."""

    def __init__(self, tokenizer_folder: str) -> None:
        super().__init__()
        self.text = model.text(tokenizer_folder)
        self.encoders = self.text.encoders
        self.unet = model.unet()

    def forward(
        self,
        noisy: Tensor,
        t: Tensor,
        captions: list[str],
        size: tuple[int, int],
        residuals: tuple[tuple[Tensor, ...], Tensor] | None = None,
    ) -> Tensor:
        """The velocity; `residuals` are a ControlNet's for the way down and the middle."""
        states, pooled = self.text.encode(captions)
        ids = model.time_ids(*size, len(captions)).to(noisy.device)
        down, middle = residuals or (None, None)
        return self.unet(
            noisy,
            t,
            states,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": ids},
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample


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


class Lessons:
    """Batches of noised latents with their captions; reads the file again when it has grown."""

    def __init__(self, path: Path, batch: int, device: str, seed: int) -> None:
        self.path, self.batch, self.device = path, batch, device
        self.rng = random.Random(seed)
        self.g = torch.Generator().manual_seed(seed)
        self.schedule = model.noise_schedule()
        self.read_at = 0.0
        self.refresh()

    def refresh(self) -> None:
        if self.path.stat().st_mtime > self.read_at:
            self.read_at = self.path.stat().st_mtime
            data = training.load(self.path)
            assert data is not None
            self.groups: list[dict[str, Any]] = data["groups"]
            self.sizes = torch.tensor([float(len(group["names"])) for group in self.groups])

    def next(self) -> tuple[Tensor, Tensor, Tensor, list[str], tuple[int, int]]:
        """(noisy latents, timesteps, velocities, captions, size of the pictures)."""
        chosen = self.groups[int(torch.multinomial(self.sizes, 1, generator=self.g))]
        rows = torch.randint(len(chosen["names"]), (self.batch,), generator=self.g)
        flip = torch.rand(self.batch, 1, 1, 1, generator=self.g) < 0.5
        clean = torch.where(flip, chosen["flipped"][rows], chosen["latents"][rows]).float()
        self.rows, self.flip = rows, flip.flatten()  # for who needs the pictures too
        self.chosen = chosen
        captions = [caption(*chosen["names"][i], self.rng) for i in rows.tolist()]
        spread = torch.arange(self.batch) / self.batch
        t = ((torch.rand(1, generator=self.g) + spread) % 1 * 1000).long()
        noise = torch.randn(clean.shape, generator=self.g)
        noisy = self.schedule.add_noise(clean, noise, t)
        target = self.schedule.get_velocity(clean, noise, t)
        moved = (x.to(self.device) for x in (noisy, t, target))
        return (*moved, captions, chosen["size"])


def train(rank: int, args: argparse.Namespace) -> None:
    """One process of the training; the first one keeps the checkpoint."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.processes > 1:
        meeting = f"file://{args.out.resolve()}.meeting"
        distributed.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    whole = Whole(str(args.tokenizer))
    state = training.load(args.out)
    if args.shipped and state is None:
        from scripts.draft.shipped import carry

        carry(whole, args.shipped)
    whole.to(args.device)
    average = training.Average(whole, args.decay)
    weights = [w for w in whole.parameters() if w.requires_grad]
    optimizer = Muon(weights, lr=args.rate, rank=rank, num_processes=args.processes)
    step, spent = 0, 0.0
    if state is not None:
        whole.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["minutes"]
        del state
    seed = step * 64 + rank
    lessons = Lessons(args.latents, args.batch // args.processes, args.device, seed)
    device_type = torch.device(args.device).type
    began, saved, smooth = time.time(), time.time(), 0.0
    bar = tqdm(mininterval=10, desc="unet", initial=step, disable=rank > 0)
    stop = threading.Event()  # asked to end, it keeps what it has learnt
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    is_over = False
    while not is_over:
        minutes = spent + (time.time() - began) / 60
        for group in optimizer.param_groups:
            group["lr"] = training.rate(minutes / args.minutes, args.rate, floor=0.02)
        noisy, t, target, captions, size = lessons.next()
        with model.attention_for(device_type), torch.autocast(device_type, torch.bfloat16):
            out = whole(noisy, t, captions, size)
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
        if rank == 0:
            average.update(whole)
            bar.update()
            bar.set_postfix(loss=f"{smooth:.4f}", minutes=f"{minutes:.1f}", refresh=False)
        if is_over or time.time() - saved > args.save_every * 60:
            lessons.refresh()
            saved = time.time()
            if rank == 0:
                training.save(
                    args.out,
                    model=whole.state_dict(),
                    average=average.state_dict(),
                    optimizer=optimizer.state_dict(),
                    step=step,
                    minutes=minutes,
                    batch=args.batch,
                )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the draft model's UNet and text encoders.")
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed if it exists")
    parser.add_argument("--from", dest="shipped", type=Path, help="a model folder to go on from")
    parser.add_argument("--minutes", type=float, default=60, help="in all, restarts included")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default="cpu", help="cuda takes one process")
    parser.add_argument("--batch", type=int, default=64, help="over all processes")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.998, help="of the averaged weights")
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
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
