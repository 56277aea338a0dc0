"""`Feeder`: gives the rows of running batches to the studio, a few at a time, in its own thread.

The queue is short of room for everybody when one batch fills it; so of each owner's rows it holds
only a few more than the engine takes. A row is given under an id that it had before, hence giving
it twice makes one job.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio.batch import Batch, BatchRow, BatchStatus, RowState
from studio.errors import BadInput, Conflict, StorageFull, StudioError, Unavailable
from studio.job import JobStatus
from studio.store import Store
from studio.terms import ServiceClass

if TYPE_CHECKING:
    from studio.application import Studio

WINDOW = 16
"""Rows of one owner with a job that waits or runs: what the engine holds, and as many again."""

LOOK_SECONDS = 2.0
"""How often it looks where nothing happens, and where it was refused."""

_MAX_BATCHES = 1000

log = logging.getLogger(__name__)


class Feeder:
    """One thread; `resting` keeps it from giving anything out meanwhile."""

    def __init__(self, studio: Studio, store: Store) -> None:
        self._studio = studio
        self._store = store
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        with self._lock:
            yield

    def _run(self) -> None:
        while not self._is_closed:
            version = self._studio.version
            self._woken.clear()
            is_busy = True
            try:
                with self._lock:
                    is_busy = self._feed()
            except Exception as error:  # tried again soon: the batches must not end here
                if not self._is_closed:
                    log.error("the batches could not be looked at", exc_info=error)
            self._wait(version if is_busy else None)

    def _wait(self, version: int | None) -> None:
        """Until something changes, somebody wakes it, or it is time to look again."""
        if version is None:
            self._woken.wait()
            return
        waited = 0.0
        while waited < LOOK_SECONDS and not self._woken.is_set() and not self._is_closed:
            self._studio.wait_for_news(0.25, since=version)
            if self._studio.version > version:
                return
            waited += 0.25

    def _feed(self) -> bool:
        """Fill every owner's window, and close what is over; whether any batch is at work."""
        active = self._store.batches(
            statuses=(BatchStatus.RUNNING, BatchStatus.PAUSED), limit=_MAX_BATCHES
        )
        refused: set[str] = set()
        for batch in reversed(active):  # the oldest first
            if batch.status is BatchStatus.RUNNING and batch.owner not in refused:
                room = WINDOW - self._store.num_in_hand(batch.owner)
                if room > 0 and not self._give_some(batch, room):
                    refused.add(batch.owner)
            self._store.finish_batch_if_over(batch.id)
        return bool(active)

    def _give_some(self, batch: Batch, room: int) -> bool:
        """Give out up to `room` rows; whether nothing stood in the way."""
        rows = self._store.batch_lines(batch.id, states=(RowState.WAITING,), limit=room)
        for row in rows:
            try:
                self._give(batch, row)
            except (Unavailable, StorageFull) as error:  # not the row's fault: later
                self._store.set_batch_message(batch.id, str(error))
                return False
            except StudioError as error:
                self._store.fail_line(row.job_id, str(error))
        if batch.message and rows:
            self._store.set_batch_message(batch.id, "")
        return True

    def _give(self, batch: Batch, row: BatchRow) -> None:
        try:
            self._studio.submit(
                row.brief,
                batch.owner,
                service_class=ServiceClass.BULK,
                job_id=row.job_id,
            )
        except BadInput:
            raise
        except Conflict:  # it has its job already
            job = self._studio.job(row.job_id, batch.owner)
            if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
                self._studio.retry(row.job_id, batch.owner)
            else:
                self._store.follow_job(row.job_id)
