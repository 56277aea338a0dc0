"""`Planner`: prepares a faster backend for a model in the background, while torch serves.

A plan is built from the model's folder in a process and a thread of their own, checked against
torch, and offered; the engine's thread takes it when it suits. What goes wrong costs nothing but
the plan: torch goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import StudioError

if TYPE_CHECKING:
    from studio.engine.model import Model

log = logging.getLogger(__name__)


class Planner:
    """Builds one plan; `on_offer` is called, in the planner's thread, once it is there.

    `precision` is the one asked for: a plan computes in no other, unless that is "auto".
    `message` says in a few words how it goes, or why there is none and will be none: `is_given_up`.
    """

    def __init__(
        self,
        model: Model,
        *,
        folder: Path,
        cache_dir: Path,
        controlnets: Mapping[str, Path],
        on_offer: Callable[[], None],
        precision: str = "auto",
    ) -> None:
        self.message = "preparing a faster backend"
        self.is_given_up = False
        self.offered_at = 0.0
        self._model, self._folder, self._cache_dir = model, folder, cache_dir
        self._controlnets = controlnets
        self._precision = precision
        self._on_offer = on_offer
        self._offer: Model | None = None
        self._is_cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="planner", daemon=True)

    @staticmethod
    def can_plan(model: Model) -> bool:
        """Whether there is a backend for this model that may be faster here."""
        return bool(backend_of(model)) and bool(model.modules)

    @staticmethod
    def serves_in(model: Model, precision: str) -> bool:
        """Whether that backend computes in `precision`: TensorRT's graphs are in half."""
        return precision != "float32" or backend_of(model) != "tensorrt"

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Give it up; returns at once."""
        self._is_cancelled.set()

    def wait(self, timeout_seconds: float) -> None:
        """Block until it is built or given up, or the time is over."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout_seconds))

    @property
    def offer(self) -> Model | None:
        """The model as the plan runs it, once it is there."""
        return self._offer

    def give_up(self, reason: str) -> None:
        """There is no plan, and why."""
        self.message, self.is_given_up = reason, True

    def take(self) -> None:
        """The offer is taken."""
        self._offer = None
        self.message = ""

    def build(self) -> Model:
        """Build the plan here and now.

        Raises:
            StudioError: there is none, and why.
        """
        if backend_of(self._model) == "tensorrt":
            from studio.engine.tensorrt_plans import build_tensorrt

            build: Callable[..., Model] = build_tensorrt
        else:
            from studio.engine.openvino_plans import build_openvino

            build = build_openvino
        return build(
            self._model,
            folder=self._folder,
            cache_dir=self._cache_dir,
            sizes=self._model.card.sizes,
            report=self._report,
            is_cancelled=self._is_cancelled.is_set,
            precision=self._precision,
            controlnets=self._controlnets,
        )

    def _run(self) -> None:
        try:
            offer = self.build()
        except StudioError as error:
            log.info("no plan: %s", error)
            self.give_up(str(error))
        except Exception as error:
            log.warning("no plan could be made", exc_info=True)
            self.give_up(f"No faster backend could be prepared: {error}")
        else:
            self.offered_at = time.monotonic()
            self._offer = offer
            self._on_offer()

    def _report(self, part: str) -> None:
        self.message = part


def backend_of(model: Model) -> str:
    """The backend that may be faster where the model is; "" where there is none."""
    if model.device.startswith("cuda"):
        from studio.engine.tensorrt_library import FLAVOURS, is_installed

        return "tensorrt" if any(is_installed(flavour) for flavour in FLAVOURS) else ""
    from studio.engine.openvino_plans import is_openvino_installed

    return "openvino" if model.device == "cpu" and is_openvino_installed() else ""
