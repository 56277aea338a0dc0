"""Pictures."""

from __future__ import annotations

import datetime

from pydantic import BaseModel

from studio.api.schemas.base import time_of
from studio.image_record import ImageRecord
from studio.verdict import Release


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
            created_at=time_of(record.created_at),
            url=(
                f"/api/v1/pictures/{record.id}/file" if record.release is Release.RELEASED else None
            ),
        )
