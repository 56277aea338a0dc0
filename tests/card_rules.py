"""The rules that torch's products of bytes have on a card, kept on a processor, which has none.

From what torch checks before it calls the card's library: layouts, sides in multiples, scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class CardRules(TorchFunctionMode):
    """Within it a call that a card would refuse is an `AssertionError`; `num_calls` were right."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch._int_mm:
            x, weight = args
            assert x.dtype == weight.dtype == torch.int8
            assert len(x) > 16
            _check(x, weight, 8)
            self.num_calls += 1
        if func is torch._scaled_mm:
            x, weight = args
            assert x.dtype == weight.dtype == torch.float8_e4m3fn
            _check(x, weight, 16)
            _check_scales(x, weight, **kwargs)
            self.num_calls += 1
        return func(*args, **kwargs)


def _check(x: torch.Tensor, weight: torch.Tensor, step: int) -> None:
    assert x.shape[1] == weight.shape[0]
    assert x.shape[1] % step == 0
    assert weight.shape[1] % step == 0
    assert x.stride() == (x.shape[1], 1), "the first matrix does not lie row by row"
    assert weight.stride() == (1, weight.shape[0]), "the second does not lie column by column"


def _check_scales(
    x: torch.Tensor,
    weight: torch.Tensor,
    *,
    scale_a: torch.Tensor,
    scale_b: torch.Tensor,
    out_dtype: torch.dtype,
    bias: torch.Tensor | None = None,
    use_fast_accum: bool = False,
) -> None:
    assert scale_a.dtype == scale_b.dtype == torch.float32
    if scale_a.numel() == scale_b.numel() == 1:
        return
    assert scale_a.shape == (len(x), 1)
    assert scale_b.shape == (1, weight.shape[1])
    assert scale_a.is_contiguous()
    assert scale_b.is_contiguous()
    assert out_dtype == torch.bfloat16
    assert bias is None or bias.dtype == torch.bfloat16
    assert use_fast_accum in (False, True)
