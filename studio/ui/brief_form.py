"""BRIEF: the form, the prompt it makes, and Generate.

What is typed becomes a `Brief` as it stands; `compose` judges it, and its sentence is shown above
the button, with the field marked. Nothing typed is ever taken away. The last values live in the
browser, so that a reload finds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.errors import BadBrief, StudioError, UnknownPreset
from studio.job import Job
from studio.person import Person, Role
from studio.presets import Term
from studio.ui.markup import escape

EXAMPLE = Brief(subject="mug", material="ceramic", color="red", scene="wooden table")
"""What a studio that was never used before shows, ready to run."""

_STORAGE_KEY = "vitrine-brief"
# Gradio scrambles what it stores with a key. Nothing here is secret; a fixed key only lets the
# values be read again after the server has restarted.
_STORAGE_SCRAMBLE = "vitrine"


@dataclasses.dataclass(frozen=True)
class BriefPanel:
    """`fields` are the inputs by their names in `Brief`, in the order they stand on the page."""

    fields: dict[str, gr.components.Component]
    prompt: gr.HTML
    message: gr.HTML
    generate: gr.Button
    saved: gr.BrowserState


def build_brief(studio: Studio) -> BriefPanel:
    words = studio.presets.vocabulary
    gr.HTML('<h2 class="v-heading">Brief</h2>', apply_default_css=False)
    fields: dict[str, gr.components.Component] = {}
    fields["subject"] = _suggestions("Subject", "subject", words.subject, EXAMPLE.subject)
    with gr.Row(elem_id="surface"):
        fields["material"] = _suggestions("Material", "material", words.material, EXAMPLE.material)
        fields["color"] = _suggestions("Colour", "color", words.color, EXAMPLE.color)
    fields["scene"] = _suggestions("Scene", "scene", words.scene, EXAMPLE.scene)
    fields["notes"] = gr.Textbox(
        label="Notes",
        placeholder="Anything else, such as soft morning light",
        lines=1,
        max_lines=6,
        elem_id="field-notes",
    )
    fields["negative_presets"] = gr.Dropdown(
        label="Keep out",
        choices=[(preset.en, preset.id) for preset in studio.presets.negatives],
        value=[],
        multiselect=True,
        elem_id="field-negative_presets",
    )
    sizes = size_choices(studio)
    with gr.Row(elem_id="numbers"):
        fields["size"] = gr.Dropdown(
            label="Size", choices=sizes, value=sizes[0][1], min_width=0, elem_id="field-size"
        )
        fields["num_images"] = gr.Number(
            label="Count", value=1, min_width=0, elem_id="field-num_images"
        )
        fields["seed"] = gr.Textbox(
            label="Seed", placeholder="random", max_lines=1, min_width=0, elem_id="field-seed"
        )
    prompt = gr.HTML(render_prompt(studio, EXAMPLE), elem_id="prompt", apply_default_css=False)
    message = gr.HTML(elem_id="message", apply_default_css=False)
    generate = gr.Button("Generate", variant="primary", elem_id="generate")
    saved = gr.BrowserState(None, storage_key=_STORAGE_KEY, secret=_STORAGE_SCRAMBLE)
    return BriefPanel(fields, prompt, message, generate, saved)


def bind_brief(panel: BriefPanel, studio: Studio) -> None:
    """Keep the prompt and the browser's copy in step with the form. `live` binds Generate."""
    fields = list(panel.fields.values())

    def changed(values: dict[Any, Any]) -> dict[Any, Any]:
        brief = read_brief(panel, values)
        return {panel.prompt: render_prompt(studio, brief), panel.saved: brief.to_dict()}

    gr.on(
        [field.change for field in panel.fields.values()],
        changed,
        inputs=set(fields),
        outputs=[panel.prompt, panel.saved],
        queue=False,
        show_progress="hidden",
        preprocess=False,
        trigger_mode="always_last",
        api_visibility="private",
    )


def restore(panel: BriefPanel, studio: Studio, saved: object) -> dict[Any, Any]:
    """The form as this browser last had it, and its prompt; the example where it has nothing."""
    brief = saved_brief(studio, saved)
    values = brief.to_dict()
    return {field: values[name] for name, field in panel.fields.items()} | {
        panel.prompt: render_prompt(studio, brief)
    }


def saved_brief(studio: Studio, saved: object) -> Brief:
    """What a browser kept, without what this studio no longer offers."""
    first_size = size_choices(studio)[0][1]
    if not isinstance(saved, Mapping):
        return dataclasses.replace(EXAMPLE, size=first_size)
    texts = {
        name: str(saved.get(name) or "")
        for name in ("subject", "material", "color", "scene", "notes", "seed")
    }
    presets = saved.get("negative_presets")
    sizes = [size for _, size in size_choices(studio)]
    num_images = saved.get("num_images")
    return Brief(
        **texts,
        negative_presets=tuple(
            preset
            for preset in (presets if isinstance(presets, list | tuple) else ())
            if isinstance(preset, str) and studio.presets.negative(preset)
        ),
        size=saved["size"] if saved.get("size") in sizes else first_size,
        num_images=num_images if isinstance(num_images, int) else 1,
    )


def read_brief(panel: BriefPanel, values: Mapping[Any, Any]) -> Brief:
    """The form as a `Brief`, exactly as typed; `values` are by component.

    They come from a browser and may be anything; so may the fields of the brief, until `compose`
    has judged them.
    """
    typed: dict[str, Any] = {name: values.get(field) for name, field in panel.fields.items()}
    presets = typed["negative_presets"] or []
    return Brief(
        subject=typed["subject"] or "",
        material=typed["material"] or "",
        color=typed["color"] or "",
        scene=typed["scene"] or "",
        notes=typed["notes"] or "",
        negative_presets=tuple(presets if isinstance(presets, list) else [presets]),
        size=typed["size"] or None,
        num_images="" if typed["num_images"] is None else typed["num_images"],
        seed=typed["seed"] or None,
    )


def submit(studio: Studio, brief: Brief, person: Person) -> tuple[Job | None, str]:
    """Queue the brief of `person`; the job, and a message: empty, or why there is no job."""
    try:
        person.require(Role.MERCHANDISER)
        return studio.submit(brief, person.name), ""
    except StudioError as error:
        return None, render_message(error)


def render_message(error: StudioError) -> str:
    """The sentence, with the field it is about, which the style sheet then marks."""
    field = error.field if isinstance(error, BadBrief) else ""
    if isinstance(error, UnknownPreset):
        field = "negative_presets"
    return (
        f'<p class="v-message" role="alert" data-field="{escape(field)}">{escape(str(error))}</p>'
    )


def render_prompt(studio: Studio, brief: Brief) -> str:
    """The prompt as it will be sent, its length in tokens, and what is kept out."""
    prompt = studio.compose_prompt(brief)
    if not prompt:
        return (
            '<p class="v-label">Prompt as it is sent</p><p class="v-prompt v-hint">Nothing yet.</p>'
        )
    counted = studio.num_tokens(prompt)
    tokens = f"{counted[0]} of {counted[1]} tokens" if counted else ""
    is_over = counted is not None and counted[0] > counted[1]
    presets = [studio.presets.negative(preset) for preset in brief.negative_presets]
    kept_out = ", ".join(preset.negative_prompt for preset in presets if preset)
    return (
        f'<p class="v-label">Prompt as it is sent<span class="{"v-over" if is_over else ""}">'
        f'{tokens}</span></p><p class="v-prompt">{escape(prompt)}</p>'
        f"{_kept_out(kept_out)}"
    )


def _kept_out(words: str) -> str:
    if not words:
        return ""
    return f'<p class="v-kept-out"><span>Keeps out</span> {escape(words)}</p>'


def size_choices(studio: Studio) -> list[tuple[str, str]]:
    """Label and name of every size on offer, the model's default first."""
    default = studio.card.default_size
    offered = [
        (f"{preset.en} {width} × {height}", preset.id, (height, width))
        for preset, height, width in studio.presets.sizes_for(studio.card)
    ]
    if default not in [size for _, _, size in offered]:
        height, width = default
        offered.append((f"{width} × {height}", f"{width}x{height}", default))
    offered.sort(key=lambda choice: choice[2] != default)
    return [(label, name) for label, name, _ in offered]


def _suggestions(label: str, field: str, terms: tuple[Term, ...], example: str) -> gr.Dropdown:
    return gr.Dropdown(
        label=label,
        choices=[term.en for term in terms],
        value=example,
        allow_custom_value=True,
        min_width=0,
        elem_id=f"field-{field}",
    )
