"""`Snapshot`: what one look at the studio shows, read once and drawn by every panel.

Reading only. Which picture a browser tab has in front of it (`Chosen`) belongs to that tab.
"""

from __future__ import annotations

import dataclasses
import functools

from studio.application import Studio
from studio.engine.manager import Health, State
from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.job_view import JobView
from studio.terms import LOCAL_OWNER, ServiceClass
from studio.ui.describe import SayTerms
from studio.ui.speech import Say
from studio.variants import MAX_VARIANTS
from studio.verdict import Release

MAX_ACTIVE_CARDS = 6
MAX_TROUBLE_CARDS = 3
MAX_RECENT = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """The job and picture, or the group, in the middle; nothing at all follows the newest."""

    job_id: str | None = None
    index: int | None = None
    group_id: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupView:
    """Variants, in the order they were asked for."""

    id: str
    views: tuple[JobView, ...]

    @property
    def is_active(self) -> bool:
        return any(view.job.status.is_active for view in self.views)

    @property
    def num_drawn(self) -> int:
        return sum(
            image.release is Release.RELEASED
            for view in self.views
            for image in view.images.values()
        )

    @property
    def first_active(self) -> JobView:
        """The one furthest along of those that are not over, else the first."""
        active = [view for view in self.views if view.job.status is JobStatus.RUNNING]
        active += [view for view in self.views if view.job.status is JobStatus.QUEUED]
        return (active or list(self.views))[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`active` is in the order of the queue and `trouble` newest first; both without variants.

    `groups` are variants that are not over, or that need a word. `num_active` counts the person's
    jobs; `result` or `result_group` is what is in the middle. `is_anybody_busy` leaves drafts out,
    which the page fetches without its timer.
    """

    health: Health
    active: tuple[JobView, ...]
    num_active: int
    trouble: tuple[JobView, ...]
    recent: tuple[ImageRecord, ...]
    result: JobView | None
    chosen: Chosen
    say: SayTerms
    groups: tuple[GroupView, ...] = ()
    result_group: GroupView | None = None
    is_anybody_busy: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether something changes soon, so that the page should look often."""
        return self.num_active > 0 or self.is_anybody_busy or self.health.is_warming


def look(
    studio: Studio, chosen: Chosen, owner: str = LOCAL_OWNER, say: Say | None = None
) -> Snapshot:
    """Everything the page shows to `owner`, as of now, in the words of `say`."""
    most = MAX_ACTIVE_CARDS + MAX_VARIANTS
    # Rows of batches are shown in the Catalogue, and would hide everything else here.
    mine = functools.partial(studio.jobs, owner, service_class=ServiceClass.INTERACTIVE)
    running = mine(statuses=[JobStatus.RUNNING], limit=most)
    queued = mine(statuses=[JobStatus.QUEUED], limit=most)
    latest = mine(limit=MAX_RECENT)
    jobs = [*reversed(running), *reversed(queued)]
    active = [job for job in jobs if job.group_id is None][:MAX_ACTIVE_CARDS]
    over = [job for job in latest if job.status in (JobStatus.FAILED, JobStatus.CANCELLED)]
    trouble = [job for job in over if job.group_id is None][:MAX_TROUBLE_CARDS]
    views = {job.id: studio.view(job.id, owner) for job in [*active, *trouble]}
    group_ids = dict.fromkeys(job.group_id for job in [*jobs, *over] if job.group_id)
    groups = [_group(studio, group_id, owner) for group_id in list(group_ids)[:MAX_TROUBLE_CARDS]]
    health = studio.health
    if studio.is_stopping:
        health = dataclasses.replace(health, state=State.STOPPED)
    result, result_group = _result(studio, chosen, latest, owner)
    return Snapshot(
        health=health,
        active=tuple(views[job.id] for job in active),
        num_active=studio.num_active(owner),
        trouble=tuple(views[job.id] for job in trouble),
        recent=tuple(studio.images(owner, limit=MAX_RECENT)),
        result=result,
        result_group=result_group,
        groups=tuple(group for group in groups if group is not None),
        chosen=chosen,
        is_anybody_busy=studio.num_active() > studio.drafts.num_active,
        say=SayTerms((say or Say()).language, vocabulary=studio.presets.vocabulary),
    )


def _result(
    studio: Studio, chosen: Chosen, latest: list[Job], owner: str
) -> tuple[JobView | None, GroupView | None]:
    """What is chosen, or the newest that was not stopped before it had anything to show."""
    if chosen.group_id and (group := _group(studio, chosen.group_id, owner)):
        return None, group
    ids = [chosen.job_id] if chosen.job_id else []
    ids += [job.id for job in latest]
    for job_id in ids:
        try:
            view = studio.view(job_id, owner)
        except NotFound:
            continue
        if view.images or view.job.status is not JobStatus.CANCELLED or job_id == chosen.job_id:
            if view.job.group_id and job_id != chosen.job_id:
                return None, _group(studio, view.job.group_id, owner)
            return view, None
    return None, None


def _group(studio: Studio, group_id: str, owner: str) -> GroupView | None:
    try:
        jobs = studio.groups.jobs(group_id, owner)
        views = tuple(studio.view(job.id, owner) for job in jobs)
    except NotFound:
        return None
    return GroupView(id=group_id, views=views)
