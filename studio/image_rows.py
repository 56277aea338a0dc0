"""`ImageRows`: the rows of finished pictures, and of what happened to a job.

This file knows that a picture has a row, not where its file lies or what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.rows import Page, image_of_row
from studio.statements import count, get_job, insert_event, insert_image, number_of
from studio.tables import Tables
from studio.verdict import Release


class ImageRows(Tables):
    """Pictures by id, by job, by age; and the events of jobs."""

    def add_image(self, record: ImageRecord) -> bool:
        """Note a picture whose file is complete on disk, with its event.

        Returns `False`, and changes nothing, when the job has a picture of this index already (it
        was drawn again after a crash): the new file is then nobody's.
        """
        return self._write(lambda db: insert_image(db, record))

    def image(self, image_id: str, *, owner: str | None = None) -> ImageRecord:
        """The picture's row, held or not; `NotFound` when there is none, or it is not `owner`'s."""
        rows = self._rows("SELECT * FROM images WHERE id = ?", image_id)
        if not rows or owner not in (None, rows[0]["owner"]):
            raise NotFound("There is no such picture: it may have been deleted.")
        return image_of_row(rows[0])

    def images(
        self,
        *,
        job_id: str | None = None,
        owner: str | None = None,
        release: Release | None = Release.RELEASED,
        limit: int = 50,
        before: str | None = None,
    ) -> list[ImageRecord]:
        """Pictures, the newest first, without examples; those of a job in the order of their index.

        `before` is the last id of the page that came before this one; `release=None` means all.
        """
        page = Page("images", order="number DESC" if job_id is None else '"index"')
        page.keep("job_id = ?", job_id).keep("owner = ?", owner).keep("release = ?", release)
        following = "number < ?"
        if job_id is None:
            page.where.append("number NOT IN (SELECT number FROM shelf WHERE is_example)")
        else:
            following = '"index" > (SELECT "index" FROM images WHERE number = ?)'

        def work(db: Database) -> list[ImageRecord]:
            page.keep(following, before and number_of(db, "images", before, owner))
            return [image_of_row(row) for row in db.query(page.sql, [*page.parameters, limit])]

        return self._read(work)

    def image_indices(self, job_id: str) -> set[int]:
        """Which pictures of the job exist already, in whatever release state."""
        rows = self._rows('SELECT "index" FROM images WHERE job_id = ?', job_id)
        return {row["index"] for row in rows}

    def count_images(self) -> int:
        """How many pictures there are, in whatever release state."""
        return self._read(lambda db: count(db, "SELECT COUNT(*) FROM images"))

    def add_event(self, job_id: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Note that something happened to the job; `data` must be fit for JSON."""

        def work(db: Database) -> None:
            get_job(db, job_id)
            insert_event(db, job_id, kind, data)

        self._write(work)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """What happened to the job, in order: `{"kind": …, "at": Unix seconds, …data}`."""
        rows = self._rows(
            "SELECT kind, at, data FROM events WHERE job_id = ? ORDER BY number", job_id
        )
        return [{"kind": row["kind"], "at": row["at"], **json.loads(row["data"])} for row in rows]
