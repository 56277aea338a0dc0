"""The field's two ways to serve a pipeline: one call after another, and static batches.

A worker thread holds the pipeline. A dynamic batcher stands in front of it, as model servers have
one: the oldest request waits up to a window for others that can share its call, which for a
pipeline means the same size, guidance and number of steps, and the batch then runs to its end. With
batches of one and no window it is the plain lock around a pipeline.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from studio.bench.trace import Trace
from studio.events import Pixels
from studio.request import Request

PREVIEW_SECONDS = 0.25
"""Previews come no more often than this, as the engine's do."""

BATCH_SIZES = (1, 2, 4, 8)

OnStep = Callable[[int, Callable[[int], Pixels]], None]


class Pipeline(Protocol):
    """What draws a batch; see `studio.engine.baselines.FieldPipeline`."""

    def draw(self, requests: Sequence[Request], on_step: OnStep | None = None) -> list[Pixels]: ...

    def model_seconds(self) -> float: ...


@dataclasses.dataclass(frozen=True)
class _Waiting:
    key: str
    request: Request
    trace: Trace
    arrived_at: float


class PipelineSystem:
    """Serves a pipeline in batches of up to `max_batch` that wait up to `window_seconds`.

    Without `has_previews` nothing is seen of a picture before it is done.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        max_batch: int = 1,
        window_seconds: float = 0.0,
        has_previews: bool = False,
        device_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._pipeline = pipeline
        self._max_batch, self._window_seconds = max_batch, window_seconds
        self._has_previews = has_previews
        self._device_bytes = device_bytes
        self._trace = Trace()
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._is_busy = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="pipeline", daemon=True)
        self._thread.start()

    def listen(self, trace: Trace) -> None:
        self._trace = trace

    def submit(self, key: str, request: Request) -> None:
        with self._changed:
            self._waiting.append(_Waiting(key, request, self._trace, time.perf_counter()))
            self._changed.notify_all()

    def estimate_seconds(self, request: Request) -> float | None:
        return None  # a pipeline gives none

    def model_seconds(self) -> float:
        return self._pipeline.model_seconds()

    def device_bytes(self) -> int | None:
        return self._device_bytes()

    def abandon(self) -> None:
        """Drop what waits; a batch that runs cannot be stopped and is waited for."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_busy)

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def _serve(self) -> None:
        while batch := self._next_batch():
            try:
                self._draw(batch)
            finally:
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting]:
        """The oldest request and those that can share its call; empty when closing."""
        with self._changed:
            while not self._is_closing:
                batch = self._companions()
                wait_until = batch[0].arrived_at + self._window_seconds if batch else None
                left = None if wait_until is None else wait_until - time.perf_counter()
                if len(batch) == self._max_batch or (left is not None and left <= 0):
                    self._waiting = [one for one in self._waiting if one not in batch]
                    self._is_busy = True
                    return batch
                self._changed.wait(left)
            return []

    def _companions(self) -> list[_Waiting]:
        """The oldest request and the next ones that can share its call, up to a full batch."""
        if not self._waiting:
            return []
        key = batch_key(self._waiting[0].request)
        same = [one for one in self._waiting if batch_key(one.request) == key]
        return same[: self._max_batch]

    def _draw(self, batch: Sequence[_Waiting]) -> None:
        previewed_at = 0.0

        def on_step(step: int, preview: Callable[[int], Pixels]) -> None:
            nonlocal previewed_at
            if time.perf_counter() - previewed_at < PREVIEW_SECONDS:
                return
            previewed_at = time.perf_counter()
            for row, one in enumerate(batch):
                preview(row)
                one.trace.previewed(one.key)

        for one in batch:
            one.trace.admitted(one.key)
        requests = [one.request for one in batch]
        try:
            self._pipeline.draw(requests, on_step if self._has_previews else None)
        except Exception as error:
            for one in batch:
                one.trace.failed(one.key, str(error))
            return
        for one in batch:
            one.trace.finished(one.key)


def batch_key(request: Request) -> tuple[object, ...]:
    """What requests must agree in to share one call of a pipeline."""
    return (
        request.height,
        request.width,
        request.num_steps,
        request.guidance_scale,
        request.sampler,
    )


def best_batch(pipeline: Pipeline, request: Request, repeats: int = 2) -> dict[int, float]:
    """Pictures a second by batch size, for all of `BATCH_SIZES`: the best of `repeats` calls.

    The first call of each size only allocates.
    """
    rates = {}
    for size in BATCH_SIZES:
        best = float("inf")
        for _ in range(repeats + 1):
            started = time.perf_counter()
            pipeline.draw([request] * size)
            best = min(best, time.perf_counter() - started)
        rates[size] = size / best
    return rates
