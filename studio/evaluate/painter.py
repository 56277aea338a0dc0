"""`Painter`: draws requests with one model, by the studio's own engine, and keeps them in memory.

    with Painter.open(config) as painter:
        pictures = painter.draw(requests)

No store and no queue on disk: a `Manager` and its events. Pictures drawn together share forward
passes, which changes none of them beyond the tolerance of the arithmetic.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import queue
from collections.abc import Callable, Iterator, Sequence

from studio.config import Config
from studio.control_images import digest_of
from studio.engine.device_choice import DeviceChoice
from studio.engine.layout import check_folder
from studio.engine.manager import LoadModel, Manager
from studio.errors import GenerationFailed, NotReady
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Pixels
from studio.model_card import ModelCard
from studio.model_on_disk import ModelOnDisk
from studio.request import Request
from studio.terms import Terms

READY_SECONDS = 1_800.0
HEALTH_SECONDS = 5.0
NUM_AT_ONCE = 32
"""Jobs in the engine's hands at a time; each holds its latents."""

Tell = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Maker:
    """Who drew: what a picture's row would say."""

    model: str
    digest: str
    backend: str
    precision: str


class Painter:
    """Made by `open`; used from one thread."""

    def __init__(
        self, config: Config, card: ModelCard, kinds: frozenset[str], load: LoadModel | None
    ) -> None:
        self.card = card
        self.control_kinds = kinds
        self.maker: Maker | None = None
        self._controls: dict[str, Pixels] = {}
        self._done: dict[str, PictureFinished | Exception] = {}
        self._over: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._num_jobs = 0
        on_disk = ModelOnDisk(config, card)
        device = DeviceChoice(config.device, config.backend)
        self._manager = Manager(
            load or functools.partial(on_disk.load, device),
            on_event=self._hear,
            load_control=self._controls.__getitem__,
            precision=config.precision,
            max_rows=config.max_rows,
            # A plan that takes over half way would mix two backends in one figure.
            backend="torch" if config.backend == "auto" else config.backend,
            folder=None if load else config.model,
            cache_dir=config.cache_dir,
            controlnets={} if load else on_disk.controlnets,
        )

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        config: Config,
        *,
        card: ModelCard | None = None,
        load: LoadModel | None = None,
        control_kinds: frozenset[str] = frozenset(),
    ) -> Iterator[Painter]:
        """Load `config.model`; with `load`, that model instead, of which `card` tells.

        Raises:
            BadModel, NotReady: it cannot be used.
        """
        if load is None:
            card = check_folder(config.model)
            control_kinds = ModelOnDisk(config, card).control_kinds
        assert card is not None
        painter = cls(config, card, control_kinds, load)
        try:
            painter._manager.start()
            painter._manager.wait_until_ready(READY_SECONDS)
            yield painter
        finally:
            painter._manager.close()

    def keep_control(self, pixels: Pixels) -> str:
        """The digest under which requests may name this control image `[H, W, 3]`."""
        digest = digest_of(pixels)
        self._controls[digest] = pixels
        return digest

    def reads(self, prompt: str) -> bool:
        """Whether the model reads a prompt of this length whole."""
        tokens = self._manager.num_tokens(prompt)
        return tokens is None or tokens[0] <= tokens[1]

    def draw(self, requests: Sequence[Request], tell: Tell = lambda num: None) -> list[Pixels]:
        """The first picture of every request, in their order; `tell` hears of each that is done.

        Raises:
            GenerationFailed: one could not be drawn.
        """
        keys = [f"task-{self._num_jobs + index}" for index in range(len(requests))]
        self._num_jobs += len(requests)
        for index, (key, request) in enumerate(zip(keys, requests, strict=True)):
            if index >= NUM_AT_ONCE:
                self._wait_for_one(tell)
            self._manager.submit(key, request, (0,), terms=Terms(owner="evaluate"))
        for _ in range(min(NUM_AT_ONCE, len(requests))):
            self._wait_for_one(tell)
        return [self._picture(key) for key in keys]

    def _wait_for_one(self, tell: Tell) -> None:
        """Until one more job is over, whichever it is."""
        while True:
            try:
                self._over.get(timeout=HEALTH_SECONDS)
                tell(1)
                return
            except queue.Empty:
                health = self._manager.health
                if not health.is_ready:
                    raise NotReady(health.message) from None

    def _picture(self, key: str) -> Pixels:
        drawn = self._done.pop(key)
        if isinstance(drawn, Exception):
            raise drawn
        return drawn.pixels

    def _hear(self, event: Event) -> None:
        """Called from the engine's thread."""
        if isinstance(event, PictureFinished):
            self._done[event.job_id] = event
            self.maker = Maker(event.model_name, event.model_digest, event.backend, event.precision)
        elif isinstance(event, Failed):
            self._done[event.job_id] = GenerationFailed(event.message)
        elif isinstance(event, Cancelled):
            self._done[event.job_id] = GenerationFailed("The drawing was stopped.")
        if isinstance(event, Finished | Failed | Cancelled):
            self._over.put(event.job_id)
