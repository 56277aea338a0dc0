"""Warm-up: choose the arithmetic and the number of rows by measuring them on this machine.

bfloat16 is faster than float32 only where the processor multiplies it natively, and batching pays
only where one row does not fill the device. Neither is guessed from a processor's name. What was
measured is kept; the next start only checks that it still holds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import torch

from studio.engine.denoiser import Rows
from studio.engine.kept_times import KeptTimes
from studio.engine.memory import free_memory, most_rows
from studio.engine.model import Model
from studio.engine.step_times import MIN_GAIN, StepTimes
from studio.engine.torch_denoiser import TorchDenoiser

ROWS = (1, 2, 4, 8, 16, 32)

MAX_PASS_SECONDS = 1.0
"""Beyond this no more rows are tried: whoever comes waits for a whole pass to be let in."""

MAX_FASTER, MAX_SLOWER = 1.5, 3.0
"""A kept table is not believed where passes are this much faster now (it was measured on a busy
machine) or this much slower (it is of another machine)."""


MEMORY_SHARE = 0.9
"""Of the free memory, what a pass may be measured with."""


@dataclasses.dataclass(frozen=True)
class WarmModel:
    """A model ready to serve, and how long its passes take."""

    model: Model
    times: StepTimes

    def measure_other_sizes(self) -> Iterator[None]:
        """Measure the sizes of the card that `times` lacks, one number of rows at each turn.

        For moments when nothing else is to be done: leave off and go on as you like.
        """
        for height, width in self.model.card.sizes:
            if not self.times.measured_rows(height, width):
                yield from _measured(self.model, self.times, height, width)


def warm_up(
    load: Callable[[str], Model],
    *,
    precision: str,
    kept: KeptTimes,
    report: Callable[[str], None],
) -> WarmModel:
    """Load a model with `load(precision)` and settle what was left open.

    `precision` "auto" measures float32 against bfloat16. `report` is told what is going on.
    """
    model = load("float32" if precision == "auto" else precision)
    if precision == "auto" and model.modules:  # else it has one arithmetic only
        model = _in_fastest_precision(model, load, kept, report)
    return measured(model, kept, report=report)


def measured(model: Model, kept: KeptTimes, *, report: Callable[[str], None]) -> WarmModel:
    """`model` with its step times at the default size: as kept where they still hold, or anew."""
    report("measuring rows")
    times = _default_size_times(model, kept)
    report("decoding")
    _measure_decode(model, times)
    kept.keep(model, times)
    return WarmModel(model=model, times=times)


def _default_size_times(model: Model, kept: KeptTimes) -> StepTimes:
    height, width = model.card.default_size
    times = kept.times(model)
    if times is not None and 2 in times.measured_rows(height, width):
        seconds, before = measure(model, num_rows=2), times.seconds(height, width, 2)
        if 1 / MAX_FASTER < seconds / before < MAX_SLOWER:
            return times
    times = StepTimes()
    for _ in _measured(model, times, height, width):
        pass
    return times


def measure(
    model: Model, *, num_rows: int, size: tuple[int, int] | None = None, repeats: int = 3
) -> float:
    """Seconds of a forward pass over `num_rows` rows of `size` (the default): best of `repeats`."""
    embedding = model.encoder.encode("warm up")
    height, width = size or model.card.default_size
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


def _in_fastest_precision(
    model: Model, load: Callable[[str], Model], kept: KeptTimes, report: Callable[[str], None]
) -> Model:
    chosen = kept.precision(model)
    if chosen is None:
        report("measuring arithmetic")
        plain_seconds = measure(model, num_rows=2)
        digest_of = model
        model = model.in_precision("bfloat16")
        is_faster = measure(model, num_rows=2) < plain_seconds * (1 - MIN_GAIN)
        chosen = "bfloat16" if is_faster else "float32"
        kept.keep_precision(digest_of, chosen)
        # Loaded anew where it stays: the cast has rounded the weights.
        return model if is_faster else load("float32")
    return model.in_precision(chosen) if chosen != model.precision else model


def _measured(model: Model, times: StepTimes, height: int, width: int) -> Iterator[None]:
    fitting = _rows_that_fit(model, height, width)
    seconds = 0.0
    for num_rows in ROWS:
        if num_rows > max(fitting, 1):
            return
        repeats = 1 if seconds > MAX_PASS_SECONDS / 10 else 2
        seconds = measure(model, num_rows=num_rows, size=(height, width), repeats=repeats)
        times.record(height, width, num_rows, seconds)
        yield
        if seconds > MAX_PASS_SECONDS:
            return


def _rows_that_fit(model: Model, height: int, width: int) -> int:
    """What the memory that is free now holds, with some left over."""
    if not isinstance(model.denoiser, TorchDenoiser):
        return max(ROWS)
    return most_rows(model, height, width, int(MEMORY_SHARE * free_memory(model.device)))


def _measure_decode(model: Model, times: StepTimes) -> None:
    height, width = model.card.default_size
    latents = torch.zeros(model.latent_shape(height, width), device=model.device)
    for _ in range(2):  # the first one allocates
        started = time.perf_counter()
        model.decoder.decode(latents)
        times.record_decode(height, width, time.perf_counter() - started)
