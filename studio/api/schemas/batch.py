"""Batches and their rows."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel

from studio.api.schemas.base import time_of, time_or_none
from studio.api.schemas.brief import BriefOut
from studio.api.schemas.picture import PictureOut
from studio.batch import Batch, BatchRow, BatchStatus, BatchView, RowState
from studio.image_record import ImageRecord


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
    """A batch with how far it is. While it is `checking`, `num_rows` is how many rows are checked.

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


def _batch_values(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "name": batch.name,
        "status": batch.status,
        "message": batch.message,
        "notes": list(batch.notes),
        "created_at": time_of(batch.created_at),
        "started_at": time_or_none(batch.started_at),
        "finished_at": time_or_none(batch.finished_at),
    }
