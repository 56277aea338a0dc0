"""`Gathered`: the tensors of the samples of one batch side by side, kept while the batch stays.

What does not change from step to step (embeddings, sizes, guidance) is stacked once, and so are the
numbers of all steps to come; latents stay stacked too, and each sample's own are views of them, as
long as the same samples run together.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.linear import linear_step
from studio.engine.sample import Sample
from studio.engine.state import State
from studio.engine.transfer import send


class Gathered:
    """n samples of one bucket as R rows: one row each, or two (unconditional first) with guidance.

    Made anew whenever the samples of a batch are not those of the batch before: so all of them take
    their steps together, and one counter tells where each is.
    """

    def __init__(self, samples: Sequence[Sample], states: Sequence[State]) -> None:
        self.keys = tuple(sample.key for sample in samples)
        self.states = tuple(states)
        self.model = states[0].model
        self._loras = samples[0].request.loras
        self._device = states[0].latents.device
        # What the samples' own latents and past are views of, once they are laid side by side.
        self._latents: torch.Tensor | None = None
        self._past: torch.Tensor | None = None

        conditions = [condition for state in states for condition in state.conditions]
        self._hidden_states = torch.stack([condition.hidden_states for condition in conditions])
        self._pooled = torch.stack([condition.pooled for condition in conditions])
        num_rows = [len(state.conditions) for state in states]
        self._first_row = [0, *itertools.accumulate(num_rows)]
        # Which sample each row is of.
        self._sample_of = self._on_device(
            [index for index, rows in enumerate(num_rows) for _ in range(rows)]
        )
        time_ids = torch.stack([state.time_ids for state in states])
        self._time_ids = self._by_row(time_ids)
        # A sample's conditional row is its last; its first, with guidance, is the unconditional.
        self._first = self._on_device(self._first_row[:-1])
        self._last = self._on_device([row - 1 for row in self._first_row[1:]])
        scales = [sample.request.guidance_scale for sample in samples]
        self._guidance_scale = self._on_device(scales).view(-1, 1, 1, 1)
        self._has_guidance = max(num_rows) > 1
        self._controls: dict[tuple[int, ...], tuple[ControlRows, ...]] = {(): ()}
        self._steps = self._steps_to_come(samples)

    def rows(self, samples: Sequence[Sample], controlled: tuple[int, ...] = ()) -> Rows:
        """The input of the next forward pass; `controlled` samples follow their control image."""
        if self._steps is not None:
            index = self._steps.index(samples)
            timesteps = self._steps.timesteps[index]
            latents = self._stacked() * self._steps.scales[index]
        else:
            evaluations = [sample.evaluation for sample in samples]
            pairs = list(zip(self.states, evaluations, strict=True))
            timesteps = self._by_row(
                self._on_device([state.timestep(evaluation) for state, evaluation in pairs])
            )
            latents = torch.stack([state.model_input(evaluation) for state, evaluation in pairs])
        return Rows(
            latents=self._by_row(latents),
            timestep=timesteps,
            encoder_hidden_states=self._hidden_states,
            text_embeds=self._pooled,
            time_ids=self._time_ids,
            controls=self._control_rows(samples, controlled),
            loras=self._loras,
        )

    def advance(
        self, samples: Sequence[Sample], model_output: torch.Tensor
    ) -> dict[int, Exception]:
        """One step of every sample from the output `[R, C, h, w]`; those it failed for, and how."""
        combined = self._guided(model_output)
        if self._steps is not None:
            before, past = self._stacked(), self._stacked_past(self._steps.num_past)
            coefficients = self._steps.coefficients[self._steps.index(samples)]
            latents, clean, past = linear_step(coefficients, before, combined, past)
            for index, state in enumerate(self.states):
                state.latents, state.clean = latents[index], clean[index]
                state.past = past[index, : len(state.past)]
            self._past = past
            self._latents = latents
            return {}
        failures: dict[int, Exception] = {}
        for index, (sample, state) in enumerate(zip(samples, self.states, strict=True)):
            try:
                state.advance(combined[index], sample.evaluation)
            except Exception as error:
                failures[index] = error
        return failures

    def scatter(self) -> None:
        """Give each sample latents of its own again, so that none keeps the others' alive."""
        if self._latents is not None:
            for state in self.states:
                state.latents, state.clean = state.latents.clone(), None
                state.past = state.past.clone()
            self._latents = self._past = None

    def _stacked(self) -> torch.Tensor:
        if self._latents is None:
            self._latents = torch.stack([state.latents for state in self.states])
        return self._latents

    def _stacked_past(self, num_past: int) -> torch.Tensor:
        """The samples' past side by side, `[n, num_past, C, h, w]`; what one has not is zero."""
        if self._past is None:
            shape = self.states[0].latents.shape
            self._past = self.states[0].latents.new_zeros((len(self.states), num_past, *shape))
            for row, state in zip(self._past, self.states, strict=True):
                row[: len(state.past)] = state.past
        return self._past

    def _steps_to_come(self, samples: Sequence[Sample]) -> _StepsToCome | None:
        """With a schedule each, all steps of the batch are taken in a few tensor operations."""
        schedules = [state.schedule for state in self.states if state.schedule is not None]
        if len(schedules) < len(samples):
            return None
        firsts = [sample.evaluation for sample in samples]
        pairs = list(zip(schedules, firsts, strict=True))
        # Who has the fewest steps left leaves the batch with its last, and another is gathered.
        num = min(schedule.num_evaluations - first for schedule, first in pairs)
        num_past = max(schedule.num_past for schedule in schedules)
        coefficients = torch.zeros(num, len(samples), 2, 2 + num_past)
        for index, (schedule, first) in enumerate(pairs):
            known = schedule.coefficients[first : first + num]
            coefficients[:, index, :, : known.shape[-1]] = known
        scales = torch.stack([one.scales[first : first + num] for one, first in pairs], -1)
        timesteps = torch.tensor([one.timesteps[first : first + num] for one, first in pairs])
        return _StepsToCome(
            first=firsts[0],
            coefficients=send(coefficients, self._device),
            scales=send(scales, self._device)[..., None, None, None],
            timesteps=send(timesteps, self._device)[self._sample_of].T.contiguous(),
        )

    def _guided(self, output: torch.Tensor) -> torch.Tensor:
        """Guidance combined, `[n, C, h, w]` (Ho & Salimans 2022, eq. 6)."""
        if not self._has_guidance:
            return output
        first, last = output[self._first], output[self._last]
        # Without guidance both are the same row, and nothing is added to it.
        return first + self._guidance_scale * (last - first)

    def _by_row(self, by_sample: torch.Tensor) -> torch.Tensor:
        return by_sample[self._sample_of]

    def _control_rows(
        self, samples: Sequence[Sample], controlled: tuple[int, ...]
    ) -> tuple[ControlRows, ...]:
        """By kind, the rows of the samples at `controlled`, both of a guided one."""
        if controlled not in self._controls:
            by_kind: dict[str, list[int]] = {}
            for index in controlled:
                control = samples[index].request.control
                assert control is not None
                by_kind.setdefault(control.kind, []).append(index)
            self._controls[controlled] = tuple(
                self._rows_of_kind(kind, samples, indices) for kind, indices in by_kind.items()
            )
        return self._controls[controlled]

    def _rows_of_kind(
        self, kind: str, samples: Sequence[Sample], indices: Sequence[int]
    ) -> ControlRows:
        rows: list[int] = []
        images: list[torch.Tensor] = []
        scales: list[float] = []
        for index in indices:
            own = range(self._first_row[index], self._first_row[index + 1])
            control, image = samples[index].request.control, self.states[index].control_image
            assert control is not None
            assert image is not None
            rows += own
            images += [image] * len(own)
            scales += [control.conditioning_scale] * len(own)
        return ControlRows(
            kind=kind,
            indices=self._on_device(rows),
            images=torch.stack(images),
            scales=self._on_device(scales),
        )

    def _on_device(self, values: Sequence[float]) -> torch.Tensor:
        return send(torch.tensor(values), self._device)


@dataclasses.dataclass(frozen=True)
class _StepsToCome:
    """Of E evaluations from `first` (of the first sample) on: the weights `[E, n, 2, S]` and the
    scales `[E, n, 1, 1, 1]` of the n samples' schedules, and the timesteps of the R rows, `[E, R]`.
    """

    first: int
    coefficients: torch.Tensor
    scales: torch.Tensor
    timesteps: torch.Tensor

    @property
    def num_past(self) -> int:
        return self.coefficients.shape[-1] - 2

    def index(self, samples: Sequence[Sample]) -> int:
        """Which of the evaluations the samples are at."""
        return samples[0].evaluation - self.first
