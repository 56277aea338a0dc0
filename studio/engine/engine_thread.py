"""`EngineThread`: the thread that owns the device: it loads, warms, serves, and has a successor.

Others leave commands in its inbox; between two steps it carries them out. When it has nothing to
draw it measures picture sizes it knows no times of, and goes over to a plan that is offered. Should
it die, another thread takes its place with a new engine and the jobs of the old one; see
`supervision`.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING

from studio.engine.health import Health, State
from studio.engine.planner import Planner, backend_of
from studio.engine.setup import PLANS, Setup
from studio.engine.supervision import Deaths
from studio.errors import NotReady, StudioError
from studio.events import Cancelled, Event, Failed, Finished

if TYPE_CHECKING:  # importing torch takes seconds: the thread does it, so that the page is up first
    from studio.engine.engine import Engine
    from studio.engine.kept_times import KeptTimes
    from studio.engine.model import Model
    from studio.engine.warmup import WarmModel

log = logging.getLogger(__name__)

Command = Callable[["Engine"], None]

MAX_WAIT_FOR_IDLE_SECONDS = 30.0
"""A plan that is ready takes over when nothing is drawn, and after this time in any case."""

_END = object()


class _Closed(Exception):
    """The thread was stopped while its model was warming."""


class EngineThread:
    """`serving` are the models loaded, the first one's plans after it; `engine` is there once they
    are warm. Only this thread touches either; others read.
    """

    def __init__(self, setup: Setup) -> None:
        self.engine: Engine | None = None
        self.serving: list[WarmModel] = []
        self.planner: Planner | None = None
        self.settled = threading.Event()
        self._setup = setup
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._is_closing = threading.Event()
        self._drain_until: float | None = None
        self._health = Health(state=State.STARTING)
        self._unmeasured: Iterator[None] | None = None
        self._kept: KeptTimes
        self._deaths = Deaths()
        self._notes: list[str] = []

    @property
    def health(self) -> Health:
        planner = self.planner  # which the thread may put away meanwhile
        health = dataclasses.replace(self._health, note=" ".join(self._notes))
        if planner is None or not planner.message:
            return health
        no_plan = planner.message if planner.is_given_up else ""
        return dataclasses.replace(health, plan=planner.message, no_plan=no_plan)

    def start(self) -> None:
        """Begin loading. Returns at once."""
        self._thread.start()

    def post(self, command: Command) -> None:
        """Have `command` carried out before the next step. Returns at once."""
        self._inbox.put(command)

    def stop(self, timeout_seconds: float, drain_seconds: float) -> None:
        """Stop after the current step, or when what is begun is drawn, whichever is asked for."""
        if (planner := self.planner) is not None:  # which the thread may put away meanwhile
            planner.cancel()
        if drain_seconds > 0 and self._health.is_ready:
            self.post(lambda engine: self._drain(engine, drain_seconds))
        else:
            self._is_closing.set()
            self._inbox.put(None)
        deadline = time.monotonic() + timeout_seconds + drain_seconds
        while (thread := self._thread).is_alive() and time.monotonic() < deadline:
            thread.join(deadline - time.monotonic())  # one that died may have left a successor
        self._is_closing.set()
        if (planner := self.planner) is not None:
            planner.cancel()  # it may have come up only now
            planner.wait(deadline - time.monotonic())
        self._health = dataclasses.replace(self._health, state=State.STOPPED)

    def adopt(self, engine: Engine, model: Model) -> None:
        """A command: draw with `model` too, once its passes are measured."""
        from studio.engine.warmup import measured

        warm = measured(model, self._kept, report=lambda part: None)
        engine.adopt(warm.model, warm.times)
        self.serving = [*self.serving, warm]
        self._unmeasured = itertools.chain(
            self._unmeasured or (), warm.measure_other_sizes(self._count_out_of_memory)
        )

    def _drain(self, engine: Engine, seconds: float) -> None:
        engine.keep_begun()
        self._drain_until = time.monotonic() + seconds

    def _run(self) -> None:
        try:
            self.serving = self._warm_up()
        except _Closed:
            self.settled.set()
            return
        except BaseException as error:  # a library's panic, too: nobody is to wait for ever
            log.exception("the model could not be loaded")
            message = str(error) if isinstance(error, StudioError) else f"The model failed: {error}"
            self._fail(message)
            return
        self.engine = self._new_engine()
        self._unmeasured = self.serving[-1].measure_other_sizes(self._count_out_of_memory)
        self._report_serving()
        if self.planner is not None:
            self.planner.start()
        self.settled.set()
        try:
            self._setup.on_ready()
        except Exception:
            log.exception("nobody took in that the engine is ready")
        self._live(self.engine)

    def _live(self, engine: Engine) -> None:
        """Serve; if that kills the thread, leave a successor with what is still to be done."""
        from studio.engine.devices import make_current

        try:
            make_current(self.serving[0].model.device)
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
        may_wait = True
        while True:
            if self._drain_until is not None and (
                engine.is_idle or time.monotonic() >= self._drain_until
            ):
                return False
            try:
                is_waiting = may_wait and engine.is_idle and self._unmeasured is None
                command = self._inbox.get(block=is_waiting)
            except queue.Empty:
                return True
            if command is None:
                return False
            may_wait = False  # for the next one: this one may have brought something to do
            try:
                command(engine)
            except Exception:
                log.exception("a command to the engine failed")

    def _succeed(self, dead: Engine) -> None:
        """Start a thread with an engine that has the dead one's jobs, but for a poisonous one."""
        self._deaths.note(dead.at_work or dead.job_ids)
        if self._deaths.is_hopeless:
            for job_id in dead.job_ids:
                self._give_up(job_id, "The engine failed; see the log.")
            self._fail("The engine keeps failing: see the log, then start the studio again.")
            return
        engine = self._new_engine()
        for submission in dead.outstanding:
            job_id = submission.job_id
            if self._deaths.is_poison(job_id):
                self._give_up(job_id, self._deaths.sentence(job_id))
            else:
                # Alone, so that the next death tells whose fault it is.
                engine.take(submission, is_isolated=self._deaths.is_suspect(job_id))
        self.engine = engine
        self._health = dataclasses.replace(self._health, num_restarts=self._health.num_restarts + 1)
        successor = threading.Thread(target=self._live, args=(engine,), name="engine", daemon=True)
        successor.start()
        self._thread = successor  # only now: `close` joins one thread after the other

    def _give_up(self, job_id: str, message: str) -> None:
        """Whoever cannot hear of it does not keep a successor from the others."""
        try:
            self._emit(Failed(job_id=job_id, message=message, cause="engine"))
        except Exception:
            log.exception("the end of job %s was not taken in", job_id)

    def _new_engine(self) -> Engine:
        from studio.engine.engine import Engine

        first, *others = self.serving
        engine = Engine(
            first.model,
            emit=self._emit,
            max_rows=self._setup.max_rows,
            times=first.times,
            load_control=self._setup.load_control,
            on_narrowed=self._narrow,
        )
        for warm in others:
            engine.adopt(warm.model, warm.times)
        return engine

    def _narrow(self, model: Model, size: tuple[int, int]) -> None:
        """A backend cannot draw a size after all: say so, and serve without it."""
        key = (model.card.name, model.backend)
        self.serving = [
            dataclasses.replace(warm, model=model)
            if (warm.model.card.name, warm.model.backend) == key
            else warm
            for warm in self.serving
        ]
        self._note(
            f"Pictures of {size[0]} × {size[1]} cannot be drawn by {model.backend} here: another "
            "backend draws them instead."
        )

    def _emit(self, event: Event) -> Future[None] | None:
        if isinstance(event, Finished | Failed | Cancelled):
            self._deaths.forget(event.job_id)
        return self._setup.on_event(event)

    def _use_idle_moment(self) -> None:
        """Measure a picture size that was not yet, one pass at a time."""
        if self._unmeasured is None:
            return
        try:
            if next(self._unmeasured, _END) is not _END:
                return
        except Exception:  # whatever a backend throws: what it cost is an estimate
            log.exception("the other picture sizes could not be measured")
        self._unmeasured = None
        for warm in self.serving:
            self._kept.keep(warm.model, warm.times)

    def _count_out_of_memory(self) -> None:
        if self.engine is not None:
            self.engine.num_out_of_memory += 1

    def _adopt_plan(self, engine: Engine) -> None:
        """Go over to a plan that is offered, when nothing is drawn or it has waited long."""
        planner = self.planner
        if planner is None or planner.offer is None:
            return
        waited = time.monotonic() - planner.offered_at
        if not engine.is_idle and waited < MAX_WAIT_FOR_IDLE_SECONDS:
            return
        problem = ""
        try:
            self.adopt(engine, planner.offer)
        except Exception as error:  # costs nothing but the plan
            log.exception("the plan cannot be taken over")
            problem = f"The faster backend does not run here: {error}"
        planner.take()
        if problem:
            planner.give_up(problem)
        self._report_serving()

    def _warm_up(self) -> list[WarmModel]:
        """The model by torch and, where that is to be waited for, by a plan."""
        self._report(State.LOADING, "libraries")
        from studio.engine.kept_times import KeptTimes
        from studio.engine.warmup import measured, warm_up

        self._kept = KeptTimes(self._setup.cache_dir)
        self._report(State.LOADING, "the model")

        def load(precision: str) -> Model:
            return self._setup.load(precision, lambda part: self._report(State.LOADING, part))

        def report(part: str) -> None:
            self._report(State.WARMING, part)

        def warm_up_here() -> WarmModel:
            return warm_up(load, precision=self._setup.precision, kept=self._kept, report=report)

        warm = self._where_it_does(warm_up_here)
        self.planner = self._new_planner(warm.model)
        if self._setup.backend not in PLANS:
            return [warm]
        if not Planner.serves_in(warm.model, self._setup.precision):
            raise NotReady(
                "TensorRT computes in half precision: start with --precision float16, or with "
                "--backend torch."
            )
        if self.planner is None:
            raise NotReady(
                f"{PLANS[self._setup.backend]} cannot run this model here: start with "
                "--backend torch."
            )
        plan = measured(self.planner.build(), self._kept, report=report)
        self.planner.take()
        self.planner = None
        return [warm, plan]

    def _where_it_does(self, warm_up: Callable[[], WarmModel]) -> WarmModel:
        """What `warm_up` makes on the device that was chosen, or on another if that is to be left.

        Raises:
            NotReady: the device has not enough memory, and there is no other.
        """
        from studio.engine.memory import is_out_of_memory, release_all
        from studio.engine.warmup import NO_MEMORY

        choice = self._setup.device
        while True:
            try:
                warm = warm_up()
                break
            except Exception as error:
                if choice is None or not choice.leave(error):
                    if is_out_of_memory(error):
                        raise NotReady(NO_MEMORY) from error
                    raise
            release_all()  # only here is the error gone, and the tensors its traceback held
        if choice is not None and choice.note:
            self._note(choice.note)
        return warm

    def _note(self, sentence: str) -> None:
        """Say in the log and in the health what is not served as was to be expected."""
        log.warning("%s", sentence)
        self._notes = [*self._notes, sentence]

    def _new_planner(self, model: Model) -> Planner | None:
        folder, cache_dir = self._setup.folder, self._setup.cache_dir
        if self._setup.backend == "torch" or folder is None or cache_dir is None:
            return None
        if not Planner.can_plan(model) or self._setup.backend not in ("auto", backend_of(model)):
            return None
        if not Planner.serves_in(model, self._setup.precision):
            return None
        return Planner(
            model,
            folder=folder,
            cache_dir=cache_dir / "plans",
            precision=self._setup.precision,
            controlnets=self._setup.controlnets,
            on_offer=lambda: self._inbox.put(_nothing),
        )

    def _report_serving(self) -> None:
        name = self.serving[0].model.card.name
        warm = [one for one in self.serving if one.model.card.name == name][-1]
        model, times = warm.model, warm.times
        height, width = model.card.default_size
        self._health = Health(
            state=State.READY,
            model=model.card.name,
            model_digest=model.digest,
            backend=model.backend,
            precision=model.precision,
            max_rows=self._setup.max_rows or times.knee(height, width),
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
        self.settled.set()


def _nothing(engine: Engine) -> None:
    """A command that only wakes the loop."""
