"""`Studio`: the one object every face talks to, and the one place where everything is put together.

    with Studio.open(config) as studio:
        job = studio.submit(Brief(subject="mug", color="red"))

It owns no state of its own: jobs and pictures are the store's, latents the engine's, progress the
board's, which jobs the engine holds the dispatcher's. Here they are wired: events of the engine
become rows and files, and free places in the engine are filled from the queue.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from PIL import Image

from studio.admission import Admission
from studio.attendance import Attendance
from studio.audit import AuditRows
from studio.batches import Batches
from studio.brief import Brief
from studio.compose import compose_prompt
from studio.config import Config
from studio.control import SketchControl
from studio.control_images import ControlImages
from studio.dispatcher import Dispatcher
from studio.drafts import Drafts
from studio.engine.classifier_process import ClassifierProcess
from studio.engine.device_choice import DeviceChoice
from studio.engine.layout import check_folder
from studio.engine.manager import Health, LoadModel, Manager
from studio.errors import NotFound, StudioError
from studio.estimates import Estimates
from studio.event_rows import Happening
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Started, Stepped
from studio.examples import Examples
from studio.gallery import Gallery
from studio.groups import Groups
from studio.hooks import Hooks
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.job_acts import JobActs
from studio.job_view import JobView
from studio.job_views import JobViews
from studio.key_rows import KeyRows
from studio.keys import Keys
from studio.live import LiveBoard, LivePicture
from studio.model_card import ModelCard
from studio.model_on_disk import ModelOnDisk
from studio.moderation.screening import Screening, SecondOpinion
from studio.moderation.service import Moderation
from studio.moderation.weights import classifier_of
from studio.moderation_policy import load_moderation_policy
from studio.people import People
from studio.pictures import Pictures
from studio.presets import Presets, load_presets
from studio.prompt_terms import FILE_NAME as TERMS_FILE
from studio.prompt_terms import load_prompt_terms
from studio.recorder import Recorder
from studio.reproduction import Reproductions
from studio.request import Request
from studio.sketches import Sketches
from studio.starts import Starts
from studio.store import Store
from studio.terms import LOCAL_OWNER, ServiceClass, checked_terms
from studio.thumbnail_filler import ThumbnailFiller
from studio.thumbnails import Thumbnails
from studio.verdict import Release
from studio.watch import Sources, Watch

CLOSE_SECONDS = 10.0
"""How long the engine's last step is waited for."""

log = logging.getLogger(__name__)


class Studio:
    """Built by `open`; every method may be called from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        card: ModelCard,
        presets: Presets,
        store: Store,
        load: LoadModel | None,
        classifier: ClassifierProcess | None = None,
        second_opinions: Sequence[SecondOpinion] = (),
    ) -> None:
        self.config = config
        self.card = card
        self.presets = presets
        self._store = store
        self.people = People(store, config)
        self._board = LiveBoard()
        self._is_drained = False
        self._pictures = Pictures(config.data_dir, config.min_free_bytes)
        self._controls = ControlImages(config.data_dir)
        self.sketches = Sketches(config.data_dir)
        self._dispatcher = Dispatcher(store, self._hand)
        on_disk = ModelOnDisk(config, card)
        self._kinds_on_disk = frozenset() if load else on_disk.control_kinds
        self._loras_on_disk = frozenset() if load else on_disk.lora_names
        device = DeviceChoice(config.device, config.backend)
        self._manager = Manager(
            load or functools.partial(on_disk.load, device),
            on_event=self._hear,
            on_ready=self._dispatcher.open,
            load_control=self._controls.load,
            precision=config.precision,
            max_rows=config.max_rows,
            backend=config.backend,
            folder=config.model if load is None else None,
            cache_dir=config.cache_dir,
            controlnets={} if load else on_disk.controlnets,
            device=None if load else device,
        )
        policy = load_moderation_policy(config.moderation_policy)
        self.moderation = Moderation(
            store,
            self._pictures,
            policy=policy,
            terms=load_prompt_terms(
                config.moderation_policy and config.moderation_policy.with_name(TERMS_FILE)
            ),
            on_changed=self._board.notify,
        )
        self._estimates = Estimates(store, self._board, self._manager.picture_seconds)
        self._admission = Admission(
            config=config,
            card=card,
            presets=presets,
            store=store,
            pictures=self._pictures,
            sketch_control=SketchControl(self.sketches, self._controls, lambda: self.control_kinds),
            manager=self._manager,
            estimates=self._estimates,
            check_words=self.moderation.check_words,
            lora_names=lambda: self.lora_names,
        )
        thumbnails = Thumbnails(config.data_dir)
        self.examples = Examples(store, self._pictures, thumbnails, card)
        self.gallery = Gallery(
            store, self._pictures, thumbnails, presets, welcome=self.examples.welcome
        )
        self._filler = ThumbnailFiller(
            store, self._pictures, thumbnails, is_at_rest=self._is_at_rest
        )
        self.reproductions = Reproductions(
            store, self._pictures, redraw=self.redraw, health=lambda: self.health
        )
        self.drafts = Drafts(
            store,
            presets,
            card,
            submit=lambda brief, owner: self.submit(brief, owner, is_draft=True),
            cancel=self.cancel,
        )
        self.groups = Groups(
            store,
            submit=lambda brief, owner, group: self.submit(brief, owner, group_id=group),
            cancel=self.cancel,
            retry=self.retry,
        )
        self._recorder = Recorder(
            store,
            self._pictures,
            thumbnails=thumbnails,
            keep_draft=self.drafts.keep,
            cancel=self._manager.cancel,
            on_recorded=self._recorded,
            on_trouble=lambda *facts: self.watch.trouble(*facts),
        )
        self.watch = Watch(
            config,
            Sources(
                health=lambda: self.health,
                facts=lambda: self._manager.facts,
                counts=store.counts,
                free_disk_bytes=lambda: shutil.disk_usage(config.data_dir).free,
                needs_screening=lambda: self._screening.is_needed,
                has_classifier=lambda: self.classifier.is_well,
            ),
        )
        self.classifier = classifier or classifier_of(config, policy)
        self._starts = Starts(
            store,
            dispatcher=self._dispatcher,
            recorder=self._recorder,
            moderation=self.moderation,
            watch=self.watch,
            board=self._board,
        )
        self._screening = Screening(
            policy,
            card=card,
            classifier=self.classifier,
            opinion_of_words=self.moderation.opinion_of_words,
            second_opinions=second_opinions,
            hand_on=self._recorder.record,
            on_doubt=self._board.doubt,
            show=self._board.show,
            on_screened=lambda *facts: self.watch.screened(*facts),
        )

        self._acts = JobActs(
            store,
            self._board,
            self._dispatcher,
            self._manager,
            max_pictures_per_day=config.max_pictures_per_day or None,
            on_cancelled=self.watch.cancelled,
        )
        self._views = JobViews(
            store, self._board, self._estimates, why_hidden=self.moderation.why_hidden
        )
        self._attendance = Attendance(
            store,
            self._dispatcher,
            cancel=self._manager.cancel,
            on_changed=self._board.notify,
        )
        self.batches = Batches(self, store)
        self.hooks = Hooks(store, config)
        self.keys = Keys(store, self.people.person_named)
        self.people.find_key = self.keys.holder

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        config: Config,
        *,
        card: ModelCard | None = None,
        load: LoadModel | None = None,
        classifier: ClassifierProcess | None = None,
        second_opinions: Sequence[SecondOpinion] = (),
        is_started: bool = True,
    ) -> Iterator[Studio]:
        """Open the data folder, take back interrupted jobs, and begin loading the model.

        `card` and `load` put another model in the place of `config.model`'s folder, `classifier`
        another in the place of the one by `config`'s weights; `second_opinions` are asked beside
        it. Without `is_started` the loading waits for `start`: it would slow down what must be up
        first.

        Raises:
            SetupError: the data folder, the presets or the model cannot be used.
        """
        presets = load_presets(config.presets_dir)
        card = card or check_folder(config.model)
        with Store.open(config.data_dir) as store:
            store.forget_drafts()
            for job in store.recover():
                log.warning("job %s was interrupted: now %s", job.id, job.status)
            studio = cls(
                config,
                card=card,
                presets=presets,
                store=store,
                load=load,
                classifier=classifier,
                second_opinions=second_opinions,
            )
            studio._pictures.remove_leftovers()
            studio.gallery.finish_deleting()
            studio._controls.keep_only(store.control_digests())
            studio._recorder.start()
            studio.watch.start()
            studio._attendance.begin()
            studio.batches.begin()
            studio.hooks.begin()
            studio.moderation.start()
            studio._screening.start()
            studio._filler.begin()
            if is_started:
                studio.start()
            try:
                yield studio
            finally:
                studio._close()

    def drain(self) -> None:
        """Take nothing new, finish the pictures begun for at most `config.drain_seconds`, stop.

        Blocks meanwhile; what is left over is queued again when the studio is closed.
        """
        self._admission.is_closed = True
        self._dispatcher.close()
        self._board.notify()
        self._manager.close(CLOSE_SECONDS, drain_seconds=self.config.drain_seconds)
        self._is_drained = True
        self._board.notify()

    def _close(self) -> None:
        """Stop between two steps; what was running is queued again, not counted as a crash."""
        self._admission.is_closed = True
        self._filler.close()
        self.batches.close()
        self.hooks.close()
        self._attendance.close()
        self._dispatcher.close()
        self._manager.close(0.0 if self._is_drained else CLOSE_SECONDS)
        self._starts.close()
        self._screening.close()
        self._recorder.close()
        self.people.close()
        self.moderation.close()
        self._store.put_back_running()
        self.watch.close()

    def start(self) -> None:
        """Begin loading the model; only for a studio opened without `is_started`, and only once."""
        self._manager.start()

    # What a face asks

    @property
    def health(self) -> Health:
        return self._manager.health

    @property
    def is_stopping(self) -> bool:
        """Whether the studio is on its way down: it takes no new job."""
        return self._admission.is_closed

    @property
    def control_kinds(self) -> frozenset[str]:
        """The kinds of control image the model follows: what is on disk until it is loaded."""
        kinds = self._manager.control_kinds()
        return self._kinds_on_disk if kinds is None else kinds

    @property
    def lora_names(self) -> frozenset[str]:
        """The LoRAs the model can be drawn with: what is on disk until it is loaded."""
        names = self._manager.lora_names()
        return self._loras_on_disk if names is None else names

    @property
    def audit(self) -> AuditRows:
        """Who did what to which object."""
        return self._store

    @property
    def manager(self) -> Manager:
        """The engine's manager, for the bench."""
        return self._manager

    def _is_at_rest(self) -> bool:
        """Whether the device has time for what nobody waits for."""
        return not self.health.is_warming and not self.num_active()

    def wait_until_ready(self, timeout_seconds: float = 600.0) -> None:
        """Block until the model serves; `NotReady` where it does not."""
        self._manager.wait_until_ready(timeout_seconds)

    def compose_prompt(self, brief: Brief) -> str:
        """The prompt as it would be sent, also of a half-filled form."""
        return compose_prompt(brief, self.presets)

    def check(self, brief: Brief, owner: str = LOCAL_OWNER) -> Request:
        """The request a brief asks for, without queueing it. Raises `BadInput`."""
        return self._admission.check(brief, owner)

    def num_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Tokens the prompt takes and the most the model reads; `None` while it is not loaded."""
        return self._manager.num_tokens(prompt)

    def submit(
        self,
        brief: Brief,
        owner: str = LOCAL_OWNER,
        *,
        service_class: ServiceClass = ServiceClass.INTERACTIVE,
        priority: int = 0,
        deadline_at: float | None = None,
        is_draft: bool = False,
        group_id: str | None = None,
        job_id: str | None = None,
    ) -> Job:
        """Check the brief and put it in the queue; how it is served is told by `Terms`.

        For drafts and groups see `drafts` and `groups`, which call this. Who gives `job_id`, an id
        of `new_id`, can ask again without making a second job.

        Raises:
            BadInput: a field or a term cannot be used, or the device could never draw it.
            Conflict: there is a job with this id.
            QueueFull, NotReady, StorageFull, Unavailable: not now, and why.
        """
        try:
            terms = checked_terms(
                owner=owner, service_class=service_class, priority=priority, deadline_at=deadline_at
            )
            job = self._admission.admit(
                brief, terms, is_draft=is_draft, group_id=group_id, job_id=job_id
            )
        except StudioError as error:
            self.watch.refused(error)
            raise
        return self._submitted(job)

    def redraw(self, request: Request, brief: Brief, owner: str) -> Job:
        """Queue a request of earlier, unchanged."""
        terms = checked_terms(
            owner=owner, service_class=ServiceClass.INTERACTIVE, priority=0, deadline_at=None
        )
        return self._submitted(self._admission.admit_again(brief, request, terms))

    def _submitted(self, job: Job) -> Job:
        self.watch.submitted(job)
        self._board.notify()
        self._dispatcher.fill()
        return job

    def cancel(self, job_id: str, owner: str = LOCAL_OWNER, *, after_picture: bool = False) -> None:
        """Stop a job, now or when its pictures begun so far are done.

        Pictures already finished stay. A job that is over is left as it is.
        """
        self._acts.cancel(job_id, owner, after_picture=after_picture)

    def skip(self, job_id: str, index: int | None = None, owner: str = LOCAL_OWNER) -> None:
        """Leave out one picture of a job: the one furthest along unless `index` says which.

        The others go on. A picture that is drawn already is left as it is.

        Raises:
            BadInput: the job has no such picture.
            Conflict: the job is over.
        """
        self._acts.skip(job_id, index, owner)

    def retry(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        """Queue a failed or cancelled job again; only its missing pictures are drawn."""
        return self._submitted(self._acts.retry(job_id, owner))

    def job(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        return self._store.job(job_id, owner=owner)

    def jobs(
        self,
        owner: str = LOCAL_OWNER,
        *,
        statuses: Collection[JobStatus] | None = None,
        limit: int = 20,
        before: str | None = None,
        service_class: ServiceClass | None = None,
    ) -> list[Job]:
        """A person's jobs, newest first, of one class where it is given.

        `before` is the last id of the page before this one.
        """
        return self._store.jobs(
            owner=owner,
            statuses=statuses,
            limit=limit,
            before=before,
            service_class=service_class,
        )

    def num_active(self, owner: str | None = None) -> int:
        """How many jobs wait or run: of everybody, or a person's without their drafts."""
        return self._store.num_active(owner)

    def view(self, job_id: str, owner: str = LOCAL_OWNER) -> JobView:
        """A job with everything a person wants to see of it."""
        return self._views.of(job_id, owner)

    def picture_seconds(self, request: Request) -> float | None:
        """Seconds this device takes for one picture; `None` while that is not known."""
        return self._manager.picture_seconds(request)

    def seconds_of_work(self) -> float | None:
        """All that waits or runs, in device time; `None` while the device's speed is not known."""
        return self._estimates.total()

    def live(self, job_id: str) -> dict[int, LivePicture]:
        """The pictures of a job that are being drawn, by index; whose it is was asked before."""
        return self._board.pictures(job_id)

    def images(
        self, owner: str = LOCAL_OWNER, *, limit: int = 50, before: str | None = None
    ) -> list[ImageRecord]:
        """A person's released pictures, newest first."""
        return self._store.images(owner=owner, limit=limit, before=before)

    def image(self, image_id: str, owner: str = LOCAL_OWNER) -> tuple[ImageRecord, Path]:
        """A released picture of `owner` and its file. `NotFound` for everything else."""
        record = self._store.image(image_id, owner=owner)
        if record.release is not Release.RELEASED:
            raise NotFound("There is no such picture.")
        return record, self._pictures.absolute(record)

    def picture_path(self, record: ImageRecord) -> Path:
        """Where the file of a picture lies, whoever may see it. `NotFound` for a path outside."""
        return self._pictures.absolute(record)

    def preview(self, job_id: str, index: int, owner: str = LOCAL_OWNER) -> bytes:
        """The latest preview of a picture in flight, as PNG at latent resolution."""
        self._store.job(job_id, owner=owner)
        picture = self._board.pictures(job_id).get(index)
        if picture is None or picture.preview is None:
            raise NotFound("There is no preview of this picture yet.")
        buffer = io.BytesIO()
        Image.fromarray(picture.preview).save(buffer, "PNG")
        return buffer.getvalue()

    def happenings(
        self, owner: str = LOCAL_OWNER, *, after: int, job_id: str | None = None
    ) -> list[Happening]:
        """What happened to a person's jobs, or to one of them, since the event `after`."""
        return self._store.happenings(owner, after=after, job_id=job_id)

    def last_event_number(self) -> int:
        """The latest event's number: who asks for what comes after it gets news alone."""
        return self._store.last_event_number()

    @property
    def kept_answers(self) -> KeyRows:
        """What was answered to programs that may ask twice."""
        return self._store

    @property
    def version(self) -> int:
        """Grows whenever a job's row changes: who waits for news need not read before it does."""
        return self._board.version

    def wait_for_news(self, timeout_seconds: float, *, since: int) -> None:
        """Block until `version` is past `since` or the time is over."""
        self._board.wait(timeout_seconds, since=since)

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

    # What the engine says and is given. `_hear`, and `_hand` at first, run in the engine's thread.

    def _hear(self, event: Event) -> Future[None] | None:
        if isinstance(event, Started):
            return self._starts.begin(event)
        if isinstance(event, Stepped):
            if not self._screening.may_show(event):
                event = dataclasses.replace(event, preview=None)
        else:
            if isinstance(event, PictureFinished):
                self.watch.drawn(event)
            self._screening.hear(event)
            return None  # the board hears of it when it is on disk: a face would find nothing there
        self._board.update(event)
        return None

    def _recorded(self, event: Event) -> None:
        """In the recorder's thread: an event is on disk."""
        if isinstance(event, Finished | Failed | Cancelled):
            self._dispatcher.release(event.job_id)
        self.watch.recorded(event)
        self._board.update(event)

    def _hand(self, job: Job, indices: Sequence[int]) -> None:
        self.watch.handed(job)
        self._manager.submit(job.id, job.request, indices, terms=job.terms)
