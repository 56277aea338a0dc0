"""`Flight`: a job while the engine draws it: the pictures not done yet, and how it is to end."""

from __future__ import annotations

import dataclasses

from studio.engine.sample import Sample
from studio.events import Cancelled, Event, Failed, Finished
from studio.request import Request
from studio.terms import Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A job as it is handed to an engine: `indices` are the pictures to draw.

    The rest is what an engine before this one has done of it.
    """

    job_id: str
    request: Request
    indices: tuple[int, ...]
    terms: Terms
    is_started: bool = False
    is_stopped: bool = False
    is_parked: bool = False
    num_drawn: int = 0
    message: str | None = None
    cause: str = "model"

    @property
    def num_before(self) -> int:
        """Pictures that were drawn or left out before an engine had it."""
        return self.request.num_images - len(self.indices) - self.num_drawn


class Flight:
    """`samples` are those not done; `message` is the first thing that went wrong, for its `cause`.

    A flight that `is_stopped` was asked to end before all its pictures were begun; one that
    `is_parked` ends without a word, since the store has the rest of it.
    """

    def __init__(self, submission: Submission, samples: list[Sample]) -> None:
        self.job_id = submission.job_id
        self.samples = samples
        self.is_started = submission.is_started
        self.is_stopped = submission.is_stopped
        self.is_parked = submission.is_parked
        self.num_drawn = submission.num_drawn
        self.previewed_at: float | None = None
        self.message = submission.message
        self.cause = submission.cause
        self._submission = submission

    def submission(self) -> Submission:
        """What is left of it, as it would be handed in anew."""
        return dataclasses.replace(
            self._submission,
            indices=tuple(sample.index for sample in self.samples),
            is_started=self.is_started,
            is_stopped=self.is_stopped,
            is_parked=self.is_parked,
            num_drawn=self.num_drawn,
            message=self.message,
            cause=self.cause,
        )

    def to_skip(self, index: int | None) -> Sample | None:
        """Picture `index`, or the one furthest along; `None` where it is not being drawn."""
        if index is None:
            return max(self.samples, key=lambda one: (one.evaluation, -one.index), default=None)
        return next((sample for sample in self.samples if sample.index == index), None)

    def last_event(self) -> Event | None:
        """How it ended, once no sample is left; `None` where it has not, for all it knows."""
        job_id = self.job_id
        if self.message is not None:
            return Failed(job_id=job_id, message=self.message, cause=self.cause)
        if self.is_stopped:
            return Cancelled(job_id=job_id)
        if self.is_parked:
            return None
        # A job that came whole and went without a picture had every one of them skipped.
        if self.num_drawn == 0 and self._submission.num_before == 0:
            return Cancelled(job_id=job_id)
        return Finished(job_id=job_id)
