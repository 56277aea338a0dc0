"""Jobs, and how to stop one."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from studio.api.schemas.base import Sent, time_of, time_or_none
from studio.api.schemas.brief import BriefIn, BriefOut, RequestOut
from studio.api.schemas.picture import PictureOut
from studio.job import Job, JobStatus
from studio.job_view import JobView
from studio.terms import ServiceClass


class JobIn(Sent):
    brief: BriefIn
    service_class: Literal["interactive", "bulk"] = "interactive"
    priority: int = 0
    deadline_at: AwareDatetime | None = Field(None, strict=False)


class CancelIn(Sent):
    """How to stop: at once; when the pictures begun are done; or by leaving out one picture."""

    mode: Literal["now", "after_picture", "skip"] = "now"
    index: int | None = Field(None, ge=0, le=1000, description="which picture to skip")


class JobSummary(BaseModel):
    id: str
    status: JobStatus
    service_class: ServiceClass
    priority: int
    deadline_at: datetime.datetime | None
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    attempts: int
    is_stopping: bool
    skipped: list[int]
    error: str | None
    brief: BriefOut
    request: RequestOut

    @classmethod
    def of(cls, job: Job) -> JobSummary:
        return cls(**_job_values(job))


class StepOut(BaseModel):
    """A picture in flight."""

    index: int
    step: int
    num_steps: int


class JobOut(JobSummary):
    """A job with how far it is. Seconds are estimates, null while nothing can be said."""

    num_ahead: int
    seconds_waiting: float | None
    seconds_running: float | None
    in_flight: list[StepOut]
    pictures: list[PictureOut]

    @classmethod
    def of_view(cls, view: JobView) -> JobOut:
        return cls(
            **_job_values(view.job),
            num_ahead=view.num_ahead,
            seconds_waiting=view.seconds_waiting,
            seconds_running=view.seconds_running,
            in_flight=[
                StepOut(index=index, step=live.step, num_steps=live.num_steps)
                for index, live in sorted(view.live.items())
            ],
            pictures=[PictureOut.of(image) for _, image in sorted(view.images.items())],
        )


def _job_values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "service_class": job.service_class,
        "priority": job.priority,
        "deadline_at": time_or_none(job.deadline_at),
        "created_at": time_of(job.created_at),
        "started_at": time_or_none(job.started_at),
        "finished_at": time_or_none(job.finished_at),
        "attempts": job.attempts,
        "is_stopping": job.is_stopping,
        "skipped": list(job.skipped),
        "error": job.error,
        "brief": BriefOut.of(job.brief),
        "request": RequestOut.of(job.request),
    }
