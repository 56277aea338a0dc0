"""`Request`: everything the engine needs to draw, frozen, complete and hashable.

Made by `compose` from a `Brief`; its values have been checked and are trusted from here on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

MAX_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """A picture whose outlines are to be followed, in diffusers' names.

    `image_digest` names the control image (what the ControlNet is shown, `kind` "canny": white
    edges on black), which is kept apart from the request. It acts from `guidance_start` to
    `guidance_end`, as fractions of the steps, with strength `conditioning_scale` (0 is none).
    """

    image_digest: str
    kind: str = "canny"
    conditioning_scale: float = 1.0
    guidance_start: float = 0.0
    guidance_end: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora:
    """A low-rank adapter of the model, by its name in the registry, and how strongly it acts."""

    name: str
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One job's worth of pictures, in diffusers' names.

    `height` and `width` are pixels. Picture `index` of the job is drawn from `seed + index`, so any
    one of them can be drawn again alone. A `guidance_scale` of 1 or less means no guidance.
    `crops_coords_top_left` is what the model is told of the corner (top, left) its picture was cut
    from; a model with a quick way is asked for it by a corner of its own.
    """

    prompt: str
    negative_prompt: str = ""
    height: int
    width: int
    num_steps: int
    guidance_scale: float
    seed: int
    num_images: int = 1
    sampler: str = "euler"
    model: str = "draft"
    control: Control | None = None
    loras: tuple[Lora, ...] = ()
    crops_coords_top_left: tuple[int, int] = (0, 0)

    @property
    def uses_guidance(self) -> bool:
        """Whether each denoising step takes two rows (conditional and unconditional) or one."""
        return self.guidance_scale > 1.0

    def image_seed(self, index: int) -> int:
        """The seed of picture `index`, wrapping at 2**32."""
        return (self.seed + index) % (MAX_SEED + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` is its inverse.

        What came later than the first release is left out where it is not used, so that digests of
        earlier requests stay what they were.
        """
        values = dataclasses.asdict(self)
        for name in ("control", "loras"):
            if not values[name]:
                del values[name]
        if self.crops_coords_top_left == (0, 0):
            del values["crops_coords_top_left"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """Build from `to_dict`'s form. Unknown keys, of a newer studio, are ignored."""
        kept = _known(cls, values)
        if kept.get("control"):
            kept["control"] = Control(**_known(Control, kept["control"]))
        kept["loras"] = tuple(Lora(**_known(Lora, lora)) for lora in kept.get("loras", ()))
        if "crops_coords_top_left" in kept:
            top, left = kept["crops_coords_top_left"]
            kept["crops_coords_top_left"] = (top, left)
        return cls(**kept)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal: equal requests have equal digests."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _known(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if name in names}
