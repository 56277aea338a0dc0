"""`KeptTimes`: step times and the choice of arithmetic, from one start to the next, in a JSON file.

They belong to a model's weights, a backend, an arithmetic and a machine: a table of another of
these is not found. The file is worth nothing but time: where it cannot be read or written, the
studio measures again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

import torch

from studio.engine.model import Model
from studio.engine.step_times import StepTimes
from studio.engine.threads import num_threads

log = logging.getLogger(__name__)

FILE_NAME = "step_times.json"


@dataclasses.dataclass(frozen=True)
class Choice:
    """An arithmetic that was chosen, and what a pass of two rows took in float32 then."""

    precision: str
    plain_seconds: float


class KeptTimes:
    """The file in `folder`, or nothing kept where that is `None`. One process writes at a time."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME

    def times(self, model: Model) -> StepTimes | None:
        """What is known of the model as it runs here; `None` when it was never measured."""
        values = self._read().get(_key(model, model.precision))
        try:
            return None if values is None else StepTimes.from_dict(values)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def keep(self, model: Model, times: StepTimes) -> None:
        self._update(_key(model, model.precision), times.to_dict())

    def choice(self, model: Model) -> Choice | None:
        """The arithmetic chosen for this model on this machine, if it was measured."""
        values = self._read().get(_key(model, "auto"), {})
        try:
            choice = Choice(str(values["precision"]), float(values["plain_seconds"]))
        except (KeyError, TypeError, ValueError):
            return None
        return choice if choice.precision in ("float32", "bfloat16") else None

    def keep_choice(self, model: Model, choice: Choice) -> None:
        self._update(_key(model, "auto"), dataclasses.asdict(choice))

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def _update(self, key: str, value: Any) -> None:
        if self._path is None:
            return
        part = self._path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self._read() | {key: value}, indent=1), encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            log.info("step times are not kept: %s", error)


def _key(model: Model, precision: str) -> str:
    """Everything that makes a pass take the time it takes, in one line."""
    device = _processor()
    if model.device.startswith("cuda"):
        device = torch.cuda.get_device_name(model.device)
    return " ".join(
        (
            model.digest[:16],
            model.backend + ("-compiled" if model.is_compiled else ""),
            precision,
            device.replace(" ", "-"),
            f"{os.cpu_count()}-cores",
            f"{num_threads()}-threads",
            f"torch-{torch.__version__}",
        )
    )


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
