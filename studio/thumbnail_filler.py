"""`ThumbnailFiller`: makes the thumbnails that pictures of earlier lack, while nothing is drawn.

New pictures get theirs when they are recorded. What an earlier studio drew, or a reviewer released,
is gone through once after each start, the newest first, so that nobody waits for it in the gallery.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from studio.errors import NotFound, StudioError
from studio.image_record import ImageRecord
from studio.pictures import Pictures
from studio.store import Store
from studio.thumbnails import Thumbnails

PAGE_SIZE = 200
REST_SECONDS = 1.0
"""How long to wait before looking again whether the device is at rest."""

log = logging.getLogger(__name__)


class ThumbnailFiller:
    """A thread that ends when it is through. `is_at_rest` says whether the device has time."""

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        thumbnails: Thumbnails,
        *,
        is_at_rest: Callable[[], bool],
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._thumbnails = thumbnails
        self._is_at_rest = is_at_rest
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="thumbnails", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop after the one being made."""
        self._closing.set()
        self._thread.join()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it is through by then."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            before: str | None = None
            while page := self._store.images(limit=PAGE_SIZE, before=before):
                for record in page:
                    if not self._make(record):
                        return
                before = page[-1].id
        except StudioError as error:  # no room, or no database any more
            log.warning("thumbnails are not made ahead: %s", error)

    def _make(self, record: ImageRecord) -> bool:
        """Make one where it is missing; `False` when the studio closes."""
        if self._thumbnails.has(record.id):
            return not self._closing.is_set()
        while not self._is_at_rest():
            if self._closing.wait(REST_SECONDS):
                return False
        try:
            self._thumbnails.path(record.id, self._pictures.absolute(record))
        except NotFound:
            log.info("picture %s has no readable file", record.id)
        return not self._closing.is_set()
