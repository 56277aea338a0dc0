"""What keeps the page in step with the studio: the timer, Generate, and the cards' buttons.

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
from studio.person import Person
from studio.ui.brief_form import BriefPanel, read_brief, render_prompt, restore, submit
from studio.ui.progress import ProgressPanel, act, render_progress
from studio.ui.recent import RecentPanel, render_recent
from studio.ui.result import ResultPanel, render_result
from studio.ui.snapshot import Chosen, Snapshot, look
from studio.who import person_of

BUSY_SECONDS = 0.4
IDLE_SECONDS = 2.0

Updates = dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class LivePanel:
    """The panels that follow the studio, and what one tab remembers between two looks."""

    brief: BriefPanel
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
    def renderers(self) -> dict[gr.HTML, Callable[[Snapshot], str]]:
        return {
            self.result.view: render_result,
            self.progress.cards: render_progress,
            self.recent.thumbs: render_recent,
        }


def build_live(
    brief: BriefPanel,
    result: ResultPanel,
    progress: ProgressPanel,
    recent: RecentPanel,
    timer: gr.Timer,
) -> LivePanel:
    return LivePanel(
        brief=brief,
        result=result,
        progress=progress,
        recent=recent,
        timer=timer,
        chosen=gr.State(Chosen()),
        seen=gr.State({}),
    )


def bind_live(panel: LivePanel, studio: Studio, page: gr.Blocks) -> None:
    form = set(panel.brief.fields.values())
    tab = {panel.chosen, panel.seen}
    # Without gradio's own checks of the values: `compose` judges them, in one voice.
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "preprocess": False,
    }

    def tick(values: dict[Any, Any], request: gr.Request) -> Any:
        brief = read_brief(panel.brief, values)
        chosen, seen = values[panel.chosen], values[panel.seen]
        person = person_of(request)
        return refresh(panel, studio, chosen, seen, person=person, brief=brief) or gr.skip()

    def load(values: dict[Any, Any], request: gr.Request) -> Updates:
        person = person_of(request)
        form_values = restore(panel.brief, studio, values[panel.brief.saved])
        return form_values | refresh(panel, studio, Chosen(), {}, person=person)

    def generate(values: dict[Any, Any], request: gr.Request) -> Updates:
        return press_generate(panel, studio, values, person=person_of(request))

    def press(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Updates:
        return press_button(panel, studio, values, event._data, person=person_of(request))

    page.load(
        load,
        inputs={panel.brief.saved},
        outputs=[
            *panel.brief.fields.values(),
            panel.brief.prompt,
            *panel.outputs,
        ],
        queue=False,
        **quiet,
    )
    panel.timer.tick(
        tick,
        inputs=form | tab,
        outputs=[panel.brief.prompt, *panel.outputs],
        queue=False,
        **quiet,
    )
    panel.brief.generate.click(
        generate,
        inputs=form | tab,
        outputs=[panel.brief.message, *panel.outputs],
        queue=False,
        **quiet,
    )
    for part in (panel.result.view, panel.progress.cards, panel.recent.thumbs):
        # Through the queue, as a refusal is shown as a toast; many, as none takes long.
        part.click(
            press,
            inputs=tab,
            outputs=panel.outputs,
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )


def press_generate(
    panel: LivePanel, studio: Studio, values: dict[Any, Any], *, person: Person
) -> Updates:
    """Queue what the form holds and show it; or say why not, the form left as it is."""
    chosen, seen = values[panel.chosen], values[panel.seen]
    job, message = submit(studio, read_brief(panel.brief, values), person)
    if job is not None:
        chosen = Chosen(job_id=job.id)
    return {panel.brief.message: message, panel.chosen: chosen} | refresh(
        panel, studio, chosen, seen, person=person
    )


def press_button(
    panel: LivePanel, studio: Studio, values: dict[Any, Any], data: Any, *, person: Person
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
        chosen = act(studio, verb, job_id, index, values[panel.chosen], person=person)
    except StudioError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return {panel.chosen: chosen} | refresh(
        panel, studio, chosen, values[panel.seen], person=person
    )


def refresh(
    panel: LivePanel,
    studio: Studio,
    chosen: Chosen,
    seen: dict[str, str],
    *,
    person: Person,
    brief: Brief | None = None,
) -> Updates:
    """What must change on a tab of `person`'s that shows `seen`; empty when nothing does.

    With `brief`, what the form holds, its prompt is drawn again once its tokens can be counted.
    """
    snapshot = look(studio, chosen, person.name)
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
    show(panel.brief.generate, str(can_generate), gr.Button(interactive=can_generate))
    pace = BUSY_SECONDS if snapshot.is_busy else IDLE_SECONDS
    show(panel.timer, str(pace), gr.Timer(pace))
    if brief is not None:
        is_counted = str(studio.health.is_ready)
        show(panel.brief.prompt, is_counted, render_prompt(studio, brief))
    if updates:
        updates[panel.seen] = seen | now
    return updates
