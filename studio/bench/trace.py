"""`Trace`: what the callers of a system see of their requests, and the figures made of it.

Knows times only: no model, no thread, no load. Percentiles are nearest-rank, so that each is a time
somebody really waited; a request that never ended counts with the time it has waited so far.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence


@dataclasses.dataclass(kw_only=True)
class Timing:
    """One request. Times are seconds of one clock; `arrived_at` is when it was due.

    `admitted_at` is when the first forward pass for it begins, `previewed_at` when there is
    something to see of it, at the latest the picture.
    """

    key: str
    num_steps: int
    arrived_at: float
    estimate_seconds: float | None = None
    admitted_at: float | None = None
    previewed_at: float | None = None
    finished_at: float | None = None
    error: str | None = None


class Trace:
    """Collects timings from any thread; `on_end` is told each key that ended, whichever way."""

    def __init__(
        self,
        now: Callable[[], float] = time.perf_counter,
        on_end: Callable[[str], None] = lambda key: None,
    ) -> None:
        self._now = now
        self._on_end = on_end
        self._changed = threading.Condition()
        self._timings: dict[str, Timing] = {}
        self._num_open = 0

    def arrived(self, timing: Timing) -> None:
        with self._changed:
            self._timings[timing.key] = timing
            self._num_open += 1

    def admitted(self, key: str) -> None:
        timing = self._timings[key]
        if timing.admitted_at is None:
            timing.admitted_at = self._now()

    def previewed(self, key: str) -> None:
        timing = self._timings[key]
        if timing.previewed_at is None:
            timing.previewed_at = self._now()

    def finished(self, key: str) -> None:
        self.previewed(key)
        self._end(key)

    def failed(self, key: str, message: str) -> None:
        self._timings[key].error = message
        self._end(key)

    def close(self) -> None:
        """Bring no more requests: what is still told is of a load that was given up."""
        self._on_end = lambda key: None

    def _end(self, key: str) -> None:
        self._timings[key].finished_at = self._now()
        self._on_end(key)  # before the count falls: it may bring the next request
        with self._changed:
            self._num_open -= 1
            self._changed.notify_all()

    def wait_until_ended(self, timeout_seconds: float) -> bool:
        """Block until every request that arrived has ended; whether it did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._num_open == 0, timeout_seconds)

    def timings(self) -> tuple[Timing, ...]:
        """Copies, in order of arrival."""
        with self._changed:
            return tuple(dataclasses.replace(timing) for timing in self._timings.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What one load made of one system.

    `model_seconds` were spent inside forward passes between `started_at` and `ended_at`.
    """

    timings: tuple[Timing, ...]
    started_at: float
    ended_at: float
    model_seconds: float
    peak_rss_bytes: int
    device_bytes: int | None = None

    @property
    def wall_seconds(self) -> float:
        return self.ended_at - self.started_at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures of some runs of one load. Times are seconds, `None` where nothing was seen.

    `outside_share` is the part of the wall time in which no forward pass ran, which says something
    only of a load that never leaves the system idle.
    """

    num_requests: int
    num_finished: int
    num_failed: int
    pictures_per_second: float
    admission_mean: float | None
    admission_p99: float | None
    preview_p50: float | None
    preview_p99: float | None
    latency_mean: float | None
    latency_p50: float | None
    latency_p99: float | None
    outside_share: float
    peak_rss_mb: float
    device_mb: float | None


def summarize(runs: Sequence[Run]) -> Summary:
    """One summary of a load's rounds: waits are pooled, rates are medians of the rounds."""
    pairs = [(run, timing) for run in runs for timing in run.timings]
    done = [timing for _, timing in pairs if timing.finished_at and timing.error is None]

    def waits(field: str) -> list[float]:
        return [
            (getattr(timing, field) or run.ended_at) - timing.arrived_at
            for run, timing in pairs
            if timing.error is None
        ]

    admission, preview, latency = waits("admitted_at"), waits("previewed_at"), waits("finished_at")
    return Summary(
        num_requests=len(pairs),
        num_finished=len(done),
        num_failed=sum(timing.error is not None for _, timing in pairs),
        pictures_per_second=statistics.median(_rate(run) for run in runs),
        admission_mean=mean(admission),
        admission_p99=percentile(admission, 0.99),
        preview_p50=percentile(preview, 0.5),
        preview_p99=percentile(preview, 0.99),
        latency_mean=mean(latency),
        latency_p50=percentile(latency, 0.5),
        latency_p99=percentile(latency, 0.99),
        outside_share=statistics.median(1 - run.model_seconds / run.wall_seconds for run in runs),
        peak_rss_mb=max(run.peak_rss_bytes for run in runs) / 2**20,
        device_mb=max(
            (run.device_bytes / 2**20 for run in runs if run.device_bytes is not None), default=None
        ),
    )


def _rate(run: Run) -> float:
    """Pictures a second over the run's wall time."""
    done = [timing for timing in run.timings if timing.finished_at and timing.error is None]
    return len(done) / run.wall_seconds


def estimate_error(timings: Iterable[Timing]) -> float | None:
    """Median of |estimate − actual| / actual over the requests that have both."""
    errors = []
    for timing in timings:
        if timing.estimate_seconds is not None and timing.finished_at and timing.error is None:
            actual = timing.finished_at - timing.arrived_at
            errors.append(abs(timing.estimate_seconds - actual) / actual)
    return statistics.median(errors) if errors else None


def mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
