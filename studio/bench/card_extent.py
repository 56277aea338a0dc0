"""`Extent`: what `studio bench card` measures, and how it is asked for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from studio.bench.child import Spec
from studio.bench.common import at_least, num_cores
from studio.errors import BadInput
from studio.model_card import ModelCard

PRECISIONS = ("float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """What is measured. `kind` of control image, "" where the model follows none."""

    folder: Path
    card: ModelCard
    device: str
    precision: str
    backend: str
    num_steps: int
    cache_dir: Path
    kind: str = ""
    controlnet: Path | None = None
    is_quick: bool = False
    is_compiled: bool = False
    seed: int = 1

    @property
    def is_on_card(self) -> bool:
        return self.device.startswith("cuda")

    def spec(self, name: str, **changes: Any) -> Spec:
        """A system as it is measured here."""
        nets = {self.kind: self.controlnet} if self.controlnet is not None else {}
        known: dict[str, Any] = {
            "name": name,
            "folder": self.folder,
            "precision": self.precision,
            "num_threads": num_cores(),
            "device": self.device,
            "cache_dir": self.cache_dir,
            "controlnets": nets,
            "outline_size": self.card.default_size,
        }
        return Spec(**(known | changes))

    def num_pictures(self, num_callers: int) -> int:
        """Of one closed loop."""
        return max(2, num_callers) if self.is_quick else max(4, 4 * num_callers)


def extent_of(options: argparse.Namespace, folder: Path) -> Extent:
    """The extent the options ask for; `folder` may be filled and is thrown away.

    Raises:
        BadInput, BadConfig, BadModel: an option cannot be used.
    """
    from studio.engine.devices import chosen_device
    from studio.engine.layout import check_folder, control_folders
    from studio.model_choice import additions, configured

    config = configured(model=options.model, device=options.device)
    if options.steps is not None:
        at_least(1, "--steps", options.steps)
    device = chosen_device(config.device)
    card = check_folder(config.model)
    nets = control_folders(config.model, card) | additions(config, card.family)[0]
    kind = min(nets, default="")
    precision = options.precision or ("bfloat16" if device.startswith("cuda") else "float32")
    if precision not in PRECISIONS:
        raise BadInput(f"--precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
    return Extent(
        folder=config.model,
        card=card,
        device=device,
        precision=precision,
        backend=options.backend or ("auto" if device.startswith("cuda") else "torch"),
        num_steps=options.steps or (4 if options.quick else 20),
        cache_dir=Path(options.cache_dir).expanduser() if options.cache_dir else folder,
        kind=kind,
        controlnet=nets.get(kind),
        is_quick=options.quick,
        is_compiled=options.compile,
        seed=options.seed,
    )
