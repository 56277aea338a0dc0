"""`Snapshot`: what one look at the studio shows, read once and drawn by every panel.

Reading only. Which picture a browser tab has in front of it (`Chosen`) belongs to that tab.
"""

from __future__ import annotations

import dataclasses

from studio.application import Studio
from studio.engine.manager import Health, State
from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.job_view import JobView

MAX_ACTIVE_CARDS = 6
MAX_TROUBLE_CARDS = 3
MAX_RECENT = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """The job and picture in the middle of the page; `None` follows the newest."""

    job_id: str | None = None
    index: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`active` is in the order of the queue, `num_active` counts all; `trouble` is newest first."""

    health: Health
    active: tuple[JobView, ...]
    num_active: int
    trouble: tuple[JobView, ...]
    recent: tuple[ImageRecord, ...]
    result: JobView | None
    chosen: Chosen

    @property
    def is_busy(self) -> bool:
        """Whether something changes soon, so that the page should look often."""
        return self.num_active > 0 or is_warming(self.health)


def is_warming(health: Health) -> bool:
    """Whether the model is on its way: jobs are taken, and wait."""
    return health.state in (State.STARTING, State.LOADING, State.WARMING)


def look(studio: Studio, chosen: Chosen, owner: str) -> Snapshot:
    """Everything the page shows to `owner`, as of now."""
    running = studio.jobs(owner, statuses=[JobStatus.RUNNING], limit=MAX_ACTIVE_CARDS)
    queued = studio.jobs(owner, statuses=[JobStatus.QUEUED], limit=MAX_ACTIVE_CARDS)
    latest = studio.jobs(owner, limit=MAX_RECENT)
    active = [*reversed(running), *reversed(queued)][:MAX_ACTIVE_CARDS]
    trouble = [job for job in latest if job.status in (JobStatus.FAILED, JobStatus.CANCELLED)]
    views = {job.id: studio.view(job.id, owner) for job in [*active, *trouble[:MAX_TROUBLE_CARDS]]}
    health = studio.health
    if studio.is_stopping:
        health = dataclasses.replace(health, state=State.STOPPED)
    return Snapshot(
        health=health,
        active=tuple(views[job.id] for job in active),
        num_active=studio.num_active(owner),
        trouble=tuple(views[job.id] for job in trouble[:MAX_TROUBLE_CARDS]),
        recent=tuple(studio.images(owner, limit=MAX_RECENT)),
        result=_result(studio, chosen, latest, owner),
        chosen=chosen,
    )


def _result(studio: Studio, chosen: Chosen, latest: list[Job], owner: str) -> JobView | None:
    """The chosen job, or the newest that was not stopped before it had anything to show."""
    ids = [chosen.job_id] if chosen.job_id else []
    ids += [job.id for job in latest]
    for job_id in ids:
        try:
            view = studio.view(job_id, owner)
        except NotFound:
            continue
        if view.images or view.job.status is not JobStatus.CANCELLED or job_id == chosen.job_id:
            return view
    return None
