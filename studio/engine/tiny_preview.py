"""`TinyPreview`: previews by a small autoencoder (TAESD) that was taught a family's latents.

It shows a picture where the linear map shows patches of colour, and costs a hundred times more: who
calls it decides how often. What it shows is never a picture that is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from studio.engine.decoder import LinearPreview, to_bytes
from studio.engine.layout import check_preview, weight_files
from studio.engine.loading import load_module
from studio.errors import BadModel
from studio.events import Pixels

MAX_SIDE = 512
"""Of a preview, in pixels: it is looked at in passing, and goes over the network."""


class TinyPreview:
    """Decodes scaled latents `[C, h, w]` by `network`; `plain` is the map to use instead of it."""

    def __init__(self, network: AutoencoderTiny, plain: LinearPreview) -> None:
        self.network, self.plain = network, plain

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> Pixels:
        """See `Decoder`; no side is longer than `MAX_SIDE`."""
        scaled = latents[None] / self.network.config.scaling_factor
        image = self.network.decode(scaled.to(self.network.dtype), return_dict=False)[0].float()
        height, width = image.shape[-2:]
        if (longest := max(height, width)) > MAX_SIDE:
            size = (height * MAX_SIDE // longest, width * MAX_SIDE // longest)
            image = torch.nn.functional.interpolate(image, size, mode="area")
        return to_bytes(image[0])

    def seconds(self, latents: torch.Tensor) -> float:
        """Seconds of one preview, best of two; the first one is for allocating."""
        best = float("inf")
        for is_timed in (False, True, True):
            started = time.perf_counter()
            self.decode(latents)
            if is_timed:
                best = min(best, time.perf_counter() - started)
        return best


def load_tiny(
    folder: Path, *, precision: str, device: str, report: Callable[[str], None]
) -> AutoencoderTiny:
    """The small autoencoder in `folder`, in diffusers' layout.

    Raises:
        BadModel: it is something else, or damaged.
    """
    check_preview(folder)
    try:
        config = AutoencoderTiny.load_config(folder, local_files_only=True)
        return load_module(
            lambda: AutoencoderTiny.from_config(config),
            weight_files(folder),
            label="preview decoder",
            device=device,
            dtype=lambda _: getattr(torch, precision),
            report=report,
        )
    except (ValueError, TypeError, OSError) as error:
        raise BadModel(f"The preview decoder in {folder} cannot be loaded: {error}") from error
