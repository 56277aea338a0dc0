"""`ExampleRows`: the rows of examples: finished pictures that nobody asked for.

An example has a job and a picture like any other, so that everything in the gallery can be done
with it. It is in no list of jobs and of latest pictures, and counts as nobody's picture of a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from studio.image_record import ImageRecord
from studio.job import Job
from studio.rows import row_of_image, row_of_job
from studio.statements import NEXT_POSITION, count
from studio.tables import Tables


class ExampleRows(Tables):
    """The examples of every owner."""

    def is_newcomer(self, owner: str) -> bool:
        """Whether nothing was ever drawn for `owner`, no example either."""
        return self._read(lambda db: _is_newcomer(db, owner))

    def add_examples(self, owner: str, examples: Sequence[tuple[Job, ImageRecord]]) -> bool:
        """Put finished pictures on the shelf of a newcomer; whether `owner` is one."""

        def work(db: Database) -> bool:
            if not _is_newcomer(db, owner):
                return False
            for job, image in examples:
                place = {"position": count(db, f"SELECT {NEXT_POSITION}")}
                row = row_of_job(job) | place | {"num_steps_left": 0, "is_example": 1}
                _insert(db, "jobs", row)
                _insert(db, "images", row_of_image(image))
                db.execute(
                    "UPDATE shelf SET is_example = 1 WHERE number ="
                    " (SELECT number FROM images WHERE id = ?)",
                    [image.id],
                )
            return True

        return self._write(work)


def _insert(db: Database, table: str, row: Mapping[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f":{name}" for name in row)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", dict(row))


def _is_newcomer(db: Database, owner: str) -> bool:
    return not count(
        db, "SELECT EXISTS (SELECT 1 FROM jobs WHERE owner = ? AND NOT is_draft)", owner
    )
