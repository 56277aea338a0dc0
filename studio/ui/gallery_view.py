"""The gallery as HTML: its bars and dialogs once, the details of a picture on request.

The grid itself is filled by `gallery.js`, which asks for what is in sight. What that script says
stands in `data-` attributes here, so that one table holds every phrase.
"""

from __future__ import annotations

import datetime

from studio.job import Job
from studio.loras import as_text
from studio.shelf import Shelved
from studio.ui.describe import SayTerms, described
from studio.ui.markup import escape, joined, picture_address
from studio.ui.speech import Phrase, Say
from studio.ui.texts import common
from studio.ui.texts import gallery as words
from studio.ui.texts.review import REPORT
from studio.ui.told import told

_SCRIPT_WORDS = {
    "picture": words.ONE_PICTURE,
    "pictures": words.PICTURES,
    "chosen": words.CHOSEN,
    "open": words.OPEN,
    "choose": words.CHOOSE,
    "star": words.STAR,
    "unstar": words.UNSTAR,
    "every-collection": words.EVERY_COLLECTION,
    "every-sku": words.EVERY_SKU,
    "delete-one-ask": words.DELETE_ONE_ASK,
    "delete-ask": words.DELETE_ASK,
    "failed": words.FAILED,
    "lost": common.LOST,
    "example": words.EXAMPLE,
    "reported": words.REPORTED,
    "reproducing": words.REPRODUCING,
    "reproduced": words.REPRODUCED,
    "different": words.DIFFERENT,
}


def render_gallery(say: Say) -> str:
    """Everything but the pictures."""
    data = "".join(
        f' data-{name}="{escape(say(phrase))}"' for name, phrase in _SCRIPT_WORDS.items()
    )
    return (
        f'<div class="v-gallery"{data}>{_bar(say)}{_chosen_bar(say)}'
        f'<p class="v-note v-gallery-says" role="status"></p>'
        f'<p class="v-hint v-gallery-examples" hidden>{escape(say(words.EXAMPLES_ONLY))}</p>'
        f'<div class="v-grid-space"><ul class="v-grid" aria-label="{escape(say(words.GRID))}"></ul>'
        f"</div>{_empty(say)}{_dialogs(say)}</div>"
    )


def _bar(say: Say) -> str:
    """Search, collection, SKU, stars, and how many there are."""

    def choice(name: str, phrase: Phrase) -> str:
        title = escape(say(phrase))  # hidden until it is known that there is something to choose
        return f'<select class="v-input" name="{name}" aria-label="{title}" hidden></select>'

    return (
        '<form class="v-gallery-bar" role="search">'
        f'<input class="v-input v-search" type="search" name="text" maxlength="200" '
        f'aria-label="{escape(say(words.SEARCH))}" '
        f'placeholder="{escape(say(words.SEARCH_HINT))}" autocomplete="off">'
        f"{choice('collection', words.COLLECTION)}{choice('sku', words.SKU)}"
        f'<label class="v-check"><input type="checkbox" name="starred">'
        f"{escape(say(words.STARRED_ONLY))}</label>"
        f'<span class="v-gallery-total v-hint" role="status"></span>'
        f'<a class="v-button" data-do="zip-all" download>{escape(say(words.DOWNLOAD_ALL))}</a>'
        "</form>"
    )


def _chosen_bar(say: Say) -> str:
    """What can be done to the selected pictures; shown while there are some."""
    acts = "".join(
        (
            _button("star", words.STAR, say),
            _button("move", words.MOVE, say),
            _button("compare", words.COMPARE, say),
            f'<a class="v-button" data-do="zip" download>{escape(say(words.DOWNLOAD_ZIP))}</a>',
            _button("delete", words.DELETE, say),
            _button("clear", words.CLEAR, say),
        )
    )
    return (
        '<div class="v-chosen-bar" role="toolbar" hidden>'
        f'<span class="v-num-chosen" role="status"></span>{acts}</div>'
    )


def _empty(say: Say) -> str:
    return (
        '<div class="v-mat v-empty v-gallery-empty" hidden><div>'
        f'<p class="v-lead">{escape(say(words.EMPTY))}</p>'
        f"<p>{escape(say(words.EMPTY_HOW))}</p>"
        f'<p><a class="v-button v-strong" href="#create">{escape(say(words.EMPTY_GO))}</a></p>'
        "</div></div>"
        '<div class="v-mat v-empty v-gallery-none" hidden><div>'
        f'<p class="v-lead">{escape(say(words.NOTHING_FOUND))}</p>'
        f"<p>{escape(say(words.NOTHING_FOUND_HOW))}</p></div></div>"
    )


def _dialogs(say: Say) -> str:
    """One picture, two pictures, the name of a collection, and the question before deleting."""
    close = escape(say(common.CLOSE))
    cancel, save = escape(say(words.CANCEL)), escape(say(words.SAVE))
    return (
        f'<dialog class="v-dialog v-lightbox" aria-label="{escape(say(words.PICTURE))}">'
        '<div class="v-dialog-head"><div class="v-controls">'
        f"{_button('previous', words.PREVIOUS, say)}{_button('next', words.NEXT, say)}</div>"
        f'<form method="dialog"><button class="v-button">{close}</button></form></div>'
        '<div class="v-details"></div></dialog>'
        f'<dialog class="v-dialog v-compare" aria-label="{escape(say(words.COMPARE))}">'
        f'<div class="v-dialog-head"><h2>{escape(say(words.COMPARE))}</h2>'
        f'<form method="dialog"><button class="v-button">{close}</button></form></div>'
        '<div class="v-compare-stage"><img class="v-second" alt=""><img class="v-first" alt="">'
        '<span class="v-divider"></span></div>'
        f'<input type="range" min="0" max="100" value="50" step="1" '
        f'aria-label="{escape(say(words.DIVIDER))}">'
        '<div class="v-compare-names"><span class="v-first-name"></span>'
        '<span class="v-second-name"></span></div></dialog>'
        f'<dialog class="v-dialog v-move" aria-label="{escape(say(words.MOVE))}">'
        f'<form method="dialog"><label>{escape(say(words.MOVE_ASK))}'
        '<input class="v-input" name="collection" maxlength="60" list="v-collections" '
        'autocomplete="off"></label><datalist id="v-collections"></datalist>'
        f'<div class="v-controls"><button class="v-button" value="" formnovalidate>{cancel}'
        f'</button><button class="v-button v-strong" value="save">{save}</button></div></form>'
        "</dialog>"
        f'<dialog class="v-dialog v-delete" aria-label="{escape(say(words.DELETE))}">'
        '<form method="dialog"><p class="v-delete-ask"></p><div class="v-controls">'
        f'<button class="v-button" value="">{cancel}</button>'
        f'<button class="v-button v-strong" value="delete">{escape(say(words.DELETE))}</button>'
        "</div></form></dialog>"
    )


def render_details(item: Shelved, job: Job, say: SayTerms) -> str:
    """A picture, large, with everything that is recorded of it and what can be done."""
    image, request = item.image, job.request
    title = described(item.brief, say) or request.prompt
    facts = {
        words.PROMPT: request.prompt,
        words.NEGATIVE: request.negative_prompt,
        words.NOTES: item.brief.notes,
        words.SEED: str(image.seed),
        words.SIZE: f"{image.width} × {image.height}",
        words.STEPS: str(request.num_steps),
        words.GUIDANCE: f"{request.guidance_scale:g}",
        words.SAMPLER: request.sampler,
        words.CONTROL: f"{request.control.conditioning_scale:g}" if request.control else "",
        words.LORAS: ", ".join(as_text(lora) for lora in request.loras),
        words.MODEL: joined(image.model_name, image.model_digest[:10]),
        words.BACKEND: joined(image.backend, image.precision),
        words.SCREENING: told(image.screening, say),
        words.TIME: say(common.SECONDS, number=f"{image.seconds:.1f}"),
        words.MADE: _moment(image.created_at),
        words.ID: image.id,
        words.DIGEST: image.digest,
    }
    rows = "".join(
        f"<div><dt>{escape(say(name))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    star = words.UNSTAR if item.is_starred else words.STAR
    example = f'<p class="v-note">{escape(say(words.EXAMPLE_TOLD))}</p>' if item.is_example else ""
    return (
        f'<div class="v-details-picture"><img src="{picture_address(image.id)}" '
        f'alt="{escape(title)}" width="{image.width}" height="{image.height}"></div>'
        f'<div class="v-details-words"><h2 class="v-title">{escape(title)}</h2>{example}'
        '<div class="v-controls">'
        f"{_button('start', words.USE_AS_START, say, kind='strong')}"
        f'<a class="v-button" href="{picture_address(image.id, is_download=True)}" download>'
        f"{escape(say(words.DOWNLOAD))}</a>"
        f"{_button('star-one', star, say, pressed=item.is_starred)}"
        f"{_button('reproduce', words.REPRODUCE, say)}{_button('report-one', REPORT, say)}"
        f"{_button('delete-one', words.DELETE, say)}"
        '</div><p class="v-note v-reproduced" role="status"></p>'
        f'<form class="v-place">{_place("collection", words.COLLECTION, item.collection, say)}'
        f"{_place('sku', words.SKU, item.sku, say)}"
        f'<button class="v-button">{escape(say(words.SAVE))}</button></form>'
        f'<dl class="v-facts v-facts-list">{rows}</dl></div>'
    )


def _place(name: str, phrase: Phrase, value: str, say: Say) -> str:
    known = ' list="v-collections"' if name == "collection" else ""
    return (
        f'<label>{escape(say(phrase))}<input class="v-input" name="{name}" maxlength="60" '
        f'value="{escape(value)}" autocomplete="off"{known}></label>'
    )


def _button(
    act: str, phrase: Phrase, say: Say, *, kind: str = "quiet", pressed: bool | None = None
) -> str:
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    return (
        f'<button type="button" class="v-button v-{kind}" data-do="{act}"{state}>'
        f"{escape(say(phrase))}</button>"
    )


def _moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")
