"""The Catalogue: hand a table over, see what is wrong in it, draw it, take the pictures away.

The file itself goes to the API's route for it, by `catalogue.js`; so it never lies where others
could fetch it. Here is what follows: which batch a tab looks at, and what its buttons do.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.batch import RowState
from studio.errors import StudioError
from studio.person import Person, Role
from studio.ui.area import Area, Frame
from studio.ui.catalogue_view import PAGE_ROWS, Page, render_batch, render_drop, render_list
from studio.ui.markup import CLICK_TO_EVENT
from studio.ui.speech import Say, say_for
from studio.ui.texts import catalogue as texts
from studio.ui.told import refusing
from studio.who import person_of

REFRESH_SECONDS = 1.0
MAX_LISTED = 20

_NOTHING: Any = gr.skip()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Looking:
    """What a tab has in front of it; without an id, the newest batch."""

    batch_id: str = ""
    state: RowState | None = None
    after_line: int = 0


@dataclasses.dataclass(frozen=True)
class CataloguePanel:
    """`seen` is a digest of what a tab shows, so that nothing is drawn twice."""

    drop: gr.HTML
    tables: gr.HTML
    view: gr.HTML
    timer: gr.Timer
    looking: gr.State
    seen: gr.State


def build_catalogue(studio: Studio, timer: gr.Timer) -> CataloguePanel:
    with gr.Row(elem_id="catalogue-area", equal_height=False):
        with gr.Column(elem_id="catalogue-side", min_width=0):
            drop = gr.HTML(render_drop(), elem_id="catalogue-drop", apply_default_css=False)
            tables = _panel("catalogue-tables")
        with gr.Column(elem_id="catalogue-main", min_width=0):
            view = _panel("catalogue")
    return CataloguePanel(drop, tables, view, timer, gr.State(Looking()), gr.State(""))


def bind_catalogue(panel: CataloguePanel, studio: Studio, frame: Frame) -> None:
    outputs = [panel.tables, panel.view, panel.looking, panel.seen]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def look(looking: Looking, seen: str, request: gr.Request) -> Any:
        return refresh(studio, looking, seen, person_of(request), say_for(request))

    def press(looking: Looking, seen: str, request: gr.Request, event: gr.EventData) -> Any:
        person, say = person_of(request), say_for(request)
        with refusing(say):
            looking = act(studio, looking, event._data, person)
        return refresh(studio, looking, "", person, say)

    for event in (frame.on_show, frame.on_speak, panel.timer.tick):
        event(look, inputs=[panel.looking, panel.seen], outputs=outputs, queue=False, **quiet)
    for part in (panel.tables, panel.view):
        # Through the queue, as a refusal is shown as a toast.
        part.click(
            press,
            inputs=[panel.looking, panel.seen],
            outputs=outputs,
            concurrency_limit=None,
            **quiet,
        )


def act(studio: Studio, looking: Looking, data: Any, person: Person) -> Looking:
    """Carry out a button; what the tab has in front of it then. `data` may be anything.

    Raises:
        StudioError: the person may not, or the batch is in a state that forbids it.
    """
    values = data if isinstance(data, dict) else {}
    verb, batch_id = str(values.get("act", "")), str(values.get("id", ""))
    index = values.get("index")
    if verb == "open":
        studio.batches.batch(batch_id, person.name)
        return Looking(batch_id=batch_id)
    if verb == "rows":
        line = index if isinstance(index, int) and index >= 0 else 0
        return dataclasses.replace(looking, after_line=line)
    if verb == "filter":
        state = RowState(batch_id) if batch_id in set(RowState) else None
        return dataclasses.replace(looking, state=state, after_line=0)
    verbs = {
        "start": studio.batches.start,
        "pause": studio.batches.pause,
        "resume": studio.batches.resume,
        "cancel": studio.batches.cancel,
        "retry": studio.batches.retry,
    }
    if verb in verbs:
        person.require(Role.MERCHANDISER)
        verbs[verb](batch_id, person.name)
        studio.audit.note(person, f"batch.{verb}", batch_id)
    elif verb == "delete":
        person.require(Role.MERCHANDISER)
        studio.batches.delete(batch_id, person.name)
        studio.audit.note(person, "batch.delete", batch_id)
        return Looking()
    return looking


def refresh(studio: Studio, looking: Looking, seen: str, person: Person, say: Say) -> Any:
    """(tables, view, looking, seen) for a tab; nothing of it where it shows that already."""
    batches = studio.batches.page(person.name, limit=MAX_LISTED)
    ids = [batch.id for batch in batches]
    if not looking.batch_id and ids:
        looking = Looking(batch_id=ids[0])
    page = None
    try:
        page = _page(studio, looking, person) if looking.batch_id else None
    except StudioError:  # deleted in another tab
        looking = Looking()
    tables, view = render_list(batches, looking.batch_id, say), render_batch(page, say)
    digest = hashlib.blake2b(f"{tables}\0{view}".encode(), digest_size=16).hexdigest()
    if digest == seen:
        return _NOTHING, _NOTHING, _NOTHING, _NOTHING
    return tables, view, looking, digest


def _page(studio: Studio, looking: Looking, person: Person) -> Page:
    view = studio.batches.view(looking.batch_id, person.name)
    rows = studio.batches.lines(
        looking.batch_id,
        person.name,
        states=None if looking.state is None else (looking.state,),
        after_line=looking.after_line,
        limit=PAGE_ROWS + 1,
    )
    bad = studio.batches.lines(
        looking.batch_id, person.name, states=(RowState.BAD,), limit=PAGE_ROWS
    )
    shown = rows[:PAGE_ROWS]
    return Page(
        view=view,
        state=looking.state,
        is_first=looking.after_line == 0,
        has_more=len(rows) > PAGE_ROWS,
        rows=shown,
        images=studio.batches.images_of(shown),
        prompts={row.line: studio.compose_prompt(row.brief) for row in shown},
        bad=bad,
    )


def _panel(elem_id: str) -> gr.HTML:
    return gr.HTML(elem_id=elem_id, apply_default_css=False, js_on_load=CLICK_TO_EVENT)


def _build(studio: Studio, frame: Frame) -> None:
    bind_catalogue(build_catalogue(studio, frame.timer(REFRESH_SECONDS)), studio, frame)


CATALOGUE = Area(
    id="catalogue",
    title=texts.CATALOGUE,
    build=_build,
    roles=frozenset({Role.MERCHANDISER}),
    looks=("catalogue.css", "catalogue.js"),
)
