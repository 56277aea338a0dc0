"""`Setup`: how an engine is set up. Values only; the engine's thread acts on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from studio.errors import GenerationFailed
from studio.events import Event, Pixels

if TYPE_CHECKING:
    from studio.engine.device_choice import DeviceChoice
    from studio.engine.model import Model

LoadModel = Callable[[str, Callable[[str], None]], "Model"]
"""`load(precision, report)`: load the model, telling `report` in a few words what is going on."""

Listener = Callable[[Event], Future[None] | None]
"""Takes events in, in the engine's thread; of `Started` it may answer later, see `Engine`."""

NO_PATHS: Mapping[str, Path] = MappingProxyType({})

BACKENDS = ("auto", "torch", "openvino", "tensorrt")
PLANS = MappingProxyType({"openvino": "OpenVINO", "tensorrt": "TensorRT"})
"""The backends that serve by a plan, and wait for it where they are asked for by name."""


def no_control_images(digest: str) -> Pixels:
    """The `load_control` of an engine that was given none."""
    raise GenerationFailed(f"The control image {digest[:10]} is not kept here: draw it anew.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """`load_control` gives the control image of a digest, `[H, W, 3]`.

    `precision` "auto" and `max_rows` 0 are settled by measuring. `backend` "auto" serves with torch
    at once and prepares a faster plan from the model's `folder` beside it, where there is one;
    "openvino" and "tensorrt" wait for the plan. `controlnets` are those loaded besides the folder's
    own, by kind. Measurements and plans are kept in `cache_dir`. `device` is where `load` loads to,
    and may be left for another if it does not do.
    """

    load: LoadModel
    on_event: Listener
    on_ready: Callable[[], None] = lambda: None
    load_control: Callable[[str], Pixels] = no_control_images
    precision: str = "auto"
    max_rows: int = 0
    backend: str = "torch"
    folder: Path | None = None
    cache_dir: Path | None = None
    controlnets: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    device: DeviceChoice | None = None
