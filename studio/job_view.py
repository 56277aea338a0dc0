"""`JobView`: one job with everything a person wants to see of it, read at one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from studio.image_record import ImageRecord
from studio.job import Job
from studio.live import LivePicture
from studio.review import Hidden


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobView:
    """A job as a person follows it.

    `num_ahead` jobs come before it. Until its last picture the device works an estimated
    `seconds_waiting` for others and `seconds_running` for this job; both are `None` while nothing
    can be said. `live`, `images`, and `hidden`, why some of these are not shown, are by picture
    index.
    """

    job: Job
    num_ahead: int
    seconds_waiting: float | None
    seconds_running: float | None
    live: dict[int, LivePicture]
    images: dict[int, ImageRecord]
    hidden: Mapping[int, Hidden] = dataclasses.field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """Until its last picture, waiting and running together."""
        if self.seconds_waiting is None or self.seconds_running is None:
            return None
        return self.seconds_waiting + self.seconds_running

    @property
    def num_skipped(self) -> int:
        return len(self.job.skipped)
