"""SKETCH: the canvas, what is followed of it, and how strictly.

The canvas is the browser's: `sketch_pad.js` draws on it, hands it to `/sketches` after each stroke
and tells the page its digest. Nothing here is drawn anew while somebody draws.
"""

from __future__ import annotations

import dataclasses
from importlib.resources import files

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.control import END, MAX_STRENGTH, START, STRENGTH, check_kinds
from studio.errors import BadBrief
from studio.sketch import HIGH, LOW, MAX_THRESHOLD
from studio.ui.brief_form import heading
from studio.ui.markup import escape
from studio.ui.speech import Phrase, Say, both, label
from studio.ui.texts import common
from studio.ui.texts import create as words


@dataclasses.dataclass(frozen=True)
class SketchPanel:
    """`fields` by their names in `Brief`; `digest` is the kept sketch, empty where none is."""

    pad: gr.HTML
    facts: gr.HTML
    follows: gr.Checkbox
    fields: dict[str, gr.components.Component]
    digest: gr.State


def build_sketch(studio: Studio) -> SketchPanel:
    heading(words.SKETCH)
    script = files("studio.ui").joinpath("sketch_pad.js").read_text(encoding="utf-8")
    facts = gr.HTML(
        render_facts(studio, Brief(), Say()), elem_id="sketch-facts", apply_default_css=False
    )
    pad = gr.HTML(_pad(), elem_id="sketch-pad", apply_default_css=False, js_on_load=script)
    fields: dict[str, gr.components.Component] = {}
    with gr.Row(elem_id="follow"):
        follows = gr.Checkbox(
            label=label(words.FOLLOW), value=False, min_width=0, elem_id="field-follows"
        )
        fields["control_strength"] = _slider(
            words.STRENGTH, "control_strength", MAX_STRENGTH, STRENGTH, 0.05
        )
    with gr.Accordion(label(words.FINE_TUNING), open=False, elem_id="fine-tuning"):
        fields["canny_low"] = _slider(words.LOW, "canny_low", MAX_THRESHOLD, LOW, 5)
        fields["canny_high"] = _slider(words.HIGH, "canny_high", MAX_THRESHOLD, HIGH, 5)
        fields["control_start"] = _slider(words.START, "control_start", 1, START, 0.05)
        fields["control_end"] = _slider(words.END, "control_end", 1, END, 0.05)
    return SketchPanel(pad=pad, facts=facts, follows=follows, fields=fields, digest=gr.State(""))


def render_facts(
    studio: Studio, brief: Brief, say: Say, *, digest: object = "", opens: str = ""
) -> str:
    """The shape of the canvas, for the script, and why nothing is followed where nothing can be.

    `digest` is the sketch that the form holds; `opens` is one that is to be put onto the canvas.
    """
    refusal = why_not(studio)
    height, width = studio.card.default_size
    for preset, preset_height, preset_width in studio.presets.sizes_for(studio.card):
        if preset.id == brief.size:
            height, width = preset_height, preset_width
    note = ""
    if refusal:
        text = say(words.NO_CONTROL, model=studio.card.name)
        note = f'<p class="v-note">{escape(text)}</p>'
    low = LOW if brief.canny_low is None else brief.canny_low
    high = HIGH if brief.canny_high is None else brief.canny_high
    return (
        f'<div data-height="{height}" data-width="{width}" data-can="{int(not refusal)}" '
        f'data-low="{escape(low)}" data-high="{escape(high)}" data-opens="{escape(opens)}" '
        f'data-digest="{escape(digest or "")}">{note}'
        "</div>"
    )


def why_not(studio: Studio) -> str:
    """Why this model follows no sketch; empty where it does."""
    try:
        check_kinds(studio.control_kinds, studio.card.name)
    except BadBrief as error:
        return str(error)
    return ""


_MESSAGES = {
    "large": words.PICTURE_TOO_LARGE,
    "refused": words.PICTURE_NOT_TAKEN,
    "gone": words.SKETCH_GONE,
    "lost": common.LOST,
}
"""What the script may have to say of itself; what the studio refuses it says in its own words."""


def _pad() -> str:
    """The canvas and its tools; the labels change with the language, the canvas never."""

    def tool(name: str, phrase: Phrase, more: str = "") -> str:
        inside = f'data-tool="{name}"{more}>{both(phrase)}'
        return f'<button type="button" class="v-button" {inside}</button>'

    tools = "".join(
        [
            tool("pen", words.PEN, ' aria-pressed="true"'),
            tool("eraser", words.ERASER, ' aria-pressed="false"'),
            tool("undo", words.UNDO, " disabled"),
            tool("redo", words.REDO, " disabled"),
            tool("clear", words.CLEAR, " disabled"),
            tool("picture", words.PICTURE),
            tool("outlines", words.OUTLINES, ' aria-pressed="false" disabled'),
        ]
    )
    messages = "".join(
        f'<template data-says="{name}">{both(phrase)}</template>'
        for name, phrase in _MESSAGES.items()
    )
    return (
        '<div class="v-pad"><div class="v-pad-stage">'
        '<canvas width="768" height="768" tabindex="0" role="img" '
        'aria-labelledby="canvas-label"></canvas>'
        f'<p id="canvas-label" class="v-unseen">{both(words.CANVAS)}</p>'
        '<img class="v-outlines" alt="" hidden>'
        f'<p class="v-pad-hint" aria-hidden="true">{both(words.SKETCH_HINT)}</p>'
        '<span class="v-pad-cursor" hidden></span></div>'
        f'<div class="v-tools">{tools}</div>'
        '<input type="file" accept="image/png,image/jpeg,image/webp" hidden aria-hidden="true">'
        f'{messages}<p class="v-message v-pad-message" role="alert" hidden></p></div>'
    )


def _slider(phrase: Phrase, field: str, highest: float, value: float, step: float) -> gr.Slider:
    return gr.Slider(
        0,
        highest,
        value=value,
        step=step,
        label=label(phrase),
        min_width=0,
        elem_id=f"field-{field}",
    )
