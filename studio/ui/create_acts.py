"""What is done in the Create area: Generate, the buttons of the cards, sketches and drafts.

Plain functions of a `TabEvent`; `data` is what a button sends, comes from the browser and may be
anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from studio.errors import StudioError
from studio.person import Role
from studio.ui.create_form import edit_again, follow_form, reuse_seed
from studio.ui.draft_view import Drafted, begin_draft, overlaid, with_seed
from studio.ui.live import refresh
from studio.ui.live_panel import TabEvent, Updates
from studio.ui.progress import act
from studio.ui.prompt import render_message
from studio.ui.sketch_pad import why_not
from studio.ui.snapshot import Chosen
from studio.ui.told import refusing
from studio.variants import variants_of


def press_generate(event: TabEvent) -> Updates:
    """Queue what the form holds and show it; or say why not, the form left as it is."""
    panel, message = event.panel, ""
    updates: Updates = {panel.chosen: event.chosen}
    try:
        updates |= _generate(event)
    except StudioError as error:
        message = render_message(error, event.say)
    updates[panel.brief.message] = message
    return updates | refresh(event.having({panel.chosen: updates[panel.chosen]}))


def _generate(event: TabEvent) -> Updates:
    event.person.require(Role.MERCHANDISER)
    panel, studio, owner, drafted = event.panel, event.studio, event.person.name, event.drafted
    brief = with_seed(event.brief, drafted)
    choices = panel.form.choices(event.values)
    studio.drafts.stop(owner)
    if choices.num_variants > 1:
        chosen = Chosen(group_id=studio.groups.submit(variants_of(brief, choices), owner))
    else:
        chosen = Chosen(job_id=studio.submit(brief, owner).id)
    updates: Updates = {panel.chosen: chosen, panel.draft.view: ""}
    if drafted is not None:
        updates[panel.draft.drafted] = dataclasses.replace(drafted, is_new=False)
    return updates


def press_button(event: TabEvent, data: Any) -> Updates:
    """Carry out a button inside a panel.

    Raises:
        gr.Error: the studio refused, with its sentence.
    """
    sent: Mapping[str, Any] = data if isinstance(data, dict) else {}
    verb, job_id = str(sent.get("act", "")), str(sent.get("id", ""))
    index = sent["index"] if isinstance(sent.get("index"), int) else 0
    fill = {"reuse-seed": reuse_seed, "edit-brief": edit_again}.get(verb)
    with refusing(event.say):
        if fill is not None:
            return fill(event, event.studio.job(job_id, event.person.name), index)
        chosen = act(event.studio, verb, job_id, index, event.chosen, person=event.person)
    updates = {event.panel.chosen: chosen, event.panel.draft.view: ""}
    return updates | refresh(event.having(updates))


def take_sketch(event: TabEvent, data: Any) -> Updates:
    """A sketch was handed over: the first one is followed at once, an emptied canvas no more.

    A draft is begun where drafts are wanted. "sketch-again" is of a tab that was away for so long
    that what it had told was forgotten: nothing else is new.
    """
    form = event.panel.form
    sent: Mapping[str, Any] = data if isinstance(data, dict) else {}
    digest = str(sent.get("id", ""))
    was_empty = not event.digest
    updates: Updates = {form.digest: digest}
    if sent.get("act") == "sketch-again":
        return updates | follow_form(event.having(updates))
    if was_empty and digest and not why_not(event.studio):
        updates[form.follows] = True
    elif not was_empty and not digest:
        updates[form.follows] = False
    event = event.having(updates)
    updates |= follow_form(event)
    if event.values.get(form.live) is True:
        updates |= take_draft(event, {})
    return updates


def take_draft(event: TabEvent, data: Any) -> Updates:
    """The form rests: begin a draft of it, unless it is the one on show."""
    if not event.person.has(Role.MERCHANDISER):
        return {}
    drafted = event.drafted or Drafted()
    if isinstance(data, dict) and data.get("act") == "another-draft":
        drafted = Drafted()
    brief = overlaid(event.brief, data)
    drafted, view = begin_draft(event.studio, brief, drafted, event.person.name, event.say)
    updates: Updates = {event.panel.draft.drafted: drafted}
    return updates if view is None else updates | {event.panel.draft.view: view}
