"""A model whose troubles are switched on and off, for whoever watches."""

from __future__ import annotations

import dataclasses
import time

import torch

from studio.engine.denoiser import Rows
from studio.engine.faults import Faults
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model


class Troubles:
    """`step_seconds` slows passes down; `dies` kills the engine's thread at its next pass, once."""

    def __init__(self) -> None:
        self.step_seconds = 0.0
        self.dies = False
        self.faults = Faults(seed=1, out_of_memory_share=1.0)

    def model(self, *, is_closed_world: bool = True) -> Model:
        """The closed-form model with these troubles."""
        model = gaussian_model()
        card = dataclasses.replace(model.card, is_closed_world=is_closed_world)
        denoiser = _Troubled(model.denoiser, self)
        return self.faults.into(dataclasses.replace(model, card=card, denoiser=denoiser))

    def end(self) -> None:
        self.step_seconds, self.dies, self.faults.is_armed = 0.0, False, False


class _Death(BaseException):
    """What no part of the engine catches."""


class _Troubled:
    def __init__(self, denoiser: object, troubles: Troubles) -> None:
        self._denoiser, self._troubles = denoiser, troubles

    def denoise(self, rows: Rows) -> torch.Tensor:
        if self._troubles.dies:
            self._troubles.dies = False
            raise _Death
        time.sleep(self._troubles.step_seconds)
        output: torch.Tensor = self._denoiser.denoise(rows)  # type: ignore[attr-defined]
        return output
