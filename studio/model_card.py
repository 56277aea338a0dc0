"""`ModelCard`: what a model says of itself, read from `card.json` in its folder.

The card holds facts the pipeline files do not: the sizes the model was trained on, good defaults,
whether its world is closed, and what its ControlNet follows. A folder without a card (any download)
gets the defaults of its family and an open world. No weights are touched here.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from studio.errors import BadModel

SDXL, SD15 = "sdxl", "sd15"
"""The families: Stable Diffusion XL, and Stable Diffusion 1.x and 2.x, which are built alike."""

SDXL_SIZES = (
    (1024, 1024),
    (1152, 896),
    (896, 1152),
    (1216, 832),
    (832, 1216),
    (1344, 768),
    (768, 1344),
)
"""The (height, width) buckets SDXL was fine-tuned on (Podell et al. 2023, appendix I), in part."""

SD15_SIZES = ((512, 512), (640, 512), (512, 640), (768, 512), (512, 768))
"""Stable Diffusion 1.5 was trained on squares of 512 and bears one longer side."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """A way to ask a model for a picture.

    A model that was taught a quick way, in few steps or without guidance, serves both with the same
    weights: what it is told of the corner (top, left) of the crop says which is meant. `sampler` is
    the one it was taught for, `None` for the model's own.
    """

    num_steps: int
    guidance_scale: float = 1.0
    crop: tuple[int, int] = (0, 0)
    sampler: str | None = None

    @property
    def keeps_out(self) -> bool:
        """Whether a negative prompt counts for anything: that takes guidance."""
        return self.guidance_scale > 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Facts about a model. `sizes` and `default_size` are (height, width) in pixels.

    `control_kind` is what the ControlNet in its folder follows, where the card says so; `quick` its
    quick way, where it was taught one.
    """

    name: str
    version: str = "0"
    family: str = SDXL
    is_closed_world: bool = False
    sizes: tuple[tuple[int, int], ...] = SDXL_SIZES
    default_size: tuple[int, int] = (1024, 1024)
    default_num_steps: int = 30
    max_num_steps: int = 100
    default_guidance_scale: float = 5.0
    default_sampler: str = "euler"
    control_kind: str | None = None
    quick: Way | None = None


def plain_card(name: str, family: str = SDXL) -> ModelCard:
    """What is assumed of a model of `family` that brings no card."""
    if family == SDXL:
        return ModelCard(name=name)
    return ModelCard(
        name=name,
        family=family,
        sizes=SD15_SIZES,
        default_size=(512, 512),
        default_guidance_scale=7.5,
    )


def read_card(folder: Path, family: str = SDXL) -> ModelCard:
    """The card of the model in `folder`, which is of `family`.

    Raises:
        BadModel: the folder does not exist, or its `card.json` cannot be understood.
    """
    if not folder.is_dir():
        raise BadModel(
            f"There is no model folder at {folder}: point --model (or VITRINE_MODEL) at a folder "
            "in diffusers' layout."
        )
    path = folder / "card.json"
    plain = plain_card(folder.resolve().name, family)
    if not path.exists():
        return plain
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")), plain)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadModel(
            f"The model card {path} cannot be read ({error}): mend or remove it."
        ) from error


def _parse(values: dict[str, Any], plain: ModelCard) -> ModelCard:
    sizes = tuple((int(height), int(width)) for height, width in values["sizes"])
    default_height, default_width = values["default_size"]
    control_kind = values.get("control_kind")
    card = dataclasses.replace(
        plain,
        name=str(values["name"]),
        version=str(values.get("version", "0")),
        is_closed_world=bool(values.get("closed_world", False)),
        sizes=sizes,
        default_size=(int(default_height), int(default_width)),
        default_num_steps=int(values.get("default_num_steps", plain.default_num_steps)),
        max_num_steps=int(values.get("max_num_steps", plain.max_num_steps)),
        default_guidance_scale=float(
            values.get("default_guidance_scale", plain.default_guidance_scale)
        ),
        default_sampler=str(values.get("default_sampler", plain.default_sampler)),
        control_kind=None if control_kind is None else str(control_kind),
        quick=_quick(values["quick"]) if values.get("quick") else None,
    )
    if card.default_size not in card.sizes:
        raise ValueError("default_size is not one of sizes")
    if card.quick and not 1 <= card.quick.num_steps <= card.max_num_steps:
        raise ValueError("the steps of quick are not from 1 to max_num_steps")
    return card


def _quick(values: dict[str, Any]) -> Way:
    top, left = values.get("crop", (0, 0))
    sampler = values.get("sampler")
    return Way(
        num_steps=int(values["num_steps"]),
        guidance_scale=float(values.get("guidance_scale", 1.0)),
        crop=(int(top), int(left)),
        sampler=None if sampler is None else str(sampler),
    )
