"""What the API takes and gives, as JSON. Times are RFC 3339, in UTC.

What a brief may say is judged by the studio in words, not here: here are only its parts.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from studio.api_key import ApiKey, Scope
from studio.batch import Batch, BatchRow, BatchStatus, BatchView, RowState
from studio.brief import Brief
from studio.hook import Delivery, DeliveryStatus, Hook, HookEvent
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.job_view import JobView
from studio.request import Request
from studio.terms import ServiceClass
from studio.verdict import Release

_Item = TypeVar("_Item")


class Sent(BaseModel):
    """What comes in: nothing is guessed, and nothing is overlooked."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(BaseModel, Generic[_Item]):
    """A part of a list, newest first. `next_cursor` is null at its end."""

    items: list[_Item]
    next_cursor: str | None = None


class BriefIn(Sent):
    """The form. Only the subject is needed; words in English or Chinese."""

    subject: str = Field("", examples=["mug"])
    material: str = Field("", examples=["ceramic"])
    color: str = Field("", examples=["red"])
    scene: str = Field("", examples=["wooden table"])
    notes: str = ""
    negative_presets: list[str] = Field([], examples=[["no_text"]])
    size: str | None = Field(None, examples=["square"])
    num_images: int = 1
    seed: int | None = None
    num_steps: int | None = None
    sketch: str | None = Field(None, description="digest of a sketch to follow: see /sketches")
    control_strength: float | None = Field(None, description="how closely it is followed, 0 to 2")

    def brief(self) -> Brief:
        values = self.model_dump()
        return Brief.from_dict(values)


class JobIn(Sent):
    brief: BriefIn
    service_class: Literal["interactive", "bulk"] = "interactive"
    priority: int = 0
    deadline_at: AwareDatetime | None = Field(None, strict=False)


class CancelIn(Sent):
    """How to stop: at once; when the pictures begun are done; or by leaving out one picture."""

    mode: Literal["now", "after_picture", "skip"] = "now"
    index: int | None = Field(None, ge=0, le=1000, description="which picture to skip")


class KeyIn(Sent):
    name: str = Field(examples=["catalogue export"])
    scopes: list[str] = Field(examples=[["jobs:read", "jobs:write"]])
    days: int | None = Field(90, description="how long it is good; null for ever")


class WebhookIn(Sent):
    url: str = Field(examples=["https://shop.example/hooks/vitrine"])
    events: list[str] = Field(examples=[["job.finished", "batch.finished"]])


class BriefOut(BaseModel):
    subject: str
    material: str
    color: str
    scene: str
    notes: str
    negative_presets: list[str]
    size: str | None
    num_images: int | str
    seed: int | str | None
    num_steps: int | str | None
    sketch: str | None

    @classmethod
    def of(cls, brief: Brief) -> BriefOut:
        return cls(**{name: brief.to_dict()[name] for name in cls.model_fields})


class RequestOut(BaseModel):
    """Everything a picture follows from."""

    prompt: str
    negative_prompt: str
    height: int
    width: int
    num_steps: int
    guidance_scale: float
    seed: int
    num_images: int
    sampler: str
    model: str

    @classmethod
    def of(cls, request: Request) -> RequestOut:
        return cls(**{name: getattr(request, name) for name in cls.model_fields})


class SketchOut(BaseModel):
    """A sketch that is kept, by its digest."""

    sketch: str
    height: int
    width: int


class PromptOut(BaseModel):
    prompt: str
    num_tokens: int | None = None
    max_tokens: int | None = None


class CheckOut(BaseModel):
    """A brief that can be drawn: what it becomes, and how long the device takes for it."""

    request: RequestOut
    device_seconds: float | None


class PictureOut(BaseModel):
    """A picture. `url` is its file, where it is released; what is held is seen by no one."""

    id: str
    job_id: str
    index: int
    seed: int
    width: int
    height: int
    release: Release
    sha256: str
    model: str
    model_digest: str
    backend: str
    precision: str
    seconds: float
    created_at: datetime.datetime
    url: str | None

    @classmethod
    def of(cls, record: ImageRecord) -> PictureOut:
        return cls(
            id=record.id,
            job_id=record.job_id,
            index=record.index,
            seed=record.seed,
            width=record.width,
            height=record.height,
            release=record.release,
            sha256=record.digest,
            model=record.model_name,
            model_digest=record.model_digest,
            backend=record.backend,
            precision=record.precision,
            seconds=record.seconds,
            created_at=_time(record.created_at),
            url=(
                f"/api/v1/pictures/{record.id}/file" if record.release is Release.RELEASED else None
            ),
        )


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


class BatchSummary(BaseModel):
    id: str
    name: str
    status: BatchStatus
    message: str
    notes: list[str]
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @classmethod
    def of(cls, batch: Batch) -> BatchSummary:
        return cls(**_batch_values(batch))


class CountsOut(BaseModel):
    """How many there are in each state."""

    bad: int = 0
    waiting: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class BatchOut(BatchSummary):
    """A batch with how far it is.

    `device_seconds` is the drawing that is left, `seconds_left` that and what goes before it.
    """

    rows: CountsOut
    pictures: CountsOut
    num_rows: int
    num_good: int
    num_over: int
    num_held: int
    num_pictures_left: int
    num_steps_left: int
    device_seconds: float | None
    seconds_left: float | None

    @classmethod
    def of_view(cls, view: BatchView) -> BatchOut:
        return cls(
            **_batch_values(view.batch),
            rows=CountsOut(**{str(state): count for state, count in view.rows.items()}),
            pictures=CountsOut(**{str(state): count for state, count in view.images.items()}),
            num_rows=view.num_rows(),
            num_good=view.num_good,
            num_over=view.num_over,
            num_held=view.num_held,
            num_pictures_left=view.num_images_left,
            num_steps_left=view.num_steps_left,
            device_seconds=view.device_seconds,
            seconds_left=view.seconds_left,
        )


class RowOut(BaseModel):
    """A row of the table; `line` is its number in the file."""

    line: int
    sku: str
    state: RowState
    error: str | None
    job_id: str | None
    brief: BriefOut | None
    pictures: list[PictureOut]

    @classmethod
    def of(cls, row: BatchRow, images: list[ImageRecord]) -> RowOut:
        is_bad = row.state is RowState.BAD
        return cls(
            line=row.line,
            sku=row.sku,
            state=row.state,
            error=row.error,
            job_id=None if is_bad else row.job_id,
            brief=None if is_bad else BriefOut.of(row.brief),
            pictures=[PictureOut.of(image) for image in images],
        )


class KeyOut(BaseModel):
    """A key as it may be shown; `hint` is how it begins."""

    id: str
    name: str
    scopes: list[Scope]
    hint: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    used_at: datetime.datetime | None
    revoked_at: datetime.datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        return cls(**_key_values(key))


class NewKeyOut(KeyOut):
    """A key just made. `key` is shown this once: keep it now."""

    key: str

    @classmethod
    def of_new(cls, key: ApiKey, secret: str) -> NewKeyOut:
        return cls(**_key_values(key), key=secret)


class WebhookOut(BaseModel):
    id: str
    url: str
    events: list[HookEvent]
    created_at: datetime.datetime

    @classmethod
    def of(cls, hook: Hook) -> WebhookOut:
        return cls(**_hook_values(hook))


class NewWebhookOut(WebhookOut):
    """A webhook just made. `secret` signs its messages and is shown this once: keep it now."""

    secret: str

    @classmethod
    def of_new(cls, hook: Hook) -> NewWebhookOut:
        return cls(**_hook_values(hook), secret=hook.secret)


class DeliveryOut(BaseModel):
    """A message of a webhook, and what became of it."""

    id: str
    event: str
    object_id: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime.datetime
    next_at: datetime.datetime | None
    error: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryOut:
        is_waiting = delivery.status is DeliveryStatus.WAITING
        return cls(
            id=delivery.id,
            event=str(delivery.event),
            object_id=delivery.object_id,
            status=delivery.status,
            attempts=delivery.attempts,
            created_at=_time(delivery.created_at),
            next_at=_time(delivery.next_at) if is_waiting else None,
            error=delivery.error,
        )


class TermOut(BaseModel):
    id: str
    en: str
    zh: str


class SizeOut(TermOut):
    width: int
    height: int


class PresetsOut(BaseModel):
    """The words the model knows, what can be kept out, and the sizes. Other words work too."""

    subject: list[TermOut]
    material: list[TermOut]
    color: list[TermOut]
    scene: list[TermOut]
    negative: list[TermOut]
    sizes: list[SizeOut]


class ModelOut(BaseModel):
    name: str
    version: str
    family: str
    is_closed_world: bool
    sizes: list[list[int]] = Field(description="[width, height] in pixels")
    default_num_steps: int
    max_num_steps: int
    default_guidance_scale: float
    default_sampler: str
    control_kind: str | None


class HealthOut(BaseModel):
    """`status` is "ready", "warming", "failed" or "stopped"."""

    status: str
    message: str
    model: str | None
    backend: str | None
    precision: str | None
    step_seconds: float | None
    num_active_jobs: int
    seconds_of_work: float | None


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _time_or_none(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else _time(seconds)


def _job_values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "service_class": job.service_class,
        "priority": job.priority,
        "deadline_at": _time_or_none(job.deadline_at),
        "created_at": _time(job.created_at),
        "started_at": _time_or_none(job.started_at),
        "finished_at": _time_or_none(job.finished_at),
        "attempts": job.attempts,
        "is_stopping": job.is_stopping,
        "skipped": list(job.skipped),
        "error": job.error,
        "brief": BriefOut.of(job.brief),
        "request": RequestOut.of(job.request),
    }


def _batch_values(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "name": batch.name,
        "status": batch.status,
        "message": batch.message,
        "notes": list(batch.notes),
        "created_at": _time(batch.created_at),
        "started_at": _time_or_none(batch.started_at),
        "finished_at": _time_or_none(batch.finished_at),
    }


def _key_values(key: ApiKey) -> dict[str, Any]:
    values = dataclasses.asdict(key)
    del values["owner"]
    values["scopes"] = sorted(key.scopes)
    for name in ("created_at", "expires_at", "used_at", "revoked_at"):
        values[name] = _time_or_none(values[name])
    return values


def _hook_values(hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": sorted(hook.events),
        "created_at": _time(hook.created_at),
    }
