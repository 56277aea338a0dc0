"""`WatchRows`: counts for whoever watches: jobs by state, the queue's age, what waits for review.

Each is one walk along an index, or over the few rows that wait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sqlite_utils import Database

from studio.statements import DISABLED, count
from studio.tables import Tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """`jobs` by status, `queued` by service class, `images` by release state, `reviews` open.

    Examples are not counted.
    Unix seconds: `queued_since` when the job whose turn is next was queued, `review_since` when the
    review that waits longest was opened; `None` where nothing waits.
    """

    jobs: Mapping[str, int]
    queued: Mapping[str, int]
    images: Mapping[str, int]
    reviews: int
    queued_since: float | None
    review_since: float | None


class WatchRows(Tables):
    """What a watch asks of the rows."""

    def counts(self) -> Counts:
        """How many of what there are, and since when the first waits."""

        def pairs(db: Database, sql: str) -> dict[str, int]:
            return {str(key): int(count) for key, count in db.execute(sql).fetchall()}

        def without_examples(
            db: Database, column: str, table: str, examples: str
        ) -> dict[str, int]:
            """All along one index, less the few along another."""
            counted = f"SELECT {column}, COUNT(*) FROM {{}} GROUP BY {column}"
            left = pairs(db, counted.format(table))
            for key, number in pairs(db, counted.format(f"{examples} WHERE is_example")).items():
                left[key] -= number
            return {key: number for key, number in left.items() if number}

        def first(db: Database, sql: str) -> float | None:
            row = db.execute(sql).fetchone()
            return None if row is None or row[0] is None else float(row[0])

        def work(db: Database) -> Counts:
            return Counts(
                jobs=without_examples(db, "status", "jobs", "jobs"),
                queued=pairs(
                    db,
                    "SELECT service_class, COUNT(*) FROM jobs WHERE status = 'queued'"
                    " GROUP BY service_class",
                ),
                images=without_examples(db, "release", "images", "shelf"),
                reviews=count(db, "SELECT COUNT(*) FROM reviews WHERE answer IS NULL"),
                queued_since=first(
                    db,
                    "SELECT MAX(at) FROM events WHERE kind = 'queued' AND job_id = (SELECT id FROM"
                    f" jobs WHERE status = 'queued' AND owner NOT IN ({DISABLED})"
                    " ORDER BY position LIMIT 1)",
                ),
                review_since=first(
                    db,
                    "SELECT opened_at FROM reviews WHERE answer IS NULL ORDER BY number LIMIT 1",
                ),
            )

        return self._read(work)
