"""`Manager`: the engine in a thread of its own, fed through an inbox.

    starting ─▶ loading ─▶ warming ─▶ ready ─▶ stopped
                    └─────────┴──▶ failed

The thread owns the device: nobody else touches a tensor. Callers leave a command and go; answers
come as events, called from that thread. Should it die, another takes its place and goes on with
what was in flight; see `supervision`.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from studio.engine.health import Health as Health
from studio.engine.health import State as State
from studio.engine.planner import Planner
from studio.engine.supervision import Deaths
from studio.errors import GenerationFailed, NotReady, StudioError
from studio.events import Cancelled, Event, Failed, Finished, Pixels
from studio.request import Request
from studio.terms import Terms

if TYPE_CHECKING:  # importing torch takes seconds: the thread does it, so that the page is up first
    from studio.engine.engine import Engine
    from studio.engine.kept_times import KeptTimes
    from studio.engine.model import Model
    from studio.engine.step_times import StepTimes
    from studio.engine.warmup import WarmModel

log = logging.getLogger(__name__)

LoadModel = Callable[[str, Callable[[str], None]], "Model"]
"""`load(precision, report)`: load the model, telling `report` in a few words what is going on."""

BACKENDS = ("auto", "torch", "openvino")

MAX_WAIT_FOR_IDLE_SECONDS = 30.0
"""A plan that is ready takes over when nothing is drawn, and after this time in any case."""


Command = Callable[["Engine"], None]


_END = object()


class _Closed(Exception):
    """The manager was closed while its model was warming."""


def _no_control_images(digest: str) -> Pixels:
    raise GenerationFailed(f"The control image {digest[:10]} is not kept here: draw it anew.")


class Manager:
    """Loads a model and serves it from one thread; `on_event` is called from that thread.

    `backend` "auto" serves with torch at once and prepares a faster plan from the model's `folder`
    beside it, where there is one; "openvino" waits for the plan. Measurements and plans are kept in
    `cache_dir`. `load_control` gives the control image of a digest.
    """

    def __init__(
        self,
        load: LoadModel,
        *,
        on_event: Callable[[Event], None],
        precision: str = "auto",
        max_rows: int = 0,
        on_ready: Callable[[], None] = lambda: None,
        load_control: Callable[[str], Pixels] = _no_control_images,
        backend: str = "torch",
        folder: Path | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self._load = load
        self._on_event = on_event
        self._on_ready = on_ready
        self._precision = precision
        self._max_rows = max_rows
        self._load_control = load_control
        self._backend, self._folder, self._cache_dir = backend, folder, cache_dir
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._planner: Planner | None = None
        self._settled = threading.Event()
        self._is_closing = threading.Event()
        self._drain_until: float | None = None
        self._health = Health(state=State.STARTING)
        self._serving: list[WarmModel] = []
        self._unmeasured: Iterator[None] | None = None
        self._kept: KeptTimes
        self._engine: Engine | None = None
        self._deaths = Deaths()

    @property
    def health(self) -> Health:
        if self._planner is None or not self._planner.message:
            return self._health
        return dataclasses.replace(self._health, plan=self._planner.message)

    @property
    def engine(self) -> Engine | None:
        """The engine once it is warm, for reading its counters."""
        return self._engine

    def start(self) -> None:
        """Begin loading. Returns at once."""
        self._thread.start()

    def close(self, timeout_seconds: float = 10.0, drain_seconds: float = 0.0) -> None:
        """Stop after the current step, or when the pictures begun are done.

        The latter is waited for at most `drain_seconds`. Jobs in flight are left as they are: the
        store has them. Takes no longer than both times together.
        """
        if drain_seconds > 0 and self._health.is_ready:
            self._inbox.put(lambda engine: self._drain(engine, drain_seconds))
        else:
            self._is_closing.set()
            self._inbox.put(None)
        deadline = time.monotonic() + timeout_seconds + drain_seconds
        while (thread := self._thread).is_alive() and time.monotonic() < deadline:
            thread.join(deadline - time.monotonic())  # one that died may have left a successor
        self._is_closing.set()
        if self._planner is not None:
            self._planner.cancel()
            self._planner.wait(deadline - time.monotonic())
        self._health = dataclasses.replace(self._health, state=State.STOPPED)

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Block until the model serves.

        Raises:
            NotReady: it could not be loaded, or is not ready in time.
        """
        self._settled.wait(timeout_seconds)
        health = self._health
        if health.state is State.FAILED:
            raise NotReady(health.message)
        if not health.is_ready:
            raise NotReady(f"The model is still warming ({health.message}): try again soon.")

    def wait_for_plan(self, timeout_seconds: float) -> None:
        """Block until the plan in preparation, if any, serves or is given up; for the bench."""
        deadline = time.monotonic() + timeout_seconds
        planner = self._planner
        if planner is None:
            return
        planner.wait(timeout_seconds)
        while planner.offer is not None and time.monotonic() < deadline:
            turned = threading.Event()
            self._inbox.put(lambda engine, turned=turned: turned.set())  # type: ignore[misc]
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
        self._inbox.put(lambda engine: engine.submit(job_id, request, kept, terms=terms))

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

        self._inbox.put(command)

    def picture_seconds(self, request: Request) -> float | None:
        """Seconds this device takes for one picture by itself, at its present pace.

        `None` until the model's passes are measured.
        """
        times, engine = self._times(), self._engine
        if times is None or engine is None or not times:
            return None
        num_rows = 2 if request.uses_guidance else 1
        step_seconds = times.seconds(request.height, request.width, num_rows)
        denoising = request.num_steps * step_seconds * engine.pace
        return denoising + times.decode_seconds(request.height, request.width)

    def check_fits(self, request: Request) -> None:
        """`BadInput` where the request can never fit this device's memory.

        Nothing can be said before the model is loaded; then the request is let in.
        """

    def num_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Tokens `prompt` takes and the most the model reads; `None` while it is not loaded."""
        if not self._serving:
            return None
        encoder = self._serving[0].model.encoder
        return encoder.num_tokens(prompt), encoder.max_tokens

    # In the engine's thread from here on.

    def _run(self) -> None:
        try:
            self._serving = self._warm_up()
        except _Closed:
            self._settled.set()
            return
        except Exception as error:
            log.exception("the model could not be loaded")
            message = str(error) if isinstance(error, StudioError) else f"The model failed: {error}"
            self._fail(message)
            return
        self._engine = self._new_engine()
        self._report_serving()
        self._settled.set()
        self._on_ready()
        if self._planner is not None:
            self._planner.start()
        self._live(self._engine)

    def _live(self, engine: Engine) -> None:
        """Serve; if that kills the thread, leave a successor with what is still to be done."""
        try:
            self._serve(engine)
        except BaseException:
            if self._is_closing.is_set():
                return
            log.exception("the engine's thread died; another takes over")
            self._succeed(engine)

    def _serve(self, engine: Engine) -> None:
        while self._obey(engine):
            if engine.is_idle:
                self._use_idle_moment()
            else:
                engine.step()
                self._deaths.note_step()
            self._adopt_plan(engine)

    def _obey(self, engine: Engine) -> bool:
        """Carry out what is in the inbox, waiting for it when there is nothing to do; whether to
        go on.
        """
        while True:
            if self._drain_until is not None and (
                engine.is_idle or time.monotonic() >= self._drain_until
            ):
                return False
            try:
                command = self._inbox.get(block=engine.is_idle and self._unmeasured is None)
            except queue.Empty:
                return True
            if command is None:
                return False
            try:
                command(engine)
            except Exception:
                log.exception("a command to the engine failed")

    def _succeed(self, dead: Engine) -> None:
        """Start a thread with an engine that has the dead one's jobs, but for a poisonous one."""
        self._deaths.note(dead.at_work or dead.job_ids)
        if self._deaths.is_hopeless:
            for job_id in dead.job_ids:
                self._emit(Failed(job_id=job_id, message="The engine failed; see the log."))
            self._fail("The engine keeps failing: see the log, then start the studio again.")
            return
        engine = self._new_engine()
        for submission in dead.outstanding:
            job_id = submission.job_id
            if self._deaths.is_poison(job_id):
                self._emit(Failed(job_id=job_id, message=self._deaths.sentence(job_id)))
            else:
                # Alone, so that the next death tells whose fault it is.
                engine.take(submission, is_isolated=self._deaths.is_suspect(job_id))
        self._engine = engine
        self._health = dataclasses.replace(self._health, num_restarts=self._health.num_restarts + 1)
        successor = threading.Thread(target=self._live, args=(engine,), name="engine", daemon=True)
        successor.start()
        self._thread = successor  # only now: `close` joins one thread after the other

    def _new_engine(self) -> Engine:
        from studio.engine.engine import Engine

        first, *others = self._serving
        engine = Engine(
            first.model,
            emit=self._emit,
            max_rows=self._max_rows,
            times=first.times,
            load_control=self._load_control,
        )
        for warm in others:
            engine.adopt(warm.model, warm.times)
        return engine

    def _emit(self, event: Event) -> None:
        if isinstance(event, Finished | Failed | Cancelled):
            self._deaths.forget(event.job_id)
        self._on_event(event)

    def _use_idle_moment(self) -> None:
        """Measure a picture size that was not yet, one pass at a time."""
        if self._unmeasured is not None and next(self._unmeasured, _END) is _END:
            self._unmeasured = None
            self._kept.keep(self._serving[-1].model, self._serving[-1].times)

    def _adopt_plan(self, engine: Engine) -> None:
        """Go over to a plan that is offered, when nothing is drawn or it has waited long."""
        planner = self._planner
        if planner is None or planner.offer is None:
            return
        waited = time.monotonic() - planner.offered_at
        if not engine.is_idle and waited < MAX_WAIT_FOR_IDLE_SECONDS:
            return
        from studio.engine.warmup import measured

        self._serving.append(measured(planner.offer, self._kept, report=lambda part: None))
        engine.adopt(self._serving[-1].model, self._serving[-1].times)
        planner.take()
        self._report_serving()

    def _drain(self, engine: Engine, seconds: float) -> None:
        engine.keep_begun()
        self._drain_until = time.monotonic() + seconds

    def _command_on_job(self, job_id: str, act: Callable[[Engine], bool]) -> None:
        """`act` on a job in flight; one that is not is `Cancelled` all the same."""

        def command(engine: Engine) -> None:
            if not act(engine):
                self._on_event(Cancelled(job_id=job_id))

        self._inbox.put(command)

    def _times(self) -> StepTimes | None:
        return self._serving[-1].times if self._serving else None

    def _warm_up(self) -> list[WarmModel]:
        """The model by torch and, where that is to be waited for, by a plan."""
        self._report(State.LOADING, "libraries")
        from studio.engine.kept_times import KeptTimes
        from studio.engine.warmup import measured, warm_up

        self._kept = KeptTimes(self._cache_dir)
        self._report(State.LOADING, "the model")

        def load(precision: str) -> Model:
            return self._load(precision, lambda part: self._report(State.LOADING, part))

        def report(part: str) -> None:
            self._report(State.WARMING, part)

        warm = warm_up(load, precision=self._precision, kept=self._kept, report=report)
        self._planner = self._new_planner(warm.model)
        if self._backend != "openvino":
            return [warm]
        if self._planner is None:
            raise NotReady("OpenVINO cannot run this model here: start with --backend torch.")
        plan = measured(self._planner.build(), self._kept, report=report)
        self._planner.take()
        self._planner = None
        return [warm, plan]

    def _new_planner(self, model: Model) -> Planner | None:
        if self._backend == "torch" or self._folder is None or self._cache_dir is None:
            return None
        if not Planner.can_plan(model):
            return None
        return Planner(
            model,
            folder=self._folder,
            cache_dir=self._cache_dir,
            on_offer=lambda: self._inbox.put(_nothing),
        )

    def _report_serving(self) -> None:
        model, times = self._serving[-1].model, self._serving[-1].times
        height, width = model.card.default_size
        self._unmeasured = self._serving[-1].measure_other_sizes()
        self._health = Health(
            state=State.READY,
            model=model.card.name,
            model_digest=model.digest,
            backend=model.backend,
            precision=model.precision,
            max_rows=self._max_rows or times.knee(height, width),
            step_seconds=times.seconds(height, width, 2),
            num_restarts=self._health.num_restarts,
        )

    def _report(self, state: State, part: str) -> None:
        # Between two parts is where a warm-up can be left; a process that ends within one aborts.
        if self._is_closing.is_set():
            raise _Closed
        doing = f"loading {part}" if state is State.LOADING else part
        self._health = Health(state=state, message=doing)

    def _fail(self, message: str) -> None:
        self._health = Health(state=State.FAILED, message=message)
        self._settled.set()


def _nothing(engine: Engine) -> None:
    """A command that only wakes the loop."""
