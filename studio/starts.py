"""`Starts`: marks jobs as running, in a thread of its own.

A start is on disk before the job's first forward pass, since a job that kills the process must be
counted. The disk takes a while over that, in which the engine draws for others.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from studio.dispatcher import Dispatcher
from studio.errors import Conflict, StudioError
from studio.events import Failed, Started
from studio.live import LiveBoard
from studio.moderation.service import Moderation
from studio.recorder import Recorder
from studio.store import Store
from studio.watch import Watch

STOPPED = "The job was stopped meanwhile: look at it again."


class Starts:
    """One job after the other, in the order in which the engine begins them."""

    def __init__(
        self,
        store: Store,
        *,
        dispatcher: Dispatcher,
        recorder: Recorder,
        moderation: Moderation,
        watch: Watch,
        board: LiveBoard,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._moderation = moderation
        self._watch = watch
        self._board = board
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="starts")

    def close(self) -> None:
        """Write down what was handed in, then stop; later starts are refused."""
        self._thread.shutdown()

    def begin(self, event: Started) -> Future[None]:
        """Done when the job is marked as running; with `Conflict` the engine is to leave it."""
        try:
            return self._thread.submit(self._begin, event)
        except RuntimeError as error:
            raise Conflict(STOPPED) from error

    def _begin(self, event: Started) -> None:
        job_id = event.job_id
        if self._dispatcher.is_leaving(job_id):
            raise Conflict(STOPPED)
        try:
            self._store.mark_running(job_id)
        except Conflict:
            raise
        except StudioError as error:  # no room on the disk: not the engine's fault
            self._recorder.record(Failed(job_id=job_id, message=str(error), cause="storage"))
            raise Conflict(str(error)) from error
        self._watch.started(job_id)
        self._board.update(event)
        if self._moderation.is_doubted(job_id):
            self._board.doubt(job_id)
