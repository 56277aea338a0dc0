"""`Deaths`: who was there when the engine's thread died, and what follows from it.

A job that was in the model's hands at a death is a suspect, and from then on drawn by itself; one
that was there at `MAX_DEATHS` of them is poison, and is not tried again. Deaths that nobody can be
blamed for, one upon the other, are hopeless.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable

MAX_DEATHS = 2

MAX_DEATHS_WITHOUT_A_STEP = 5
"""So many deaths with no step between them: the model or the device is broken, not a job."""


class Deaths:
    """Counts deaths by job. One engine thread at a time writes."""

    def __init__(self) -> None:
        self._by_job: collections.Counter[str] = collections.Counter()
        self._without_step = 0

    def note(self, job_ids: Iterable[str]) -> None:
        """The thread died while it worked on these jobs."""
        self._by_job.update(set(job_ids))
        self._without_step += 1

    def note_step(self) -> None:
        """A turn went through."""
        self._without_step = 0

    def forget(self, job_id: str) -> None:
        """The job is over: should it be tried again on request, it starts clean."""
        self._by_job.pop(job_id, None)

    def is_suspect(self, job_id: str) -> bool:
        return self._by_job[job_id] > 0

    def is_poison(self, job_id: str) -> bool:
        return self._by_job[job_id] >= MAX_DEATHS

    @property
    def is_hopeless(self) -> bool:
        return self._without_step >= MAX_DEATHS_WITHOUT_A_STEP

    def sentence(self, job_id: str) -> str:
        """What to tell the owner of a poisonous job."""
        return (
            f"Parked: the engine died {self._by_job[job_id]} times while it drew this; change the "
            "brief, or retry it with fewer pictures."
        )
