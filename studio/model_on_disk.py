"""`ModelOnDisk`: the model that a configuration names, before it is loaded, and the way to load it.

A folder, and what the registry has to go with it. The registry is read whenever it is asked, since
`studio models` changes it meanwhile; heavy libraries are imported by `load` alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.config import Config
from studio.engine.device_choice import DeviceChoice
from studio.engine.layout import control_folders
from studio.model_card import ModelCard
from studio.model_choice import additions, preview_decoder

if TYPE_CHECKING:
    from studio.engine.model import Model


@dataclasses.dataclass(frozen=True)
class ModelOnDisk:
    """The model in the folder `config.model`, whose card is `card`."""

    config: Config
    card: ModelCard

    @property
    def controlnets(self) -> dict[str, Path]:
        """Those of the registry, by the kind of image they follow."""
        return additions(self.config, self.card.family)[0]

    @property
    def control_kinds(self) -> frozenset[str]:
        """The kinds of control image that it follows once it is loaded."""
        return frozenset(self.controlnets) | frozenset(
            control_folders(self.config.model, self.card)
        )

    @property
    def lora_names(self) -> frozenset[str]:
        """The LoRAs that it has once it is loaded."""
        return frozenset(additions(self.config, self.card.family)[1])

    def load(
        self,
        device: DeviceChoice,
        precision: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> Model:
        """The model with its networks in `precision`, to be used in the thread that calls this.

        Raises:
            BadConfig, BadModel: the device, or a folder or file, cannot be used.
        """
        from studio.engine.devices import make_current
        from studio.engine.model import load_model

        controlnets, loras = additions(self.config, self.card.family)
        make_current(device.device)
        return load_model(
            self.config.model,
            precision=precision,
            device=device.device,
            report=report,
            controlnets=controlnets,
            loras=loras,
            preview=preview_decoder(self.config, self.card.family),
            is_compiled=self.config.compile,
        )
