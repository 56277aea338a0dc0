"""`Runner`: owns the tensors of every sample in flight and runs one forward pass over many of them.

Latents change only when a whole step succeeded, so a failed step can be run again: where memory
runs out the rows of the pass are halved and the same step is tried again. What goes wrong for one
sample is reported for that sample; the others go on.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from studio.engine.clock import StageClock
from studio.engine.decoder import NOT_A_NUMBER, Decoded, Decoding
from studio.engine.denoiser import Rows
from studio.engine.gathered import Gathered
from studio.engine.linear import LinearSchedule, linear_schedule
from studio.engine.memory import is_out_of_memory, release
from studio.engine.model import Model
from studio.engine.sample import Sample, SampleKey
from studio.engine.samplers import Sampler
from studio.engine.scheduler import StepBatch
from studio.engine.state import State
from studio.engine.text import PromptEmbedding
from studio.engine.transfer import OneAhead, send
from studio.errors import GenerationFailed
from studio.events import Pixels
from studio.request import Lora, Request

MAX_CONTROL_IMAGES = 16

NO_MEMORY = (
    "There was not enough memory to draw this, even by itself: choose a smaller size, "
    "or close other programs that use the device."
)

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Runner:
    """Runs models. Called from one thread only.

    `load_control` gives the control image of a digest. `on_out_of_memory` is told of the batch and
    the rows of the pass that did not fit.
    """

    def __init__(
        self,
        clock: StageClock,
        *,
        load_control: Callable[[str], Pixels],
        on_out_of_memory: Callable[[StepBatch, int], None] = lambda batch, num_rows: None,
    ) -> None:
        self._clock = clock
        self._load_control = load_control
        self._on_out_of_memory = on_out_of_memory
        self._states: dict[SampleKey, State] = {}
        self._gathered: Gathered | None = None
        self._pace = OneAhead()
        self._control_images: collections.OrderedDict[str, torch.Tensor] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def begin(self, sample: Sample, model: Model) -> int:
        """Give a sample its noise, schedule and embeddings; the number of forward passes it needs.

        Raises:
            GenerationFailed: the model cannot read its prompt, its control image is missing, or
                memory does not suffice.
        """
        return _within_memory(model.device, lambda: self._begin(sample, model))

    @torch.inference_mode()
    def _begin(self, sample: Sample, model: Model) -> int:
        request = sample.request
        options = {"num_steps": request.num_steps}
        schedule = linear_schedule(request.sampler, model.sampler_config, **options)
        sampler = None
        if schedule is None:
            sampler = Sampler(
                request.sampler,
                model.sampler_config,
                seed=sample.seed,
                device=model.device,
                **options,
            )
        with self._clock.stage("text"):
            conditions = self._conditions(request, model)
        shape = model.latent_shape(request.height, request.width)
        size = (request.height, request.width)
        time_ids = torch.tensor([*size, *request.crops_coords_top_left, *size], dtype=torch.float32)
        self._states[sample.key] = State(
            model=model,
            latents=send(_initial_noise(shape, sample.seed, sampler or schedule), model.device),
            conditions=conditions,
            time_ids=send(time_ids, model.device),
            schedule=schedule,
            sampler=sampler,
            control_image=self._control_image(request, model),
        )
        steps = sampler or schedule
        assert steps is not None
        return steps.num_evaluations

    def run(
        self, batch: StepBatch, *, max_rows: int | None = None
    ) -> dict[SampleKey, GenerationFailed]:
        """Take one denoising step for every sample of `batch`; the samples that failed, and why.

        At most `max_rows` rows go through the model at once; both rows of a sample need not.
        """
        failures: dict[SampleKey, GenerationFailed] = {}
        todo, rows_of_a_pass = [batch.samples], min(batch.num_rows, max_rows or batch.num_rows)
        while todo:
            samples = todo.pop()
            problem = self._attempt(samples, rows_of_a_pass, failures)
            if problem is None:
                continue
            # The error is gone with its traceback here, and with it the tensors that this held.
            if problem.is_out_of_memory:
                release(self._states[samples[0].key].model.device)
                self._on_out_of_memory(batch, rows_of_a_pass)
                if rows_of_a_pass > 1:
                    rows_of_a_pass = (min(rows_of_a_pass, _num_rows(samples)) + 1) // 2
                    todo.append(samples)
                    continue
            if len(samples) > 1:  # one by one, so that only the sample that cannot be run fails
                todo += [(sample,) for sample in reversed(samples)]
                continue
            cause = "no_memory" if problem.is_out_of_memory else "model"
            failures[samples[0].key] = GenerationFailed(problem.message, cause=cause)
        return failures

    def preview(self, sample: Sample) -> Pixels | None:
        """The predicted clean picture so far, at latent resolution.

        Raises:
            GenerationFailed: it is not finite, and so never will be.
        """
        state = self._states[sample.key]
        if state.clean is None:
            return None
        if not bool(state.clean.sum().isfinite()):
            raise GenerationFailed(NOT_A_NUMBER, cause="not_a_number")
        return state.model.preview.decode(state.clean)

    def begin_decoding(self, sample: Sample) -> Decoding:
        """Begin on the finished picture: done later where the decoder works beside the steps.

        Raises:
            GenerationFailed: see `decode`.
        """
        state = self._states[sample.key]
        begin: Callable[[torch.Tensor], Decoding] | None
        begin = getattr(state.model.decoder, "begin", None)
        if begin is None:
            return Decoded(self.decode(sample))
        try:
            with self._clock.stage("decode"):
                decoding: Decoding = begin(state.latents)
                return decoding
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release(state.model.device)
        return Decoded(self.decode(sample))

    def decode(self, sample: Sample) -> Pixels:
        """The finished picture.

        Raises:
            GenerationFailed: the latents are not finite numbers, or memory does not suffice.
        """
        state = self._states[sample.key]
        if not bool(torch.isfinite(state.latents).all()):
            raise GenerationFailed(NOT_A_NUMBER, cause="not_a_number")

        def decode() -> Pixels:
            with self._clock.stage("decode"):
                return state.model.decoder.decode(state.latents)

        return _within_memory(state.model.device, decode)

    def latents(self, sample: Sample) -> torch.Tensor:
        """The sample's latents `[C, h, w]`, float32."""
        return self._states[sample.key].latents

    def drop(self, sample: Sample) -> None:
        """Free what a sample holds; a sample that was never begun holds nothing."""
        self._states.pop(sample.key, None)
        if self._gathered is not None and sample.key in self._gathered.keys:
            self._gathered = None

    def _attempt(
        self,
        samples: Sequence[Sample],
        rows_of_a_pass: int,
        failures: dict[SampleKey, GenerationFailed],
    ) -> _Problem | None:
        """One step of `samples`, at most `rows_of_a_pass` rows at once; nothing changed if not."""
        try:
            self._step(samples, rows_of_a_pass, failures)
        except Exception as error:  # whatever a backend throws
            if is_out_of_memory(error):
                return _Problem(NO_MEMORY, is_out_of_memory=True)
            if isinstance(error, GenerationFailed):
                return _Problem(str(error))
            log.warning("the model failed", exc_info=error)
            return _Problem(f"The model failed: {error}")
        return None

    @torch.inference_mode()
    def _step(
        self,
        samples: Sequence[Sample],
        rows_of_a_pass: int,
        failures: dict[SampleKey, GenerationFailed],
    ) -> None:
        with self._clock.host_stage("gather"):
            gathered = self._gather(samples)
            controlled = [index for index, one in enumerate(samples) if _is_controlled(one)]
            rows = gathered.rows(samples, tuple(controlled))
        output = self._denoise(gathered.model, rows, rows_of_a_pass)
        with self._clock.host_stage("step"):
            for index, error in gathered.advance(samples, output).items():
                message = f"The sampler failed: {error}"
                failures[samples[index].key] = GenerationFailed(message)

    def _denoise(self, model: Model, rows: Rows, rows_of_a_pass: int) -> torch.Tensor:
        num_rows = len(rows.latents)
        with self._clock.stage("denoise"):
            if num_rows <= rows_of_a_pass:
                output = model.denoiser.denoise(rows)
            else:
                starts = range(0, num_rows, rows_of_a_pass)
                parts = [rows.part(start, start + rows_of_a_pass) for start in starts]
                output = torch.cat([model.denoiser.denoise(part) for part in parts])
            # A card's time passes here, too.
            self._pace.step(model.device)
            return output

    def _gather(self, samples: Sequence[Sample]) -> Gathered:
        """The tensors of `samples` side by side; those of the last step where it was the same."""
        keys = tuple(sample.key for sample in samples)
        if self._gathered is None or self._gathered.keys != keys:
            if self._gathered is not None:
                self._gathered.scatter()
            self._gathered = Gathered(samples, [self._states[key] for key in keys])
        return self._gathered

    def _conditions(self, request: Request, model: Model) -> tuple[PromptEmbedding, ...]:
        positive = model.encoder.encode(request.prompt, request.loras)
        if not request.uses_guidance:
            return (positive,)
        return (_embed_negative(request.negative_prompt, model, request.loras), positive)

    def _control_image(self, request: Request, model: Model) -> torch.Tensor | None:
        """`[3, H, W]` in [0, 1] on the model's device; the latest are kept for the next picture."""
        control = request.control
        if control is None:
            return None
        if control.kind not in model.control_kinds:
            raise GenerationFailed(
                f"The model {model.card.name} has no ControlNet for “{control.kind}”: "
                + (
                    f"it has {', '.join(sorted(model.control_kinds))}."
                    if model.control_kinds
                    else "draw without a sketch, or add one with `studio models add`."
                )
            )
        name = f"{control.image_digest} {model.device}"
        if name not in self._control_images:
            pixels = self._load_control(control.image_digest)
            image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
            self._control_images[name] = send(image, model.device)
            if len(self._control_images) > MAX_CONTROL_IMAGES:
                self._control_images.popitem(last=False)
        self._control_images.move_to_end(name)
        image = self._control_images[name]
        _, height, width = image.shape
        if (height, width) != (request.height, request.width):
            raise GenerationFailed(
                f"The control image is {width} × {height} pixels and the "
                f"picture {request.width} × {request.height}: send it in the picture's size."
            )
        return image


@dataclasses.dataclass(frozen=True)
class _Problem:
    """What went wrong, without the traceback: that would hold on to the step's tensors."""

    message: str
    is_out_of_memory: bool = False


def _within_memory(device: str, work: Callable[[], Answer]) -> Answer:
    """What `work` answers; where memory runs out, once more with whatever could be given back.

    Raises:
        GenerationFailed: that does not suffice.
    """
    for is_last in (False, True):
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if is_last:
                raise GenerationFailed(NO_MEMORY, cause="no_memory") from None
        release(device)  # only here is the error gone, and the tensors its traceback held
    raise AssertionError("unreachable")


def _initial_noise(
    shape: tuple[int, int, int], seed: int, steps: Sampler | LinearSchedule | None
) -> torch.Tensor:
    if isinstance(steps, Sampler):
        return steps.initial_noise(shape)
    assert steps is not None
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32) * steps.initial_sigma


def _is_controlled(sample: Sample) -> bool:
    """Whether control acts at this evaluation; as diffusers' pipelines count, by evaluation."""
    control, num = sample.request.control, sample.num_evaluations
    if control is None or num is None or control.conditioning_scale == 0:
        return False
    start, end = sample.evaluation / num, (sample.evaluation + 1) / num
    return start >= control.guidance_start and end <= control.guidance_end


def _num_rows(samples: Sequence[Sample]) -> int:
    return sum(sample.num_rows for sample in samples)


def _embed_negative(prompt: str, model: Model, loras: tuple[Lora, ...]) -> PromptEmbedding:
    embedding = model.encoder.encode(prompt, loras)
    if prompt or not model.zeroes_empty_prompt:
        return embedding
    return PromptEmbedding(
        torch.zeros_like(embedding.hidden_states), torch.zeros_like(embedding.pooled)
    )
