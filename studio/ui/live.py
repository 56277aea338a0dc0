"""What keeps the Create area in step with the studio: one look at it, drawn by every panel.

The timer, and every button, ends in such a look; a panel whose HTML is the one it shows already is
left alone, so nothing flickers.
"""

from __future__ import annotations

import hashlib
from typing import Any

import gradio as gr

from studio.engine.manager import State
from studio.ui.live_panel import TabEvent, Updates
from studio.ui.prompt import render_prompt
from studio.ui.sketch_pad import render_facts
from studio.ui.snapshot import look
from studio.ui.texts import create as words

BUSY_SECONDS = 0.4
IDLE_SECONDS = 2.0


def refresh(event: TabEvent, *, with_form: bool = False) -> Updates:
    """What must change on the tab; empty when nothing does.

    `with_form`: its prompt is drawn again once its tokens can be counted, and the facts of its
    sketch once it is known what the model follows.
    """
    panel, studio, say = event.panel, event.studio, event.say
    snapshot = look(studio, event.chosen, event.person.name, say)
    updates: Updates = {}
    now: dict[str, str] = {}

    def show(component: Any, content: str, update: Any) -> None:
        key = str(component.elem_id or "timer")
        now[key] = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
        if event.seen.get(key) != now[key]:
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
    if with_form:
        brief = event.brief
        is_counted = f"{studio.health.is_ready} {say.language}"
        show(panel.brief.prompt, is_counted, render_prompt(studio, brief, say))
        facts = render_facts(studio, brief, say, digest=event.digest)
        show(panel.sketch.facts, f"{is_counted} {studio.control_kinds}", facts)
    if updates:
        updates[panel.seen] = {**event.seen, **now}
    return updates
