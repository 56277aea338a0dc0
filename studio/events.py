"""`Event`: what the engine reports outward, in the order it happens.

    Started ─▶ Stepped … ─▶ PictureFinished | Skipped … ─▶ Finished | Failed | Cancelled

`Started`, `Finished`, `Failed` and `Cancelled` are about a job, each at most once per run of it;
`Stepped`, `PictureFinished` and `Skipped` are about one picture of it. Being queued and being held
are no business of the engine's: the store writes those down. Events are values: whoever receives
one may keep it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""A picture as `[height, width, 3]` sRGB bytes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    job_id: str

    @property
    def kind(self) -> str:
        """The event's name in lower case, as it is stored: "started", "picturefinished", …"""
        return type(self).__name__.lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The first denoising step of the job is about to run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stepped(Event):
    """Picture `index` has done `step` of `num_steps` steps.

    `preview` is the predicted clean picture at latent resolution, or `None` where none was due.
    """

    index: int
    step: int
    num_steps: int
    preview: Pixels | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureFinished(Event):
    """Picture `index` is drawn.

    `seconds` run from its first step to its pixels; the last `decode_seconds` of them are decoding.
    """

    index: int
    seed: int
    pixels: Pixels
    seconds: float
    backend: str
    precision: str
    model_name: str
    model_digest: str
    decode_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped(Event):
    """Picture `index` was left out on request; the others of the job go on."""

    index: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """Every picture of the job is drawn or was skipped, at least one of them drawn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """At least one picture of the job could not be drawn; the others are finished.

    `cause` is one of `GenerationFailed`'s.
    """

    message: str
    cause: str = "model"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cancelled(Event):
    """The job was stopped on request, or all its pictures skipped; those finished before stay."""
