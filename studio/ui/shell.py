"""The shell: the header over the areas, which of them is in front, and the language they speak.

What happens in the browser alone (addresses, the language of a tab, the list of shortcuts) is in
`shell.js`; here is what follows from it on the server.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.i18n import I18nData

from studio.application import Studio
from studio.ui.area import Area, Frame
from studio.ui.header import (
    HeaderPanel,
    build_header,
    glance,
    render_nav,
    render_status,
    render_tools,
)
from studio.ui.markup import escape
from studio.ui.speech import Language, Say, label, phrase_of, say_for
from studio.ui.texts import common, shell
from studio.who import person_of

BUSY_SECONDS = 1.0
IDLE_SECONDS = 2.0

# Which properties of a component hold words of ours.
_WORDED = ("label", "placeholder", "info", "value", "choices")

_ACTIVE = "({{__type__: 'update', active: {}}})"


@dataclasses.dataclass(frozen=True)
class ShellPanel:
    """`seen` is what a tab's header shows already, so that nothing is drawn twice."""

    header: HeaderPanel
    shortcuts: gr.HTML
    timer: gr.Timer
    seen: gr.State
    frames: tuple[Frame, ...]


def build_shell(studio: Studio, areas: Sequence[Area], page: gr.Blocks) -> ShellPanel:
    """The header and every area, the first of them in front."""
    header = build_header()
    frames = []
    with gr.Tabs(selected=areas[0].id, elem_id="areas"):
        for area in areas:
            with gr.Tab(label(area.title), id=area.id, elem_id=f"area-{area.id}") as tab:
                frame = Frame(page=page, tab=tab, is_first=area is areas[0])
                area.build(studio, frame)
            frames.append(frame)
    shortcuts = gr.HTML(elem_id="shortcuts", apply_default_css=False)
    return ShellPanel(header, shortcuts, gr.Timer(BUSY_SECONDS), gr.State({}), tuple(frames))


def bind_shell(panel: ShellPanel, studio: Studio, areas: Sequence[Area], page: gr.Blocks) -> None:
    quiet: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    shown = [
        panel.header.nav,
        panel.header.status,
        panel.header.tools,
        panel.shortcuts,
        panel.timer,
        panel.seen,
    ]

    def look(seen: dict[str, str], request: gr.Request) -> Any:
        return refresh(panel, studio, areas, seen, request) or gr.skip()

    def load(request: gr.Request) -> dict[Any, Any]:
        studio.examples.welcome(person_of(request))
        return refresh(panel, studio, areas, {}, request)

    page.load(load, outputs=shown, **quiet)
    panel.timer.tick(look, inputs=[panel.seen], outputs=shown, **quiet)
    for part in (panel.header.tools, panel.header.status):
        part.click(look, inputs=[panel.seen], outputs=shown, **quiet)
    _bind_language(panel, page, quiet)
    _bind_timers(panel)


def refresh(
    panel: ShellPanel,
    studio: Studio,
    areas: Sequence[Area],
    seen: dict[str, str],
    request: gr.Request | None,
) -> dict[Any, Any]:
    """What must change in a header that shows `seen`."""
    person, say = person_of(request), say_for(request)
    now = glance(studio, person)
    open_areas = [area for area in areas if area.is_open_to(person)]
    counts = {area.id: area.count(studio, person) for area in open_areas if area.count}
    pace = BUSY_SECONDS if now.is_busy else IDLE_SECONDS
    content: dict[Any, tuple[str, Any]] = {
        panel.header.nav: _same(render_nav(open_areas, person, counts, say)),
        panel.header.status: _same(render_status(now, say)),
        panel.header.tools: _same(
            render_tools(person, say, has_accounts=studio.people.has_accounts)
        ),
        panel.shortcuts: _same(render_shortcuts(open_areas, say)),
        panel.timer: (str(pace), gr.Timer(pace)),
    }
    after = {str(part.elem_id or "timer"): text for part, (text, _) in content.items()}
    updates = {
        part: update
        for part, (text, update) in content.items()
        if seen.get(str(part.elem_id or "timer")) != text
    }
    return updates | {panel.seen: after} if updates else {}


def render_shortcuts(areas: Sequence[Area], say: Say) -> str:
    """The dialog behind `?`; opened in the browser."""
    everywhere = [("?", say(shell.SHORTCUT_HELP)), ("Alt+1 … 9", say(shell.SHORTCUT_AREA))]
    groups = [(say(shell.EVERYWHERE), everywhere)]
    groups += [
        (say(area.title), [(key.keys, say(key.does)) for key in area.shortcuts])
        for area in areas
        if area.shortcuts
    ]
    inside = "".join(
        f"<section><h3>{escape(title)}</h3><dl>"
        + "".join(
            f"<div><dt>{_keys(keys)}</dt><dd>{escape(does)}</dd></div>" for keys, does in rows
        )
        + "</dl></section>"
        for title, rows in groups
    )
    title = escape(say(shell.SHORTCUTS))
    close = escape(say(common.CLOSE))
    return (
        f'<dialog id="shortcuts-dialog" class="v-dialog" aria-label="{title}">'
        f'<div class="v-dialog-head"><h2>{title}</h2>'
        f'<form method="dialog"><button class="v-button">{close}</button></form></div>'
        f'<div class="v-shortcuts">{inside}</div></dialog>'
    )


def _keys(keys: str) -> str:
    """ "Control+Shift+Period" as keys to be seen."""
    names = keys.replace("Control", "Ctrl").replace("Period", ".").split("+")
    return "+".join(f"<kbd>{escape(name)}</kbd>" for name in names)


def _same(html: str) -> tuple[str, str]:
    return html, html


def _bind_timers(panel: ShellPanel) -> None:
    """Only the timers of the area in front run; settled in the browser."""
    timers = [timer for frame in panel.frames for timer in frame.timers]
    if not timers:
        return
    for frame in panel.frames:
        updates = [_ACTIVE.format(json.dumps(timer in frame.timers)) for timer in timers]
        values = updates[0] if len(updates) == 1 else f"[{', '.join(updates)}]"
        frame.tab.select(None, outputs=timers, js=f"() => {values}", show_progress="hidden")


def _bind_language(panel: ShellPanel, page: gr.Blocks, quiet: dict[str, Any]) -> None:
    """Say everything in the new language, in place: nothing typed or drawn is touched.

    Also once after a page was opened in which Gradio began with another: `shell.js` sees to that.
    """
    worded = worded_properties(page)

    def speak(request: gr.Request) -> dict[Any, Any]:
        language = say_for(request).language
        return {
            block: gr.update(**{name: _spoken(words, language) for name, words in found.items()})
            for block, found in worded.items()
        }

    if worded:
        panel.header.tools.click(speak, outputs=list(worded), **quiet)
    for frame in panel.frames:
        for handler, event in frame.spoken:
            panel.header.tools.click(handler, **(quiet | event))


def worded_properties(page: gr.Blocks) -> dict[Block, dict[str, Any]]:
    """Every component that shows phrases of the text table, with the properties that hold them."""
    found: dict[Block, dict[str, Any]] = {}
    for block in page.blocks.values():
        words = {
            name: getattr(block, name) for name in _WORDED if _has_words(getattr(block, name, None))
        }
        if words and not isinstance(block, gr.Tab):
            found[block] = words
    return found


def _has_words(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_has_words(part) for part in value)
    return isinstance(value, I18nData)


def _spoken(value: Any, language: Language) -> Any:
    if isinstance(value, I18nData):
        return phrase_of(value).of(language)
    if isinstance(value, list | tuple):
        return type(value)(_spoken(part, language) for part in value)
    return value
