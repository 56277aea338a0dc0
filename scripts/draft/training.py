"""What the trainings share: averaged weights, checkpoints, the learning rate, the precision.

Knows torch; does not know what is trained.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studio.engine.autocast import autocast, faster_dtype

PRECISIONS = ("auto", "float32", "bfloat16")


class Average:
    """An exponential moving average of a module's weights, warmed up so it never lags early."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        now = module.state_dict()
        floating = [key for key, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[key] for key in floating], [now[key] for key in floating], 1 - decay
        )

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for key, weight in state["weights"].items():
            self.weights[key].copy_(weight)


def blend(net: nn.Module, learnt: dict[str, Tensor], share: float) -> None:
    """Moves the weights of `net` that share of the way to those `learnt` from it, all of it at 1.

    Part of the way may keep what a model was good at beside what it has learnt since (Wortsman et
    al. 2022, "Robust fine-tuning").
    """
    before = net.state_dict()
    net.load_state_dict({k: torch.lerp(w, learnt[k].to(w), share) for k, w in before.items()})


def save(path: Path, **state: Any) -> None:
    """Writes a checkpoint whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """A checkpoint, on the processor whatever device it was made on; None if there is none."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=False, map_location="cpu")
    return state


def rate(progress: float, peak: float, warmup: float = 0.02, floor: float = 0.05) -> float:
    """Linear warm-up, then cosine down to `floor` of the peak; `progress` in 0..1."""
    if progress < warmup:
        return peak * max(progress / warmup, 0.02)
    t = min(1.0, (progress - warmup) / (1 - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * t)))


def until(deadline: float) -> Iterator[float]:
    """Yields the share of the time gone by, from now until `deadline` (seconds since the epoch)."""
    start = time.time()
    while (now := time.time()) < deadline:
        yield (now - start) / (deadline - start)


def shuffled(n: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(n, generator=generator)


@dataclass(frozen=True)
class Precision:
    """What a training's passes compute in, and the products of its optimizer."""

    passes: torch.dtype
    products: torch.dtype


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="auto: the faster one, measured"
    )


def precision(
    wanted: str, device: str, *, threads: int, channels: int = 288, side: int = 16
) -> Precision:
    """One of PRECISIONS made plain: "auto" measures what the model's sizes make of each."""
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return Precision(dtype, dtype)
    torch.set_num_threads(threads)
    device_type = torch.device(device).type
    x = torch.randn(8, channels, side, side, device=device, requires_grad=True)
    kernel = torch.randn(channels, channels, 3, 3, device=device, requires_grad=True)
    wide = torch.randn(4 * channels, channels, device=device, requires_grad=True)

    def passes(dtype: torch.dtype) -> None:
        with autocast(device_type, dtype):
            y = F.conv2d(x, kernel, padding=1)
            F.linear(y.flatten(2).transpose(1, 2), wide).float().mean().backward()

    def products(dtype: torch.dtype) -> None:
        m = kernel.detach().flatten(1).to(dtype)
        s = m @ m.T
        (s @ s) @ m

    return Precision(faster_dtype(passes, device_type), faster_dtype(products, device_type))
