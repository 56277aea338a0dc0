"""`WorkLeft`: how much is still to be drawn for some jobs, as the queue tells it."""

from __future__ import annotations

import dataclasses

from studio.terms import ServiceClass


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkLeft:
    """`num_jobs` jobs that are alike: `num_steps_left` denoising steps left in each.

    `work` is the request without what makes no picture slower, as JSON (see `request_of_work`).
    `job_id` names the job where it is one that runs.
    """

    owner: str
    service_class: ServiceClass
    priority: int
    work: str
    num_steps_left: int
    num_jobs: int = 1
    job_id: str | None = None
