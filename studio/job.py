"""`Job`: the durable row behind one press of Generate, and the states it passes through.

The store owns the rows and makes every transition; this file only names them.
"""

from __future__ import annotations

import dataclasses
import enum
import secrets

from studio.brief import Brief
from studio.request import Request
from studio.terms import ServiceClass, Terms

MAX_CRASHES = 2
"""A job that was running at this many process deaths is parked as failed instead of run again."""


class JobStatus(enum.StrEnum):
    """queued → running → succeeded | failed | cancelled; a retry goes back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        return self in (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One row of the queue. Times are Unix seconds; `attempts` counts how often it was started.

    A job that `is_stopping` ends when the pictures begun so far are done. `skipped` are the indices
    of the pictures that were left out on request. A draft is a quick look: its picture is kept in
    memory only. Jobs with the same `group_id` were asked for together, as variants.
    """

    id: str
    owner: str
    brief: Brief
    request: Request
    created_at: float
    status: JobStatus = JobStatus.QUEUED
    attempts: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None
    service_class: ServiceClass = ServiceClass.INTERACTIVE
    priority: int = 0
    deadline_at: float | None = None
    is_stopping: bool = False
    skipped: tuple[int, ...] = ()
    is_draft: bool = False
    group_id: str | None = None

    def image_id(self, index: int) -> str:
        """The name of one of its pictures; the same if that is drawn again after a crash."""
        return f"{self.id}{index:02x}"

    @property
    def terms(self) -> Terms:
        """How it is to be served."""
        return Terms(
            owner=self.owner,
            service_class=self.service_class,
            priority=self.priority,
            deadline_at=self.deadline_at,
        )


def new_id() -> str:
    """A fresh identifier: 16 hexadecimal digits, safe in names and addresses, not guessable."""
    return secrets.token_hex(8)
