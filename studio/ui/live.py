"""What keeps the Create area in step with the studio: the timer, Generate, drafts, the buttons.

Each of them ends in one look at the studio, drawn by every panel; a panel whose HTML is the one it
shows already is left alone, so nothing flickers. What a tab last showed is that tab's own state
and may be lost without harm: everything is then drawn once more.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.engine.manager import State
from studio.errors import StudioError
from studio.job import Job
from studio.person import Person, Role
from studio.ui.area import Frame
from studio.ui.brief_form import BriefPanel, named, render_vary_hint
from studio.ui.draft_view import (
    Drafted,
    DraftPanel,
    begin_draft,
    overlaid,
    with_seed,
)
from studio.ui.form import VARIED, Form, size_choices
from studio.ui.progress import ProgressPanel, act, render_progress
from studio.ui.prompt import render_message, render_prompt
from studio.ui.recent import RecentPanel, render_recent
from studio.ui.result import ResultPanel, render_result
from studio.ui.sketch_pad import SketchPanel, render_facts, why_not
from studio.ui.snapshot import Chosen, Snapshot, look
from studio.ui.speech import Say, say_for
from studio.ui.texts import create as words
from studio.variants import variants_of
from studio.who import person_of

BUSY_SECONDS = 0.4
IDLE_SECONDS = 2.0

ENGLISH = Say()

Updates = dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class LivePanel:
    """The panels that follow the studio, and what one tab remembers between two looks."""

    form: Form
    brief: BriefPanel
    sketch: SketchPanel
    draft: DraftPanel
    result: ResultPanel
    progress: ProgressPanel
    recent: RecentPanel
    timer: gr.Timer
    chosen: gr.State
    seen: gr.State

    @property
    def outputs(self) -> list[Any]:
        """Everything a look may change."""
        return [*self.renderers, self.brief.generate, self.timer, self.chosen, self.seen]

    @property
    def form_outputs(self) -> list[Any]:
        """What follows from the form, the form itself left alone."""
        brief = self.brief
        return [brief.prompt, brief.vary_hint, brief.saved, self.sketch.facts]

    @property
    def renderers(self) -> dict[gr.HTML, Callable[[Snapshot], str]]:
        return {
            self.result.view: render_result,
            self.progress.cards: render_progress,
            self.recent.thumbs: render_recent,
        }


def build_live(
    brief: BriefPanel,
    sketch: SketchPanel,
    draft: DraftPanel,
    result: ResultPanel,
    progress: ProgressPanel,
    recent: RecentPanel,
    timer: gr.Timer,
) -> LivePanel:
    form = Form(
        fields=brief.fields | sketch.fields,
        vary=brief.vary,
        follows=sketch.follows,
        digest=sketch.digest,
        live=brief.live,
    )
    return LivePanel(
        form=form,
        brief=brief,
        sketch=sketch,
        draft=draft,
        result=result,
        progress=progress,
        recent=recent,
        timer=timer,
        chosen=gr.State(Chosen()),
        seen=gr.State({}),
    )


def bind_live(panel: LivePanel, studio: Studio, frame: Frame) -> None:
    form = set(panel.form.inputs)
    tab = {panel.chosen, panel.seen, panel.draft.drafted}
    # Without gradio's own checks of the values: `compose` judges them, in one voice.
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "preprocess": False,
    }
    draft = [panel.draft.view, panel.draft.drafted]

    def asked(request: gr.Request) -> dict[str, Any]:
        return {"person": person_of(request), "say": say_for(request)}

    def tick(values: dict[Any, Any], request: gr.Request) -> Any:
        brief = panel.form.read(values)
        chosen, seen = values[panel.chosen], values[panel.seen]
        digest = values.get(panel.form.digest)
        updates = refresh(panel, studio, chosen, seen, brief=brief, digest=digest, **asked(request))
        return updates or gr.skip()

    def load(values: dict[Any, Any], request: gr.Request) -> Updates:
        return open_page(panel, studio, values, **asked(request))

    def generate(values: dict[Any, Any], request: gr.Request) -> Updates:
        return press_generate(panel, studio, values, **asked(request))

    def press(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Updates:
        return press_button(panel, studio, values, event._data, **asked(request))

    def sketched(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Any:
        return take_sketch(panel, studio, values, event._data, **asked(request))

    def drafted(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Any:
        return take_draft(panel, studio, values, event._data, **asked(request)) or gr.skip()

    def changed(values: dict[Any, Any], request: gr.Request) -> Updates:
        return follow_form(panel, studio, values, say_for(request))

    def speak(values: dict[Any, Any], request: gr.Request) -> Updates:
        return speak_anew(panel, studio, values, **asked(request))

    frame.page.load(
        load,
        inputs={panel.brief.saved},
        outputs=[*panel.form.inputs, *panel.form_outputs, *panel.outputs],
        queue=False,
        **quiet,
    )
    frame.on_speak(
        speak,
        inputs=form | tab,
        outputs=[*panel.form.inputs, *panel.form_outputs, *panel.outputs],
        queue=False,
        **quiet,
    )
    panel.timer.tick(
        tick,
        inputs=form | tab,
        outputs=[panel.brief.prompt, panel.sketch.facts, *panel.outputs],
        queue=False,
        **quiet,
    )
    gr.on(
        [field.change for field in panel.form.inputs if not isinstance(field, gr.State)],
        changed,
        inputs=form,
        outputs=panel.form_outputs,
        queue=False,
        trigger_mode="always_last",
        **quiet,
    )
    panel.brief.generate.click(
        generate,
        inputs=form | tab,
        outputs=[panel.brief.message, *draft, *panel.outputs],
        queue=False,
        **quiet,
    )
    panel.sketch.pad.click(
        sketched,
        inputs=form | tab,
        outputs=[panel.sketch.digest, panel.sketch.follows, *panel.form_outputs, *draft],
        queue=False,
        trigger_mode="multiple",
        **quiet,
    )
    panel.draft.view.click(
        drafted, inputs=form | tab, outputs=draft, queue=False, trigger_mode="multiple", **quiet
    )
    for part in (panel.result.view, panel.progress.cards, panel.recent.thumbs):
        # Through the queue, as a refusal is shown as a toast; many, as none takes long.
        part.click(
            press,
            inputs=tab,
            outputs=[*panel.form.inputs, panel.sketch.facts, *draft, *panel.outputs],
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )


def open_page(
    panel: LivePanel, studio: Studio, values: dict[Any, Any], *, person: Person, say: Say = ENGLISH
) -> Updates:
    """The form as this browser kept it, its lists in the person's language, and one look."""
    updates = panel.form.restore(studio, values[panel.brief.saved])
    derived = follow_form(panel, studio, updates, say)
    derived.pop(panel.brief.saved)
    names = speak_form(panel, studio, say)
    for field, update in names.items():
        if field in updates:
            update["value"] = updates[field]
    return updates | derived | names | refresh(panel, studio, Chosen(), {}, person=person, say=say)


def speak_anew(
    panel: LivePanel, studio: Studio, values: dict[Any, Any], *, person: Person, say: Say
) -> Updates:
    """Everything once more, in the language that was switched to; what is typed stays."""
    updates = speak_form(panel, studio, say) | follow_form(panel, studio, values, say)
    return updates | refresh(panel, studio, values[panel.chosen], {}, person=person, say=say)


def speak_form(panel: LivePanel, studio: Studio, say: Say) -> Updates:
    """The words and presets on offer, in the language of `say`; what is chosen stays."""
    presets, known = studio.presets, studio.presets.vocabulary

    def offered(terms: Any) -> list[tuple[str, str]]:
        return [(term.of(say.language), term.en) for term in terms]

    fields = panel.form.fields
    lists: Updates = {
        fields["subject"]: offered(known.subject),
        fields["material"]: offered(known.material),
        fields["color"]: offered(known.color),
        fields["scene"]: offered(known.scene),
        fields["category"]: [("—", ""), *named(presets.categories, say.language)],
        fields["shot"]: [("—", ""), *named(presets.shots, say.language)],
        fields["negative_presets"]: named(presets.negatives, say.language),
        fields["size"]: size_choices(studio, say.language),
    }
    for name in VARIED:
        lists[panel.form.vary[name]] = offered(getattr(known, name))
    return {field: gr.update(choices=choices) for field, choices in lists.items()}


def follow_form(panel: LivePanel, studio: Studio, values: dict[Any, Any], say: Say) -> Updates:
    """What the form implies: the prompt, how many variants, the shape of the canvas."""
    brief = panel.form.read(values)
    return {
        panel.brief.prompt: render_prompt(studio, brief, say),
        panel.brief.vary_hint: render_vary_hint(panel.form.choices(values).num_variants, say),
        panel.brief.saved: panel.form.keep(values),
        panel.sketch.facts: render_facts(studio, brief, say, digest=values.get(panel.form.digest)),
    }


def press_generate(
    panel: LivePanel,
    studio: Studio,
    values: dict[Any, Any],
    *,
    person: Person,
    say: Say = ENGLISH,
) -> Updates:
    """Queue what the form holds and show it; or say why not, the form left as it is."""
    drafted: Drafted | None = values.get(panel.draft.drafted)
    chosen, message = values[panel.chosen], ""
    updates: Updates = {}
    try:
        person.require(Role.MERCHANDISER)
        brief = with_seed(panel.form.read(values), drafted)
        choices = panel.form.choices(values)
        studio.drafts.stop(person.name)
        if choices.num_variants > 1:
            group_id = studio.groups.submit(variants_of(brief, choices), person.name)
            chosen = Chosen(group_id=group_id)
        else:
            chosen = Chosen(job_id=studio.submit(brief, person.name).id)
        updates[panel.draft.view] = ""
        if drafted is not None:
            updates[panel.draft.drafted] = dataclasses.replace(drafted, is_new=False)
    except StudioError as error:
        message = render_message(error)
    updates |= {panel.brief.message: message, panel.chosen: chosen}
    return updates | refresh(panel, studio, chosen, values[panel.seen], person=person, say=say)


def press_button(
    panel: LivePanel,
    studio: Studio,
    values: dict[Any, Any],
    data: Any,
    *,
    person: Person,
    say: Say = ENGLISH,
) -> Updates:
    """Carry out a button inside a panel. `data` comes from the browser and may be anything.

    Raises:
        gr.Error: the studio refused, with its sentence.
    """
    verb, job_id, index = "", "", 0
    if isinstance(data, dict):
        verb, job_id = str(data.get("act", "")), str(data.get("id", ""))
        index = data["index"] if isinstance(data.get("index"), int) else 0
    try:
        if verb in ("reuse-seed", "edit-brief"):
            job = studio.job(job_id, person.name)
            return _fill_again(panel, studio, verb, job, index, say)
        chosen = act(studio, verb, job_id, index, values[panel.chosen], person=person)
    except StudioError as error:
        raise gr.Error(str(error), print_exception=False) from error
    updates = {panel.chosen: chosen, panel.draft.view: ""}
    return updates | refresh(panel, studio, chosen, values[panel.seen], person=person, say=say)


def take_sketch(
    panel: LivePanel,
    studio: Studio,
    values: dict[Any, Any],
    data: Any,
    *,
    person: Person,
    say: Say = ENGLISH,
) -> Updates:
    """A sketch was handed over: the first one is followed at once, an emptied canvas no more.

    A draft is begun where drafts are wanted.
    """
    digest = str(data.get("id", "")) if isinstance(data, dict) else ""
    was_empty = not values.get(panel.form.digest)
    values = values | {panel.form.digest: digest}
    updates: Updates = {panel.sketch.digest: digest}
    if was_empty and digest and not why_not(studio):
        values[panel.form.follows] = True
        updates[panel.sketch.follows] = True
    elif not was_empty and not digest:
        values[panel.form.follows] = False
        updates[panel.sketch.follows] = False
    updates |= follow_form(panel, studio, values, say)
    if values.get(panel.form.live) is True:
        updates |= take_draft(panel, studio, values, {}, person=person, say=say)
    return updates


def take_draft(
    panel: LivePanel,
    studio: Studio,
    values: dict[Any, Any],
    data: Any,
    *,
    person: Person,
    say: Say = ENGLISH,
) -> Updates:
    """The form rests: begin a draft of it, unless it is the one on show."""
    if not person.has(Role.MERCHANDISER):
        return {}
    drafted: Drafted = values.get(panel.draft.drafted) or Drafted()
    if isinstance(data, dict) and data.get("act") == "another-draft":
        drafted = Drafted()
    brief = overlaid(panel.form.read(values), data)
    drafted, view = begin_draft(studio, brief, drafted, person.name, say)
    updates: Updates = {panel.draft.drafted: drafted}
    return updates if view is None else updates | {panel.draft.view: view}


def _fill_again(
    panel: LivePanel,
    studio: Studio,
    verb: str,
    job: Job,
    index: int,
    say: Say,
) -> Updates:
    """Put what made a picture back into the form: its seed alone, or all of its brief."""
    seed = str(job.request.image_seed(index))
    if verb == "reuse-seed":
        return {panel.form.fields["seed"]: seed}
    brief = dataclasses.replace(job.brief, seed=seed)
    kept = brief.sketch or ""
    facts = render_facts(studio, brief, say, digest=kept, opens=kept)
    return panel.form.fill(brief) | {panel.sketch.facts: facts}


def refresh(
    panel: LivePanel,
    studio: Studio,
    chosen: Chosen,
    seen: dict[str, str],
    *,
    person: Person,
    say: Say = ENGLISH,
    brief: Brief | None = None,
    digest: object = "",
) -> Updates:
    """What must change on a tab that shows `seen`; empty when nothing does.

    With `brief` and the `digest` of the sketch, what the form holds, its prompt is drawn again once
    its tokens can be counted.
    """
    snapshot = look(studio, chosen, person.name, say)
    updates: Updates = {}
    now: dict[str, str] = {}

    def show(component: Any, content: str, update: Any) -> None:
        key = str(component.elem_id or "timer")
        now[key] = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
        if seen.get(key) != now[key]:
            updates[component] = update

    for component, render in panel.renderers.items():
        content = render(snapshot)
        show(component, content, content)
    can_generate = snapshot.health.state not in (State.FAILED, State.STOPPED)
    label = say(words.GENERATE)
    button = gr.Button(label, interactive=can_generate)
    show(panel.brief.generate, f"{can_generate} {label}", button)
    pace = BUSY_SECONDS if snapshot.is_busy else IDLE_SECONDS
    show(panel.timer, str(pace), gr.Timer(pace))
    if brief is not None:
        is_counted = f"{studio.health.is_ready} {say.language}"
        show(panel.brief.prompt, is_counted, render_prompt(studio, brief, say))
        facts = render_facts(studio, brief, say, digest=digest)
        show(panel.sketch.facts, f"{is_counted} {studio.control_kinds}", facts)
    if updates:
        updates[panel.seen] = seen | now
    return updates
