"""The loop of a training: processes that average their gradients, checkpoints, the clock.

Knows weights, gradients and time; what is learned is a `Course`'s to say. On a few shared cores one
process of one thread for each core is faster than one process of many threads; `--device cuda`
takes one process. Asked to end by SIGTERM, it keeps what it has learnt.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from tqdm import tqdm

from scripts.draft import training
from scripts.draft.optimizers import Muon


@dataclass
class Course:
    """`net` learns from the loss that `lesson` answers, one batch at each call.

    `refresh` is called at every checkpoint; `kept` is what the checkpoint says besides.
    """

    net: nn.Module
    lesson: Callable[[], Tensor]
    refresh: Callable[[], None]
    kept: dict[str, Any] = field(default_factory=dict)


Begin = Callable[[argparse.Namespace, int, bool], Course]
"""`begin(args, seed, is_new)` makes the course; a `net` that is not new is filled afterwards."""


def add_arguments(parser: argparse.ArgumentParser, *, rate: float) -> None:
    """What every training takes."""
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; resumed if it exists")
    parser.add_argument("--minutes", type=float, default=60, help="in all, restarts included")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default="cpu", help="cuda takes one process")
    parser.add_argument("--batch", type=int, default=64, help="over all processes")
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--decay", type=float, default=0.998, help="of the averaged weights")
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
    training.add_precision(parser)


def start(begin: Begin, args: argparse.Namespace) -> None:
    """Trains until the minutes are over. `begin` must be a function that a process can import."""
    args.precision = training.precision(args.precision, args.device, threads=args.threads)
    print(f"passes in {args.precision.passes}, Muon's products in {args.precision.products}")
    Path(f"{args.out}.meeting").unlink(missing_ok=True)
    if args.processes == 1:
        train(0, begin, args)
    else:
        torch.multiprocessing.spawn(train, (begin, args), nprocs=args.processes)


def train(rank: int, begin: Begin, args: argparse.Namespace) -> None:
    """One process of the training; the first one keeps the checkpoint."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.processes > 1:
        meeting = f"file://{args.out.resolve()}.meeting"
        distributed.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    state = training.load(args.out)
    step, spent = (state["step"], state["minutes"]) if state else (0, 0.0)
    course = begin(args, step * 64 + rank, state is None)
    net = course.net.to(args.device)
    average = training.Average(net, args.decay)
    weights = [w for w in net.parameters() if w.requires_grad]
    share = {"rank": rank, "num_processes": args.processes}
    optimizer = Muon(weights, lr=args.rate, products=args.precision.products, **share)
    if state is not None:
        net.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        del state
    began, saved, smooth = time.time(), time.time(), 0.0
    bar = tqdm(mininterval=10, desc=args.out.stem, initial=step, disable=rank > 0)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    is_over = False
    while not is_over:
        minutes = spent + (time.time() - began) / 60
        for group in optimizer.param_groups:
            group["lr"] = training.rate(minutes / args.minutes, args.rate, floor=0.02)
        value = course.lesson()
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
            average.update(net)
            bar.update()
            bar.set_postfix(loss=f"{smooth:.4f}", minutes=f"{minutes:.1f}", refresh=False)
        if is_over or time.time() - saved > args.save_every * 60:
            course.refresh()
            saved = time.time()
            if rank == 0:
                training.save(
                    args.out,
                    model=net.state_dict(),
                    average=average.state_dict(),
                    optimizer=optimizer.state_dict(),
                    step=step,
                    minutes=minutes,
                    batch=args.batch,
                    **course.kept,
                )
    if args.processes > 1:
        distributed.destroy_process_group()


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
