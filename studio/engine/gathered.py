"""`Gathered`: the tensors of the samples of one batch side by side, kept while the batch stays.

What does not change from step to step (embeddings, sizes, guidance) is stacked once; latents stay
stacked too, and each sample's own are views of them, as long as the same samples run together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.linear import CLEAN_O, CLEAN_X, NEXT_O, NEXT_X, SCALE
from studio.engine.sample import Sample
from studio.engine.state import State


class Gathered:
    """n samples of one bucket as R rows: one row each, or two (unconditional first) with guidance.

    Made anew whenever the samples of a batch are not those of the batch before.
    """

    def __init__(self, samples: Sequence[Sample], states: Sequence[State]) -> None:
        self.keys = tuple(sample.key for sample in samples)
        self.states = tuple(states)
        self.model = states[0].model
        self._loras = samples[0].request.loras
        self._device = states[0].latents.device
        self._latents: torch.Tensor | None = None
        self._schedules = [state.schedule for state in states if state.schedule is not None]
        # With a schedule each, all steps of the batch are taken in a few tensor operations.
        self._is_linear = len(self._schedules) == len(states)

        conditions = [condition for state in states for condition in state.conditions]
        self._hidden_states = torch.stack([condition.hidden_states for condition in conditions])
        self._pooled = torch.stack([condition.pooled for condition in conditions])
        num_rows = [len(state.conditions) for state in states]
        self._num_rows = self._on_device(num_rows)
        self._first_row = [0, *itertools.accumulate(num_rows)]
        time_ids = torch.stack([state.time_ids for state in states])
        self._time_ids = self._by_row(time_ids)
        # A sample's conditional row is its last; its first, with guidance, is the unconditional.
        self._first = self._on_device(self._first_row[:-1])
        self._last = self._first + self._num_rows - 1
        scales = [sample.request.guidance_scale for sample in samples]
        self._guidance_scale = self._on_device(scales).view(-1, 1, 1, 1)
        self._has_guidance = max(num_rows) > 1
        self._controls: dict[tuple[int, ...], tuple[ControlRows, ...]] = {(): ()}

    def rows(self, samples: Sequence[Sample], controlled: tuple[int, ...] = ()) -> Rows:
        """The input of the next forward pass; `controlled` samples follow their control image."""
        evaluations = [sample.evaluation for sample in samples]
        timesteps = [
            state.timestep(evaluation)
            for state, evaluation in zip(self.states, evaluations, strict=True)
        ]
        if self._is_linear:
            latents = self._stacked() * self._coefficients(evaluations, SCALE)
        else:
            latents = torch.stack(
                [
                    state.model_input(evaluation)
                    for state, evaluation in zip(self.states, evaluations, strict=True)
                ]
            )
        return Rows(
            latents=self._by_row(latents),
            timestep=self._by_row(self._on_device(timesteps)),
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
        if self._is_linear:
            evaluations = [sample.evaluation for sample in samples]
            table = self._coefficients(evaluations, slice(None))
            before = self._stacked()
            latents = table[NEXT_X] * before + table[NEXT_O] * combined
            clean = table[CLEAN_X] * before + table[CLEAN_O] * combined
            for state, own_latents, own_clean in zip(self.states, latents, clean, strict=True):
                state.latents, state.clean = own_latents, own_clean
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
            self._latents = None

    def _stacked(self) -> torch.Tensor:
        if self._latents is None:
            self._latents = torch.stack([state.latents for state in self.states])
        return self._latents

    def _coefficients(self, evaluations: Sequence[int], columns: int | slice) -> torch.Tensor:
        """Columns of the schedules' numbers at these evaluations, `[…, n, 1, 1, 1]`."""
        picked = [
            schedule.coefficients[evaluation]
            for schedule, evaluation in zip(self._schedules, evaluations, strict=True)
        ]
        table = torch.stack(picked, dim=1)[columns]
        return table.view(*table.shape, 1, 1, 1).to(self._device)

    def _guided(self, output: torch.Tensor) -> torch.Tensor:
        """Guidance combined, `[n, C, h, w]` (Ho & Salimans 2022, eq. 6)."""
        if not self._has_guidance:
            return output
        first, last = output[self._first], output[self._last]
        # Without guidance both are the same row, and nothing is added to it.
        return first + self._guidance_scale * (last - first)

    def _by_row(self, by_sample: torch.Tensor) -> torch.Tensor:
        return by_sample.repeat_interleave(self._num_rows, dim=0)

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
        return torch.tensor(values, device=self._device)
