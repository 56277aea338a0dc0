"""Small tools to drive an engine in a test: run it to the end, and look at its latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from studio.engine.decoder import Decoder
from studio.engine.denoiser import Denoiser, Rows
from studio.engine.engine import Engine
from studio.engine.model import Model
from studio.engine.text import Encoder, PromptEmbedding
from studio.events import Event, PictureFinished, Pixels
from studio.request import Lora, Request


class KeepingDecoder:
    """Decodes as `decoder` does, and keeps the latents it was given."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.latents: list[torch.Tensor] = []

    def decode(self, latents: torch.Tensor) -> Pixels:
        self.latents.append(latents.clone())
        return self._decoder.decode(latents)


class BreakingDenoiser:
    """Denoises as `denoiser` does, but cannot bear rows whose pooled embedding is `pooled`."""

    def __init__(self, denoiser: Denoiser, pooled: torch.Tensor, error: Exception | None) -> None:
        self._denoiser, self._pooled, self._error = denoiser, pooled, error

    def denoise(self, rows: Rows) -> torch.Tensor:
        output = self._denoiser.denoise(rows)
        is_bad = (rows.text_embeds == self._pooled).all(dim=1)
        if self._error is not None and bool(is_bad.any()):
            raise self._error
        output[is_bad] = float("nan")
        return output


def request(prompt: str = "a red mug", **values: object) -> Request:
    """A small request for the closed-form model."""
    defaults: dict[str, object] = {
        "negative_prompt": "",
        "height": 64,
        "width": 64,
        "num_steps": 5,
        "guidance_scale": 3.0,
        "seed": 7,
        "model": "gaussian",
    }
    return Request(prompt=prompt, **(defaults | values))  # type: ignore[arg-type]


def run_all(engine: Engine, max_turns: int = 10_000) -> None:
    """Step until nothing is in flight."""
    for _ in range(max_turns):
        if engine.is_idle:
            return
        engine.step()
    raise AssertionError("the engine did not come to an end")


def draw(
    model: Model, arrivals: Mapping[str, tuple[int, Request]], *, max_rows: int = 16
) -> dict[tuple[str, int], torch.Tensor]:
    """The final latents of every picture, each job arriving at its turn, by (job id, index)."""
    decoder = KeepingDecoder(model.decoder)
    events: list[Event] = []
    engine = Engine(
        dataclasses.replace(model, decoder=decoder), max_rows=max_rows, emit=events.append
    )
    last = max(turn for turn, _ in arrivals.values())
    for turn in range(last + 1):
        for job_id, (arrival, wanted) in arrivals.items():
            if arrival == turn:
                engine.submit(job_id, wanted)
        engine.step()
    run_all(engine)
    finished = [event for event in events if isinstance(event, PictureFinished)]
    return {
        (event.job_id, event.index): latents
        for event, latents in zip(finished, decoder.latents, strict=True)
    }


class SmallMemory:
    """Denoises as `denoiser` does, but has memory for `num_rows` rows at once and no more."""

    def __init__(self, denoiser: Denoiser, num_rows: int) -> None:
        self._denoiser = denoiser
        self.num_rows = num_rows
        self.passes: list[int] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        if len(rows.latents) > self.num_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.passes.append(len(rows.latents))
        return self._denoiser.denoise(rows)


class DeadlyDenoiser:
    """Denoises as `denoiser` does, but rows of the embedding `pooled` kill the thread."""

    def __init__(self, denoiser: Denoiser, pooled: torch.Tensor) -> None:
        self._denoiser, self._pooled = denoiser, pooled
        self.batches: list[int] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        if bool((rows.text_embeds == self._pooled).all(dim=1).any()):
            self.batches.append(len(rows.latents))
            raise SystemExit("the device driver took the thread with it")
        return self._denoiser.denoise(rows)


class DeadlyEncoder:
    """Encodes as `encoder` does, but a prompt that holds "poison" kills the thread."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.max_tokens = encoder.max_tokens

    def num_tokens(self, prompt: str) -> int:
        return self._encoder.num_tokens(prompt)

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        if "poison" in prompt.split():
            raise SystemExit("the tokenizer panicked")
        return self._encoder.encode(prompt, loras)
