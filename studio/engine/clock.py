"""`StageClock`: seconds that went into forward passes of each kind, and into what is around."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterator


class StageClock:
    """Adds up wall time by stage. One thread writes, any may read.

    `seconds` and `calls` are of the model's stages ("text", "denoise", "decode"); `host_seconds` of
    what the loop does between them ("schedule", "gather", "step", "preview", "emit").
    """

    def __init__(self) -> None:
        self.seconds: collections.defaultdict[str, float] = collections.defaultdict(float)
        self.calls: collections.Counter[str] = collections.Counter()
        self.host_seconds: collections.defaultdict[str, float] = collections.defaultdict(float)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started
            self.calls[name] += 1

    @contextlib.contextmanager
    def host_stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.host_seconds[name] += time.perf_counter() - started

    def total_seconds(self) -> float:
        """Seconds inside the model, over all stages."""
        return sum(self.seconds.values())
