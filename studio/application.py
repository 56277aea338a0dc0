"""`Studio`: the one object every face talks to, and the one place where everything is put together.

    with Studio.open(config) as studio:
        job = studio.submit(Brief(subject="mug", color="red"))

It owns no state of its own: jobs and pictures are the store's, latents the engine's, progress the
board's. Here they are wired: events of the engine become rows and files, and free places in the
engine are filled from the queue.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from studio.brief import Brief
from studio.compose import compose, compose_prompt
from studio.config import Config
from studio.engine.layout import check_folder
from studio.engine.manager import Health, LoadModel, Manager, State
from studio.errors import BadBrief, Conflict, NotFound, NotReady
from studio.events import Cancelled, Event, Failed, Finished, Started, Stepped
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus, new_id
from studio.live import LiveBoard, LivePicture
from studio.model_card import ModelCard
from studio.pictures import Pictures
from studio.presets import Presets, load_presets
from studio.recorder import Recorder
from studio.store import Store
from studio.terms import LOCAL_OWNER

if TYPE_CHECKING:
    from studio.engine.model import Model

MAX_HANDED = 8
"""Jobs the engine holds at a time. More would only make it harder to put another before them."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobView:
    """A job as a person follows it.

    `num_ahead` jobs come before it; `seconds_left` is an estimate until its last picture, `None`
    while nothing can be said. `live` and `images` are by picture index.
    """

    job: Job
    num_ahead: int
    seconds_left: float | None
    live: dict[int, LivePicture]
    images: dict[int, ImageRecord]


class Studio:
    """Built by `open`; every method may be called from any thread."""

    def __init__(
        self, config: Config, *, card: ModelCard, presets: Presets, store: Store, load: LoadModel
    ) -> None:
        self.config = config
        self.card = card
        self.presets = presets
        self._store = store
        self._board = LiveBoard()
        self._filling = threading.Lock()
        self._handed: set[str] = set()
        self._pictures = Pictures(config.data_dir, config.min_free_bytes)
        self._manager = Manager(
            load,
            on_event=self._hear,
            on_ready=self._fill_engine,
            precision=config.precision,
            max_rows=config.max_rows,
        )
        self._recorder = Recorder(
            store,
            self._pictures,
            card=card,
            cancel=self._manager.cancel,
            on_recorded=self._recorded,
        )

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        config: Config,
        *,
        card: ModelCard | None = None,
        load: LoadModel | None = None,
        is_started: bool = True,
    ) -> Iterator[Studio]:
        """Open the data folder, take back interrupted jobs, and begin loading the model.

        `card` and `load` put another model in the place of `config.model`'s folder. Without
        `is_started` the loading waits for `start`: it would slow down what must be up first.

        Raises:
            SetupError: the data folder, the presets or the model cannot be used.
        """
        presets = load_presets()
        card = card or check_folder(config.model)
        with Store.open(config.data_dir) as store:
            for job in store.recover():
                log.warning("job %s was interrupted: now %s", job.id, job.status)
            studio = cls(
                config, card=card, presets=presets, store=store, load=load or _loader(config)
            )
            studio._pictures.remove_leftovers()
            studio._recorder.start()
            if is_started:
                studio.start()
            try:
                yield studio
            finally:
                studio._close()

    def _close(self) -> None:
        """Stop between two steps; what was running is queued again, not counted as a crash."""
        self._manager.close()
        self._recorder.close()
        for job in self._store.jobs(statuses=[JobStatus.RUNNING], limit=10_000):
            self._store.requeue(job.id)

    def start(self) -> None:
        """Begin loading the model; only for a studio opened without `is_started`, and only once."""
        self._manager.start()

    # What a face asks

    @property
    def health(self) -> Health:
        return self._manager.health

    @property
    def manager(self) -> Manager:
        """The engine's manager, for the bench."""
        return self._manager

    def wait_until_ready(self, timeout_seconds: float = 600.0) -> None:
        """Block until the model serves; `NotReady` where it does not."""
        self._manager.wait_until_ready(timeout_seconds)

    def compose_prompt(self, brief: Brief) -> str:
        """The prompt as it would be sent, also of a half-filled form."""
        return compose_prompt(brief, self.presets)

    def num_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Tokens the prompt takes and the most the model reads; `None` while it is not loaded."""
        return self._manager.num_tokens(prompt)

    def submit(self, brief: Brief, owner: str = LOCAL_OWNER) -> Job:
        """Check the brief and put it in the queue.

        Raises:
            BadInput: a field cannot be used.
            QueueFull, NotReady, StorageFull: not now, and why.
        """
        request = compose(brief, self.presets, self.card, max_num_images=self.config.max_num_images)
        if self.health.state is State.FAILED:
            raise NotReady(self.health.message)
        for field, text in (
            ("notes", request.prompt),
            ("negative_presets", request.negative_prompt),
        ):
            counted = self.num_tokens(text)
            if counted is not None and counted[0] > counted[1]:
                raise BadBrief(
                    field,
                    f"The {'prompt' if field == 'notes' else 'negative prompt'} takes {counted[0]} "
                    f"tokens and the model reads {counted[1]}: use fewer or shorter words.",
                )
        self._pictures.check_room()
        job = Job(id=new_id(), owner=owner, brief=brief, request=request, created_at=time.time())
        self._store.add_job(job, max_queued=self.config.max_queued_jobs)
        self._board.notify()
        self._fill_engine()
        return job

    def cancel(self, job_id: str, owner: str = LOCAL_OWNER) -> None:
        """Stop a job; pictures already finished stay. A job that is over is left as it is."""
        job = self._store.job(job_id, owner=owner)
        if job.status.is_active:
            # The mark comes first: whatever the engine still says of the job finds it closed.
            with contextlib.suppress(Conflict):
                self._store.mark_cancelled(job_id)
            self._manager.cancel(job_id)
            self._board.notify()

    def retry(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        """Queue a failed or cancelled job again; only its missing pictures are drawn."""
        job = self._store.retry(job_id, owner=owner)
        self._board.notify()
        self._fill_engine()
        return job

    def job(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        return self._store.job(job_id, owner=owner)

    def jobs(
        self,
        owner: str = LOCAL_OWNER,
        *,
        statuses: Collection[JobStatus] | None = None,
        limit: int = 20,
        before: str | None = None,
    ) -> list[Job]:
        """A person's jobs, newest first; `before` is the last id of the page before this one."""
        return self._store.jobs(owner=owner, statuses=statuses, limit=limit, before=before)

    def num_active(self) -> int:
        """How many jobs, of everybody, wait or run."""
        return self._store.num_active()

    def view(self, job_id: str, owner: str = LOCAL_OWNER) -> JobView:
        """A job with everything a person wants to see of it."""
        job = self._store.job(job_id, owner=owner)
        live = self._board.pictures(job_id)
        images = self._store.images(job_id=job_id, release=None, limit=job.request.num_images)
        num_ahead = self._store.num_ahead(job_id) if job.status is JobStatus.QUEUED else 0
        return JobView(
            job=job,
            num_ahead=num_ahead,
            seconds_left=self._estimate(job),
            live=live,
            images={image.index: image for image in images},
        )

    def images(
        self, owner: str = LOCAL_OWNER, *, limit: int = 50, before: str | None = None
    ) -> list[ImageRecord]:
        """A person's released pictures, newest first."""
        return self._store.images(owner=owner, limit=limit, before=before)

    def image(self, image_id: str, owner: str = LOCAL_OWNER) -> tuple[ImageRecord, Path]:
        """A released picture of `owner` and its file. `NotFound` for everything else."""
        record = self._store.image(image_id, owner=owner)
        if record.release != "released":
            raise NotFound("There is no such picture.")
        return record, self._pictures.absolute(record)

    def preview(self, job_id: str, index: int, owner: str = LOCAL_OWNER) -> bytes:
        """The latest preview of a picture in flight, as PNG at latent resolution."""
        self._store.job(job_id, owner=owner)
        picture = self._board.pictures(job_id).get(index)
        if picture is None or picture.preview is None:
            raise NotFound("There is no preview of this picture yet.")
        buffer = io.BytesIO()
        Image.fromarray(picture.preview).save(buffer, "PNG")
        return buffer.getvalue()

    def wait(self, job_id: str, timeout_seconds: float) -> JobView:
        """Block until the job is over or the time is; the job as it then stands."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            version = self._board.version
            job = self._store.job(job_id)
            left = deadline - time.monotonic()
            if not job.status.is_active or left <= 0:
                return self.view(job_id, job.owner)
            self._board.wait(left, since=version)

    # What the engine says. `_hear` and `_fill_engine` (by `on_ready`) run in the engine's thread.

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started):
            self._store.mark_running(event.job_id)  # Conflict tells the engine to leave it
        elif isinstance(event, Stepped):
            if not self.card.is_closed_world:  # unscreened: a preview would show what may be held
                event = dataclasses.replace(event, preview=None)
        else:
            self._recorder.record(event)
            return  # the board hears of it when it is on disk, or a face would find nothing there
        self._board.update(event)

    def _recorded(self, event: Event) -> None:
        """In the recorder's thread: an event is on disk."""
        if isinstance(event, Finished | Failed | Cancelled):
            with self._filling:
                self._handed.discard(event.job_id)
            self._fill_engine()
        self._board.update(event)

    def _fill_engine(self) -> None:
        """Hand waiting jobs to the engine, oldest first, while it holds few."""
        if not self.health.is_ready:
            return
        with self._filling:
            while len(self._handed) < MAX_HANDED:
                job = self._store.next_queued(exclude=self._handed)
                if job is None:
                    return
                self._handed.add(job.id)
                done = self._store.image_indices(job.id)
                missing = [i for i in range(job.request.num_images) if i not in done]
                self._manager.submit(job.id, job.request, missing)

    def _estimate(self, job: Job) -> float | None:
        """Seconds until the job's last picture: steps to run, in it and before it, times the step
        measured at warm-up.
        """
        step_seconds = self.health.step_seconds
        if not job.status.is_active or not step_seconds:
            return None
        num_steps = self._store.num_steps_ahead(job.id) - self._board.num_steps()
        return max(1, num_steps) * step_seconds


def _loader(config: Config) -> LoadModel:
    """How `config.model` is loaded: in the engine's thread, so the imports are there too."""

    def load(precision: str, report: Callable[[str], None]) -> Model:
        from studio.engine.model import load_model

        return load_model(config.model, precision=precision, report=report)

    return load
