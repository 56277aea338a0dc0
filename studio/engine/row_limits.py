"""`RowLimits`: how many rows one pass of a lane may take.

What is preferred; and, for a while after memory ran out, half of what did not fit. No tensors here.
"""

from __future__ import annotations

from collections.abc import Callable

from studio.engine.sample import Bucket

RECOVERY_STEPS = 200
"""Good steps after which a lane that ran out of memory may try twice as many rows again."""


class RowLimits:
    """`preferred` gives the rows a lane should take where nothing is wrong."""

    def __init__(self, preferred: Callable[[Bucket], int]) -> None:
        self._preferred = preferred
        self._caps: dict[Bucket, int] = {}
        self._good_steps: dict[Bucket, int] = {}

    def limit(self, bucket: Bucket) -> int:
        """Rows of one pass, at least 1."""
        limit = self._preferred(bucket)
        return max(1, min(limit, self._caps.get(bucket, limit)))

    def cap(self, bucket: Bucket) -> int | None:
        """The most rows of a pass since memory ran out; `None` where it has not."""
        return self._caps.get(bucket)

    def shrink(self, bucket: Bucket, num_rows: int) -> None:
        """A pass of `num_rows` ran out of memory: half of it for the next steps."""
        self._caps[bucket] = max(1, num_rows // 2)
        self._good_steps[bucket] = 0

    def succeed(self, bucket: Bucket) -> None:
        """A pass went through."""
        if bucket not in self._caps:
            return
        self._good_steps[bucket] += 1
        if self._good_steps[bucket] < RECOVERY_STEPS:
            return
        self._caps[bucket] *= 2
        self._good_steps[bucket] = 0
        if self._caps[bucket] >= self._preferred(bucket):
            del self._caps[bucket], self._good_steps[bucket]
