"""`Manager`: the engine in a thread of its own, fed through an inbox.

    starting ─▶ loading ─▶ warming ─▶ ready ─▶ stopped
                    └─────────┴──▶ failed

The thread owns the device: nobody else touches a tensor. Callers leave a command and go; answers
come as events, called from that thread.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import GenerationFailed, NotReady, StudioError
from studio.events import Cancelled, Event, Pixels
from studio.request import Request
from studio.terms import Terms

if TYPE_CHECKING:  # importing torch takes seconds: the thread does it, so that the page is up first
    from studio.engine.engine import Engine
    from studio.engine.model import Model
    from studio.engine.warmup import WarmModel

log = logging.getLogger(__name__)

LoadModel = Callable[[str, Callable[[str], None]], "Model"]
"""`load(precision, report)`: load the model, telling `report` in a few words what is going on."""


class State(enum.StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Health:
    """What the engine says of itself.

    `message` is what it is doing while it warms, and why it failed when it has. `step_seconds` is
    one guided step at the default size.
    """

    state: State
    message: str = ""
    model: str = ""
    model_digest: str = ""
    backend: str = ""
    precision: str = ""
    max_rows: int = 0
    step_seconds: float = 0.0

    @property
    def is_ready(self) -> bool:
        return self.state is State.READY


Command = Callable[["Engine"], None]


class _Closed(Exception):
    """The manager was closed while its model was warming."""


def _no_control_images(digest: str) -> Pixels:
    raise GenerationFailed(f"The control image {digest[:10]} is not kept here: draw it anew.")


class Manager:
    """Loads a model and serves it from one thread; `on_event` is called from that thread."""

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
        self._load_control = load_control
        self._backend, self._folder, self._cache_dir = backend, folder, cache_dir
        self._precision = precision
        self._max_rows = max_rows
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._settled = threading.Event()
        self._is_closing = threading.Event()
        self._health = Health(state=State.STARTING)
        self._warm: WarmModel | None = None
        self._engine: Engine | None = None

    @property
    def health(self) -> Health:
        return self._health

    @property
    def engine(self) -> Engine | None:
        """The engine once it is warm, for reading its counters."""
        return self._engine

    def start(self) -> None:
        """Begin loading. Returns at once."""
        self._thread.start()

    def close(self, timeout_seconds: float = 10.0, drain_seconds: float = 0.0) -> None:
        """Stop after the current step. Jobs in flight are left as they are: the store has them."""
        self._is_closing.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
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
        self._inbox.put(lambda engine: engine.submit(job_id, request, kept))

    def cancel(self, job_id: str) -> None:
        """Stop a job before its next step. Returns at once; `Cancelled` tells when it is done."""

        def command(engine: Engine) -> None:
            if not engine.cancel(job_id):
                self._on_event(Cancelled(job_id=job_id))

        self._inbox.put(command)

    def stop_after_picture(self, job_id: str) -> None:
        """Finish the pictures of a job that are begun, leave the others; then `Cancelled`."""

    def skip(self, job_id: str, index: int | None = None) -> None:
        """Leave out one picture of a job, the furthest along unless `index` says which."""

    def picture_seconds(self, request: Request) -> float | None:
        """Seconds one picture takes on this device when it is alone; `None` until measured."""
        health = self._health
        return health.step_seconds * request.num_steps if health.step_seconds else None

    def check_fits(self, request: Request) -> None:
        """`BadInput` where the request can never fit this device's memory."""

    def num_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Tokens `prompt` takes and the most the model reads; `None` while it is not loaded."""
        warm = self._warm
        if warm is None:
            return None
        return warm.model.encoder.num_tokens(prompt), warm.model.encoder.max_tokens

    def _run(self) -> None:
        try:
            warm = self._warm_up()
        except _Closed:
            self._settled.set()
            return
        except Exception as error:
            log.exception("the model could not be loaded")
            message = str(error) if isinstance(error, StudioError) else f"The model failed: {error}"
            self._health = Health(state=State.FAILED, message=message)
            self._settled.set()
            return
        from studio.engine.engine import Engine

        self._warm = warm
        engine = self._engine = Engine(warm.model, max_rows=warm.max_rows, emit=self._on_event)
        self._health = Health(
            state=State.READY,
            model=warm.model.card.name,
            model_digest=warm.model.digest,
            backend=warm.model.backend,
            precision=warm.model.precision,
            max_rows=warm.max_rows,
            step_seconds=warm.step_seconds,
        )
        self._settled.set()
        self._on_ready()
        while self._obey(engine):
            try:
                engine.step()
            except Exception:  # a defect of ours: say so, and keep serving the others
                log.exception("the engine failed")
                for job_id in engine.job_ids:
                    engine.fail(job_id, "The engine failed while drawing this; try it again.")

    def _obey(self, engine: Engine) -> bool:
        """Carry out what is in the inbox, waiting for it when idle; whether to go on."""
        while True:
            try:
                command = self._inbox.get(block=engine.is_idle)
            except queue.Empty:
                return True
            if command is None:
                return False
            try:
                command(engine)
            except Exception:
                log.exception("a command to the engine failed")

    def _warm_up(self) -> WarmModel:
        self._report(State.LOADING, "libraries")
        from studio.engine.warmup import warm_up

        self._report(State.LOADING, "the model")

        def load(precision: str) -> Model:
            return self._load(precision, lambda part: self._report(State.LOADING, part))

        return warm_up(
            load,
            precision=self._precision,
            max_rows=self._max_rows,
            report=lambda part: self._report(State.WARMING, part),
        )

    def _report(self, state: State, part: str) -> None:
        # Between two parts is where a warm-up can be left; a process that ends within one aborts.
        if self._is_closing.is_set():
            raise _Closed
        doing = f"loading {part}" if state is State.LOADING else part
        self._health = Health(state=state, message=doing)
