"""What both trainings share: averaged weights, checkpoints, the learning rate.

Knows torch; does not know what is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


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
