"""What an owner is shown of a picture that is not to be seen: a placeholder and a sentence."""

from __future__ import annotations

from studio.review import Hidden
from studio.ui.markup import escape
from studio.ui.speech import Language, Phrase, Say
from studio.ui.texts import review as texts
from studio.verdict import DOUBTED, WORDED, Release

PLACEHOLDER = "/placeholders/held.svg"

_HELD = {DOUBTED: texts.HELD_DOUBTED, WORDED: texts.HELD_WORDED}


def render_hidden(hidden: Hidden, say: Say) -> str:
    reason = hidden.reason_zh if say.language is Language.ZH else hidden.reason_en
    words = escape(say(hidden_phrase(hidden), reason=reason))
    return (
        f'<div class="v-hidden"><img class="v-hidden-picture" src="{PLACEHOLDER}" alt="">'
        f'<p class="v-frame-words">{words}</p></div>'
    )


def hidden_phrase(hidden: Hidden) -> Phrase:
    """Which sentence it is."""
    if hidden.release is Release.DELETED:
        return texts.DELETED
    if hidden.origin == "appeal" and hidden.is_waiting:
        return texts.HELD_APPEALED
    if hidden.release is Release.REJECTED:
        if hidden.reason_en:
            return texts.REJECTED_REASON
        return texts.REJECTED_PERSON if hidden.origin else texts.REJECTED_CHECK
    if hidden.origin == "report":
        return texts.HELD_REPORTED
    return _HELD.get(hidden.screening, texts.HELD_UNSCREENED)
