"""The precision in which a training's passes are faster on a device, measured; and its context."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def autocast(device_type: str, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Passes in `dtype`; plain float32 needs nothing."""
    return nullcontext() if dtype is torch.float32 else torch.autocast(device_type, dtype)


def faster_dtype(work: Callable[[torch.dtype], object], device_type: str) -> torch.dtype:
    """Of float32 and bfloat16 the one in which `work` takes less time.

    Processors differ: with AMX instructions bfloat16 is several times faster, a convolution on one
    that has only avx512_bf16 can be slower in it than in float32, and one without either takes ten
    times as long. The best of three tries is compared, after one that warms up.
    """

    def seconds(dtype: torch.dtype) -> float:
        began = time.perf_counter()
        work(dtype)
        if device_type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    seconds(torch.float32)
    plain = min(seconds(torch.float32) for _ in range(3))
    seconds(torch.bfloat16)
    for _ in range(3):
        half = seconds(torch.bfloat16)
        if half < plain:
            return torch.bfloat16
        if half > 2 * plain:  # no try will be faster
            break
    return torch.float32
