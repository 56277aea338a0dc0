"""`Filling`: a batch while samples join it."""

from __future__ import annotations

from collections.abc import Callable

from studio.engine.line import Entry, Line
from studio.engine.ranking import Tier


class Filling:
    """At most `max_rows` rows, or one sample; `tiers` says why each sample is in, in the order they
    joined. `seconds` estimates a pass by its rows.
    """

    def __init__(self, max_rows: int, seconds: Callable[[int], float]) -> None:
        self.tiers: dict[Entry, Tier] = {}
        self.num_rows = 0
        self._max_rows = max_rows
        self._seconds = seconds
        self._rider_seconds: float | None = None

    @property
    def is_full(self) -> bool:
        return self.num_rows >= self._max_rows

    def has_room(self, line: Line) -> bool:
        if not self.tiers:
            return True
        if line.key.is_isolated or self.num_rows + line.key.num_rows > self._max_rows:
            return False
        return not next(iter(self.tiers)).line.key.is_isolated

    def has_room_for_rider(self, line: Line, max_stretch: float) -> bool:
        """Whether the pass stays within its length before riders, or nearly so."""
        if not self.has_room(line):
            return False
        if self._rider_seconds is None:
            self._rider_seconds = self._seconds(self.num_rows) * (1 + max_stretch)
        return self._seconds(self.num_rows + line.key.num_rows) <= self._rider_seconds

    def take(self, entry: Entry, tier: Tier) -> None:
        self.tiers[entry] = tier
        self.num_rows += entry.line.key.num_rows
