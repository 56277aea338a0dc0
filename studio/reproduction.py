"""`Reproductions`: drawing a finished picture once more from its record, and comparing the bytes.

The record holds everything the engine was given: the request with its seed, the model and its
digest, the backend and the precision. On the same backend the same file comes out, byte for byte,
its metadata included; where it does not, the studio says so and keeps both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Callable

from studio.brief import Brief
from studio.engine.health import Health
from studio.errors import Conflict, NotFound
from studio.image_record import ImageRecord
from studio.job import Job
from studio.person import Person, Role
from studio.pictures import Pictures
from studio.request import Request
from studio.store import Store
from studio.verdict import Release

Redraw = Callable[[Request, Brief, str], Job]
"""Queues a request as it is, for the owner."""


class Outcome(enum.StrEnum):
    DRAWING = "drawing"
    SAME = "same"
    DIFFERENT = "different"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How it went; `image_id` is the new picture where it differs, `error` why there is none."""

    outcome: Outcome
    image_id: str = ""
    error: str = ""


def request_of(record: ImageRecord, job: Job) -> Request:
    """What draws this one picture again."""
    return dataclasses.replace(job.request, seed=record.seed, num_images=1)


def check_same_backend(record: ImageRecord, health: Health) -> None:
    """See that the engine is the one that drew the picture.

    Raises:
        Conflict: it is another, and what to start it with.
    """
    then = (record.model_digest, record.backend, record.precision)
    if not health.is_ready:
        raise Conflict("The model is not ready yet: try again when the studio says so.")
    if then != (health.model_digest, health.backend, health.precision):
        raise Conflict(
            f"This picture was drawn by {record.model_name} with {record.backend} in "
            f"{record.precision}, and the studio now draws by {health.model} with "
            f"{health.backend} in {health.precision}: start it with --model, --backend and "
            "--precision as they were."
        )


class Reproductions:
    """Of one studio; any thread may call it. It keeps nothing: the new job tells how it went."""

    def __init__(
        self, store: Store, pictures: Pictures, *, redraw: Redraw, health: Callable[[], Health]
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._redraw = redraw
        self._health = health

    def begin(self, person: Person, image_id: str) -> Job:
        """Queue the picture of `image_id` once more.

        Raises:
            Conflict: this studio now draws with something else.
            NotFound, QueueFull, …: as for any job.
        """
        person.require(Role.MERCHANDISER)
        record = self._released(image_id, person)
        check_same_backend(record, self._health())
        job = self._store.job(record.job_id, owner=person.name)
        brief = dataclasses.replace(job.brief, seed=record.seed, num_images=1)
        return self._redraw(request_of(record, job), brief, person.name)

    def outcome(self, person: Person, image_id: str, job_id: str) -> Reproduction:
        """How the job that `begin` gave went. A copy that is the same is not kept twice."""
        record = self._released(image_id, person)
        job = self._store.job(job_id, owner=person.name)
        if job.status.is_active:
            return Reproduction(outcome=Outcome.DRAWING)
        drawn = self._store.images(job_id=job_id, release=None, limit=1)
        if not drawn:
            return Reproduction(outcome=Outcome.FAILED, error=job.error or "")
        (copy,) = drawn
        if copy.digest != record.digest:
            return Reproduction(outcome=Outcome.DIFFERENT, image_id=copy.id)
        if copy.release is Release.RELEASED and copy.id != record.id:
            with contextlib.suppress(NotFound):  # reported or deleted meanwhile
                self._store.forget_image(copy.id, person.name)
                self._pictures.delete(copy)
                self._store.clear_path(copy.id)
        return Reproduction(outcome=Outcome.SAME)

    def _released(self, image_id: str, person: Person) -> ImageRecord:
        record = self._store.image(image_id, owner=person.name)
        if record.release is not Release.RELEASED:
            raise NotFound("There is no such picture.")
        return record
