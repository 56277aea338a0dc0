"""`Drafts`: quick looks at a brief that is still being written or drawn.

A draft is of the quality "quick", at the smallest size of its shape. Each person has one at a time:
a new one stops the one before it, which frees the device within a step. Its picture passes the same
verdict as any other, is kept in memory for as long as anybody may still look at it, and is in no
gallery.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import threading
import time
from collections.abc import Callable

from PIL import Image

from studio.brief import Brief
from studio.events import Pixels
from studio.job import Job
from studio.model_card import ModelCard
from studio.presets import ASPECT_TOLERANCE, Presets
from studio.store import Store

QUALITY = "quick"
MAX_KEPT = 64
"""Pictures of drafts, of everybody."""

KEEP_SECONDS = 60.0
"""How long the row of a draft that is over is kept: the engine may still speak of it."""

Submit = Callable[[Brief, str], Job]
Cancel = Callable[[str, str], None]


class Drafts:
    """Safe to use from any thread. `submit` queues a brief as a draft, `cancel` stops a job.

    `num_begun` and `num_stopped` count drafts since the start.
    """

    def __init__(
        self, store: Store, presets: Presets, card: ModelCard, *, submit: Submit, cancel: Cancel
    ) -> None:
        self._store = store
        self._presets = presets
        self._card = card
        self._submit = submit
        self._cancel = cancel
        self.num_begun = self.num_stopped = 0
        self._lock = threading.Lock()
        self._pictures: collections.OrderedDict[str, bytes] = collections.OrderedDict()

    def begin(self, brief: Brief, owner: str) -> Job:
        """Queue a draft of `brief` in the place of the one before it.

        Raises:
            StudioError: as for any other job; the draft before it is stopped all the same.
        """
        self.stop(owner)
        job = self._submit(self._quick(brief), owner)
        self.num_begun += 1
        # Only now: the engine is at work meanwhile.
        self._store.forget_drafts(owner, older_than=time.time() - KEEP_SECONDS)
        return job

    def stop(self, owner: str) -> None:
        """Stop the draft of `owner`, if there is one: something better is asked for."""
        for job_id in self._store.active_drafts(owner):
            self._cancel(job_id, owner)
            self.num_stopped += 1

    def keep(self, job_id: str, pixels: Pixels) -> None:
        """Take in the picture of a draft, which may be seen."""
        buffer = io.BytesIO()
        Image.fromarray(pixels, "RGB").save(buffer, "PNG", compress_level=1)
        with self._lock:
            self._pictures[job_id] = buffer.getvalue()
            while len(self._pictures) > MAX_KEPT:
                self._pictures.popitem(last=False)

    @property
    def num_active(self) -> int:
        """How many drafts of everybody wait or run."""
        return self._store.num_active_drafts()

    def is_kept(self, job_id: str) -> bool:
        """Whether the picture of a draft is there: cheap, and tells nobody whose it is."""
        with self._lock:
            return job_id in self._pictures

    def look(self, job_id: str, owner: str) -> tuple[Job, bytes | None]:
        """A draft and its picture as PNG: `None` while it is not drawn, or is kept no more.

        Raises:
            NotFound: `owner` has no such draft.
        """
        job = self._store.job(job_id, owner=owner)
        with self._lock:
            return job, self._pictures.get(job_id)

    def _quick(self, brief: Brief) -> Brief:
        return dataclasses.replace(
            brief,
            num_images=1,
            num_steps=None,
            quality=QUALITY,
            size=self._small(brief.size),
        )

    def _small(self, size: str | None) -> str | None:
        """The smallest size that the model lists of the shape asked for; what is wrong stays."""
        shapes = {
            preset.id: width / height
            for preset, height, width in self._presets.sizes_for(self._card)
        }
        height, width = self._card.default_size
        if size is not None and not (isinstance(size, str) and size in shapes):
            return size
        ratio = shapes.get(str(size), width / height)
        alike = [
            (height, width)
            for height, width in self._card.sizes
            if abs(width / height / ratio - 1) < ASPECT_TOLERANCE
        ]
        height, width = min(alike, key=lambda one: one[0] * one[1], default=(height, width))
        return f"{width}x{height}"
