"""Warm-up: choose the arithmetic and the number of rows by measuring them on this machine.

bfloat16 is faster than float32 only where the processor multiplies it natively, and batching pays
only where one row does not fill the device. Neither is guessed from a processor's name. What was
measured is kept; the next start only checks that it still holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator

import torch

from studio.engine.buckets import buckets_up_to
from studio.engine.ceiling import pass_seconds, passing_rows
from studio.engine.denoiser import Rows
from studio.engine.devices import half_precision
from studio.engine.kept_times import Choice, KeptTimes
from studio.engine.memory import free_memory, is_out_of_memory, most_rows, release, release_all
from studio.engine.model import Model
from studio.engine.step_times import MIN_GAIN, StepTimes
from studio.engine.tiny_preview import TinyPreview
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import GenerationFailed, NotReady

ROWS = (1, 2, 4, 8, 16, 32)

MAX_PASS_SECONDS = 1.0
"""Beyond this no more rows are tried: whoever comes waits for a whole pass to be let in."""

MAX_FASTER, MAX_SLOWER = 1.5, 3.0
"""A kept table is not believed where passes are this much faster now (it was measured on a busy
machine) or this much slower (it is of another machine)."""


NUM_CALM_PASSES = 3

MAX_PREVIEW_SHARE = 0.1
"""Of a guided step of one picture: what a network's preview may take, where no card decodes it."""

MEMORY_SHARE = 0.9
"""Of the free memory, what a pass may be measured with."""

NO_MEMORY = (
    "The device has no memory left for a single picture of this model: close what else uses it, or "
    "choose a smaller model."
)

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class WarmModel:
    """A model ready to serve, and how long its passes take."""

    model: Model
    times: StepTimes

    def measure_other_sizes(
        self, on_out_of_memory: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Measure the sizes of the card that `times` lacks, one pass at each turn.

        For moments when nothing else is to be done: leave off and go on as you like. The rows of
        one picture and of the default size's knee must do, so that no newcomer waits for more. What
        does not fit into memory is left unmeasured, and told. A backend that must read gigabytes
        for each size reads them when somebody asks for it.
        """
        if self.model.prepare is not None:
            return
        default_height, default_width = self.model.card.default_size
        knee = self.times.knee(default_height, default_width)
        for height, width in self.model.card.sizes:
            if self.times.measured_rows(height, width):
                continue
            found: dict[int, float] = {}
            most = max(ROWS)
            if height * width > default_height * default_width:
                # Counted before it is taken: a processor's memory that runs out ends the process.
                most = _rows_that_fit(self.model, height, width)
            for num_rows in sorted({2, knee}):
                if num_rows > most:
                    on_out_of_memory()
                    break
                passes = _passes(self.model, num_rows, (height, width))
                for _ in range(NUM_CALM_PASSES):
                    seconds = _within_memory(functools.partial(next, passes), self.model)
                    if seconds is None:
                        on_out_of_memory()
                        break
                    found[num_rows] = min(seconds, found.get(num_rows, seconds))
                    yield
            for num_rows, seconds in found.items():
                self.times.record(height, width, num_rows, seconds)
            yield from compile_ahead(self.model, (height, width), knee, lambda _: None)


def warm_up(
    load: Callable[[str], Model],
    *,
    precision: str,
    kept: KeptTimes,
    report: Callable[[str], None],
) -> WarmModel:
    """Load a model with `load(precision)` and settle what was left open.

    `precision` "auto" measures float32 against bfloat16, and is half precision where float32 does
    not fit into the device's memory. `report` is told what is going on.
    """
    model = _in_chosen_precision(load, kept, report) if precision == "auto" else load(precision)
    if model is None:
        release_all()
        log.warning("the model does not fit in float32: in %s, then", half_precision())
        model = load(half_precision())
    return measured(model, kept, report=report)


def _in_chosen_precision(
    load: Callable[[str], Model], kept: KeptTimes, report: Callable[[str], None]
) -> Model | None:
    """The model in float32 or bfloat16; `None` where it does not fit in float32."""
    try:
        model = load("float32")
        if not model.modules:  # it has one arithmetic only
            return model
        return _in_fastest_precision(model, load, kept, report)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None


def measured(model: Model, kept: KeptTimes, *, report: Callable[[str], None]) -> WarmModel:
    """`model` with its step times at the default size: as kept where they still hold, or anew."""
    report("measuring rows")
    times = _default_size_times(model, kept)
    size = model.card.default_size
    for _ in compile_ahead(model, size, times.knee(*size), report):
        pass
    report("decoding")
    _measure_decode(model, times)
    kept.keep(model, times)
    return WarmModel(model=with_measured_preview(model, times), times=times)


def with_measured_preview(model: Model, times: StepTimes) -> Model:
    """`model`, its preview's time known; by the linear map where a network's would be too dear."""
    preview, (height, width) = model.preview, model.card.default_size
    if not isinstance(preview, TinyPreview):
        return model
    latents = torch.zeros(model.latent_shape(height, width), device=model.device)
    seconds = _within_memory(functools.partial(preview.seconds, latents), model)
    allowed = MAX_PREVIEW_SHARE * times.seconds(height, width, 2)
    if seconds is not None and (model.device.startswith("cuda") or seconds <= allowed):
        return dataclasses.replace(model, preview_seconds=seconds)
    left = tuple(module for module in model.modules if module is not preview.network)
    return dataclasses.replace(model, preview=preview.plain, modules=left)


def _default_size_times(model: Model, kept: KeptTimes) -> StepTimes:
    height, width = model.card.default_size
    times = kept.times(model)
    if times is not None and 2 in times.measured_rows(height, width):
        seconds, before = measure(model, num_rows=2), times.seconds(height, width, 2)
        if 1 / MAX_FASTER < seconds / before < MAX_SLOWER:
            return times
    times = StepTimes()
    _measure_rows(model, times, height, width)
    return times


def measure(
    model: Model, *, num_rows: int, size: tuple[int, int] | None = None, repeats: int = 3
) -> float:
    """Seconds of a forward pass over `num_rows` rows of `size` (the default): best of `repeats`."""
    passes = _passes(model, num_rows, size or model.card.default_size)
    return min(itertools.islice(passes, repeats + 1))  # the first one allocates


def compile_ahead(
    model: Model, size: tuple[int, int], most_rows: int, report: Callable[[str], None]
) -> Iterator[None]:
    """Run every kind of pass of up to `most_rows` rows once, one at each turn, where torch compiles
    them when it first meets them: minutes that else somebody would wait for.

    Whatever the step times say: they are kept from one start to the next, and the code is not.
    """
    if not model.is_compiled:
        return
    for num_rows in buckets_up_to(most_rows):
        for kind in (None, *sorted(model.control_kinds)):
            report(f"compiling {num_rows} rows{f' that follow {kind}' if kind else ''}")
            one_pass = functools.partial(_one_pass, model, num_rows, size, kind)
            if _within_memory(one_pass, model) is None:
                return
            yield


def _one_pass(model: Model, num_rows: int, size: tuple[int, int], kind: str | None) -> float:
    return pass_seconds(model, passing_rows(model, num_rows, size, kind), num_times=0)


def _passes(model: Model, num_rows: int, size: tuple[int, int]) -> Iterator[float]:
    """Seconds of one forward pass after the other."""
    embedding = model.encoder.encode("warm up")
    height, width = size
    rows = Rows(
        latents=torch.zeros((num_rows, *model.latent_shape(height, width)), device=model.device),
        timestep=torch.full((num_rows,), 500.0, device=model.device),
        encoder_hidden_states=embedding.hidden_states.expand(num_rows, -1, -1),
        text_embeds=embedding.pooled.expand(num_rows, -1),
        time_ids=torch.tensor([[height, width, 0, 0, height, width]] * num_rows)
        .float()
        .to(model.device),
    )
    while True:
        started = time.perf_counter()
        model.denoiser.denoise(rows).cpu()
        yield time.perf_counter() - started


def _in_fastest_precision(
    model: Model, load: Callable[[str], Model], kept: KeptTimes, report: Callable[[str], None]
) -> Model:
    """`model`, which is in float32, in the arithmetic that was the faster one, or is."""
    report("measuring arithmetic")
    plain_seconds = measure(model, num_rows=2, repeats=1)
    choice = kept.choice(model)
    # Chosen on a busy machine, it may be the wrong one; see `MAX_FASTER`.
    if choice is not None and plain_seconds > choice.plain_seconds / MAX_FASTER:
        return model if choice.precision == "float32" else model.in_precision(choice.precision)
    plain_seconds = min(plain_seconds, measure(model, num_rows=2))
    plain, model = model, model.in_precision("bfloat16")
    is_faster = measure(model, num_rows=2) < plain_seconds * (1 - MIN_GAIN)
    kept.keep_choice(plain, Choice("bfloat16" if is_faster else "float32", plain_seconds))
    # Loaded anew where it stays: the cast has rounded the weights.
    return model if is_faster else load("float32")


def _measure_rows(model: Model, times: StepTimes, height: int, width: int) -> None:
    fitting = _rows_that_fit(model, height, width)
    seconds = 0.0
    for num_rows in ROWS:
        if num_rows > max(fitting, 1):
            return
        repeats = 1 if seconds > MAX_PASS_SECONDS / 10 else 2
        attempt = functools.partial(
            measure, model, num_rows=num_rows, size=(height, width), repeats=repeats
        )
        found = _within_memory(attempt, model)
        if found is None:
            if num_rows == 1:
                raise NotReady(NO_MEMORY)
            return
        seconds = found
        times.record(height, width, num_rows, seconds)
        if seconds > MAX_PASS_SECONDS:
            return


def _within_memory(measure: Callable[[], float], model: Model) -> float | None:
    """What `measure` says; `None` where memory runs out, which is then given back."""
    try:
        return measure()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release(model.device)  # only here is the error gone, and the tensors its traceback held
    return None


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
        with contextlib.suppress(GenerationFailed):  # for want of numbers: a picture will say so
            model.decoder.decode(latents)
        times.record_decode(height, width, time.perf_counter() - started)
