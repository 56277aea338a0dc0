"""Calibration: the passes of real drawings, to quantize or prune by.

Pictures are drawn by the engine as people's are, with guidance and, where the model follows
sketches, with control for every other picture, so that unconditional rows and residuals are among
what is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

from studio.engine.denoiser import ControlRows, Denoiser, Rows
from studio.engine.engine import Engine
from studio.engine.model import Model
from studio.engine.probe import box_outlines
from studio.errors import GenerationFailed
from studio.events import Event, Failed, PictureFinished
from studio.request import Control, Request

DIGEST = "0" * 64
"""Of the only control image there is."""


class _Keeping:
    """A denoiser that keeps what goes in."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self.seen: list[Rows] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        self.seen.append(_copy(rows))
        return self._denoiser.denoise(rows)


def record(
    model: Model,
    requests: Sequence[Request],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> list[Rows]:
    """Every pass of drawing `requests`, one after the other.

    Raises:
        GenerationFailed: one of them could not be drawn.
    """
    keeping = _Keeping(model.denoiser)
    events: list[Event] = []
    engine = Engine(
        dataclasses.replace(model, denoiser=keeping),
        emit=events.append,
        max_rows=2,
        load_control=lambda digest: box_outlines(*model.card.default_size),
    )
    kinds = sorted(model.control_kinds)
    for index, request in enumerate(requests):
        if kinds and index % 2 == 0:
            control = Control(image_digest=DIGEST, kind=kinds[index // 2 % len(kinds)])
            request = dataclasses.replace(request, control=control)
        report(f"drawing {index + 1} of {len(requests)}")
        engine.submit(f"calibration-{index}", request)
        while not engine.is_idle:
            engine.step()
    failed = [event for event in events if isinstance(event, Failed)]
    if failed or not any(isinstance(event, PictureFinished) for event in events):
        raise GenerationFailed(failed[0].message if failed else "Nothing was drawn to learn from.")
    return keeping.seen


def _copy(rows: Rows) -> Rows:
    """The latents are the engine's own memory, and change."""
    controls = tuple(
        ControlRows(one.kind, one.indices.clone(), one.images.clone(), one.scales.clone())
        for one in rows.controls
    )
    return dataclasses.replace(rows, latents=rows.latents.clone(), controls=controls)
