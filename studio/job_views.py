"""`JobViews`: what a person wants to see of a job, put together from rows, board and estimates."""

from __future__ import annotations

from collections.abc import Callable

from studio.estimates import Estimates
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.live import LiveBoard
from studio.review import Hidden
from studio.store import Store
from studio.verdict import Release


class JobViews:
    """`why_hidden` says of a picture that is not released why."""

    def __init__(
        self,
        store: Store,
        board: LiveBoard,
        estimates: Estimates,
        *,
        why_hidden: Callable[[ImageRecord], Hidden],
    ) -> None:
        self._store = store
        self._board = board
        self._estimates = estimates
        self._why_hidden = why_hidden

    def of(self, job_id: str, owner: str) -> JobView:
        """The job; `NotFound` when there is none, or it is not `owner`'s."""
        job = self._store.job(job_id, owner=owner)
        live = self._board.pictures(job_id)
        images = self._store.images(job_id=job_id, release=None, limit=job.request.num_images)
        num_ahead = self._store.num_ahead(job_id) if job.status is JobStatus.QUEUED else 0
        gone = {image.index for image in images} | set(job.skipped)
        left = live.keys() - gone if job.is_stopping else set(range(job.request.num_images)) - gone
        seconds = self._estimates.of(job, len(left))
        return JobView(
            job=job,
            num_ahead=num_ahead,
            seconds_waiting=None if seconds is None else seconds[0],
            seconds_running=None if seconds is None else seconds[1],
            live=live,
            images={image.index: image for image in images},
            hidden={
                image.index: self._why_hidden(image)
                for image in images
                if image.release is not Release.RELEASED
            },
        )
