"""`FailureRows`: how often a sign-in went wrong, by account and by address, across restarts.

Keys are hashes. How long the door stays shut is `Throttle`'s to say; this file keeps the counts.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

from sqlite_utils import Database

from studio.statements import count
from studio.tables import Tables

MAX_KEYS = 20_000
"""So many names and addresses are remembered; beyond them the oldest are forgotten."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Throttle:
    """After `num_free` failures in a row the door stays shut, twice as long each time.

    A row of failures ends with a success, or when `forget_seconds` pass without one.
    """

    num_free: int
    first_seconds: float = 30.0
    max_seconds: float = 15 * 60.0
    forget_seconds: float = 60 * 60.0

    def locked_seconds(self, num_failures: int) -> float:
        """How long the door is shut after the last of so many failures."""
        if num_failures < self.num_free:
            return 0.0
        doublings = min(num_failures - self.num_free, 30)
        return min(self.max_seconds, math.ldexp(self.first_seconds, doublings))


class FailureRows(Tables):
    """Failures by key."""

    def seconds_locked(self, keys: Sequence[str]) -> float:
        """How long it is until the last of the locks on `keys` opens; 0 where none is shut."""
        marks = ", ".join("?" for _ in keys)
        rows = self._rows(
            f"SELECT MAX(locked_until) AS until FROM failures WHERE key IN ({marks})", *keys
        )
        return max(0.0, float(rows[0]["until"] or 0.0) - time.time())

    def add_failure(self, throttles: Sequence[tuple[str, Throttle]]) -> float:
        """Count one more failure for each key; how long the door is shut from now on, in seconds.

        Counts of long ago are forgotten.
        """

        def work(db: Database) -> float:
            now, longest = time.time(), 0.0
            for key, throttle in throttles:
                sql = "SELECT num_failures FROM failures WHERE key = ? AND last_at >= ?"
                row = db.execute(sql, [key, now - throttle.forget_seconds]).fetchone()
                num_failures = (row[0] if row else 0) + 1
                seconds = throttle.locked_seconds(num_failures)
                longest = max(longest, seconds)
                db.execute(
                    "INSERT OR REPLACE INTO failures (key, num_failures, last_at, locked_until)"
                    " VALUES (?, ?, ?, ?)",
                    [key, num_failures, now, now + seconds if seconds else 0.0],
                )
            if count(db, "SELECT COUNT(*) FROM failures") > MAX_KEYS:
                db.execute(
                    "DELETE FROM failures WHERE key IN"
                    " (SELECT key FROM failures ORDER BY last_at LIMIT ?)",
                    [MAX_KEYS // 10],
                )
            return longest

        return self._write(work)

    def forget_failures(self, key: str) -> None:
        """End the row of failures of this key."""
        self._write(lambda db: db.execute("DELETE FROM failures WHERE key = ?", [key]))
