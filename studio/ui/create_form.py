"""What happens to the form of the Create area: opened, spoken anew, followed, filled again."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from studio.job import Job
from studio.ui.brief_form import named, render_vary_hint
from studio.ui.form import VARIED, size_choices
from studio.ui.live import refresh
from studio.ui.live_panel import TabEvent, Updates
from studio.ui.prompt import render_prompt
from studio.ui.sketch_pad import render_facts


def open_page(event: TabEvent) -> Updates:
    """The form as this browser kept it, its lists in the person's language, and one look."""
    panel = event.panel
    updates = panel.form.restore(event.studio, event.values[panel.brief.saved])
    derived = follow_form(event.having(updates))
    derived.pop(panel.brief.saved)
    names = speak_form(event)
    for field, update in names.items():
        if field in updates:
            update["value"] = updates[field]
    return updates | derived | names | refresh(event)


def speak_anew(event: TabEvent) -> Updates:
    """Everything once more, in the language that was switched to; what is typed stays."""
    again = refresh(event.having({event.panel.seen: {}}))
    return speak_form(event) | follow_form(event) | again


def speak_form(event: TabEvent) -> Updates:
    """The words and presets on offer, in the person's language; what is chosen stays."""
    studio, form, language = event.studio, event.panel.form, event.say.language
    presets, known = studio.presets, studio.presets.vocabulary

    def offered(terms: Any) -> list[tuple[str, str]]:
        return [(term.of(language), term.en) for term in terms]

    lists: Updates = {
        form.fields["subject"]: offered(known.subject),
        form.fields["material"]: offered(known.material),
        form.fields["color"]: offered(known.color),
        form.fields["scene"]: offered(known.scene),
        form.fields["category"]: [("—", ""), *named(presets.categories, language)],
        form.fields["shot"]: [("—", ""), *named(presets.shots, language)],
        form.fields["negative_presets"]: named(presets.negatives, language),
        form.fields["size"]: size_choices(studio, language),
    }
    for name in VARIED:
        lists[form.vary[name]] = offered(getattr(known, name))
    return {field: gr.update(choices=choices) for field, choices in lists.items()}


def follow_form(event: TabEvent) -> Updates:
    """What the form implies: the prompt, how many variants, the shape of the canvas."""
    panel, studio, say, brief = event.panel, event.studio, event.say, event.brief
    num_variants = panel.form.choices(event.values).num_variants
    return {
        panel.brief.prompt: render_prompt(studio, brief, say),
        panel.brief.vary_hint: render_vary_hint(num_variants, say),
        panel.brief.saved: panel.form.keep(event.values),
        panel.sketch.facts: render_facts(studio, brief, say, digest=event.digest),
    }


def reuse_seed(event: TabEvent, job: Job, index: int) -> Updates:
    """The seed of a picture back into the form."""
    return {event.panel.form.fields["seed"]: str(job.request.image_seed(index))}


def edit_again(event: TabEvent, job: Job, index: int) -> Updates:
    """All that made a picture back into the form, its sketch onto the canvas."""
    panel = event.panel
    brief = dataclasses.replace(job.brief, seed=str(job.request.image_seed(index)))
    kept = brief.sketch or ""
    facts = render_facts(event.studio, brief, event.say, digest=kept or event.digest, opens=kept)
    return panel.form.fill(brief) | {panel.sketch.facts: facts}
