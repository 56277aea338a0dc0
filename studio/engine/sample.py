"""`Sample`: one image in flight, as bookkeeping. No tensors: the runner owns those, by `key`."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from studio.request import Lora, Request
from studio.terms import Terms


class SampleKey(NamedTuple):
    """Names a sample among all in flight."""

    job_id: str
    image_index: int


class Bucket(NamedTuple):
    """What must agree for samples to share one forward pass: a lane of the scheduler.

    Guidance, steps and control images need not agree. `backend` tells samples begun before a plan
    took over from those begun after: a picture is drawn by one backend from its first step on.
    """

    height: int
    width: int
    model: str
    loras: tuple[Lora, ...] = ()
    backend: str = ""


@dataclasses.dataclass(eq=False)
class Sample:
    """Picture `index` of a job. `num_evaluations` is known once the runner has begun it: a
    second-order sampler makes nearly two forward passes per step.

    `arrived_at` and `deadline` are seconds of the engine's clock. A sample that `is_isolated` runs
    alone: it was in the batch when the engine's thread died.
    """

    job_id: str
    index: int
    request: Request
    terms: Terms = dataclasses.field(default_factory=Terms)
    arrived_at: float = 0.0
    deadline: float | None = None
    is_isolated: bool = False
    backend: str = ""
    evaluation: int = 0
    num_evaluations: int | None = None
    started_at: float | None = None
    previewed_at: float | None = None

    @property
    def key(self) -> SampleKey:
        return SampleKey(self.job_id, self.index)

    @property
    def seed(self) -> int:
        return self.request.image_seed(self.index)

    @property
    def bucket(self) -> Bucket:
        request = self.request
        return Bucket(request.height, request.width, request.model, request.loras, self.backend)

    @property
    def num_rows(self) -> int:
        """Rows this sample takes in a forward pass: two with guidance, one without."""
        return 2 if self.request.uses_guidance else 1

    @property
    def evaluations_left(self) -> int:
        """Forward passes still to run; before it is begun, as many as steps."""
        if self.num_evaluations is None:
            return self.request.num_steps
        return self.num_evaluations - self.evaluation

    @property
    def is_begun(self) -> bool:
        return self.num_evaluations is not None

    @property
    def is_denoised(self) -> bool:
        return self.num_evaluations is not None and self.evaluation >= self.num_evaluations

    @property
    def step(self) -> int:
        """Steps done, of `request.num_steps`, as a person counts them."""
        if not self.num_evaluations:
            return 0
        return self.evaluation * self.request.num_steps // self.num_evaluations
