"""One case as a reviewer sees it: the picture, blurred until asked, and all that is beside it."""

from __future__ import annotations

import time

from studio.application import Studio
from studio.moderation.screening import CLASSIFIER
from studio.moderation.service import Case
from studio.moderation_policy import ModerationPolicy
from studio.person import Person
from studio.review import Act, Origin
from studio.ui.describe import SayTerms, described
from studio.ui.markup import escape
from studio.ui.speech import Language, Phrase, Say
from studio.ui.texts import review as texts
from studio.ui.times import rounded

_ORIGINS = {
    Origin.SCREENING: texts.ORIGIN_SCREENING,
    Origin.REPORT: texts.ORIGIN_REPORT,
    Origin.APPEAL: texts.ORIGIN_APPEAL,
}


def render_empty(studio: Studio, person: Person, say: Say, *, lead: Phrase | None = None) -> str:
    """No case is on the desk: what to do about that."""
    num_open = studio.moderation.counts(person).num_open
    words = lead or (texts.TAKE_HINT if num_open else texts.NOTHING_WAITS)
    take = _button(say(texts.TAKE), "take", "", key="n", kind="v-strong")
    return (
        f'<div class="v-mat v-empty v-desk-empty"><div><p class="v-lead" role="status">'
        f"{escape(say(words))}</p>{take if num_open or lead else ''}</div></div>"
    )


def render_case(case: Case, policy: ModerationPolicy, say: SayTerms) -> str:
    """The whole case; the browser keeps which of its looks was asked for last."""
    review = case.review
    address = f"/review/pictures/{review.id}.png"
    picture = (
        f'<div class="v-mat v-case-picture"><img id="case-picture" src="{address}" '
        f'data-address="{address}" alt="{escape(say(texts.PICTURE))}" '
        f'width="{case.image.width}" height="{case.image.height}"></div>'
        f'<div class="v-case-looks">{_look(say(texts.SHOW), "plain", "b")}'
        f"{_look(say(texts.GREY), 'grey', 'g')}</div>"
    )
    return (
        f'<div class="v-case" data-review="{review.id}"><div class="v-case-left">{picture}</div>'
        f'<div class="v-case-side">{_facts(case, policy, say)}{_acts(case, policy, say)}'
        f"</div></div>"
    )


def _facts(case: Case, policy: ModerationPolicy, say: SayTerms) -> str:
    review, history = case.review, case.history
    score = review.scores.get(CLASSIFIER)
    score_words = say(texts.NO_SCORE)
    if score is not None:
        score_words = say(texts.SCORE_WORDS, score=score, hold=policy.bands.hold_from)
    why = say.joined(say(_ORIGINS[review.origin]), review.words)
    owner = say(
        texts.HISTORY,
        released=history.num_released,
        held=history.num_held,
        rejected=history.num_rejected,
        reported=history.num_reported,
    )
    guidance = policy.guidance_zh if say.language is Language.ZH else policy.guidance_en
    rows = [
        (
            texts.BRIEF,
            say.joined(described(case.brief, say), case.brief.notes, case.request.prompt),
        ),
        (texts.WHY, why),
        (texts.SCORE, score_words),
        (texts.WAITED, rounded(max(0.0, time.time() - review.opened_at), say)),
        (texts.OWNER, say.joined(review.owner, owner)),
        (texts.POLICY, guidance),
    ]
    notes = [entry for entry in case.record if entry.note and entry.act is not Act.OPEN]
    if notes:
        words = " / ".join(f"{entry.by}: {entry.note}" for entry in notes)
        rows.append((texts.EARLIER, words))
    short = (texts.SCORE, texts.WAITED)
    inside = "".join(
        f'<div class="{"v-short" if title in short else ""}"><dt>{escape(say(title))}</dt>'
        f"<dd>{escape(value)}</dd></div>"
        for title, value in rows
    )
    return f'<dl class="v-case-facts">{inside}</dl>'


def _acts(case: Case, policy: ModerationPolicy, say: Say) -> str:
    review_id = case.review.id
    note = (
        f'<label class="v-label" for="case-note">{escape(say(texts.NOTE))} <kbd>T</kbd></label>'
        f'<textarea id="case-note" rows="2" maxlength="500"></textarea>'
    )
    twins = ""
    if case.num_twins:
        words = escape(say(texts.TWINS, number=case.num_twins))
        twins = f'<label class="v-twins"><input type="checkbox" id="case-twins"> {words}</label>'
    reasons = "".join(
        _button(
            reason.zh if say.language is Language.ZH else reason.en,
            "reject",
            review_id,
            key=str(place) if place <= 9 else "",
            reason=reason.id,
        )
        for place, reason in enumerate(policy.reasons, start=1)
    )
    others = "".join(
        (
            _button(say(texts.ESCALATE), "escalate", review_id, key="e"),
            _button(say(texts.PASS_ON), "leave", review_id, key="s"),
            _button(say(texts.KEEP_NOTE), "note", review_id),
        )
    )
    approve = _button(say(texts.APPROVE), "approve", review_id, key="a", kind="v-strong")
    return (
        f'<div class="v-case-note">{note}</div>{twins}<div class="v-case-acts">{approve}</div>'
        f'<p class="v-label">{escape(say(texts.REJECT_AS))}</p>'
        f'<div class="v-case-acts v-reasons">{reasons}</div>'
        f'<div class="v-case-acts">{others}</div>'
    )


def _button(
    label: str, act: str, review_id: str, *, key: str = "", reason: str = "", kind: str = ""
) -> str:
    keys = f' data-key="{key}" aria-keyshortcuts="{key.upper()}"' if key else ""
    shown = f" <kbd>{key.upper()}</kbd>" if key else ""
    return (
        f'<button type="button" class="v-button {kind}" data-act="{act}" data-id="{review_id}" '
        f'data-reason="{escape(reason)}"{keys}>{escape(label)}{shown}</button>'
    )


def _look(label: str, look: str, key: str) -> str:
    return (
        f'<button type="button" class="v-button" data-look="{look}" data-key="{key}" '
        f'aria-pressed="false" aria-keyshortcuts="{key.upper()}">{escape(label)} '
        f"<kbd>{key.upper()}</kbd></button>"
    )
