"""Values as rows and rows as values, and the text of the lists that are paged.

Columns bear the names of the fields. This file knows no connection; `store.py` runs what it writes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from studio.brief import Brief
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.request import Request
from studio.terms import ServiceClass
from studio.verdict import Release

_JOB_COLUMNS = tuple(field.name for field in dataclasses.fields(Job))
_IMAGE_COLUMNS = tuple(field.name for field in dataclasses.fields(ImageRecord))


def row_of_job(job: Job) -> dict[str, Any]:
    """Brief and request are kept as JSON, so that new fields of theirs need no migration.

    `num_steps_left` is a column of its own, so that it can be summed over a long queue; the store
    lessens it with each picture.
    """
    row = {name: getattr(job, name) for name in _JOB_COLUMNS}
    brief, request = json.dumps(job.brief.to_dict()), json.dumps(job.request.to_dict())
    row |= {"brief": brief, "request": request, "skipped": json.dumps(job.skipped)}
    num_images = job.request.num_images - len(job.skipped)
    return row | {"num_steps_left": job.request.num_steps * num_images}


def job_of_row(row: Mapping[str, Any]) -> Job:
    """The inverse of `row_of_job`; columns that `Job` does not have are left out."""
    values = {name: row[name] for name in _JOB_COLUMNS}
    values["brief"] = Brief.from_dict(json.loads(row["brief"]))
    values["request"] = Request.from_dict(json.loads(row["request"]))
    values["status"] = JobStatus(row["status"])
    values["service_class"] = ServiceClass(row["service_class"])
    values["is_stopping"] = bool(row["is_stopping"])
    values["is_draft"] = bool(row["is_draft"])
    values["skipped"] = tuple(json.loads(row["skipped"]))
    return Job(**values)


def request_of_work(work: str) -> Request:
    """A request that takes as long as those with this `work`, the column of that name: `bare`."""
    values = json.loads(work) | {"prompt": "", "seed": 0}
    if values.get("control"):
        values["control"]["image_digest"] = ""
    return Request.from_dict(values)


def bare(request: Request) -> Request:
    """The request without what makes no picture slower or faster."""
    control = request.control and dataclasses.replace(request.control, image_digest="")
    return dataclasses.replace(
        request, prompt="", negative_prompt="", seed=0, num_images=1, control=control
    )


def row_of_image(record: ImageRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _IMAGE_COLUMNS}


def image_of_row(row: Mapping[str, Any]) -> ImageRecord:
    values = {name: row[name] for name in _IMAGE_COLUMNS}
    values["release"] = Release(row["release"])
    return ImageRecord(**values)


@dataclasses.dataclass
class Page:
    """One page of a list: conditions are added, then `sql` is run with `parameters`."""

    table: str
    order: str = "number DESC"
    where: list[str] = dataclasses.field(default_factory=list)
    parameters: list[Any] = dataclasses.field(default_factory=list)

    def keep(self, condition: str, parameter: str | float | None) -> Page:
        """Only rows that meet `condition`, which has one `?`; `None` for it keeps all."""
        if parameter is not None:
            self.where.append(condition)
            self.parameters.append(parameter)
        return self

    @property
    def sql(self) -> str:
        """With one parameter more at the end, the limit."""
        condition = f"WHERE {' AND '.join(self.where)}" if self.where else ""
        return f"SELECT * FROM {self.table} {condition} ORDER BY {self.order} LIMIT ?"
