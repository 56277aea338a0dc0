"""`Line`: the pictures of one job that stand in one lane, as the scheduler keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from studio.engine.fairness import Account
from studio.engine.sample import Bucket, Sample
from studio.terms import ServiceClass


class LineKey(NamedTuple):
    """What the pictures of a line have in common."""

    job_id: str
    owner: str
    is_bulk: bool
    priority: int
    lane: Bucket
    num_rows: int
    is_isolated: bool

    @classmethod
    def of(cls, sample: Sample) -> LineKey:
        terms = sample.terms
        return cls(
            sample.job_id,
            terms.owner,
            terms.service_class is ServiceClass.BULK,
            terms.priority,
            sample.bucket,
            sample.num_rows,
            sample.is_isolated,
        )


@dataclasses.dataclass(eq=False, slots=True)
class Entry:
    """A sample as it was last seen; `stepped_at` is on the scheduler's clock of compute."""

    sample: Sample
    line: Line
    stepped_at: float
    evaluation: int
    num_left: int


@dataclasses.dataclass(eq=False, slots=True)
class Line:
    """`num_left` counts the forward passes its pictures still need, `num_steps` those they made;
    `fresh` are the pictures not begun, in order. `number` tells lines apart, the oldest first.
    """

    key: LineKey
    number: int
    account: Account
    arrived_at: float
    deadline: float | None
    stepped_at: float = 0.0
    begun: dict[Entry, None] = dataclasses.field(default_factory=dict)
    fresh: dict[Entry, None] = dataclasses.field(default_factory=dict)
    num_left: int = 0
    num_steps: int = 0

    def __iter__(self) -> Iterator[Entry]:
        """The picture closest to its end first, then those not begun."""
        yield from sorted(self.begun, key=lambda entry: (entry.num_left, entry.sample.index))
        yield from self.fresh

    @property
    def longest(self) -> int:
        """Forward passes its longest picture still needs."""
        begun = max((entry.num_left for entry in self.begun), default=0)
        return max(begun, next(iter(self.fresh)).num_left if self.fresh else 0)
