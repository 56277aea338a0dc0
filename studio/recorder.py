"""`Recorder`: turns the engine's events into rows and files, in order, in a thread of its own.

    PictureFinished, with its verdict ─▶ file, whole ─▶ row   (and nothing is seen before the row)
    Skipped ─▶ the job's row               Finished, Failed, Cancelled ─▶ the job's last state

So the engine's thread never waits for a disk, except once a job: `Started` is committed before the
first forward pass, since a job that kills the process must be counted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import threading
import time
from collections.abc import Callable

from studio import __version__
from studio.errors import Conflict, GenerationFailed, StorageFull, StudioError
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Pixels, Skipped
from studio.image_record import ImageRecord
from studio.job import Job
from studio.pictures import Pictures
from studio.store import Store
from studio.thumbnails import Thumbnails
from studio.verdict import Release, Verdict, combine

log = logging.getLogger(__name__)


class Recorder:
    """Writes down what `record` is given. `on_recorded` is called after each event is safe.

    `thumbnails` are made of pictures that may be seen. `keep_draft` takes the picture of a draft,
    which has neither file nor row. `cancel` stops a job whose pictures cannot be kept. `on_trouble`
    is told the kind, the sentence and the job.
    """

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        *,
        cancel: Callable[[str], None],
        on_recorded: Callable[[Event], None],
        thumbnails: Thumbnails | None = None,
        keep_draft: Callable[[str, Pixels], None] = lambda job_id, pixels: None,
        on_trouble: Callable[[str, str, str], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._thumbnails = thumbnails
        self._keep_draft = keep_draft
        self._cancel = cancel
        self._on_recorded = on_recorded
        self._on_trouble = on_trouble
        self._queue: queue.SimpleQueue[tuple[Event, Verdict | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write down everything that was handed in, then stop."""
        self._queue.put(None)
        self._thread.join()

    def record(self, event: Event, verdict: Verdict | None = None) -> None:
        """Hand an event in, a picture with its verdict. Returns at once."""
        self._queue.put((event, verdict))

    def _run(self) -> None:
        while (handed := self._queue.get()) is not None:
            event, verdict = handed
            is_told = True
            try:
                self._write(event, verdict)
            except Conflict:
                pass  # the job was closed meanwhile: cancelled, or failed for want of room
            except StudioError as error:
                cause = "storage" if isinstance(error, StorageFull) else "studio"
                is_told = self._give_up(event, str(error), cause)
            except Exception:
                log.exception("an event of job %s could not be recorded", event.job_id)
                is_told = self._give_up(
                    event, "The picture could not be kept: see the log, then retry."
                )
            try:
                if is_told:
                    self._on_recorded(event)
            except Exception:  # the next event is to be recorded all the same
                log.exception("nobody could be told of an event of job %s", event.job_id)

    def _write(self, event: Event, verdict: Verdict | None) -> None:
        if isinstance(event, PictureFinished):
            # A picture nobody judged is held.
            self._keep(event, verdict or combine([], policy_version=""))
        elif isinstance(event, Finished):
            self._store.mark_succeeded(event.job_id)
        elif isinstance(event, Failed):
            self._store.mark_failed(event.job_id, event.message)
        elif isinstance(event, Skipped):
            self._store.skip(event.job_id, event.index)
        elif isinstance(event, Cancelled):
            # A job that was cancelled outright is marked already, and may be queued again by now.
            self._store.mark_left(event.job_id)

    def _keep(self, event: PictureFinished, verdict: Verdict) -> None:
        job = self._store.job(event.job_id)
        if not job.status.is_active or event.index not in self._store.missing_indices(job.id):
            return  # cancelled or skipped meanwhile, or drawn before: nobody waits for it
        if job.is_draft:
            if verdict.release is not Release.RELEASED:
                raise GenerationFailed(
                    "This draft is held back: press Generate, and a reviewer will look at it."
                )
            self._keep_draft(job.id, event.pixels)
            return
        # After a crash the file replaces the orphan of this name.
        image_id = job.image_id(event.index)
        digest, path = self._pictures.save(
            image_id, event.pixels, metadata(job, event), release=verdict.release
        )
        if verdict.release is Release.RELEASED:
            self._make_thumbnail(image_id, event.pixels)
        height, width = event.pixels.shape[:2]
        self._store.keep_image(
            ImageRecord(
                id=image_id,
                job_id=job.id,
                owner=job.owner,
                index=event.index,
                seed=event.seed,
                digest=digest,
                path=path,
                height=height,
                width=width,
                release=verdict.release,
                screening=verdict.reason,
                model_name=event.model_name,
                model_digest=event.model_digest,
                backend=event.backend,
                precision=event.precision,
                seconds=event.seconds,
                created_at=time.time(),
            ),
            verdict,
        )

    def _make_thumbnail(self, image_id: str, pixels: Pixels) -> None:
        """So that the gallery need not; what fails here is made up for there."""
        if self._thumbnails is None:
            return
        try:
            self._thumbnails.make(image_id, pixels)
        except StudioError as error:
            log.warning("picture %s has no thumbnail yet: %s", image_id, error)

    def _give_up(self, event: Event, message: str, cause: str = "studio") -> bool:
        """Close a job whose result cannot be kept, and say whether its row could be written.

        It can be retried; finished pictures stay.
        """
        self._on_trouble(cause, message, event.job_id)
        is_written = True
        try:
            self._store.mark_failed(event.job_id, message)
        except Conflict:
            pass  # closed meanwhile
        except Exception:
            # The job stays as it is there, and runs again after a restart: nothing is lost.
            log.exception("job %s could not be marked as failed", event.job_id)
            is_written = False
        if not isinstance(event, Finished | Failed | Cancelled):  # else the engine has left it
            self._cancel(event.job_id)
        return is_written


def metadata(job: Job, event: PictureFinished) -> dict[str, str]:
    """What a PNG says of itself: all it takes to draw it again, and a line other tools read."""
    request = dataclasses.replace(job.request, seed=event.seed, num_images=1)
    parameters = (
        f"{request.prompt}\nNegative prompt: {request.negative_prompt}\n"
        f"Steps: {request.num_steps}, Sampler: {request.sampler}, "
        f"CFG scale: {request.guidance_scale:g}, Seed: {event.seed}, "
        f"Size: {request.width}x{request.height}, Model: {event.model_name}, "
        f"Model hash: {event.model_digest[:10]}"
    )
    return {
        "parameters": parameters,
        "request": json.dumps(request.to_dict(), sort_keys=True, ensure_ascii=False),
        "seed": str(event.seed),
        "model": event.model_name,
        "model_digest": event.model_digest,
        "backend": event.backend,
        "precision": event.precision,
        "studio_version": __version__,
    }
