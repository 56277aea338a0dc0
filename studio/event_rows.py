"""`EventRows`: what happened to a person's jobs since they last looked, in order."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from studio.tables import Tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Happening:
    """An event as it is kept. `number` grows; who has seen one asks for what came after it."""

    number: int
    job_id: str
    kind: str
    at: float
    data: Mapping[str, Any]


class EventRows(Tables):
    """Events by their number."""

    def happenings(
        self, owner: str, *, after: int, job_id: str | None = None, limit: int = 200
    ) -> list[Happening]:
        """Events of the owner's jobs, or of one of them, after `after`, the oldest first."""
        narrowed = "" if job_id is None else " AND events.job_id = ?"
        sql = (
            "SELECT events.number AS number, job_id, kind, at, data FROM events"
            " JOIN jobs ON jobs.id = events.job_id WHERE events.number > ? AND owner = ?"
            f" AND NOT is_draft{narrowed} ORDER BY events.number LIMIT ?"
        )
        given = [after, owner] if job_id is None else [after, owner, job_id]
        return [
            Happening(
                number=row["number"],
                job_id=row["job_id"],
                kind=row["kind"],
                at=row["at"],
                data=json.loads(row["data"]),
            )
            for row in self._rows(sql, *given, limit)
        ]

    def last_event_number(self) -> int:
        """The number of the latest event, of anybody's; 0 where nothing ever happened."""
        return int(self._rows("SELECT IFNULL(MAX(number), 0) AS number FROM events")[0]["number"])
