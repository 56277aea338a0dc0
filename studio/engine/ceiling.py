"""What a device can do at most, measured; and what a pass asks of it, counted.

The ceiling is the rate of one large matrix product in the precision: no network reaches it, and no
data sheet is trusted. Operations are counted by torch on a real pass, a multiplication with its
addition as two.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.model import Model

SIDES = {"cuda": 8192, "cpu": 1024}
"""Of the square matrices multiplied: large enough to fill the device."""

NUM_TIMES = 5


def ceiling(device: str, precision: str, *, side: int | None = None) -> float:
    """Operations a second of a matrix product in `precision`, best of a few; 0.0 where it has none.

    "int8" and "fp8" are what torch offers for them on the device.
    """
    kind = torch.device(device).type
    size = side or SIDES[kind]
    try:
        multiply = _multiplication(device, precision, size)
        multiply()
    except (RuntimeError, NotImplementedError):  # not on this device
        return 0.0
    best = float("inf")
    for _ in range(NUM_TIMES):
        _wait(device)
        started = time.perf_counter()
        multiply()
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def passing_rows(
    model: Model, num_rows: int, size: tuple[int, int], kind: str | None = None
) -> Rows:
    """Rows as a drawing has them in its middle; with `kind`, all follow a control image."""
    height, width = size
    embedding = model.encoder.encode("a red mug")
    generator = torch.Generator("cpu").manual_seed(0)
    latents = torch.randn((num_rows, *model.latent_shape(height, width)), generator=generator)
    rows = Rows(
        latents=latents.to(model.device),
        timestep=torch.full((num_rows,), 500.0, device=model.device),
        encoder_hidden_states=embedding.hidden_states.expand(num_rows, -1, -1),
        text_embeds=embedding.pooled.expand(num_rows, -1),
        time_ids=torch.tensor([[height, width, 0, 0, height, width]] * num_rows)
        .float()
        .to(model.device),
    )
    if kind is None:
        return rows
    control = ControlRows(
        kind,
        torch.arange(num_rows, device=model.device),
        torch.zeros((num_rows, 3, height, width), device=model.device),
        torch.ones(num_rows, device=model.device),
    )
    return dataclasses.replace(rows, controls=(control,))


def row_flops(model: Model, size: tuple[int, int], kind: str | None = None) -> float:
    """Operations of one row of a pass, as torch runs `model`."""
    with counting() as counter:
        model.denoiser.denoise(passing_rows(model, 1, size, kind))
    return float(counter.get_total_flops())


def picture_flops(
    model: Model, size: tuple[int, int], num_steps: int, kind: str | None = None
) -> float:
    """Operations of one guided picture as torch runs `model`: two rows a step, and the decoding."""
    with counting() as counter:
        model.decoder.decode(torch.zeros(model.latent_shape(*size), device=model.device))
    return 2 * num_steps * row_flops(model, size, kind) + float(counter.get_total_flops())


def counting() -> FlopCounterMode:
    """Counts operations, those of INT8 products too, which torch itself leaves out."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten._int_mm: _product_flops})


def _product_flops(left: torch.Size, right: torch.Size, *_: object, **__: object) -> int:
    """Of a product of matrices of these shapes."""
    return 2 * left[0] * left[1] * right[1]


def pass_seconds(model: Model, rows: Rows, *, num_times: int = 3) -> float:
    """Seconds of a pass, best of a few; the first one is for allocating and compiling."""
    best = float("inf")
    for index in range(num_times + 1):
        _wait(model.device)
        started = time.perf_counter()
        model.denoiser.denoise(rows)
        _wait(model.device)
        if index:
            best = min(best, time.perf_counter() - started)
    return best


def decode_seconds(model: Model, size: tuple[int, int]) -> float:
    """Seconds from latents to a picture's bytes, best of two."""
    latents = torch.zeros(model.latent_shape(*size), device=model.device)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        model.decoder.decode(latents)
        best = min(best, time.perf_counter() - started)
    return best


def device_name(device: str) -> str:
    """The card's name; "" for a processor, which others know better."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else ""


def reset_peak(device: str) -> None:
    """Forget the most memory torch held so far."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: str) -> int | None:
    """The most torch held on a card since then; `None` on a processor."""
    if not device.startswith("cuda"):
        return None
    return int(torch.cuda.max_memory_allocated(device))


def _multiplication(device: str, precision: str, size: int) -> Callable[[], torch.Tensor]:
    if precision == "int8":
        left = torch.randint(-9, 9, (size, size), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(left, left.T)
    if precision == "fp8":
        eight = torch.randn((size, size), device=device).to(torch.float8_e4m3fn)
        one = torch.ones((), device=device)
        return lambda: torch._scaled_mm(
            eight,
            eight.T,
            scale_a=one,
            scale_b=one,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
    plain = torch.randn((size, size), device=device).to(getattr(torch, precision))
    return lambda: plain @ plain


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
