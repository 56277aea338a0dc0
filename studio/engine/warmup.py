"""Warm-up: choose the arithmetic and the number of rows by measuring them on this machine.

bfloat16 is faster than float32 only where the processor multiplies it natively, and batching pays
only where one row does not fill the device. Neither is guessed from a processor's name.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch

from studio.engine.denoiser import Rows
from studio.engine.model import Model

MIN_GAIN = 0.10
"""A choice that departs from the plain one (float32, few rows) must be this much faster."""

ROWS = (2, 4, 8, 16)

MAX_PASS_SECONDS = 1.0
"""Beyond this no more rows are tried: whoever comes waits for a whole pass to be let in."""


@dataclasses.dataclass(frozen=True)
class WarmModel:
    """A model ready to serve: `step_seconds` is one guided step of one picture of default size."""

    model: Model
    max_rows: int
    step_seconds: float


def warm_up(
    load: Callable[[str], Model], *, precision: str, max_rows: int, report: Callable[[str], None]
) -> WarmModel:
    """Load a model with `load(precision)` and settle what was left open.

    `precision` "auto" measures float32 against bfloat16; `max_rows` 0 measures the knee of the step
    time over rows. `report` is told what is going on.
    """
    model = load("float32" if precision == "auto" else precision)
    if precision == "auto" and model.modules:  # else it has one arithmetic only
        report("measuring arithmetic")
        plain_seconds = measure(model, num_rows=2)
        model = model.in_precision("bfloat16")
        if measure(model, num_rows=2) > plain_seconds * (1 - MIN_GAIN):
            model = load("float32")  # anew, as the cast has rounded the weights
    report("measuring rows")
    step_seconds = measure(model, num_rows=2)
    if max_rows == 0:
        max_rows = knee(_step_times(model, step_seconds))
    report("decoding")
    _decode_once(model)
    return WarmModel(model=model, max_rows=max_rows, step_seconds=step_seconds)


def knee(seconds: dict[int, float]) -> int:
    """The fewest rows beyond which more rows no longer make each row `MIN_GAIN` cheaper.

    `seconds` maps a number of rows to the time of one pass over them.
    """
    chosen, *others = sorted(seconds)
    for rows in others:
        if seconds[rows] / rows < seconds[chosen] / chosen * (1 - MIN_GAIN):
            chosen = rows
    return chosen


def _step_times(model: Model, step_seconds: float) -> dict[int, float]:
    """Seconds of a pass by rows; `step_seconds` is that of the fewest, known already."""
    seconds = {ROWS[0]: step_seconds}
    for rows in ROWS[1:]:
        if seconds[max(seconds)] > MAX_PASS_SECONDS:
            break
        seconds[rows] = measure(model, num_rows=rows, repeats=1)
    return seconds


def measure(model: Model, *, num_rows: int, repeats: int = 3) -> float:
    """Seconds of a forward pass over `num_rows` rows of the default size: best of `repeats`."""
    embedding = model.encoder.encode("warm up")
    height, width = model.card.default_size
    rows = Rows(
        latents=torch.zeros((num_rows, *model.latent_shape(height, width)), device=model.device),
        timestep=torch.full((num_rows,), 500.0, device=model.device),
        encoder_hidden_states=embedding.hidden_states.expand(num_rows, -1, -1),
        text_embeds=embedding.pooled.expand(num_rows, -1),
        time_ids=torch.tensor([[height, width, 0, 0, height, width]] * num_rows)
        .float()
        .to(model.device),
    )
    best = float("inf")
    for _ in range(repeats + 1):  # the first one allocates
        started = time.perf_counter()
        model.denoiser.denoise(rows).cpu()
        best = min(best, time.perf_counter() - started)
    return best


def _decode_once(model: Model) -> None:
    height, width = model.card.default_size
    model.decoder.decode(torch.zeros(model.latent_shape(height, width), device=model.device))
