"""`variants_of`: one brief with several colours, materials or scenes becomes one brief for each.

All of them share one seed, so that only what was varied differs. This file knows the form; how jobs
are queued and followed together is `groups`'s.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from studio.brief import Brief
from studio.errors import BadBrief
from studio.request import MAX_SEED

MAX_VARIANTS = 36
MAX_CHOICES = 12
"""Of one field."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What is varied: the words of each field, in the order they are to stand. Empty is not."""

    colors: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    @property
    def num_variants(self) -> int:
        """How many pictures that is; 1 where nothing is varied."""
        return max(1, len(self.colors)) * max(1, len(self.materials)) * max(1, len(self.scenes))


def choices_of(colors: object, materials: object, scenes: object) -> Choices:
    """Choices from what a form sent, which may be anything: texts, each once, none empty."""

    def texts(values: object) -> tuple[str, ...]:
        listed = values if isinstance(values, Sequence) and not isinstance(values, str) else ()
        kept = (" ".join(value.split()) for value in listed if isinstance(value, str))
        return tuple(dict.fromkeys(text for text in kept if text))

    return Choices(colors=texts(colors), materials=texts(materials), scenes=texts(scenes))


def variants_of(brief: Brief, choices: Choices) -> list[Brief]:
    """A brief for each combination: scenes and materials go down the grid, colours across.

    Each is of one picture. Without a seed in `brief` one is drawn for all.

    Raises:
        BadBrief: there are too many.
    """
    for field, values in (
        ("color", choices.colors),
        ("material", choices.materials),
        ("scene", choices.scenes),
    ):
        if len(values) > MAX_CHOICES:
            raise BadBrief(field, f"Choose at most {MAX_CHOICES} of each to vary.")
    if choices.num_variants > MAX_VARIANTS:
        raise BadBrief(
            "color",
            f"That makes {choices.num_variants} variants: choose fewer, at most {MAX_VARIANTS} in "
            "all.",
        )
    seed = brief.seed if str(brief.seed or "").strip() else secrets.randbelow(MAX_SEED + 1)
    return [
        dataclasses.replace(
            brief, color=color, material=material, scene=scene, seed=seed, num_images=1
        )
        for scene in choices.scenes or (brief.scene,)
        for material in choices.materials or (brief.material,)
        for color in choices.colors or (brief.color,)
    ]
