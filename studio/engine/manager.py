"""`Manager`: the engine as everybody else sees it: hand in jobs, stop them, ask how it does.

    starting ─▶ loading ─▶ warming ─▶ ready ─▶ stopped
                    └─────────┴──▶ failed

Callers leave a command and go; answers come as events, called from the engine's thread, which owns
the device.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studio.engine.engine_thread import EngineThread
from studio.engine.facts import EngineFacts, facts_of
from studio.engine.health import Health, State
from studio.engine.setup import (
    BACKENDS,
    NO_PATHS,
    Listener,
    LoadModel,
    Setup,
    no_control_images,
)
from studio.errors import BadInput, NotReady
from studio.events import Cancelled, Pixels
from studio.request import Request
from studio.terms import Terms

if TYPE_CHECKING:
    from studio.engine.device_choice import DeviceChoice
    from studio.engine.engine import Engine
    from studio.engine.model import Model

__all__ = ["BACKENDS", "EngineFacts", "Health", "LoadModel", "Manager", "State"]

log = logging.getLogger(__name__)


class Manager:
    """Loads a model and serves it from one thread; `on_event` is called from that thread.

    `backend` "auto" serves with torch at once and prepares a faster plan from the model's `folder`
    beside it, where there is one; "openvino" and "tensorrt" wait for the plan. Measurements and
    plans are kept in `cache_dir`. `load_control` gives the control image of a digest.
    """

    def __init__(
        self,
        load: LoadModel,
        *,
        on_event: Listener,
        precision: str = "auto",
        max_rows: int = 0,
        on_ready: Callable[[], None] = lambda: None,
        load_control: Callable[[str], Pixels] = no_control_images,
        backend: str = "torch",
        folder: Path | None = None,
        cache_dir: Path | None = None,
        controlnets: Mapping[str, Path] = NO_PATHS,
        device: DeviceChoice | None = None,
    ) -> None:
        self._thread = EngineThread(
            Setup(
                load=load,
                on_event=on_event,
                on_ready=on_ready,
                load_control=load_control,
                precision=precision,
                max_rows=max_rows,
                backend=backend,
                folder=folder,
                cache_dir=cache_dir,
                controlnets=controlnets,
                device=device,
            )
        )
        self._on_event = on_event
        self._backend = backend

    @property
    def health(self) -> Health:
        return self._thread.health

    @property
    def engine(self) -> Engine | None:
        """The engine once it is warm, for reading its counters."""
        return self._thread.engine

    @property
    def model(self) -> Model | None:
        """The first model as it was loaded, whatever plan serves it; `None` until it is warm."""
        serving = self._thread.serving
        return serving[0].model if serving else None

    @property
    def facts(self) -> EngineFacts | None:
        """What the engine has counted so far; `None` until it is warm."""
        engine = self._thread.engine
        return None if engine is None else facts_of(engine)

    def give_back_memory(self, timeout_seconds: float) -> dict[str, int]:
        """Give back, between two steps, the memory that nothing uses; see `devices.give_back`.

        Raises:
            NotReady: the engine is not warm, or did not come to it in time.
        """
        from studio.engine.devices import give_back

        if not self.health.is_ready:
            raise NotReady("The engine is not warm, so it holds nothing to give back: try later.")
        device = self._thread.serving[0].model.device
        answers: queue.SimpleQueue[dict[str, int]] = queue.SimpleQueue()
        self._thread.post(lambda engine: answers.put(give_back(device)))
        try:
            return answers.get(timeout=timeout_seconds)
        except queue.Empty:
            raise NotReady("The engine is in a long step: ask again when it is done.") from None

    def start(self) -> None:
        """Begin loading. Returns at once."""
        self._thread.start()

    def load_also(self, load: LoadModel) -> None:
        """Serve another model beside the first, once it is loaded, in a thread of its own.

        Returns at once; jobs for it wait until `serves` says yes. A model that cannot be loaded is
        logged, and never served.
        """

        def run() -> None:
            self._thread.settled.wait()
            if not self.health.is_ready:
                return
            try:
                model = load(self._thread.serving[0].model.precision, lambda part: None)
            except Exception:
                log.exception("another model could not be loaded")
                return
            self._thread.post(lambda engine: self._thread.adopt(engine, model))

        threading.Thread(target=run, name="loader", daemon=True).start()

    def serves(self, model: str) -> bool:
        """Whether the model of this name is loaded."""
        return any(warm.model.card.name == model for warm in self._thread.serving)

    def close(self, timeout_seconds: float = 10.0, drain_seconds: float = 0.0) -> None:
        """Stop after the current step, or when the pictures begun are done.

        The latter is waited for at most `drain_seconds`. Jobs in flight are left as they are: the
        store has them. Takes no longer than both times together.
        """
        self._thread.stop(timeout_seconds, drain_seconds)

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Block until the model serves.

        Raises:
            NotReady: it could not be loaded, or is not ready in time.
        """
        self._thread.settled.wait(timeout_seconds)
        health = self.health
        if health.state is State.FAILED:
            raise NotReady(health.message)
        if not health.is_ready:
            raise NotReady(f"The model is still warming ({health.message}): try again soon.")

    def wait_for_plan(self, timeout_seconds: float) -> None:
        """Block until the plan in preparation, if any, serves or is given up; for the bench."""
        deadline = time.monotonic() + timeout_seconds
        planner = self._thread.planner
        if planner is None:
            return
        planner.wait(timeout_seconds)
        while planner.offer is not None and time.monotonic() < deadline:
            turned = threading.Event()
            self._thread.post(lambda engine, turned=turned: turned.set())  # type: ignore[misc]
            turned.wait(deadline - time.monotonic())

    def submit(
        self,
        job_id: str,
        request: Request,
        indices: Iterable[int] | None = None,
        *,
        terms: Terms | None = None,
    ) -> None:
        """Draw a job; see `Engine.submit`. Returns at once."""
        kept = None if indices is None else tuple(indices)
        self._thread.post(lambda engine: engine.submit(job_id, request, kept, terms=terms))

    def cancel(self, job_id: str) -> None:
        """Stop a job before its next step. Returns at once; `Cancelled` tells when it is done."""
        self._command_on_job(job_id, lambda engine: engine.cancel(job_id))

    def stop_after_picture(self, job_id: str) -> None:
        """Finish the pictures of a job that are begun, leave the others; then `Cancelled`."""
        self._command_on_job(job_id, lambda engine: engine.stop_after_picture(job_id))

    def skip(self, job_id: str, index: int | None = None) -> None:
        """Leave out one picture of a job, the furthest along unless `index` says which."""

        def command(engine: Engine) -> None:
            engine.skip(job_id, index)

        self._thread.post(command)

    def control_kinds(self) -> frozenset[str] | None:
        """The kinds of control image the model follows; `None` while it is not loaded."""
        serving = self._thread.serving
        return serving[0].model.control_kinds if serving else None

    def lora_names(self) -> frozenset[str] | None:
        """The adapters the model can be drawn with; `None` while it is not loaded."""
        serving = self._thread.serving
        return serving[0].model.lora_names if serving else None

    def picture_seconds(self, request: Request) -> float | None:
        """Seconds this device takes for one picture by itself, at its present pace.

        `None` until the model's passes are measured.
        """
        engine = self._thread.engine
        warm = [
            one
            for one in self._thread.serving
            if one.model.card.name == request.model and one.model.can_draw(request)
        ]
        if engine is None or not warm or not warm[-1].times:
            return None
        from studio.engine.samplers import num_evaluations

        model, times = warm[-1].model, warm[-1].times
        num_passes = num_evaluations(
            request.sampler, model.sampler_config, num_steps=request.num_steps
        )
        num_rows = 2 if request.uses_guidance else 1
        pass_seconds = times.seconds(request.height, request.width, num_rows)
        denoising = num_passes * pass_seconds * engine.pace
        return denoising + times.decode_seconds(request.height, request.width)

    def check_fits(self, request: Request) -> None:
        """`BadInput` where the request can never fit this device's memory, or the plans asked for.

        Nothing can be said before the model is loaded; then the request is let in.
        """
        warm = [one for one in self._thread.serving if one.model.card.name == request.model]
        if self._backend == "tensorrt" and warm and warm[-1].model.plan_sizes is not None:
            from studio.engine.tensorrt_plans import refusal

            sizes = sorted(warm[-1].model.plan_sizes)
            if complaint := refusal((request.height, request.width), sizes):
                raise BadInput(complaint)
        if warm and warm[0].model.text_modules:
            from studio.engine.memory import check_fits

            check_fits(warm[0].model, request)

    def num_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Tokens `prompt` takes and the most the model reads; `None` while it is not loaded."""
        if not self._thread.serving:
            return None
        encoder = self._thread.serving[0].model.encoder
        return encoder.num_tokens(prompt), encoder.max_tokens

    def _command_on_job(self, job_id: str, act: Callable[[Engine], bool]) -> None:
        """`act` on a job in flight; one that is not is `Cancelled` all the same."""

        def command(engine: Engine) -> None:
            if not act(engine):
                self._on_event(Cancelled(job_id=job_id))

        self._thread.post(command)
