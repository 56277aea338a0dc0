"""The plain ways of sharing a device, as the simulator compares them with the studio's scheduler.

All admit at every step and put interactive work before bulk, so what differs is the order alone.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

from studio.engine.sample import Bucket, Sample
from studio.engine.scheduler import StepBatch
from studio.terms import ServiceClass


def _is_bulk(sample: Sample) -> bool:
    return sample.terms.service_class is ServiceClass.BULK


class _InOrder:
    """The first sample in order names the lane; others of it join in order while they fit."""

    def __init__(self, max_rows: Callable[[Bucket], int]) -> None:
        self._max_rows = max_rows
        self._samples: dict[Sample, None] = {}

    def add(self, sample: Sample) -> None:
        self._samples[sample] = None

    def remove(self, sample: Sample) -> None:
        self._samples.pop(sample, None)

    def schedule(self, now: float) -> StepBatch | None:
        if not self._samples:
            return None
        ordered = sorted(
            self._in_order(list(self._samples)),
            key=lambda sample: sample.terms.service_class != "interactive",
        )
        bucket = ordered[0].bucket
        max_rows = self._max_rows(bucket)
        chosen: list[Sample] = []
        num_rows = 0
        for sample in ordered:
            if sample.bucket != bucket:
                continue
            if chosen and num_rows + sample.num_rows > max_rows:
                break
            chosen.append(sample)
            num_rows += sample.num_rows
        self._stepped(chosen)
        return StepBatch(bucket, tuple(chosen))

    def _in_order(self, samples: list[Sample]) -> list[Sample]:
        raise NotImplementedError

    def _stepped(self, samples: list[Sample]) -> None:
        pass


class FirstComeFirstServed(_InOrder):
    """In order of arrival."""

    def _in_order(self, samples: list[Sample]) -> list[Sample]:
        return samples


class ShortestRemaining(_InOrder):
    """The job with the least left to do, whoever waits."""

    def _in_order(self, samples: list[Sample]) -> list[Sample]:
        left: collections.Counter[str] = collections.Counter()
        for sample in samples:
            left[sample.job_id] += sample.evaluations_left * sample.num_rows
        return sorted(samples, key=lambda one: (left[one.job_id], one.job_id, one.evaluations_left))


class OwnersInTurn(_InOrder):
    """Time-slicing: a step for each owner in turn, of the picture that has waited longest."""

    def __init__(self, max_rows: Callable[[Bucket], int]) -> None:
        super().__init__(max_rows)
        self._turn = 0
        self._owners: dict[str, int] = {}
        self._steps: dict[Sample, int] = {}

    def remove(self, sample: Sample) -> None:
        super().remove(sample)
        self._steps.pop(sample, None)

    def _in_order(self, samples: list[Sample]) -> list[Sample]:
        rounds: collections.Counter[str] = collections.Counter()
        keys: dict[Sample, tuple[int, int]] = {}
        for sample in sorted(samples, key=lambda one: self._steps.get(one, 0)):
            owner = sample.terms.owner
            keys[sample] = (rounds[owner], self._owners.get(owner, 0))
            rounds[owner] += 1
        return sorted(samples, key=lambda one: keys[one])

    def _stepped(self, samples: list[Sample]) -> None:
        self._turn += 1
        for sample in samples:
            self._owners[sample.terms.owner] = self._steps[sample] = self._turn
