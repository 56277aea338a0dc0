"""A training's passes run in the precision that is faster on this processor."""

from __future__ import annotations

import pytest
import torch

from studio.engine.autocast import autocast, faster_dtype

DTYPES = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_passes_run_in_the_precision_that_was_chosen(dtype: torch.dtype) -> None:
    with autocast("cpu", dtype):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype is dtype


@pytest.mark.parametrize("slow", DTYPES)
def test_the_precision_that_takes_less_time_is_chosen(slow: torch.dtype) -> None:
    def work(dtype: torch.dtype) -> int:
        return sum(range(100_000 if dtype is slow else 10))

    assert faster_dtype(work, "cpu") is not slow
