"""Products of bytes on a card: INT8 and FP8 linear layers as its matrix units multiply them.

By `torch._int_mm` and `torch._scaled_mm`, the operators torchao stands on, with the scales that
`studio quantize` found: torchao's layers choose theirs themselves, from the weights or anew at
every pass, and know nothing of what was calibrated. Which product a device takes is settled once,
by what it can do and by a small proof; where none does, layers go on computing with rounded values.

The operators have rules on a card that they have not on a processor: `x` lies row by row and the
weights column by column, as they do here; INT8 wants more than 16 rows and sides in multiples of 8,
FP8 sides in multiples of 16. What falls short is filled up with zeros.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

log = logging.getLogger(__name__)

Product = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, torch.dtype],
    torch.Tensor,
]
"""`product(x, weight, input_scale, weight_scale, bias, dtype)`: of the bytes `x` `[M, K]` and
`weight` `[N, K]`, `input_scale · weight_scale · x weightᵀ + bias` as `[M, N]` in `dtype`. Scales
are float32, one number and `[N]`.
"""

MIN_CAPABILITY = {"int8": (7, 5), "fp8": (8, 9)}
"""The first cards whose matrix units take such bytes."""

INT8_ROWS, INT8_STEP = 32, 8
FP8_STEP = 16

MAX_PROOF_ERROR = 0.02
"""Of a product to be believed; bfloat16 rounds by 0.4 % at most."""

PROOF_SHAPE = (33, 64, 48)
"""Rows, inputs and outputs of the proof."""


def int8_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    input_scale: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Sums are whole numbers of four bytes, so nothing is lost before they are scaled."""
    num_rows, num_out = len(x), len(weight)
    padded = _padded(x, INT8_ROWS if num_rows < INT8_ROWS else 1, INT8_STEP)
    sums = torch._int_mm(padded, _padded(weight, INT8_STEP, INT8_STEP).T)[:num_rows, :num_out]
    return _scaled(sums, input_scale * weight_scale, bias, dtype)


def fp8_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    input_scale: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """One scale within the product, those of the outputs after it."""
    sums = torch._scaled_mm(
        _padded(x, 1, FP8_STEP),
        _padded(weight, FP8_STEP, FP8_STEP).T,
        scale_a=input_scale,
        scale_b=torch.ones_like(input_scale),
        out_dtype=torch.float32,
        use_fast_accum=True,
    )
    return _scaled(sums[:, : len(weight)], weight_scale, bias, dtype)


def fp8_product_by_rows(
    x: torch.Tensor,
    weight: torch.Tensor,
    input_scale: torch.Tensor,
    weight_scale: torch.Tensor,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """All scales and the bias within the product, which gives bfloat16 and nothing else."""
    if dtype != torch.bfloat16:
        return fp8_product(x, weight, input_scale, weight_scale, bias, dtype)
    num_out = len(weight)
    left = -num_out % FP8_STEP
    output = torch._scaled_mm(
        _padded(x, 1, FP8_STEP),
        _padded(weight, FP8_STEP, FP8_STEP).T,
        scale_a=input_scale.expand(len(x), 1).contiguous(),
        scale_b=torch.nn.functional.pad(weight_scale, (0, left), value=1.0)[None],
        bias=None if bias is None else torch.nn.functional.pad(bias, (0, left)).to(dtype),
        out_dtype=dtype,
        use_fast_accum=True,
    )
    return output[:, :num_out]


def products(form: str, capability: tuple[int, int]) -> Sequence[Product]:
    """What a card of this compute capability may take for `form`, the fastest first."""
    if capability < MIN_CAPABILITY[form]:
        return ()
    return (int8_product,) if form == "int8" else (fp8_product_by_rows, fp8_product)


def proven(
    candidates: Sequence[Product], form: str, device: torch.device | str, dtype: torch.dtype
) -> Product | None:
    """The first of `candidates` that this device computes, and computes rightly."""
    for product in candidates:
        try:
            error = proof_error(product, form, device, dtype)
        except (RuntimeError, NotImplementedError, ValueError) as trouble:
            log.info("%s is not for %s: %s", product.__name__, device, trouble)
            continue
        if error <= MAX_PROOF_ERROR:
            return product
        log.warning("%s is wrong by %.2g on %s", product.__name__, error, device)
    return None


def product_for(form: str, device: str, dtype: torch.dtype) -> Product | None:
    """How `device` multiplies bytes of `form`; `None` where it does not, as on every processor."""
    if not device.startswith("cuda"):
        return None
    candidates = products(form, torch.cuda.get_device_capability(device))
    product = proven(candidates, form, device, dtype)
    log.info(
        "linear layers of %s: %s",
        form,
        "rounded values" if product is None else f"bytes by {product.__name__}",
    )
    return product


def proof_error(
    product: Product, form: str, device: torch.device | str, dtype: torch.dtype
) -> float:
    """How far a small product is from the same in float32, relative."""
    num_rows, num_in, num_out = PROOF_SHAPE
    generator = torch.Generator("cpu").manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        values = torch.randint(-8, 9, shape, generator=generator).float()  # exact in any form
        return values.to(device)

    x, weight = numbers(num_rows, num_in), numbers(num_out, num_in)
    bias, scale = numbers(num_out), torch.full((), 0.5, device=device)
    scales = torch.linspace(0.5, 2.0, num_out, device=device)
    kind = torch.int8 if form == "int8" else torch.float8_e4m3fn
    found = product(x.to(kind), weight.to(kind), scale, scales, bias.to(dtype), dtype).float()
    wanted = (x @ weight.T) * scale * scales + bias
    return float(((found - wanted).norm() / wanted.norm()).nan_to_num(nan=float("inf")))


def _scaled(
    sums: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    output = sums * scale
    return (output if bias is None else output + bias).to(dtype)


def _padded(matrix: torch.Tensor, row_step: int, column_step: int) -> torch.Tensor:
    """With zeros up to multiples of these, in row order."""
    rows, columns = (
        -size % step for size, step in zip(matrix.shape, (row_step, column_step), strict=True)
    )
    if not rows and not columns:
        return matrix.contiguous()
    # Filled up as whole numbers: not every device fills up float8.
    whole = torch.nn.functional.pad(matrix.view(torch.int8), (0, columns, 0, rows))
    return whole.view(matrix.dtype)
