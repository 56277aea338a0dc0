"""`EngineSystem`: the engine as `Studio` uses it: a `Manager` and its events, without the disk."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.bench.common import wait_until_at_rest
from studio.bench.trace import Trace
from studio.engine.manager import Health, Manager
from studio.errors import GenerationFailed, NotReady
from studio.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    PictureFinished,
    Pixels,
    Started,
    Stepped,
)
from studio.request import Request
from studio.terms import Terms

if TYPE_CHECKING:
    from studio.engine.model import Model


class EngineSystem:
    """Serves requests of one picture each, every one of an owner of its own."""

    def __init__(
        self,
        make_manager: Callable[[Callable[[Event], None]], Manager],
        *,
        device_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._device_bytes = device_bytes
        self._trace = Trace()
        self._traces: dict[str, Trace] = {}
        self._changed = threading.Condition()
        self._manager = make_manager(self._hear)
        self._manager.start()

    @property
    def health(self) -> Health:
        return self._manager.health

    def wait_until_settled(self, wanted: str, timeout_seconds: float) -> Health:
        """Block until the engine serves as it will, and prepares and measures nothing more.

        The health as it then stands; its backend is `wanted`, unless that is "auto".

        Raises:
            NotReady: it does not come to that in time.
        """
        deadline = time.monotonic() + timeout_seconds
        self._manager.wait_until_ready(timeout_seconds)
        self._manager.wait_for_plan(deadline - time.monotonic())
        wait_until_at_rest(deadline - time.monotonic())
        health = self._manager.health
        if wanted not in ("auto", health.backend):
            raise NotReady(f"The engine runs on {health.backend}, not on {wanted}: {health.plan}")
        return health

    def listen(self, trace: Trace) -> None:
        self._trace = trace

    def submit(self, key: str, request: Request) -> None:
        self._traces[key] = self._trace
        self._manager.submit(key, request, terms=Terms(owner=key))

    def estimate_seconds(self, request: Request) -> float | None:
        return self._manager.picture_seconds(request)

    def model_seconds(self) -> float:
        engine = self._manager.engine
        return 0.0 if engine is None else engine.clock.total_seconds()

    def device_bytes(self) -> int | None:
        return self._device_bytes()

    @property
    def model(self) -> Model | None:
        """The model as torch runs it, once it is loaded."""
        return self._manager.model

    def num_out_of_memory(self) -> int:
        """How often memory ran out in a pass so far."""
        facts = self._manager.facts
        return 0 if facts is None else facts.num_out_of_memory

    def abandon(self) -> None:
        for key in tuple(self._traces):
            self._manager.cancel(key)
        with self._changed:
            self._changed.wait_for(lambda: not self._traces)

    def steps_after_cancel(self, request: Request) -> int:
        """Forward passes that still ran for a picture after it was cancelled half way.

        Raises:
            GenerationFailed: it ended otherwise.
        """
        trace = _CancelTrace(request.num_steps // 2, self._manager.cancel)
        self._run_alone(trace, request)
        if not trace.is_cancelled:
            raise GenerationFailed("The picture that was to be cancelled came to its end.")
        return trace.num_steps_after

    def draw(self, request: Request) -> Pixels:
        """The picture of one request, by itself.

        Raises:
            GenerationFailed: it could not be drawn.
        """
        trace = _PictureTrace()
        self._run_alone(trace, request)
        if trace.pixels is None:
            raise GenerationFailed("The picture could not be drawn.")
        return trace.pixels

    def _run_alone(self, trace: _ProbeTrace, request: Request) -> None:
        trace.key = key = f"probe-{time.monotonic_ns()}"
        self._traces[key] = trace
        self._manager.submit(key, request, terms=Terms(owner=key))
        with self._changed:
            self._changed.wait_for(lambda: key not in self._traces)

    def close(self) -> None:
        self._manager.close()

    def _hear(self, event: Event) -> None:
        trace = self._traces.get(event.job_id)
        if trace is None:
            return
        if isinstance(trace, _ProbeTrace):
            trace.hear(event)
        elif isinstance(event, Started):
            trace.admitted(event.job_id)
        elif isinstance(event, Stepped):
            if event.preview is not None:
                trace.previewed(event.job_id)
        elif isinstance(event, Finished):
            trace.finished(event.job_id)
        elif isinstance(event, Failed):
            trace.failed(event.job_id, event.message)
        if isinstance(event, Finished | Failed | Cancelled):
            with self._changed:
                del self._traces[event.job_id]
                self._changed.notify_all()


class _ProbeTrace(Trace):
    """Hears the events themselves, of a single request that is no part of a load."""

    key = ""

    def hear(self, event: Event) -> None:
        raise NotImplementedError


class _PictureTrace(_ProbeTrace):
    pixels: Pixels | None = None

    def hear(self, event: Event) -> None:
        if isinstance(event, PictureFinished):
            self.pixels = event.pixels


class _CancelTrace(_ProbeTrace):
    """Cancels at some moment of the step after `cancel_at`, as a person would from another thread,
    and counts the steps that end from then on.
    """

    def __init__(self, cancel_at: int, cancel: Callable[[str], None]) -> None:
        super().__init__()
        self._cancel_at, self._cancel = cancel_at, cancel
        self.num_steps_after = 0
        self.is_cancelled = False
        self._is_asked = threading.Event()
        self._stepped_at = time.perf_counter()

    def hear(self, event: Event) -> None:
        if isinstance(event, Cancelled):
            self.is_cancelled = True
        elif isinstance(event, Stepped):
            now = time.perf_counter()
            step_seconds, self._stepped_at = now - self._stepped_at, now
            if self._is_asked.is_set():
                self.num_steps_after += 1
            elif event.step == self._cancel_at:
                threading.Timer(random.random() * step_seconds, self._ask).start()

    def _ask(self) -> None:
        self._is_asked.set()  # first, so that the step under way counts
        self._cancel(self.key)
