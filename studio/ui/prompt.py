"""The prompt as it will be sent, its length in tokens, and what there is to say of its words."""

from __future__ import annotations

from studio.application import Studio
from studio.brief import Brief
from studio.compose import is_foreign, keeps_out, unknown_words
from studio.errors import BadBrief, StudioError, UnknownPreset
from studio.ui.markup import escape
from studio.ui.speech import Say
from studio.ui.texts import create as words
from studio.ui.told import told

MAX_KNOWN_SHOWN = 4


def render_prompt(studio: Studio, brief: Brief, say: Say) -> str:
    """The prompt of a form that may be half filled in."""
    prompt = studio.compose_prompt(brief)
    title = escape(say(words.PROMPT))
    if not prompt:
        nothing = escape(say(words.NOTHING_YET))
        return f'<p class="v-label">{title}</p><p class="v-prompt v-hint">{nothing}</p>'
    counted = studio.num_tokens(prompt)
    tokens = say(words.TOKENS, number=counted[0], most=counted[1]) if counted else ""
    is_over = counted is not None and counted[0] > counted[1]
    is_kept_out = keeps_out(brief, studio.presets, studio.card)
    ids = brief.negative_presets if is_kept_out else ()
    presets = [studio.presets.negative(preset) for preset in ids]
    kept_out = ", ".join(preset.negative_prompt for preset in presets if preset)
    label = ""
    if kept_out:
        label = (
            f'<p class="v-kept-out"><span>{escape(say(words.KEEPS_OUT))}</span> '
            f"{escape(kept_out)}</p>"
        )
    hints = "".join(
        f'<p class="v-kept-out">{escape(hint)}</p>' for hint in hints_of(studio, brief, say)
    )
    return (
        f'<p class="v-label">{title}<span class="{"v-over" if is_over else ""}">'
        f'{tokens}</span></p><p class="v-prompt">{escape(prompt)}</p>{label}{hints}'
    )


def hints_of(studio: Studio, brief: Brief, say: Say) -> list[str]:
    """What is worth a word and no fault: words the model never saw, a size it cannot draw, words
    that count for nothing.
    """
    hints = []
    unknown = unknown_words(brief, studio.presets)
    if studio.card.is_closed_world and unknown:
        field = next(iter(unknown))
        terms = getattr(studio.presets.vocabulary, field)[:MAX_KNOWN_SHOWN]
        known = ", ".join(term.of(say.language) for term in terms)
        hints.append(say(words.UNKNOWN_WORDS, words=_quoted(unknown), known=known))
    elif foreign := {name: text for name, text in unknown.items() if is_foreign(text)}:
        hints.append(say(words.FOREIGN_WORDS, words=_quoted(foreign)))
    if brief.negative_presets and not keeps_out(brief, studio.presets, studio.card):
        hints.append(say(words.KEEPS_NOTHING_OUT))
    for preset, height, width in studio.presets.sizes_for(studio.card):
        if preset.id == brief.size and preset.export:
            hints.append(
                say(
                    words.DRAWN_AT,
                    name=preset.of(say.language),
                    export=preset.export.replace("x", " × "),
                    drawn=f"{width} × {height}",
                )
            )
    return hints


def render_message(error: StudioError, say: Say) -> str:
    """The sentence, with the field it is about, which the style sheet then marks."""
    field = error.field if isinstance(error, BadBrief) else ""
    if isinstance(error, UnknownPreset):
        field = "negative_presets"
    return (
        f'<p class="v-message" role="alert" data-field="{escape(field)}">'
        f"{escape(told(error, say))}</p>"
    )


def _quoted(texts: dict[str, str]) -> str:
    return ", ".join(f"“{text}”" for text in texts.values())
