"""`Form`: everything a person fills in to ask for pictures, by its names in `Brief`.

What is typed becomes a `Brief` exactly as it stands; `compose` judges it. What a browser kept of an
earlier visit is taken back without what this studio no longer offers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.variants import Choices, choices_of

EXAMPLE = Brief(subject="mug", material="ceramic", color="red", scene="wooden table")
"""What a studio that was never used before shows, ready to run."""

FULL = "full"
"""The quality that is chosen at first."""

TEXTS = ("subject", "material", "color", "scene", "notes")
CONTROL_FIELDS = ("control_strength", "control_start", "control_end", "canny_low", "canny_high")
VARIED = ("color", "material", "scene")


@dataclasses.dataclass(frozen=True)
class Form:
    """`fields` are the inputs by their names in `Brief`; `vary` those that take several words.

    `digest` is the sketch on the canvas, empty where there is none, and followed only if `follows`.
    """

    fields: dict[str, gr.components.Component]
    vary: dict[str, gr.Dropdown]
    follows: gr.Checkbox
    digest: gr.State
    live: gr.Checkbox

    @property
    def inputs(self) -> list[Any]:
        """Every component that belongs to it."""
        return [*self.fields.values(), *self.vary.values(), self.follows, self.digest, self.live]

    def read(self, values: Mapping[Any, Any]) -> Brief:
        """The brief as typed; `values` are by component.

        They come from a browser and may be anything; so may the fields of the brief, until
        `compose` has judged them.
        """
        typed: dict[str, Any] = {name: values.get(field) for name, field in self.fields.items()}
        presets = typed.pop("negative_presets") or []
        loras = typed.pop("loras", None) or []
        num_images = typed.pop("num_images")
        digest = values.get(self.digest) or ""
        texts: dict[str, Any] = {name: typed.pop(name) or "" for name in TEXTS}
        others: dict[str, Any] = {
            name: None if value in ("", []) else value for name, value in typed.items()
        }
        return Brief(
            negative_presets=tuple(presets if isinstance(presets, list) else [presets]),
            loras=tuple(loras if isinstance(loras, list) else [loras]),
            num_images="" if num_images is None else num_images,
            sketch=digest if values.get(self.follows) is True else None,
            **texts,
            **others,
        )

    def choices(self, values: Mapping[Any, Any]) -> Choices:
        """What is to be varied."""
        color, material, scene = (values.get(self.vary[name]) for name in VARIED)
        return choices_of(color, material, scene)

    def keep(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The form as a browser keeps it."""
        choices = self.choices(values)
        return self.read(values).to_dict() | {
            "digest": str(values.get(self.digest) or ""),
            "is_live": values.get(self.live) is True,
            "vary": dataclasses.asdict(choices),
        }

    def fill(self, brief: Brief) -> dict[Any, Any]:
        """Updates that put `brief` into the fields; what it leaves open keeps its default."""
        values = brief.to_dict()
        updates: dict[Any, Any] = {
            field: values[name] for name, field in self.fields.items() if values[name] is not None
        }
        for name in ("category", "shot", "seed"):
            updates[self.fields[name]] = values[name] or ""
        updates[self.fields["quality"]] = values["quality"] or FULL
        updates[self.follows] = brief.sketch is not None
        if brief.sketch:  # without one what stands on the canvas stays
            updates[self.digest] = brief.sketch
        return updates

    def restore(self, studio: Studio, saved: object) -> dict[Any, Any]:
        """Updates that bring back what `keep` kept; the example where it kept nothing."""
        updates = self.fill(saved_brief(studio, saved))
        if not isinstance(saved, Mapping):
            return updates
        vary = saved.get("vary")
        kept = vary if isinstance(vary, Mapping) else {}
        choices = choices_of(kept.get("colors"), kept.get("materials"), kept.get("scenes"))
        updates[self.vary["color"]] = list(choices.colors)
        updates[self.vary["material"]] = list(choices.materials)
        updates[self.vary["scene"]] = list(choices.scenes)
        updates[self.live] = saved.get("is_live") is True
        updates[self.digest] = str(saved.get("digest") or "")
        return updates


def saved_brief(studio: Studio, saved: object) -> Brief:
    """What a browser kept, without what this studio no longer offers."""
    presets = studio.presets
    first_size = size_choices(studio)[0][1]
    if not isinstance(saved, Mapping):
        return dataclasses.replace(EXAMPLE, size=first_size)
    negatives = saved.get("negative_presets")
    sizes = [size for _, size in size_choices(studio)]
    loras = saved.get("loras")
    num_images = saved.get("num_images")
    kept: dict[str, Any] = {name: str(saved.get(name) or "") for name in (*TEXTS, "seed")}
    for name in ("category", "shot"):
        kept[name] = saved[name] if presets.style(name, saved.get(name)) else None
    kept["quality"] = saved["quality"] if presets.quality(saved.get("quality")) else None
    for name in CONTROL_FIELDS:
        kept[name] = saved[name] if isinstance(saved.get(name), int | float) else None
    return Brief(
        negative_presets=tuple(
            preset
            for preset in (negatives if isinstance(negatives, list | tuple) else ())
            if isinstance(preset, str) and presets.negative(preset)
        ),
        loras=tuple(
            lora
            for lora in (loras if isinstance(loras, list | tuple) else ())
            if isinstance(lora, str) and lora.partition(":")[0].strip() in studio.lora_names
        ),
        size=saved["size"] if saved.get("size") in sizes else first_size,
        num_images=num_images if isinstance(num_images, int) else 1,
        sketch=saved["sketch"] if isinstance(saved.get("sketch"), str) else None,
        **kept,
    )


def size_choices(studio: Studio, language: str = "en") -> list[tuple[str, str]]:
    """Label and name of every size on offer, the model's default first, marketplaces last."""
    default = studio.card.default_size
    offered = []
    for preset, height, width in studio.presets.sizes_for(studio.card):
        shown = preset.export.replace("x", " × ") or f"{width} × {height}"
        rank = 2 if preset.export else int((height, width) != default)
        offered.append((f"{preset.of(language)} {shown}", preset.id, rank, (height, width)))
    if default not in [size for _, _, rank, size in offered if rank < 2]:
        height, width = default
        offered.append((f"{width} × {height}", f"{width}x{height}", 0, default))
    offered.sort(key=lambda choice: choice[2])
    return [(label, name) for label, name, _, _ in offered]
