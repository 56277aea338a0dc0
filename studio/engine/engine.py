"""`Engine`: the loop. Each `step` picks samples, runs one forward pass for them, and moves them on.

    waiting ─▶ denoising ─▶ decoding ─▶ done
         └────────┴─────────────┴──▶ failed, cancelled, skipped

Samples join and leave at any step. One picture a step begins to be decoded, so that it never holds
denoising up for longer than that; where a card decodes beside the steps, several are in hand. One
thread calls everything here; what happens is told through `emit`.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from studio.engine.awaited_starts import AwaitedStarts
from studio.engine.clock import StageClock
from studio.engine.decoder import Decoding
from studio.engine.flight import Flight, Submission
from studio.engine.loaded_models import LoadedModels
from studio.engine.model import Model
from studio.engine.row_limits import RowLimits
from studio.engine.runner import Runner
from studio.engine.sample import Sample, SampleKey
from studio.engine.scheduler import Scheduler, StepBatch
from studio.engine.setup import Listener, no_control_images
from studio.engine.step_times import StepTimes
from studio.errors import Conflict, GenerationFailed, StudioError
from studio.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    PictureFinished,
    Pixels,
    Skipped,
    Started,
    Stepped,
)
from studio.request import Request
from studio.terms import Terms

PREVIEW_INTERVAL_SECONDS = 0.25
"""A job shows at most four previews a second, however many pictures it has in flight."""

PREVIEW_SHARE = 0.01
"""Of the time: what previews that take any may take, those of all jobs together."""

PACE_GAIN, MAX_PACE = 0.05, 10.0
"""How quickly the pace follows the last passes, and the most one pass may say."""

MAX_IN_HAND = 4
"""The most pictures that are decoded beside the steps at once: more would wait in the card."""

UNHEARD = "The studio could not take the picture in: see the log, then retry."

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _InHand:
    """A picture that is being decoded, since when."""

    sample: Sample
    work: Decoding
    began: float


class Engine:
    """Draws requests with `model`, and with others once they are adopted.

    `times` says how long passes of `model` take: turns are shared in those seconds, and the rows of
    a pass are their knee unless `max_rows` is given.
    `emit` is called in the order things happen, `Started` before a job's first forward pass; it may
    raise `Conflict` on `Started` to say that the job is no longer wanted, or answer with a future
    that does: until that is done the job stands aside, and the others go on. `on_narrowed` is told
    of a model that cannot draw a (height, width) after all, as it is from then on.

    `pace` is how long passes take lately beside `times`. `at_work` are the jobs in the model's
    hands: should the thread die, they are the suspects. Of the passes so far `num_rows` were run
    and `num_places` would have been worth filling; `busy_seconds` went into turns.
    """

    def __init__(
        self,
        model: Model,
        *,
        emit: Listener,
        max_rows: int = 0,
        times: StepTimes | None = None,
        load_control: Callable[[str], Pixels] = no_control_images,
        on_narrowed: Callable[[Model, tuple[int, int]], None] = lambda model, size: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = StageClock()
        self.num_steps = self.num_rows = self.num_places = 0
        self.busy_seconds = 0.0
        self.num_out_of_memory = 0
        self.at_work: frozenset[str] = frozenset()
        self.pace = 1.0
        self._emit = emit
        self._on_narrowed = on_narrowed
        self._now = now
        self._models = LoadedModels(max_rows)
        self._limits = RowLimits(self._models.max_rows)
        self._scheduler = Scheduler(max_rows=self._limits.limit, seconds=self._models.seconds)
        self._runner = Runner(
            self.clock, load_control=load_control, on_out_of_memory=self._out_of_memory
        )
        self._to_decode: collections.deque[Sample] = collections.deque()
        self._in_hand: list[_InHand] = []
        self._flights: dict[str, Flight] = {}
        self._starts = AwaitedStarts(emit)
        self._unheard: set[str] = set()
        self.adopt(model, times)

    @property
    def is_idle(self) -> bool:
        return not self._flights

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs in flight, oldest first."""
        return tuple(self._flights)

    @property
    def num_jobs(self) -> int:
        """Jobs in flight."""
        return len(self._flights)

    @property
    def num_held(self) -> int:
        """Samples that hold tensors."""
        return len(self._runner)

    @property
    def num_to_decode(self) -> int:
        """Pictures that are denoised and wait for their pixels."""
        return len(self._to_decode) + len(self._in_hand)

    @property
    def outstanding(self) -> tuple[Submission, ...]:
        """The jobs in flight with the pictures they lack, fit to be submitted to another engine."""
        while self._starts.flights:  # whether they are started must be known first
            self._settle_starts(is_waiting=True)
        return tuple(flight.submission() for flight in self._flights.values())

    def adopt(self, model: Model, times: StepTimes | None = None) -> None:
        """Draw with `model` too; the last adopted of a name is preferred for what it can draw.

        Pictures that are begun stay with the backend that began them.
        """
        self._models.add(model, times)
        self._choose_backends(model.card.name)

    def submit(
        self,
        job_id: str,
        request: Request,
        indices: Iterable[int] | None = None,
        *,
        terms: Terms | None = None,
    ) -> None:
        """Take a job: all its pictures, or only `indices` where the others are already drawn."""
        chosen = range(request.num_images) if indices is None else indices
        self.take(
            Submission(
                job_id=job_id,
                request=request,
                indices=tuple(chosen),
                terms=terms or Terms(),
            )
        )

    def take(self, submission: Submission, *, is_isolated: bool = False) -> None:
        """Take a job, also one that another engine had begun.

        One that `is_isolated` shares its passes with no other.
        """
        job_id, request, terms = submission.job_id, submission.request, submission.terms
        if job_id in self._flights:
            raise Conflict(f"Job {job_id} is already being drawn.")
        self._unheard.discard(job_id)  # of an earlier run of it
        now = self._now()
        deadline = None if terms.deadline_at is None else now + terms.deadline_at - time.time()
        samples = [
            Sample(
                job_id,
                index,
                request,
                terms=terms,
                arrived_at=now,
                deadline=deadline,
                is_isolated=is_isolated,
                backend=self._models.backend_for(request),
            )
            for index in submission.indices
        ]
        if not samples:  # its last picture was kept, but the process died before the job was closed
            self._tell(Started(job_id=job_id))
            self._tell(Finished(job_id=job_id))
            return
        self._flights[job_id] = Flight(submission, samples)
        for sample in samples:
            self._scheduler.add(sample)

    def cancel(self, job_id: str) -> bool:
        """Stop a job before its next step and free what it holds; whether it was in flight."""
        if job_id not in self._flights:
            return False
        self._discard(job_id)
        self._tell(Cancelled(job_id=job_id))
        return True

    def stop_after_picture(self, job_id: str) -> bool:
        """Finish the pictures of a job that are begun and leave the others; then `Cancelled`."""
        flight = self._flights.get(job_id)
        if flight is None:
            return False
        begun = [sample for sample in flight.samples if sample.evaluation > 0]
        if not begun:
            return self.cancel(job_id)
        flight.is_stopped = len(begun) < len(flight.samples) or flight.is_stopped
        for sample in [sample for sample in flight.samples if sample.evaluation == 0]:
            self._forget(sample)
        return True

    def skip(self, job_id: str, index: int | None = None) -> bool:
        """Leave out one picture of a job: `index`, or the one that is furthest along."""
        flight = self._flights.get(job_id)
        sample = None if flight is None else flight.to_skip(index)
        if sample is None:
            return False
        self._tell(Skipped(job_id=job_id, index=sample.index))
        self._leave(sample)
        return True

    def fail(self, job_id: str, message: str) -> None:
        """Give a job up as a whole."""
        self._discard(job_id)
        self._tell(Failed(job_id=job_id, message=message))

    def keep_begun(self) -> None:
        """Begin nothing more: what has made no step is forgotten, without a word. For closing."""
        for flight in list(self._flights.values()):
            for sample in [sample for sample in flight.samples if sample.evaluation == 0]:
                self._forget(sample)
                flight.is_parked = True
            if not flight.samples:
                self._drop(flight)

    def step(self) -> None:
        """One turn: a forward pass for one batch; then a picture begins to be decoded."""
        began = time.perf_counter()
        self._turn()
        self.busy_seconds += time.perf_counter() - began

    def _turn(self) -> None:
        with self.clock.host_stage("schedule"):
            batch = self._schedule()
        if batch is not None:
            failures = self._run(batch)
            self.num_steps += 1
            self.num_rows += batch.num_rows
            self.num_places += max(batch.num_rows, self._limits.limit(batch.bucket))
            self._limits.succeed(batch.bucket)
            previewed = self._due_for_preview(batch)
            for sample in batch.samples:
                if sample.key in failures:
                    self._fail(sample, failures[sample.key])
                else:
                    self._advance(sample, is_previewed=previewed.get(sample.job_id) is sample)
        if self._to_decode and len(self._in_hand) < MAX_IN_HAND:
            self._begin_decoding(self._to_decode.popleft())
        self._finish_what_is_decoded(is_waiting=batch is None)
        for job_id in self._unheard & self._flights.keys():
            self.fail(job_id, UNHEARD)
        self._unheard.clear()

    def _schedule(self) -> StepBatch | None:
        """A batch whose samples are all begun; those that cannot begin fail on the way."""
        self._settle_starts(is_waiting=False)
        while True:
            batch = self._scheduler.schedule(self._now(), is_ready=self._begin)
            if batch is not None or not self._starts.flights:
                return batch
            self._settle_starts(is_waiting=True)

    def _choose_backends(self, model: str) -> None:
        """Give what is not begun of the model of this name to the backend that is preferred now."""
        for flight in self._flights.values():
            for sample in flight.samples:
                if not sample.is_begun and sample.request.model == model:
                    self._scheduler.remove(sample)
                    sample.backend = self._models.backend_for(sample.request)
                    self._scheduler.add(sample)

    def _begin(self, sample: Sample) -> bool:
        """Whether the sample is ready for a step, beginning it where it is new."""
        if sample.is_begun:
            return True
        flight = self._flights.get(sample.job_id)
        if flight is None:  # discarded while this batch was being begun
            return False
        if not flight.is_started and not self._start(flight):
            return False
        try:
            if (narrowed := self._models.narrow(sample.bucket)) is not None:
                self._on_narrowed(narrowed, (sample.bucket.height, sample.bucket.width))
                self._choose_backends(narrowed.card.name)
                return False
            with self._at_work_on(sample):
                sample.num_evaluations = self._runner.begin(sample, self._models.of(sample.bucket))
        except Exception as error:
            self._fail(sample, error)
            return False
        sample.started_at = self._now()
        return True

    def _settle_starts(self, *, is_waiting: bool) -> None:
        """Let the jobs come back that are started by now; where asked, wait for the first one."""
        for flight in self._starts.flights:
            self._start(flight, is_waiting=is_waiting)
            is_waiting = False

    def _start(self, flight: Flight, *, is_waiting: bool = False) -> bool:
        """Whether a job is started; while the listener takes that in, it stands aside."""
        try:
            flight.is_started = self._starts.settle(flight, is_waiting=is_waiting)
        except Exception as error:
            self._leave_unstarted(flight, error)
            return False
        move = self._scheduler.add if flight.is_started else self._scheduler.remove
        for sample in flight.samples:
            move(sample)
        return flight.is_started

    def _leave_unstarted(self, flight: Flight, error: Exception) -> None:
        if isinstance(error, Conflict):
            log.info("job %s is no longer wanted", flight.job_id)
            self._discard(flight.job_id)
        else:
            log.error("the start of job %s was not taken in", flight.job_id, exc_info=error)
            told = str(error) if isinstance(error, StudioError) else UNHEARD
            self.fail(flight.job_id, told)

    def _run(self, batch: StepBatch) -> dict[SampleKey, GenerationFailed]:
        """One forward pass; how long it took beside what was expected moves `pace`."""
        self.at_work = frozenset(sample.job_id for sample in batch.samples)
        started = self._now()
        failures = self._runner.run(batch, max_rows=self._limits.cap(batch.bucket))
        self.at_work = frozenset()
        ratio = (self._now() - started) / self._models.seconds(batch.bucket, batch.num_rows)
        self.pace += PACE_GAIN * (min(ratio, MAX_PACE) - self.pace)
        return failures

    def _due_for_preview(self, batch: StepBatch) -> dict[str, Sample]:
        """By job, the sample that shows a preview after this step: the one longest without."""
        now, due = self._now(), dict[str, Sample]()
        each = self._models.of(batch.bucket).preview_seconds
        interval = max(PREVIEW_INTERVAL_SECONDS, len(self._flights) * each / PREVIEW_SHARE)
        for sample in batch.samples:
            flight = self._flights[sample.job_id]
            shown = flight.previewed_at
            if shown is not None and now - shown < interval:
                continue
            other = due.get(sample.job_id)
            if other is None or (sample.previewed_at or 0.0) < (other.previewed_at or 0.0):
                due[sample.job_id] = sample
        return due

    def _advance(self, sample: Sample, *, is_previewed: bool) -> None:
        sample.evaluation += 1
        preview = None
        if is_previewed and not sample.is_denoised:
            sample.previewed_at = self._flights[sample.job_id].previewed_at = self._now()
            try:
                with self.clock.host_stage("preview"):
                    preview = self._runner.preview(sample)
            except GenerationFailed as error:
                self._fail(sample, error)
                return
            except Exception:
                log.warning("a step of job %s has no preview", sample.job_id, exc_info=True)
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

    def _begin_decoding(self, sample: Sample) -> None:
        began = self._now()
        try:
            with self._at_work_on(sample):
                work = self._runner.begin_decoding(sample)
        except Exception as error:
            if self._in_hand and getattr(error, "cause", "") == "no_memory":
                # Beside others it does not fit: once they are done, it may.
                self._to_decode.appendleft(sample)
                self._finish_decoding(self._in_hand.pop(0))
            else:
                self._fail(sample, error)
        else:
            self._in_hand.append(_InHand(sample, work, began))

    def _finish_what_is_decoded(self, *, is_waiting: bool) -> None:
        """Tell of the pictures that are done; the oldest is waited for with nothing else to do."""
        while self._in_hand and (is_waiting or self._in_hand[0].work.is_done):
            is_waiting = False
            self._finish_decoding(self._in_hand.pop(0))

    def _finish_decoding(self, in_hand: _InHand) -> None:
        sample, began = in_hand.sample, in_hand.began
        try:
            with self._at_work_on(sample):
                pixels = in_hand.work.pixels()
        except Exception as error:
            self._fail(sample, error)
            return
        assert sample.started_at is not None
        model = self._models.of(sample.bucket)
        self._flights[sample.job_id].num_drawn += 1
        self._tell(
            PictureFinished(
                job_id=sample.job_id,
                index=sample.index,
                seed=sample.seed,
                pixels=pixels,
                seconds=self._now() - sample.started_at,
                decode_seconds=self._now() - began,
                backend=model.backend,
                precision=model.precision,
                model_name=model.card.name,
                model_digest=model.digest,
            )
        )
        self._leave(sample)

    @contextlib.contextmanager
    def _at_work_on(self, sample: Sample) -> Iterator[None]:
        """A sample in the model's hands, until it is done or fails; a death leaves it there."""
        self.at_work = frozenset({sample.job_id})
        try:
            yield
        except Exception:
            self.at_work = frozenset()
            raise
        self.at_work = frozenset()

    def _fail(self, sample: Sample, error: Exception) -> None:
        """The sample is lost; the others of its job go on, and the job fails when they are done."""
        message = str(error) if isinstance(error, GenerationFailed) else f"Drawing failed: {error}"
        log.warning("job %s picture %d: %s", sample.job_id, sample.index, message)
        flight = self._flights[sample.job_id]
        if flight.message is None:
            flight.message, flight.cause = message, getattr(error, "cause", "model")
        self._leave(sample)

    def _leave(self, sample: Sample) -> None:
        """A sample is done with; with the last one its job is."""
        self._forget(sample)
        flight = self._flights[sample.job_id]
        if flight.samples:
            return
        self._drop(flight)
        last = flight.last_event()
        if last is not None:
            self._tell(last)

    def _discard(self, job_id: str) -> None:
        flight = self._flights[job_id]
        for sample in list(flight.samples):
            self._forget(sample)
        self._drop(flight)

    def _drop(self, flight: Flight) -> None:
        """Hold a job no more."""
        del self._flights[flight.job_id]
        self._starts.forget(flight)

    def _forget(self, sample: Sample) -> None:
        """Free what a sample holds, wherever it stands."""
        self._flights[sample.job_id].samples.remove(sample)
        self._scheduler.remove(sample)
        if sample in self._to_decode:
            self._to_decode.remove(sample)
        self._in_hand = [in_hand for in_hand in self._in_hand if in_hand.sample is not sample]
        self._runner.drop(sample)

    def _out_of_memory(self, batch: StepBatch, num_rows: int) -> None:
        log.warning("out of memory at %d rows: half of them from here on", num_rows)
        self.num_out_of_memory += 1
        self._limits.shrink(batch.bucket, num_rows)

    def _tell(self, event: Event) -> None:
        """A listener's defect costs the job it was told of, after the step, and no other."""
        try:
            with self.clock.host_stage("emit"):
                answer = self._emit(event)
            if answer is not None:
                answer.result()
        except Exception:
            log.exception("%s of job %s was not taken in", event.kind, event.job_id)
            self._unheard.add(event.job_id)
