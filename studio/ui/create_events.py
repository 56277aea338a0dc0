"""`bind_live`: which event of the Create area does what, and what it may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.ui.area import Frame
from studio.ui.create_acts import press_button, press_generate, take_draft, take_sketch
from studio.ui.create_form import follow_form, open_page, speak_anew
from studio.ui.live import refresh
from studio.ui.live_panel import LivePanel, TabEvent, Updates
from studio.ui.speech import say_for
from studio.who import person_of

# `create.js` keeps the keyboard and the pointer off the form until the page says this.
_OPENED = '() => { document.dispatchEvent(new Event("vitrine-opened")); }'


def bind_live(panel: LivePanel, studio: Studio, frame: Frame) -> None:
    form, tab = set(panel.form.inputs), panel.tab
    every = [*panel.form.inputs, *panel.form_outputs, *panel.outputs]
    # Without gradio's own checks of the values: `compose` judges them, in one voice.
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "preprocess": False,
    }
    # Past the queue: none of these takes long.
    at_once = quiet | {"queue": False}

    def event_of(values: dict[Any, Any], request: gr.Request) -> TabEvent:
        person, say = person_of(request), say_for(request)
        return TabEvent(panel=panel, studio=studio, person=person, say=say, values=values)

    def on(act: Callable[[TabEvent], Updates]) -> Callable[..., Any]:
        """`act` as a handler of gradio's."""

        def handle(values: dict[Any, Any], request: gr.Request) -> Any:
            return act(event_of(values, request)) or gr.skip()

        return handle

    def on_press(act: Callable[[TabEvent, Any], Updates]) -> Callable[..., Any]:
        """The same for one that is told which button it was."""

        def handle(values: dict[Any, Any], event: gr.EventData, request: gr.Request) -> Any:
            return act(event_of(values, request), event._data) or gr.skip()

        return handle

    opened = frame.page.load(on(open_page), inputs={panel.brief.saved}, outputs=every, **at_once)
    opened.then(None, js=_OPENED, show_progress="hidden", api_visibility="private")
    frame.on_speak(on(speak_anew), inputs=form | tab, outputs=every, **at_once)
    panel.timer.tick(
        on(lambda event: refresh(event, with_form=True)),
        inputs=form | tab,
        outputs=[panel.brief.prompt, panel.sketch.facts, *panel.outputs],
        **at_once,
    )
    gr.on(
        [field.change for field in panel.form.inputs if not isinstance(field, gr.State)],
        on(follow_form),
        inputs=form,
        outputs=panel.form_outputs,
        trigger_mode="always_last",
        **at_once,
    )
    panel.brief.generate.click(
        on(press_generate),
        inputs=form | tab,
        outputs=[panel.brief.message, *panel.draft_outputs, *panel.outputs],
        **at_once,
    )
    panel.sketch.pad.click(
        on_press(take_sketch),
        inputs=form | tab,
        outputs=[panel.form.digest, panel.form.follows, *panel.form_outputs, *panel.draft_outputs],
        trigger_mode="multiple",
        **at_once,
    )
    panel.draft.view.click(
        on_press(take_draft),
        inputs=form | tab,
        outputs=panel.draft_outputs,
        trigger_mode="multiple",
        **at_once,
    )
    for part in (panel.result.view, panel.progress.cards, panel.recent.thumbs):
        # Through the queue, as a refusal is shown as a toast; many, as none takes long.
        part.click(
            on_press(press_button),
            inputs=tab | {panel.form.digest},
            outputs=[
                *panel.form.inputs,
                panel.sketch.facts,
                *panel.draft_outputs,
                *panel.outputs,
            ],
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )
