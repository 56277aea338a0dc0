"""`Attendance`: what becomes of the work of somebody who is disabled.

Their batches are paused, with the reason; what of theirs the engine holds goes back to its place in
the queue, and nothing of theirs is handed out, nor any message of a webhook sent, until they are
enabled again. Accounts are changed from other processes too, so the thread here looks every second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from studio.dispatcher import Dispatcher
from studio.store import Store

LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Attendance:
    """One thread. What it does is done once for each change, and does no harm twice."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        *,
        cancel: Callable[[str], None],
        on_changed: Callable[[], None],
    ) -> None:
        """`cancel` has the engine leave a job."""
        self._store = store
        self._dispatcher = dispatcher
        self._cancel = cancel
        self._on_changed = on_changed
        self._away: frozenset[str] = frozenset()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attendance", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """See who was disabled or enabled since the last look."""
        away = self._store.disabled_names()
        for name in sorted(away - self._away):
            self._send_away(name)
        is_somebody_back = bool(self._away - away)
        is_changed, self._away = away != self._away, away
        if is_somebody_back:
            self._dispatcher.fill()
        if is_changed:
            self._on_changed()

    def _send_away(self, name: str) -> None:
        self._store.pause_batches(
            name, f"The account {name} is disabled: resume the batch when it is enabled again."
        )
        self._dispatcher.withdraw(name, self._cancel)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception as error:
                if not self._closed.is_set():
                    log.error("it could not be seen who is disabled", exc_info=error)
            self._closed.wait(LOOK_SECONDS)
