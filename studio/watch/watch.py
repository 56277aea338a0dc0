"""`Watch`: hears what happens to jobs, counts it, traces it, logs it; looks at the machine.

    submitted ─▶ waiting ─▶ started ─▶ denoising ─▶ decoding ─▶ screening ─▶ kept … ─▶ over

It changes nothing and is asked for nothing: a studio with `watch_seconds` 0 works as well without.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator

from studio.config import Config
from studio.engine.devices import memory_limit, torch_memory
from studio.engine.facts import EngineFacts
from studio.engine.health import Health
from studio.errors import GenerationFailed, StorageFull, StudioError
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Skipped
from studio.job import Job
from studio.metrics import Family, Metrics
from studio.telemetry import Telemetry
from studio.tracing import Tracing
from studio.verdict import Verdict
from studio.watch.exposition import Present, families
from studio.watch.sampler import Sampler
from studio.watch_rows import Counts

MAX_ERRORS = 20
"""Errors that are remembered for the panel."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that went wrong: when (Unix seconds), what kind, the sentence, of which job."""

    at: float
    kind: str
    message: str
    job_id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the watch reads what is. Each may be called from any thread.

    `needs_screening` tells whether pictures of the model served are held where nothing judges them,
    `has_classifier` whether a classifier does.
    """

    health: Callable[[], Health]
    facts: Callable[[], EngineFacts | None]
    counts: Callable[[], Counts]
    free_disk_bytes: Callable[[], int]
    needs_screening: Callable[[], bool]
    has_classifier: Callable[[], bool]
    memory_limit: Callable[[], int | None] = memory_limit


@dataclasses.dataclass
class _Trail:
    """What is known of a job that is not over."""

    queued_at: float
    started_at: float | None = None


class Watch:
    """One for each studio. What is told to it returns at once, from whatever thread."""

    def __init__(self, config: Config, sources: Sources) -> None:
        self.is_on = config.watch_seconds > 0
        self.sources = sources
        self.metrics = Metrics(self._families)
        self.sampler = Sampler(
            Telemetry(torch_memory=torch_memory, memory_limit=lambda: self.sources.memory_limit()),
            read_facts=lambda: self.sources.facts(),
            read_counts=lambda: self.sources.counts(),
            interval_seconds=float(config.watch_seconds),
        )
        self._config = config
        self._tracing = Tracing.to(config.traces) if self.is_on else None
        self._lock = threading.Lock()
        self._trails: dict[str, _Trail] = {}
        self._errors: collections.deque[Trouble] = collections.deque(maxlen=MAX_ERRORS)
        self._listener = _Listener(self._errors.append)

    def start(self) -> None:
        if self.is_on:
            logging.getLogger("studio").addHandler(self._listener)
            self.sampler.start()

    def close(self) -> None:
        logging.getLogger("studio").removeHandler(self._listener)
        self.sampler.close()
        if self._tracing is not None:
            self._tracing.close()

    @property
    def last_errors(self) -> tuple[Trouble, ...]:
        """What went wrong, the latest first."""
        return tuple(reversed(self._errors))

    # What happens to a job

    def submitted(self, job: Job) -> None:
        """A job was taken into the queue, or queued again on request."""
        if not self.is_on:
            return
        now = time.time()
        self._queue(job, now)
        self.metrics.submitted(job.service_class)
        _say(
            "job queued", job.id, service_class=job.service_class, num_images=job.request.num_images
        )
        log.debug(
            "prompt of job %s",
            job.id,
            extra={"facts": {"job_id": job.id, "prompt": job.request.prompt}},
        )

    def refused(self, error: StudioError) -> None:
        """A person was told no."""
        if self.is_on:
            self.metrics.error(kind_of(error))
            log.info("refused", extra={"facts": {"kind": kind_of(error)}})

    def handed(self, job: Job) -> None:
        """The engine was given a job; one of an earlier process is heard of here first."""
        if self.is_on and job.id not in self._trails:
            self._queue(job, job.created_at)

    def started(self, job_id: str) -> None:
        """The first step of a job is about to run. In the engine's thread."""
        trail = self._trails.get(job_id) if self.is_on else None
        if trail is None:
            return
        trail.started_at = now = time.time()
        self.metrics.stage("waiting", now - trail.queued_at)
        if self._tracing is not None:
            self._tracing.stage(job_id, "waiting", trail.queued_at, now)
        _say("job started", job_id, waited_seconds=round(now - trail.queued_at, 3))

    def drawn(self, event: PictureFinished) -> None:
        """A picture has its pixels. In the engine's thread."""
        if not self.is_on:
            return
        denoise_seconds = event.seconds - event.decode_seconds
        self.metrics.stage("denoising", denoise_seconds)
        self.metrics.stage("decoding", event.decode_seconds)
        if self._tracing is not None:
            now = time.time()
            decoded_from = now - event.decode_seconds
            began, facts = now - event.seconds, {"picture": event.index}
            self._tracing.stage(event.job_id, "denoising", began, decoded_from, **facts)
            self._tracing.stage(event.job_id, "decoding", decoded_from, now, **facts)

    def screened(self, job_id: str, index: int, verdict: Verdict, seconds: float) -> None:
        """The verdict on a picture, and how long it took."""
        if not self.is_on:
            return
        self.metrics.stage("screening", seconds)
        self.metrics.image(verdict.answer)
        if self._tracing is not None:
            now = time.time()
            self._tracing.stage(job_id, "screening", now - seconds, now, picture=index)

    def recorded(self, event: Event) -> None:
        """An event of the engine is on disk."""
        if not self.is_on:
            return
        if isinstance(event, PictureFinished):
            _say("picture kept", event.job_id, picture=event.index, seconds=round(event.seconds, 3))
        elif isinstance(event, Skipped):
            _say("picture skipped", event.job_id, picture=event.index)
        elif isinstance(event, Finished):
            self._end(event.job_id, "succeeded")
        elif isinstance(event, Failed):
            self.trouble(event.cause, event.message, event.job_id)
            self._end(event.job_id, "failed", event.message)
        elif isinstance(event, Cancelled):
            self._end(event.job_id, "cancelled")

    def cancelled(self, job_id: str) -> None:
        """A job was stopped by a person, whether or not the engine has heard of it."""
        if self.is_on:
            self._end(job_id, "cancelled")

    def trouble(self, kind: str, message: str, job_id: str = "") -> None:
        """Something went wrong that an admin should see."""
        if self.is_on:
            self.metrics.error(kind)
            self._errors.append(Trouble(at=time.time(), kind=kind, message=message, job_id=job_id))

    def _queue(self, job: Job, at: float) -> None:
        with self._lock:
            self._trails[job.id] = _Trail(queued_at=at)
        if self._tracing is not None:
            request = job.request
            self._tracing.begin(
                job.id,
                at,
                {
                    "job.service_class": job.service_class.value,
                    "job.num_images": request.num_images,
                    "request.height": request.height,
                    "request.width": request.width,
                    "request.num_steps": request.num_steps,
                    "request.model": request.model,
                },
            )

    def _end(self, job_id: str, outcome: str, message: str = "") -> None:
        with self._lock:
            trail = self._trails.pop(job_id, None)
        if trail is None:
            return  # told once already: cancelled while the engine still had a word to say of it
        self.metrics.finished(outcome)
        seconds = round(time.time() - trail.queued_at, 3)
        if outcome == "succeeded":
            self.metrics.job(seconds)
        if self._tracing is not None:
            self._tracing.end(job_id, outcome, message)
        _say(f"job {outcome}", job_id, seconds=seconds, **({"message": message} if message else {}))

    # What is

    def present(self) -> Present:
        """What is asked at a scrape."""
        sources = self.sources
        return Present(
            health=sources.health(),
            counts=sources.counts(),
            facts=sources.facts(),
            look=self.sampler.latest,
            needs_screening=sources.needs_screening(),
            has_classifier=sources.has_classifier(),
            free_disk_bytes=sources.free_disk_bytes(),
            temperature_limit=float(self._config.temperature_limit),
            max_queued_jobs=self._config.max_queued_jobs,
            watch_seconds=self._config.watch_seconds,
        )

    def _families(self) -> Iterator[Family]:
        return families(self.present())


class _Listener(logging.Handler):
    """Hands on what the studio logs as an error: the panel shows it among the last."""

    def __init__(self, tell: Callable[[Trouble], None]) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage() + (f": {error}" if error else "")
        self._tell(Trouble(at=record.created, kind="log", message=message))


def kind_of(error: Exception) -> str:
    """The kind an error is counted under: its class in the error tree, in lower case."""
    if isinstance(error, GenerationFailed):
        return error.cause
    if isinstance(error, StorageFull):
        return "storage"
    for cls in type(error).__mro__:
        name = _KINDS.get(cls.__name__)
        if name:
            return name
    return "studio"


_KINDS = {
    "BadInput": "bad_input",
    "Conflict": "conflict",
    "Forbidden": "forbidden",
    "NotFound": "not_found",
    "NotReady": "not_ready",
    "QueueFull": "queue_full",
    "SetupError": "setup",
    "Unauthenticated": "unauthenticated",
    "Unavailable": "unavailable",
}


def _say(event: str, job_id: str, **facts: object) -> None:
    log.info(event, extra={"facts": {"job_id": job_id, **facts}})
