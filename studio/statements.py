"""Statements on jobs and events that several of the store's acts share.

Each runs inside the transaction of its caller; nothing here opens or commits one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from sqlite_utils import Database

from studio.errors import Conflict, NotFound
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.quota import count_picture
from studio.rows import job_of_row, row_of_image
from studio.verdict import Release

NEXT_POSITION = "(SELECT COALESCE(MAX(position), 0) + 1 FROM jobs)"
"""The end of the queue, as an expression."""

DISABLED = "SELECT name FROM accounts WHERE NOT is_enabled"
"""Whose work rests."""

_KINDS = {JobStatus.SUCCEEDED: "finished"}


def num_queued(db: Database, owner: str | None = None) -> int:
    """How many jobs wait, of everybody whose work does not rest, or of one owner."""
    if owner is None:
        sql = f"SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND owner NOT IN ({DISABLED})"
        return count(db, sql)
    return count(db, "SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND owner = ?", owner)


def count(db: Database, sql: str, *parameters: Any) -> int:
    """The one number that `sql` selects."""
    return int(db.execute(sql, parameters).fetchone()[0])


def get_job(db: Database, job_id: str, owner: str | None = None) -> Job:
    """The job; `NotFound` when there is none, or it is not `owner`'s."""
    rows = list(db.query("SELECT * FROM jobs WHERE id = ?", [job_id]))
    if not rows or owner not in (None, rows[0]["owner"]):
        raise NotFound("There is no such job: it may have been deleted.")
    return job_of_row(rows[0])


def move(
    db: Database,
    job_id: str,
    sources: Collection[JobStatus],
    target: JobStatus,
    **changes: Any,
) -> None:
    """Change the status from one of `sources` to `target`, or raise `Conflict`."""
    status = get_job(db, job_id).status
    if status not in sources:
        raise Conflict(f"A job marked “{status}” cannot become “{target}”: look at it again.")
    set_status(db, job_id, target, **changes)


def set_status(db: Database, job_id: str, status: JobStatus, **changes: Any) -> None:
    """Change the status and other columns, whatever they were."""
    changes = {"status": status, **changes}
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    db.execute(f"UPDATE jobs SET {assignments} WHERE id = :id", {**changes, "id": job_id})


def finish(
    db: Database,
    job_id: str,
    sources: Collection[JobStatus],
    target: JobStatus,
    error: str | None = None,
) -> None:
    """Close a job in one of `sources`, with its event, or raise `Conflict`."""
    move(db, job_id, sources, target, error=error, finished_at=time.time())
    data = None if error is None else {"message": error}
    insert_event(db, job_id, _KINDS.get(target, str(target)), data)


def put_back(db: Database, job: Job, **changes: Any) -> None:
    """Leave a running job as the next start is to find it: over, or queued in its old place."""
    if not close_if_over(db, job):
        set_status(db, job.id, JobStatus.QUEUED, **changes)
        insert_event(db, job.id, "queued")


def close_if_over(db: Database, job: Job) -> bool:
    """Close an active job that has nothing left to draw or was to stop; whether it was one.

    It succeeded when what was not skipped is drawn, and that is something; else it was cancelled.
    """
    is_drawn = not missing_indices(db, job)
    if not is_drawn and not job.is_stopping:
        return False
    has_images = len(job.skipped) < job.request.num_images
    target = JobStatus.SUCCEEDED if is_drawn and has_images else JobStatus.CANCELLED
    finish(db, job.id, (job.status,), target)
    return True


def missing_indices(db: Database, job: Job) -> list[int]:
    """Which pictures of the job are still to be drawn: neither kept nor skipped."""
    rows = db.query('SELECT "index" FROM images WHERE job_id = ?', [job.id])
    gone = {row["index"] for row in rows} | set(job.skipped)
    return [index for index in range(job.request.num_images) if index not in gone]


def count_work_left(db: Database, job_id: str) -> None:
    """Write down how many denoising steps the job still needs."""
    job = get_job(db, job_id)
    num_steps_left = job.request.num_steps * len(missing_indices(db, job))
    db.execute("UPDATE jobs SET num_steps_left = ? WHERE id = ?", [num_steps_left, job_id])


def insert_image(db: Database, record: ImageRecord) -> bool:
    """Note a picture with its event; `False`, and nothing changed, when its index is there."""
    job = get_job(db, record.job_id)
    row = row_of_image(record)
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f":{name}" for name in row)
    sql = f'INSERT INTO images ({names}) VALUES ({values}) ON CONFLICT (job_id, "index")'
    if db.execute(f"{sql} DO NOTHING", row).rowcount == 0:
        return False
    if record.index in job.skipped:  # it was done before the engine heard that
        skipped = json.dumps([index for index in job.skipped if index != record.index])
        set_status(db, job.id, job.status, skipped=skipped)
    count_work_left(db, record.job_id)
    count_picture(db, record.owner)
    kind = "picturefinished" if record.release is Release.RELEASED else str(record.release)
    insert_event(db, record.job_id, kind, {"index": record.index, "image_id": record.id})
    return True


def insert_event(
    db: Database, job_id: str, kind: str, data: Mapping[str, Any] | None = None
) -> None:
    """Note that something happened to a job."""
    db.execute(
        "INSERT INTO events (job_id, kind, at, data) VALUES (?, ?, ?, ?)",
        [job_id, kind, time.time(), json.dumps(dict(data or {}))],
    )


def number_of(db: Database, table: str, row_id: str, owner: str | None) -> int:
    """The order of arrival of a row a page ended at; `NotFound` as in `get_job`."""
    rows = list(db.query(f"SELECT number, owner FROM {table} WHERE id = ?", [row_id]))
    if not rows or owner not in (None, rows[0]["owner"]):
        raise NotFound("The list has changed: go back to its beginning.")
    return int(rows[0]["number"])
