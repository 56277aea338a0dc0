"""`JobActs`: what is done to a job in the queue: stopped, a picture skipped, drawn again.

Each act is a mark in the store first and a message to the engine then, so that whatever the engine
still says of the job finds it as it is meant to be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from studio.audit import deed
from studio.dispatcher import Dispatcher
from studio.engine.manager import Manager
from studio.errors import Conflict
from studio.job import Job
from studio.live import LiveBoard
from studio.store import Store


class JobActs:
    """See the module. Any thread may call it."""

    def __init__(
        self,
        store: Store,
        board: LiveBoard,
        dispatcher: Dispatcher,
        manager: Manager,
        *,
        max_pictures_per_day: int | None,
        on_cancelled: Callable[[str], None],
    ) -> None:
        self._store = store
        self._board = board
        self._dispatcher = dispatcher
        self._manager = manager
        self._max_pictures_per_day = max_pictures_per_day
        self._on_cancelled = on_cancelled

    def cancel(self, job_id: str, owner: str, *, after_picture: bool = False) -> None:
        """Stop a job, now or when its pictures begun so far are done.

        Pictures already finished stay. A job that is over is left as it is.
        """
        job = self._store.job(job_id, owner=owner)
        if not job.status.is_active:
            return
        is_begun = False
        with contextlib.suppress(Conflict):
            if not after_picture:
                self._store.mark_cancelled(job_id, deed(owner, "job.cancel", job_id))
                self._on_cancelled(job_id)
            else:
                is_begun = self._store.mark_stopping(job_id, deed(owner, "job.stop", job_id))
        stop = self._manager.stop_after_picture if is_begun else self._manager.cancel
        self._dispatcher.tell(job_id, lambda: stop(job_id), is_leaving=not is_begun)
        self._board.notify()

    def skip(self, job_id: str, index: int | None, owner: str) -> None:
        """Leave out one picture of a job: the one furthest along unless `index` says which.

        The others go on. A picture that is drawn already is left as it is.

        Raises:
            BadInput: the job has no such picture.
            Conflict: the job is over.
        """
        self._store.job(job_id, owner=owner)
        chosen = self._furthest_index(job_id) if index is None else index
        if self._store.skip(job_id, chosen, deed(owner, "job.skip", job_id, index=chosen)):
            if self._store.job(job_id).status.is_active:
                self._dispatcher.tell(job_id, lambda: self._manager.skip(job_id, chosen))
            else:  # it waited, and that was its last picture
                self._dispatcher.tell(job_id, lambda: self._manager.cancel(job_id), is_leaving=True)
            self._board.notify()

    def retry(self, job_id: str, owner: str) -> Job:
        """Queue a failed or cancelled job again; only its missing pictures are drawn."""
        return self._store.retry(
            job_id,
            owner=owner,
            max_pictures_per_day=self._max_pictures_per_day,
            made=deed(owner, "job.retry", job_id),
        )

    def _furthest_index(self, job_id: str) -> int:
        missing = self._store.missing_indices(job_id)
        live = self._board.pictures(job_id)
        drawn = [picture for index, picture in live.items() if index in missing]
        if drawn:
            return max(drawn, key=lambda picture: (picture.step, -picture.index)).index
        return min(missing, default=0)
