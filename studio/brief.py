"""`Brief`: what a person typed into the form, as it was typed.

A brief may be wrong in every field; `compose` checks it and makes a `Request` of it. It is kept
with the job so that a form can be filled in again. It never reaches the engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Brief:
    """The form. Empty strings and `None` mean "not filled in".

    Numbers are kept as they came (`str` or `int`), since a form may hold "twelve".

    `sketch` is the digest of a kept sketch whose outlines are to be followed, `None` where none is;
    it is empty where one is to be and nothing was drawn. The numbers after it say how: see
    `control.py`. `loras` are names with or without a weight: see `loras.py`.
    """

    subject: str = ""
    material: str = ""
    color: str = ""
    scene: str = ""
    notes: str = ""
    category: str | None = None
    shot: str | None = None
    negative_presets: tuple[str, ...] = ()
    size: str | None = None
    quality: str | None = None
    num_images: int | str = 1
    seed: int | str | None = None
    num_steps: int | str | None = None
    sketch: str | None = None
    control_strength: float | str | None = None
    control_start: float | str | None = None
    control_end: float | str | None = None
    canny_low: float | str | None = None
    canny_high: float | str | None = None
    loras: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` is its inverse."""
        lists = {"negative_presets": list(self.negative_presets), "loras": list(self.loras)}
        return dataclasses.asdict(self) | lists

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Brief:
        """Build from `to_dict`'s form. Unknown keys, of a newer studio, are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        for name in ("negative_presets", "loras"):
            kept[name] = tuple(kept.get(name) or ())
        return cls(**kept)
