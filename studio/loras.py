"""`chosen_loras`: the LoRAs a brief names, with their weights, checked against those there are.

    "linen"        at its full weight
    "linen:0.6"    weaker; a negative weight turns it about

What is called what is the registry's to say, and how an adapter acts the engine's.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from studio.brief import Brief
from studio.errors import BadBrief
from studio.request import Lora

MAX_LORAS = 4
MAX_WEIGHT = 2.0


def chosen_loras(brief: Brief, names: Collection[str], model: str) -> tuple[Lora, ...]:
    """The LoRAs of `brief`, by name, so that whoever names the same ones shares a lane.

    `names` are those that `model` has. One of no weight changes nothing, and is left out.

    Raises:
        BadBrief: one is not there, is named twice, or its weight cannot be used; or they are too
            many.
    """
    found: dict[str, Lora] = {}
    for text in brief.loras:
        name, _, weight = str(text)[:120].partition(":")
        name = name.strip()
        if name not in names:
            raise BadBrief("loras", _unknown(name, names, model))
        if name in found:
            raise BadBrief("loras", f"The LoRA {name} is named twice: give it one weight.")
        found[name] = Lora(name=name, weight=_weight(name, weight.strip()))
    if len(found) > MAX_LORAS:
        raise BadBrief(
            "loras", f"These are {len(found)} LoRAs: choose at most {MAX_LORAS} for a picture."
        )
    return tuple(found[name] for name in sorted(found) if found[name].weight)


def as_text(lora: Lora) -> str:
    """As a brief names it."""
    return lora.name if lora.weight == 1 else f"{lora.name}:{lora.weight:g}"


def _weight(name: str, text: str) -> float:
    if not text:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:
        raise BadBrief(
            "loras",
            f"The weight of the LoRA {name} must be a number from {-MAX_WEIGHT:g} to "
            f"{MAX_WEIGHT:g}, not {text[:40]!r}: 1 is its own.",
        )
    return round(weight, 3)


def _unknown(name: str, names: Collection[str], model: str) -> str:
    shown = repr(name[:40])
    if not names:
        return (
            f"The model {model} has no LoRA {shown}, nor any other: draw without it, or add one "
            "with `studio models add`."
        )
    return f"The model {model} has no LoRA {shown}: choose from {', '.join(sorted(names))}."
