"""`AdoptionRows`: what one owner has made becomes another's, in one transaction."""

from __future__ import annotations

import dataclasses
import time

from sqlite_utils import Database

from studio.audit import Entry, insert_entry
from studio.statements import count
from studio.tables import Tables

_MOVED = ("jobs", "images", "batches", "hooks", "reviews")  # the shelf follows the images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adopted:
    """How much was handed over."""

    num_jobs: int
    num_pictures: int
    num_batches: int


class AdoptionRows(Tables):
    """Everything that has an owner."""

    def adopt(self, old: str, new: str, made: Entry) -> Adopted:
        """Give what is `old`'s to `new`. Batches at work are paused, with the reason.

        Keys are no property: they act for a person, so those of `old` are revoked. What was used
        counts for the new owner.
        """

        def work(db: Database) -> Adopted:
            adopted = Adopted(
                num_jobs=count(
                    db, "SELECT COUNT(*) FROM jobs WHERE owner = ? AND NOT is_draft", old
                ),
                num_pictures=count(
                    db, "SELECT COUNT(*) FROM images WHERE owner = ? AND release <> 'deleted'", old
                ),
                num_batches=count(db, "SELECT COUNT(*) FROM batches WHERE owner = ?", old),
            )
            db.execute(
                "UPDATE batches SET status = 'paused', message = ?"
                " WHERE owner = ? AND status = 'running'",
                [f"The batch is {new}'s now: resume it.", old],
            )
            for table in _MOVED:
                db.execute(f"UPDATE {table} SET owner = ? WHERE owner = ?", [new, old])
            db.execute(
                "INSERT INTO usage (owner, day, num_pictures)"
                " SELECT ?, day, num_pictures FROM usage WHERE owner = ? ON CONFLICT (owner, day)"
                " DO UPDATE SET num_pictures = usage.num_pictures + excluded.num_pictures",
                [new, old],
            )
            db.execute("DELETE FROM usage WHERE owner = ?", [old])
            db.execute("DELETE FROM kept_answers WHERE owner = ?", [old])
            db.execute(
                "UPDATE api_keys SET revoked_at = IFNULL(revoked_at, ?) WHERE owner = ?",
                [time.time(), old],
            )
            insert_entry(db, made)
            return adopted

        return self._write(work)
