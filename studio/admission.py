"""`Admission`: what a brief must pass before it is a job in the queue.

Everything that can be known to go wrong is refused here, before it costs anybody a turn.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from studio.audit import deed
from studio.brief import Brief
from studio.compose import compose
from studio.config import Config
from studio.control import SketchControl
from studio.engine.manager import Manager, State
from studio.errors import BadBrief, NotReady, Unavailable
from studio.estimates import Estimates
from studio.job import Job, new_id
from studio.loras import chosen_loras
from studio.model_card import ModelCard
from studio.pictures import Pictures
from studio.presets import Presets
from studio.request import Request
from studio.store import Store
from studio.terms import Terms


@dataclasses.dataclass(kw_only=True)
class Admission:
    """The door of one studio. Once closed it lets nothing in."""

    config: Config
    card: ModelCard
    presets: Presets
    store: Store
    pictures: Pictures
    sketch_control: SketchControl
    manager: Manager
    estimates: Estimates
    check_words: Callable[[Brief, Request], None]
    lora_names: Callable[[], frozenset[str]]
    is_closed: bool = False

    def check(self, brief: Brief, owner: str, *, is_draft: bool = False) -> Request:
        """The request a brief asks for.

        Raises:
            BadInput: a field cannot be used, or the device could never draw it.
        """
        request = compose(brief, self.presets, self.card, max_num_images=self.config.max_num_images)
        self.check_words(brief, request)
        self._check_tokens(request)
        size = (request.height, request.width)
        control = self.sketch_control.of(brief, owner, size, request.model, is_draft=is_draft)
        loras = chosen_loras(brief, self.lora_names(), request.model) if brief.loras else ()
        request = dataclasses.replace(request, control=control, loras=loras)
        self.manager.check_fits(request)
        return request

    def admit(
        self,
        brief: Brief,
        terms: Terms,
        *,
        is_draft: bool = False,
        group_id: str | None = None,
        job_id: str | None = None,
    ) -> Job:
        """The job in the queue, with an id of its own unless one is given.

        Raises:
            BadInput: a field cannot be used, or the device could never draw it.
            Conflict: there is a job with this id.
            LimitReached: the owner has had the pictures of today.
            QueueFull, NotReady, StorageFull, Unavailable: not now, and why.
        """
        request = self.check(brief, terms.owner, is_draft=is_draft)
        return self._queue(
            brief, request, terms, is_draft=is_draft, group_id=group_id, job_id=job_id
        )

    def admit_again(self, brief: Brief, request: Request, terms: Terms) -> Job:
        """A job for a request that was composed before, taken as it is; raises as `admit`."""
        self.check_words(brief, request)
        self.manager.check_fits(request)
        return self._queue(brief, request, terms)

    def _queue(
        self,
        brief: Brief,
        request: Request,
        terms: Terms,
        *,
        is_draft: bool = False,
        group_id: str | None = None,
        job_id: str | None = None,
    ) -> Job:
        if self.is_closed:
            raise Unavailable("The studio is shutting down: try again when it is back.")
        if self.manager.health.state is State.FAILED:
            raise NotReady(self.manager.health.message)
        self.pictures.check_room()
        job = Job(
            id=job_id or new_id(),
            brief=brief,
            request=request,
            created_at=time.time(),
            is_draft=is_draft,
            group_id=group_id,
            **dataclasses.asdict(terms),
        )
        self.store.add_job(
            job,
            max_queued=self.config.max_queued_jobs,
            max_queued_per_owner=self.config.max_queued_per_owner,
            max_pictures_per_day=self.config.max_pictures_per_day or None,
            seconds_until_free=self.estimates.until_free,
            made=None if is_draft else deed(job.owner, "job.submit", job.id, **_told(job)),
        )
        return job

    def _check_tokens(self, request: Request) -> None:
        """A longer text would be cut off unseen."""
        for field, name, text in (
            ("notes", "prompt", request.prompt),
            ("negative_presets", "negative prompt", request.negative_prompt),
        ):
            counted = self.manager.num_tokens(text)
            if counted is not None and counted[0] > counted[1]:
                raise BadBrief(
                    field,
                    f"The {name} takes {counted[0]} tokens and the model reads {counted[1]}: use "
                    "fewer or shorter words.",
                )


def _told(job: Job) -> dict[str, Any]:
    """What the audit keeps of a job: not the words, which are the job's own."""
    return {"num_images": job.request.num_images, "service_class": str(job.service_class)}
