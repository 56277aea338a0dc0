"""BRIEF: the fields, the words they suggest, and the buttons.

Nothing typed is ever taken away. The last values live in the browser, so that a reload finds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import gradio as gr

from studio.application import Studio
from studio.presets import Named, StylePreset, Term
from studio.ui.form import EXAMPLE, FULL, VARIED, size_choices
from studio.ui.prompt import render_prompt
from studio.ui.speech import Phrase, Say, both, label
from studio.ui.texts import create as words

_STORAGE_KEY = "vitrine-brief"
# Gradio scrambles what it stores with a key. Nothing here is secret; a fixed key only lets the
# values be read again after the server has restarted.
_STORAGE_SCRAMBLE = "vitrine"


@dataclasses.dataclass(frozen=True)
class BriefPanel:
    """`fields` are the inputs by their names in `Brief`, in the order they stand on the page."""

    fields: dict[str, gr.components.Component]
    vary: dict[str, gr.Dropdown]
    vary_hint: gr.HTML
    prompt: gr.HTML
    message: gr.HTML
    live: gr.Checkbox
    generate: gr.Button
    saved: gr.BrowserState


def build_brief(studio: Studio) -> BriefPanel:
    known = studio.presets.vocabulary
    heading(words.BRIEF)
    fields: dict[str, gr.components.Component] = {}
    fields["subject"] = _suggestions(words.SUBJECT, "subject", known.subject, EXAMPLE.subject)
    with gr.Row(elem_id="surface"):
        fields["material"] = _suggestions(
            words.MATERIAL, "material", known.material, EXAMPLE.material
        )
        fields["color"] = _suggestions(words.COLOR, "color", known.color, EXAMPLE.color)
    fields["scene"] = _suggestions(words.SCENE, "scene", known.scene, EXAMPLE.scene)
    with gr.Row(elem_id="styles"):
        fields["category"] = _styles(words.CATEGORY, "category", studio.presets.categories)
        fields["shot"] = _styles(words.SHOT, "shot", studio.presets.shots)
    fields["notes"] = gr.Textbox(
        label=label(words.NOTES),
        placeholder=label(words.NOTES_HINT),
        lines=1,
        max_lines=6,
        elem_id="field-notes",
    )
    fields["negative_presets"] = gr.Dropdown(
        label=label(words.KEEP_OUT),
        choices=named(studio.presets.negatives),
        value=[],
        multiselect=True,
        elem_id="field-negative_presets",
    )
    if names := sorted(studio.lora_names):
        fields["loras"] = gr.Dropdown(
            label=label(words.LORAS),
            choices=names,
            value=[],
            multiselect=True,
            allow_custom_value=True,  # a weight may be typed behind the name
            elem_id="field-loras",
        )
    sizes = size_choices(studio)
    with gr.Row(elem_id="numbers"):
        fields["size"] = gr.Dropdown(
            label=label(words.SIZE),
            choices=sizes,
            value=sizes[0][1],
            min_width=0,
            elem_id="field-size",
        )
        fields["quality"] = gr.Dropdown(
            label=label(words.QUALITY),
            choices=named(studio.presets.qualities),
            value=FULL,
            min_width=0,
            elem_id="field-quality",
        )
        fields["num_images"] = gr.Number(
            label=label(words.COUNT), value=1, min_width=0, elem_id="field-num_images"
        )
        fields["seed"] = gr.Textbox(
            label=label(words.SEED),
            placeholder=label(words.RANDOM),
            max_lines=1,
            min_width=0,
            elem_id="field-seed",
        )
    vary, vary_hint = _build_variants(studio)
    prompt = gr.HTML(
        render_prompt(studio, EXAMPLE, Say()), elem_id="prompt", apply_default_css=False
    )
    message = gr.HTML(elem_id="message", apply_default_css=False)
    live = gr.Checkbox(
        label=label(words.LIVE), value=False, min_width=0, container=False, elem_id="field-live"
    )
    generate = gr.Button(label(words.GENERATE), variant="primary", elem_id="generate")
    saved = gr.BrowserState(None, storage_key=_STORAGE_KEY, secret=_STORAGE_SCRAMBLE)
    return BriefPanel(fields, vary, vary_hint, prompt, message, live, generate, saved)


def _build_variants(studio: Studio) -> tuple[dict[str, gr.Dropdown], gr.HTML]:
    known = studio.presets.vocabulary
    terms = {"color": known.color, "material": known.material, "scene": known.scene}
    labels = {
        "color": words.VARY_COLORS,
        "material": words.VARY_MATERIALS,
        "scene": words.VARY_SCENES,
    }
    with gr.Accordion(label(words.VARIANTS), open=False, elem_id="variants"):
        vary = {
            field: gr.Dropdown(
                label=label(labels[field]),
                choices=[term.en for term in terms[field]],
                value=[],
                multiselect=True,
                allow_custom_value=True,
                elem_id=f"vary-{field}",
            )
            for field in VARIED
        }
        hint = gr.HTML(render_vary_hint(1, Say()), elem_id="vary-hint", apply_default_css=False)
    return vary, hint


def render_vary_hint(num_variants: int, say: Say) -> str:
    """How many pictures Generate makes of what is chosen to vary."""
    text = say(words.VARY_HINT)
    if num_variants > 1:
        text = say(words.NUM_VARIANTS, number=num_variants)
    return f'<p class="v-note">{text}</p>'


def heading(phrase: Phrase) -> None:
    """The heading of a panel."""
    gr.HTML(f'<h2 class="v-heading">{both(phrase)}</h2>', apply_default_css=False)


def named(presets: Sequence[Named], language: str = "en") -> list[tuple[str, str]]:
    """Names in a language and ids of presets, for a list of choices."""
    return [(preset.of(language), preset.id) for preset in presets]


def _styles(phrase: Phrase, field: str, presets: Sequence[StylePreset]) -> gr.Dropdown:
    return gr.Dropdown(
        label=label(phrase),
        choices=[("—", ""), *named(presets)],
        value="",
        min_width=0,
        elem_id=f"field-{field}",
    )


def _suggestions(phrase: Phrase, field: str, terms: tuple[Term, ...], example: str) -> gr.Dropdown:
    return gr.Dropdown(
        label=label(phrase),
        choices=[term.en for term in terms],
        value=example,
        allow_custom_value=True,
        min_width=0,
        elem_id=f"field-{field}",
    )
