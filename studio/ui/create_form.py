"""What happens to the form of the Create area: opened, spoken anew, followed, filled again."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from studio.job import Job
from studio.ui.brief_form import named, render_vary_hint
from studio.ui.form import VARIED, size_choices
from studio.ui.live import refresh
from studio.ui.live_panel import Updates, Visit
from studio.ui.prompt import render_prompt
from studio.ui.sketch_pad import render_facts


def open_page(visit: Visit) -> Updates:
    """The form as this browser kept it, its lists in the person's language, and one look."""
    panel = visit.panel
    updates = panel.form.restore(visit.studio, visit.values[panel.brief.saved])
    derived = follow_form(visit.having(updates))
    derived.pop(panel.brief.saved)
    names = speak_form(visit)
    for field, update in names.items():
        if field in updates:
            update["value"] = updates[field]
    return updates | derived | names | refresh(visit)


def speak_anew(visit: Visit) -> Updates:
    """Everything once more, in the language that was switched to; what is typed stays."""
    again = refresh(visit.having({visit.panel.seen: {}}))
    return speak_form(visit) | follow_form(visit) | again


def speak_form(visit: Visit) -> Updates:
    """The words and presets on offer, in the person's language; what is chosen stays."""
    studio, form, language = visit.studio, visit.panel.form, visit.say.language
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


def follow_form(visit: Visit) -> Updates:
    """What the form implies: the prompt, how many variants, the shape of the canvas."""
    panel, studio, say, brief = visit.panel, visit.studio, visit.say, visit.brief
    num_variants = panel.form.choices(visit.values).num_variants
    return {
        panel.brief.prompt: render_prompt(studio, brief, say),
        panel.brief.vary_hint: render_vary_hint(num_variants, say),
        panel.brief.saved: panel.form.keep(visit.values),
        panel.sketch.facts: render_facts(studio, brief, say, digest=visit.digest),
    }


def reuse_seed(visit: Visit, job: Job, index: int) -> Updates:
    """The seed of a picture back into the form."""
    return {visit.panel.form.fields["seed"]: str(job.request.image_seed(index))}


def edit_again(visit: Visit, job: Job, index: int) -> Updates:
    """All that made a picture back into the form, its sketch onto the canvas."""
    panel = visit.panel
    brief = dataclasses.replace(job.brief, seed=str(job.request.image_seed(index)))
    kept = brief.sketch or ""
    facts = render_facts(visit.studio, brief, visit.say, digest=kept, opens=kept)
    return panel.form.fill(brief) | {panel.sketch.facts: facts}
