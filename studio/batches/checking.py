"""`Checking`: judges the lines of long tables, a few hundred at a time, and says how far it is.

A table of a hundred thousand rows takes longer than a request may, and longer than the database may
be held. So the batch is there from the first moment, marked as being checked; its rows come in
portions, and it is ready when the last one is in. What is cut short leaves no half of a table: the
batch is then cancelled, without rows, and says why.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from studio.batch import Batch
from studio.batches.line_check import LineChecker
from studio.batches.table import Cells
from studio.errors import Conflict, LimitReached, StudioError
from studio.store import Store

PORTION = 500
MAX_WAITING = 4
"""Tables held in memory, the one that is being checked included; one of each person."""

STOPPED = "The studio was stopped while it checked this table: hand it over again."

_BREATH_SECONDS = 0.005

Lines = Iterator[tuple[int, Cells]]

log = logging.getLogger(__name__)


class Checking:
    """One thread for those who do not wait; any thread may check its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checking")
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._owners: set[str] = set()

    def begin(self) -> None:
        """Settle what was being checked when the studio was last closed, or killed."""
        self._store.end_every_check(STOPPED)

    def close(self) -> None:
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)
        # What was cut short is settled at the next start.

    def hand_over(self, batch: Batch, lines: Lines, checker: LineChecker) -> None:
        """Check the table in the thread here; returns at once.

        Raises:
            LimitReached: too many tables are being checked.
        """
        with self._lock:
            if batch.owner in self._owners or len(self._owners) >= MAX_WAITING:
                raise LimitReached(
                    "Another long table is being checked: hand this one over when that is done.",
                    retry_after_seconds=10.0,
                )
            self._owners.add(batch.owner)
        try:
            self._store.begin_check(batch)
            self._thread.submit(self._check_alone, batch, lines, checker)
        except BaseException:
            self._owners.discard(batch.owner)
            raise

    def check(
        self, batch: Batch, lines: Lines, checker: LineChecker, report: Callable[[int], object]
    ) -> None:
        """Check the table now; `report` is told how many rows more are done.

        Raises:
            BadInput: it cannot be used further down; nothing of it is kept.
        """
        self._store.begin_check(batch)
        try:
            self._check(batch, lines, checker, report)
        except BaseException:
            self._store.delete_batch(batch.id)
            raise

    def _check_alone(self, batch: Batch, lines: Lines, checker: LineChecker) -> None:
        try:
            self._check(batch, lines, checker, lambda number: None)
        except Conflict:
            pass  # it was cancelled or deleted meanwhile
        except StudioError as error:
            self._give_up(batch, str(error))
        except Exception:
            if not self._closed.is_set():
                log.exception("a table could not be checked")
                self._give_up(batch, "The table could not be checked: see the log.")
        finally:
            with self._lock:
                self._owners.discard(batch.owner)

    def _check(
        self, batch: Batch, lines: Lines, checker: LineChecker, report: Callable[[int], object]
    ) -> None:
        while portion := list(itertools.islice(lines, PORTION)):
            self._store.add_checked(batch.id, [checker.row(*line) for line in portion])
            report(len(portion))
            # Checking is work of the interpreter alone, which drawing needs too.
            if self._closed.wait(_BREATH_SECONDS):
                return
        self._store.end_check(batch.id, (*batch.notes, *checker.notes), checker.work)

    def _give_up(self, batch: Batch, why: str) -> None:
        try:
            self._store.give_up_check(batch.id, why)
        except Exception as error:
            log.error("a check could not be given up", exc_info=error)
