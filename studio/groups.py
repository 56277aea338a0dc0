"""`Groups`: jobs that were asked for together: queued all or none, followed and stopped as one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from studio.brief import Brief
from studio.errors import Conflict, NotFound, StudioError
from studio.job import Job, JobStatus, new_id
from studio.store import Store

Submit = Callable[[Brief, str, str], Job]
Cancel = Callable[[str, str], None]
Retry = Callable[[str, str], Job]


class Groups:
    """Safe to use from any thread. `submit(brief, owner, group_id)` queues one job."""

    def __init__(self, store: Store, *, submit: Submit, cancel: Cancel, retry: Retry) -> None:
        self._store = store
        self._submit = submit
        self._cancel = cancel
        self._retry = retry

    def submit(self, briefs: Sequence[Brief], owner: str) -> str:
        """Queue a job for each of `briefs`; the group's id.

        Raises:
            StudioError: one of them was refused; those before it are then stopped again.
        """
        group_id = new_id()
        try:
            for brief in briefs:
                self._submit(brief, owner, group_id)
        except StudioError:
            with contextlib.suppress(NotFound):
                self.cancel(group_id, owner)
            raise
        return group_id

    def jobs(self, group_id: str, owner: str) -> list[Job]:
        """The jobs of a group, in the order they were asked for.

        Raises:
            NotFound: `owner` has no such group.
        """
        jobs = self._store.group(group_id, owner=owner)
        if not jobs:
            raise NotFound("There are no such variants: they may have been deleted.")
        return jobs

    def cancel(self, group_id: str, owner: str) -> None:
        """Stop every job of the group that is not over; what is finished stays."""
        # From the end, so that none of them begins meanwhile.
        for job in reversed(self.jobs(group_id, owner)):
            self._cancel(job.id, owner)

    def retry(self, group_id: str, owner: str) -> None:
        """Queue again what failed or was stopped of the group."""
        for job in self.jobs(group_id, owner):
            if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
                with contextlib.suppress(Conflict):  # queued again meanwhile, from another page
                    self._retry(job.id, owner)
