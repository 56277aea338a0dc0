"""`Scheduler`: chooses which samples take the next denoising step together. Touches no tensors.

First come, first served, by rows: the oldest sample names the bucket, and younger ones of the same
bucket join while their rows fit. A sample joins or leaves at any step.
"""

from __future__ import annotations

import dataclasses

from studio.engine.sample import Bucket, Sample


@dataclasses.dataclass(frozen=True)
class StepBatch:
    """The samples that share one forward pass, oldest first."""

    bucket: Bucket
    samples: tuple[Sample, ...]

    @property
    def num_rows(self) -> int:
        return sum(sample.num_rows for sample in self.samples)


class Scheduler:
    """Samples that still need denoising, in order of arrival.

    `max_rows` bounds the rows of a batch; a single sample runs even where it takes more.
    """

    def __init__(self, max_rows: int) -> None:
        if max_rows < 1:
            raise ValueError("max_rows must be at least 1")
        self.max_rows = max_rows
        self._samples: list[Sample] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)

    def remove(self, sample: Sample) -> None:
        """Forget a sample that was denoised, cancelled or failed; nothing if it is not here."""
        if sample in self._samples:
            self._samples.remove(sample)

    def schedule(self) -> StepBatch | None:
        """The batch for the next step, or `None` where nothing waits."""
        if not self._samples:
            return None
        bucket = self._samples[0].bucket
        chosen: list[Sample] = []
        num_rows = 0
        for sample in self._samples:
            if sample.bucket != bucket:
                continue
            if chosen and num_rows + sample.num_rows > self.max_rows:
                break  # no overtaking: a later, smaller sample must not pass this one for ever
            chosen.append(sample)
            num_rows += sample.num_rows
        return StepBatch(bucket, tuple(chosen))
