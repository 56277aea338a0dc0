"""Quotas: how many pictures a person may have drawn in a day, and their share of the queue.

A picture counts on the day it is drawn, and stays counted when it is deleted; what waits or runs
counts as well, so that nobody orders more than they may have. Days are those of the studio's clock.
Everything here runs inside the transaction of its caller.
"""

from __future__ import annotations

import datetime

from sqlite_utils import Database

from studio.durations import try_again
from studio.errors import LimitReached


def check_quota(
    db: Database, owner: str, num_pictures: int, *, max_pictures_per_day: int | None
) -> None:
    """See that `owner` may have so many pictures more today; `None` is the studio's own limit: any.

    Raises:
        LimitReached: they may not; with how many they may, and when to come back.
    """
    most = _own(db, owner, "max_pictures_per_day")
    most = max_pictures_per_day if most is None else most
    if most is None:
        return
    used = pictures_today(db, owner) + pictures_to_come(db, owner)
    if used + num_pictures <= most:
        return
    seconds = seconds_until_tomorrow()
    left = max(0, most - used)
    now = f"ask for at most {left:,} now, or " if left else ""
    raise LimitReached(
        f"You may have {most:,} pictures a day, and {min(used, most):,} of today's are drawn or on "
        f"their way: {now}{try_again(seconds)}.",
        retry_after_seconds=seconds,
    )


def max_queued(db: Database, owner: str, *, places: int, most: int | None) -> int | None:
    """How many jobs of `owner` may wait: their share of the `places`, or else `most`."""
    share = _own(db, owner, "queue_share")
    return most if share is None else max(1, places * share // 100)


def pictures_today(db: Database, owner: str) -> int:
    """How many pictures were drawn for `owner` today."""
    sql = "SELECT COALESCE(SUM(num_pictures), 0) FROM usage WHERE owner = ? AND day = ?"
    return _number(db, sql, owner, _today())


def pictures_to_come(db: Database, owner: str) -> int:
    """How many pictures of `owner` wait or are being drawn. Drafts are no pictures."""
    sql = (
        "SELECT COALESCE(SUM(num_steps_left / MAX(1, json_extract(request, '$.num_steps'))), 0)"
        " FROM jobs WHERE owner = ? AND status IN ('queued', 'running') AND NOT is_draft"
    )
    return _number(db, sql, owner)


def count_picture(db: Database, owner: str) -> None:
    """Note that a picture was drawn for `owner`."""
    db.execute(
        "INSERT INTO usage (owner, day, num_pictures) VALUES (?, ?, 1)"
        " ON CONFLICT (owner, day) DO UPDATE SET num_pictures = num_pictures + 1",
        [owner, _today()],
    )


def seconds_until_tomorrow() -> float:
    now = datetime.datetime.now().astimezone()
    tomorrow = (now + datetime.timedelta(days=1)).date()
    midnight = datetime.datetime.combine(tomorrow, datetime.time()).astimezone()
    return max(1.0, (midnight - now).total_seconds())


def _today() -> str:
    return datetime.datetime.now().date().isoformat()


def _own(db: Database, owner: str, column: str) -> int | None:
    row = db.execute(f"SELECT {column} FROM accounts WHERE name = ?", [owner]).fetchone()
    return None if row is None else row[0]


def _number(db: Database, sql: str, *parameters: str) -> int:
    return int(db.execute(sql, parameters).fetchone()[0])
