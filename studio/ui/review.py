"""Review: the queue of cases, for reviewers. A case at a time, decided by keyboard alone.

The picture comes from the studio's own route, blurred until asked; no Gradio component ever holds
it. What a tab remembers is which case it shows and what it decided last; whether the case is still
its reviewer's is the queue's to say at each step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.errors import NotFound
from studio.moderation.plot import curve_svg
from studio.moderation.service import Case
from studio.person import Person, Role
from studio.ui.area import Area, Frame, Shortcut
from studio.ui.describe import SayTerms
from studio.ui.markup import escape
from studio.ui.review_case import render_case, render_empty
from studio.ui.speech import Say, say_for
from studio.ui.texts import review as texts
from studio.ui.times import rounded
from studio.ui.told import refusing
from studio.who import person_of

TICK_SECONDS = 2.0

CASE_TO_EVENT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.disabled) return;
  trigger("click", {
    act: button.dataset.act,
    id: button.dataset.id || "",
    reason: button.dataset.reason || "",
    note: element.querySelector("#case-note")?.value || "",
    twins: Boolean(element.querySelector("#case-twins")?.checked),
  });
});
"""


@dataclasses.dataclass(frozen=True)
class Desk:
    """What one tab shows: the case, and the last decision while it can be undone."""

    review_id: str = ""
    decided_id: str = ""
    is_approved: bool = False
    due_at: float = 0.0


@dataclasses.dataclass(frozen=True)
class ReviewPanel:
    counts: gr.HTML
    case: gr.HTML
    curve: gr.HTML
    timer: gr.Timer
    desk: gr.State
    seen: gr.State


def build_review(studio: Studio, frame: Frame) -> ReviewPanel:
    with gr.Column(elem_id="review"):
        return ReviewPanel(
            counts=gr.HTML(
                elem_id="review-counts", apply_default_css=False, js_on_load=CASE_TO_EVENT
            ),
            case=gr.HTML(elem_id="review-case", apply_default_css=False, js_on_load=CASE_TO_EVENT),
            curve=gr.HTML(elem_id="review-curve", apply_default_css=False),
            timer=frame.timer(TICK_SECONDS),
            desk=gr.State(Desk()),
            seen=gr.State(""),
        )


def bind_review(panel: ReviewPanel, studio: Studio, frame: Frame) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def tick(desk: Desk, seen: str, request: gr.Request) -> Any:
        person, say = person_of(request), say_for(request)
        if not person.has(Role.REVIEWER):
            return gr.skip()
        updates: dict[Any, Any] = {}
        if desk.review_id and not studio.moderation.keep(person, desk.review_id):
            desk = dataclasses.replace(desk, review_id="")
            updates[panel.case] = render_empty(studio, person, say, lead=texts.LOST)
            updates[panel.desk] = desk
        counts = render_counts(studio, person, desk, say)
        digest = hashlib.blake2b(counts.encode(), digest_size=16).hexdigest()
        if digest != seen:
            updates |= {panel.counts: counts, panel.seen: digest}
        return updates or gr.skip()

    def show(desk: Desk, request: gr.Request) -> Any:
        person, say = person_of(request), say_for(request)
        if not person.has(Role.REVIEWER):
            return gr.skip()
        desk, case = drawn(studio, person, desk, say)
        return {
            panel.counts: render_counts(studio, person, desk, say),
            panel.case: case,
            panel.curve: render_curve(studio, person, say),
            panel.desk: desk,
        }

    def press(desk: Desk, event: gr.EventData, request: gr.Request) -> Any:
        person, say = person_of(request), say_for(request)
        with refusing(say):
            desk = act(studio, person, desk, event._data)
        desk, case = drawn(studio, person, desk, say)
        counts = render_counts(studio, person, desk, say)
        return {panel.counts: counts, panel.case: case, panel.desk: desk}

    panel.timer.tick(
        tick,
        inputs=[panel.desk, panel.seen],
        outputs=[panel.counts, panel.case, panel.desk, panel.seen],
        queue=False,
        **quiet,
    )
    for event in (frame.on_show, frame.on_speak):
        event(
            show,
            inputs=[panel.desk],
            outputs=[panel.counts, panel.case, panel.curve, panel.desk],
            queue=False,
            **quiet,
        )
    for part in (panel.case, panel.counts):
        part.click(
            press,
            inputs=[panel.desk],
            outputs=[panel.counts, panel.case, panel.desk],
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )


def act(studio: Studio, person: Person, desk: Desk, data: Any) -> Desk:
    """Carry out a button; `data` comes from the browser and may be anything.

    Raises:
        StudioError: it is not the person's to do, or not now.
    """
    person.require(Role.REVIEWER)
    sent = data if isinstance(data, dict) else {}
    verb, review_id, note = (str(sent.get(name, "")) for name in ("act", "id", "note"))
    moderation, twins = studio.moderation, sent.get("twins") is True
    if verb == "undo":
        return Desk(review_id=moderation.undo(person, review_id).review.id)
    if verb == "note":
        moderation.note(person, review_id, note)
        return desk
    due_at, decided = time.time() + moderation.policy.undo_seconds, ""
    if verb == "approve":
        decided = moderation.approve(person, review_id, note=note, with_twins=twins)[0]
    elif verb == "reject":
        reason = str(sent.get("reason", ""))
        decided = moderation.reject(person, review_id, reason, note=note, with_twins=twins)[0]
    elif verb == "escalate":
        moderation.escalate(person, review_id, note=note)
    elif verb == "leave":
        moderation.leave(person, review_id)
    elif verb != "take":
        raise NotFound("There is no such button: reload the page.")
    case = moderation.take(person)
    taken = case.review.id if case else ""
    if decided:
        return Desk(
            review_id=taken, decided_id=decided, is_approved=verb == "approve", due_at=due_at
        )
    return dataclasses.replace(desk, review_id=taken)


def drawn(studio: Studio, person: Person, desk: Desk, say: Say) -> tuple[Desk, str]:
    """The case on the desk as HTML; an empty desk where it is the person's no more."""
    case: Case | None = None
    if desk.review_id:
        try:
            case = studio.moderation.case(person, desk.review_id)
        except NotFound:
            desk = dataclasses.replace(desk, review_id="")
    if case is None:
        return desk, render_empty(studio, person, say)
    terms = SayTerms(say.language, vocabulary=studio.presets.vocabulary)
    return desk, render_case(case, studio.moderation.policy, terms)


def render_counts(studio: Studio, person: Person, desk: Desk, say: Say) -> str:
    """How long the queue is and how old, and the last decision while it can be undone."""
    counts = studio.moderation.counts(person)
    parts = [say(texts.OPEN, number=counts.num_open)]
    for phrase, number in (
        (texts.LEASED, counts.num_leased),
        (texts.ESCALATED, counts.num_escalated),
    ):
        if number:
            parts.append(say(phrase, number=number))
    if counts.oldest_seconds is not None:
        parts.append(say(texts.OLDEST, span=rounded(counts.oldest_seconds, say)))
    parts.append(say(texts.DECIDED, number=counts.num_decided_today))
    line = escape(say.joined(*parts))
    if counts.num_overdue:
        overdue = escape(say(texts.OVERDUE, number=counts.num_overdue))
        line = f'<strong class="v-late">{overdue}</strong> · {line}'
    links = " ".join(
        f'<a class="v-link" href="/review/decisions.{kind}" download>{kind.upper()}</a>'
        for kind in ("csv", "json")
    )
    return (
        f'<div class="v-review-bar"><p class="v-note">{line}</p>{_undo(desk, say)}'
        f'<p class="v-note">{escape(say(texts.EXPORT))} {links}</p></div>'
    )


def _undo(desk: Desk, say: Say) -> str:
    seconds = desk.due_at - time.time()
    if not desk.decided_id or seconds <= 0:
        return ""
    phrase = texts.APPROVED if desk.is_approved else texts.REJECTED
    return (
        f'<p class="v-undo" role="status">{escape(say(phrase, span=rounded(seconds, say)))} '
        f'<button type="button" class="v-button" data-act="undo" data-id="{desk.decided_id}" '
        f'data-key="u" aria-keyshortcuts="U">{escape(say(texts.UNDO))} <kbd>U</kbd></button></p>'
    )


def render_curve(studio: Studio, person: Person, say: Say) -> str:
    points, num_judged = studio.moderation.curve(person)
    if not num_judged:
        return ""
    hold_from = studio.moderation.policy.bands.hold_from
    svg = curve_svg(points, hold_from=hold_from, num_judged=num_judged)
    title = escape(say(texts.CURVE))
    return f'<details class="v-curve"><summary>{title}</summary>{svg}</details>'


def _count(studio: Studio, person: Person) -> int:
    return studio.moderation.counts(person).num_open


def _build(studio: Studio, frame: Frame) -> None:
    bind_review(build_review(studio, frame), studio, frame)


_SHORTCUTS: tuple[tuple[str, Any], ...] = (
    ("N", texts.TAKE),
    ("B", texts.SHOW),
    ("G", texts.GREY),
    ("A", texts.APPROVE),
    ("1 … 9", texts.REJECT_AS),
    ("E", texts.ESCALATE),
    ("S", texts.PASS_ON),
    ("T", texts.WRITE_NOTE),
    ("U", texts.UNDO),
)

REVIEW = Area(
    id="review",
    title=texts.REVIEW,
    build=_build,
    roles=frozenset({Role.REVIEWER}),
    looks=("review.css", "review.js"),
    shortcuts=tuple(Shortcut(keys=keys, does=phrase) for keys, phrase in _SHORTCUTS),
    count=_count,
)
