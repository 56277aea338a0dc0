"""Renders of the closed world: pictures whose four fields are known, read from a folder.

    000123.png         the picture
    000123.json        what it shows: "subject", "material", "color", "scene" as ids of the
                       vocabulary, "rgb" the product's own colour (sRGB, 0 to 1), "held_out" where
                       that is said
    masks/000123.png   where the product has that colour and material: white, where it was rendered

Which words there are is found in the descriptions and nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from studio.errors import BadInput
from studio.events import Pixels
from studio.presets import FIELDS


class Labels(NamedTuple):
    """What a picture shows, as ids; in the order of FIELDS."""

    subject: str
    material: str
    color: str
    scene: str


@dataclasses.dataclass(frozen=True)
class Render:
    """One picture on disk. `rgb` is the product's sRGB from 0 to 1; `is_held_out` where said."""

    path: Path
    labels: Labels
    rgb: tuple[float, float, float] | None = None
    is_held_out: bool | None = None

    @property
    def mask_path(self) -> Path:
        return self.path.parent / "masks" / self.path.name

    def pixels(self) -> Pixels:
        """`[height, width, 3]`."""
        with Image.open(self.path) as picture:
            return np.asarray(picture.convert("RGB"))

    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Where the main part is, `[height, width]`, if that was rendered."""
        if not self.mask_path.exists():
            return None
        with Image.open(self.mask_path) as picture:
            mask: npt.NDArray[np.bool_] = np.asarray(picture.convert("L")) > 127
            return mask


def read_renders(folder: Path) -> list[Render]:
    """The renders in `folder` and below, by name; one still being written is left out.

    Raises:
        BadInput: there is none, or a description cannot be understood.
    """
    found = [
        _read(path)
        for path in sorted(folder.rglob("*.json"))
        if path.with_suffix(".png").exists() and path.with_suffix(".png").stat().st_size
    ]
    if not found:
        raise BadInput(
            f"There are no renders in {folder}: each is a .png with a .json of the same name that "
            "says what it shows (scripts/draft makes them)."
        )
    return found


def split(renders: Sequence[Render]) -> tuple[list[Render], list[Render]]:
    """Those the model may have learned from, and those held out, as the descriptions say."""
    learned = [one for one in renders if not one.is_held_out]
    return learned, [one for one in renders if one.is_held_out]


def words_of(labels: Sequence[Labels]) -> dict[str, tuple[str, ...]]:
    """The ids of each field among `labels`, in alphabetical order."""
    return {
        field: tuple(sorted({one[index] for one in labels})) for index, field in enumerate(FIELDS)
    }


def _read(path: Path) -> Render:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        labels = Labels(*(str(values[field]) for field in FIELDS))
        rgb = values.get("rgb")
        color = None if rgb is None else (float(rgb[0]), float(rgb[1]), float(rgb[2]))
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise BadInput(
            f"The description {path} cannot be read ({error}): make the render again."
        ) from error
    held_out = values.get("held_out")
    return Render(
        path=path.with_suffix(".png"),
        labels=labels,
        rgb=color,
        is_held_out=None if held_out is None else bool(held_out),
    )
