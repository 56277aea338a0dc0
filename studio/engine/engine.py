"""`Engine`: the loop. Each `step` picks samples, runs one forward pass for them, and moves them on.

    waiting ─▶ denoising ─▶ decoding ─▶ done
         └────────┴─────────────┴──▶ failed, cancelled

Samples join and leave at any step. Decoding is one picture a step, so it never holds denoising up
for longer than that. One thread calls everything here; what happens is told through `emit`.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable

from studio.engine.clock import StageClock
from studio.engine.model import Model
from studio.engine.runner import Runner
from studio.engine.sample import Sample
from studio.engine.scheduler import Scheduler, StepBatch
from studio.errors import Conflict, GenerationFailed
from studio.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    PictureFinished,
    Started,
    Stepped,
)
from studio.request import Request

PREVIEW_INTERVAL_SECONDS = 0.25

log = logging.getLogger(__name__)


@dataclasses.dataclass
class _JobState:
    """The samples of a job that are not done yet, and the first thing that went wrong."""

    samples: list[Sample]
    is_started: bool = False
    message: str | None = None


class Engine:
    """Draws requests with `model`, at most `max_rows` rows a forward pass.

    `emit` is called in the order things happen, `Started` before a job's first forward pass; it may
    raise `Conflict` on `Started` to say that the job is no longer wanted.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_rows: int,
        emit: Callable[[Event], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = StageClock()
        self.num_steps = 0
        self._model = model
        self._emit = emit
        self._now = now
        self._scheduler = Scheduler(max_rows)
        self._runner = Runner(model, self.clock)
        self._to_decode: collections.deque[Sample] = collections.deque()
        self._jobs: dict[str, _JobState] = {}
        self._unheard: set[str] = set()

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs in flight, oldest first."""
        return tuple(self._jobs)

    def submit(self, job_id: str, request: Request, indices: Iterable[int] | None = None) -> None:
        """Take a job: all its pictures, or only `indices` where the others are already drawn."""
        if job_id in self._jobs:
            raise Conflict(f"Job {job_id} is already being drawn.")
        chosen = range(request.num_images) if indices is None else indices
        samples = [Sample(job_id, index, request) for index in chosen]
        if not samples:  # its last picture was kept, but the process died before the job was closed
            self._tell(Started(job_id=job_id))
            self._tell(Finished(job_id=job_id))
            return
        self._jobs[job_id] = _JobState(samples)
        for sample in samples:
            self._scheduler.add(sample)

    def cancel(self, job_id: str) -> bool:
        """Stop a job before its next step and free what it holds; whether it was in flight."""
        if job_id not in self._jobs:
            return False
        self._discard(job_id)
        self._tell(Cancelled(job_id=job_id))
        return True

    def fail(self, job_id: str, message: str) -> None:
        """Give a job up as a whole."""
        self._discard(job_id)
        self._tell(Failed(job_id=job_id, message=message))

    def step(self) -> None:
        """One turn: one forward pass for one batch, then at most one picture decoded."""
        batch = self._schedule()
        if batch is not None:
            failures = self._runner.run(batch)
            self.num_steps += 1
            for sample in batch.samples:
                if sample.key in failures:
                    self._fail(sample, failures[sample.key])
                else:
                    self._advance(sample)
        if self._to_decode:
            self._decode(self._to_decode.popleft())
        for job_id in self._unheard & self._jobs.keys():
            self.fail(job_id, "The studio could not take the picture in: see the log, then retry.")
        self._unheard.clear()

    def _schedule(self) -> StepBatch | None:
        """A batch whose samples are all begun; those that cannot begin fail on the way."""
        while (batch := self._scheduler.schedule()) is not None:
            if all(self._begin(sample) for sample in batch.samples):
                return batch
        return None

    def _begin(self, sample: Sample) -> bool:
        """Whether the sample is ready for a step, beginning it where it is new."""
        if sample.is_begun:
            return True
        job = self._jobs.get(sample.job_id)
        if job is None:  # discarded while this batch was being begun
            return False
        if not job.is_started:
            try:
                self._emit(Started(job_id=sample.job_id))
            except Conflict:
                log.info("job %s is no longer wanted", sample.job_id)
                self._discard(sample.job_id)
                return False
            job.is_started = True
        try:
            sample.num_evaluations = self._runner.begin(sample)
        except Exception as error:
            self._fail(sample, error)
            return False
        sample.started_at = self._now()
        return True

    def _advance(self, sample: Sample) -> None:
        sample.evaluation += 1
        now = self._now()
        is_due = (
            sample.previewed_at is None or now - sample.previewed_at >= PREVIEW_INTERVAL_SECONDS
        )
        preview = None
        if is_due and not sample.is_denoised:
            sample.previewed_at = now
            preview = self._runner.preview(sample)
        self._tell(
            Stepped(
                job_id=sample.job_id,
                index=sample.index,
                step=sample.step,
                num_steps=sample.request.num_steps,
                preview=preview,
            )
        )
        if sample.is_denoised:
            self._scheduler.remove(sample)
            self._to_decode.append(sample)

    def _decode(self, sample: Sample) -> None:
        try:
            pixels = self._runner.decode(sample)
        except Exception as error:
            self._fail(sample, error)
            return
        assert sample.started_at is not None
        self._tell(
            PictureFinished(
                job_id=sample.job_id,
                index=sample.index,
                seed=sample.seed,
                pixels=pixels,
                seconds=self._now() - sample.started_at,
                backend=self._model.backend,
                precision=self._model.precision,
                model_name=self._model.card.name,
                model_digest=self._model.digest,
            )
        )
        self._leave(sample)

    def _fail(self, sample: Sample, error: Exception) -> None:
        """The sample is lost; the others of its job go on, and the job fails when they are done."""
        message = str(error) if isinstance(error, GenerationFailed) else f"Drawing failed: {error}"
        log.warning("job %s picture %d: %s", sample.job_id, sample.index, message)
        job = self._jobs[sample.job_id]
        job.message = job.message or message
        self._scheduler.remove(sample)
        self._leave(sample)

    def _leave(self, sample: Sample) -> None:
        self._runner.drop(sample)
        job = self._jobs[sample.job_id]
        job.samples.remove(sample)
        if job.samples:
            return
        del self._jobs[sample.job_id]
        if job.message is None:
            self._tell(Finished(job_id=sample.job_id))
        else:
            self._tell(Failed(job_id=sample.job_id, message=job.message))

    def _discard(self, job_id: str) -> None:
        for sample in self._jobs.pop(job_id).samples:
            self._scheduler.remove(sample)
            if sample in self._to_decode:
                self._to_decode.remove(sample)
            self._runner.drop(sample)

    def _tell(self, event: Event) -> None:
        """A listener's defect costs the job it was told of, after the step, and no other."""
        try:
            self._emit(event)
        except Exception:
            log.exception("%s of job %s was not taken in", event.kind, event.job_id)
            self._unheard.add(event.job_id)
