"""`Runner`: owns the tensors of every sample in flight and runs one forward pass over many of them.

Latents change only when a whole step succeeded, so a failed step can be run again. What goes wrong
for one sample is reported for that sample; the others go on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from studio.engine.clock import StageClock
from studio.engine.denoiser import Rows
from studio.engine.model import Model
from studio.engine.sample import Sample, SampleKey
from studio.engine.samplers import Sampler
from studio.engine.scheduler import StepBatch
from studio.engine.text import PromptEmbedding
from studio.errors import GenerationFailed
from studio.events import Pixels


@dataclasses.dataclass
class _State:
    """The tensors of one sample. `latents` and `clean` are `[C, h, w]` float32."""

    sampler: Sampler
    latents: torch.Tensor
    conditions: tuple[PromptEmbedding, ...]  # unconditional first, where there is guidance
    time_ids: torch.Tensor
    clean: torch.Tensor | None = None


class Runner:
    """Runs a model. Called from one thread only."""

    def __init__(self, model: Model, clock: StageClock) -> None:
        self._model = model
        self._clock = clock
        self._states: dict[SampleKey, _State] = {}

    def __len__(self) -> int:
        return len(self._states)

    @torch.inference_mode()
    def begin(self, sample: Sample) -> int:
        """Give a sample its noise, schedule and embeddings; the number of forward passes it needs.

        Raises:
            GenerationFailed: the model cannot read its prompt.
        """
        request, model = sample.request, self._model
        sampler = Sampler(
            request.sampler,
            model.sampler_config,
            num_steps=request.num_steps,
            seed=sample.seed,
            device=model.device,
        )
        with self._clock.stage("text"):
            conditions: tuple[PromptEmbedding, ...] = (self._embed(request.prompt),)
            if request.uses_guidance:
                conditions = (self._embed_negative(request.negative_prompt), *conditions)
        height, width = request.height, request.width
        self._states[sample.key] = _State(
            sampler=sampler,
            latents=sampler.initial_noise(model.latent_shape(height, width), model.device),
            conditions=conditions,
            time_ids=torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32).to(
                model.device
            ),
        )
        return sampler.num_evaluations

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> dict[SampleKey, GenerationFailed]:
        """Take one denoising step for every sample of `batch`; the samples that failed, and why."""
        try:
            outputs = self._denoise(batch.samples)
        except Exception as error:  # whatever a backend throws
            if len(batch.samples) == 1:
                return {batch.samples[0].key: GenerationFailed(f"The model failed: {error}")}
            return self._run_apart(batch)
        failures: dict[SampleKey, GenerationFailed] = {}
        for sample, output in zip(batch.samples, outputs, strict=True):
            state = self._states[sample.key]
            try:
                step = state.sampler.step(output, state.latents, sample.evaluation)
            except Exception as error:
                failures[sample.key] = GenerationFailed(f"The sampler failed: {error}")
                continue
            state.latents, state.clean = step.latents, step.pred_original_sample
        return failures

    def _run_apart(self, batch: StepBatch) -> dict[SampleKey, GenerationFailed]:
        """One by one, so that only the sample that cannot be run fails."""
        failures: dict[SampleKey, GenerationFailed] = {}
        for sample in batch.samples:
            failures |= self.run(StepBatch(batch.bucket, (sample,)))
        return failures

    def preview(self, sample: Sample) -> Pixels | None:
        """The predicted clean picture so far, at latent resolution."""
        clean = self._states[sample.key].clean
        return None if clean is None else self._model.preview.decode(clean)

    def decode(self, sample: Sample) -> Pixels:
        """The finished picture.

        Raises:
            GenerationFailed: the latents are not finite numbers.
        """
        latents = self._states[sample.key].latents
        if not bool(torch.isfinite(latents).all()):
            raise GenerationFailed(
                "The picture came out as not-a-number: try another seed, a lower guidance scale, "
                "or start the studio with --precision float32."
            )
        with self._clock.stage("decode"):
            return self._model.decoder.decode(latents)

    def latents(self, sample: Sample) -> torch.Tensor:
        """The sample's latents `[C, h, w]`, float32."""
        return self._states[sample.key].latents

    def drop(self, sample: Sample) -> None:
        """Free what a sample holds; a sample that was never begun holds nothing."""
        self._states.pop(sample.key, None)

    def _denoise(self, samples: Sequence[Sample]) -> list[torch.Tensor]:
        """Model outputs `[C, h, w]` by sample, guidance combined (Ho & Salimans 2022, eq. 6)."""
        inputs: list[torch.Tensor] = []
        timesteps: list[float] = []
        conditions: list[PromptEmbedding] = []
        time_ids: list[torch.Tensor] = []
        for sample in samples:
            state = self._states[sample.key]
            num_rows = len(state.conditions)
            scaled = state.sampler.scale_model_input(state.latents, sample.evaluation)
            inputs += [scaled] * num_rows
            timesteps += [state.sampler.timestep(sample.evaluation)] * num_rows
            time_ids += [state.time_ids] * num_rows
            conditions += state.conditions
        rows = Rows(
            latents=torch.stack(inputs),
            timestep=torch.tensor(timesteps, dtype=torch.float32, device=self._model.device),
            encoder_hidden_states=torch.stack([c.hidden_states for c in conditions]),
            text_embeds=torch.stack([c.pooled for c in conditions]),
            time_ids=torch.stack(time_ids),
        )
        with self._clock.stage("denoise"):
            output = self._model.denoiser.denoise(rows)
        combined, row = [], 0
        for sample in samples:
            if len(self._states[sample.key].conditions) == 2:
                unconditional, conditional = output[row], output[row + 1]
                scale = sample.request.guidance_scale
                combined.append(unconditional + scale * (conditional - unconditional))
                row += 2
            else:
                combined.append(output[row])
                row += 1
        return combined

    def _embed(self, prompt: str) -> PromptEmbedding:
        return self._model.encoder.encode(prompt)

    def _embed_negative(self, prompt: str) -> PromptEmbedding:
        embedding = self._embed(prompt)
        if prompt or not self._model.zeroes_empty_prompt:
            return embedding
        return PromptEmbedding(
            torch.zeros_like(embedding.hidden_states), torch.zeros_like(embedding.pooled)
        )
