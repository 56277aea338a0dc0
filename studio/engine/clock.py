"""`StageClock`: how many seconds went into forward passes of each kind, and how many there were."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterator


class StageClock:
    """Adds up wall time by stage ("text", "denoise", "decode"). One thread writes, any may read."""

    def __init__(self) -> None:
        self.seconds: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.calls: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started
            self.calls[name] += 1

    def total_seconds(self) -> float:
        """Seconds inside the model, over all stages."""
        return sum(self.seconds.values())
