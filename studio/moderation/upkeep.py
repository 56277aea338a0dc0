"""`Upkeep`: what moderation does by the clock, in a thread of its own.

Decisions take effect when they can no longer be undone, pictures hidden in a hurry are moved to
where hidden pictures lie, and rejected pictures are deleted when the policy says so. Each step can
be cut short by a crash and is made again at the next start; a row says "released" only when the
file lies among the released ones.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.moderation_policy import ModerationPolicy
from studio.pictures import RELEASED_FOLDER, Pictures
from studio.review import Act
from studio.store import Store
from studio.verdict import Release

RETENTION_SECONDS = 3600.0
RETRY_SECONDS = 30.0
DAY_SECONDS = 86400.0

log = logging.getLogger(__name__)


class Upkeep:
    """`on_changed` is called when something that people see has changed."""

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        policy: ModerationPolicy,
        *,
        on_changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._policy = policy
        self._on_changed = on_changed
        self._wakes = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="moderation", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something was decided or hidden."""
        self._wakes.set()

    def close(self) -> None:
        self._is_closing = True
        self._wakes.set()
        if self._thread.is_alive():
            self._thread.join()

    def settle(self, now: float) -> int:
        """Let every decision that is due take effect, and clear away what is hidden; how many."""
        for record in self._store.misplaced_images(RELEASED_FOLDER):
            self._store.set_image_path(record.id, self._pictures.move(record, record.release))
        due = self._store.due_reviews(now)
        for review in due:
            record = self._store.image(review.image_id)
            path = record.path
            if review.answer is Act.APPROVE:
                # The file first: were it the row, a picture would be promised that is not there.
                path = self._released(record)
            self._store.settle_review(review.id, path=path, now=now)
        if due:
            self._on_changed()
        return len(due)

    def delete_expired(self, now: float) -> int:
        """Delete the files of pictures rejected long ago, and say so in the record; how many."""
        before = now - self._policy.rejected_days * DAY_SECONDS
        return sum(
            self._store.delete_expired(
                record.id,
                before=before,
                delete=self._pictures.delete,
                version=self._policy.version,
                now=now,
            )
            for record in self._store.expired_images(before)
        )

    def _released(self, record: ImageRecord) -> str:
        """Bring the file to the released ones; where it lies then, "" where it is gone."""
        try:
            path = self._pictures.move(record, Release.RELEASED)
            if self._pictures.absolute(dataclasses.replace(record, path=path)).is_file():
                return path
        except NotFound:
            pass
        log.error("picture %s was approved, and its file is gone", record.id)
        return ""

    def _run(self) -> None:
        next_retention = 0.0
        while not self._is_closing:
            self._wakes.clear()
            wait_seconds = RETENTION_SECONDS
            try:
                now = time.time()
                self.settle(now)
                if now >= next_retention:
                    self.delete_expired(now)
                    next_retention = now + RETENTION_SECONDS
                due_at = self._store.next_due_at()
                if due_at is not None:
                    wait_seconds = min(wait_seconds, max(0.0, due_at - time.time()) + 0.01)
            except Exception:
                if self._is_closing:
                    return  # the store is closed
                log.exception("decisions could not take effect")
                wait_seconds = RETRY_SECONDS
            self._wakes.wait(wait_seconds)
