"""How batches look: the place to drop a table, the list of tables, and one table with its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from urllib.parse import quote

from studio.batch import Batch, BatchRow, BatchStatus, BatchView, RowState
from studio.batches.table import MAX_FILE_BYTES
from studio.guard import MAX_BODY_BYTES_OF
from studio.image_record import ImageRecord
from studio.ui.markup import button, escape, picture_address, progress_bar
from studio.ui.speech import Phrase, Say, both
from studio.ui.texts import catalogue as texts
from studio.ui.texts import common
from studio.ui.times import about, rounded
from studio.ui.told import told
from studio.verdict import Release

PAGE_ROWS = 50
SHOWN_BAD = 12
SHOWN_PICTURES = 4
ADDRESS = "/api/v1/batches"
"""Where tables go."""

_EXAMPLE = (
    "sku,subject,material,color,scene,notes,preset,size,seed,count\n"
    "CUP-001,mug,ceramic,red,wooden table,soft morning light,no_text,,7,1\n"
    "CUP-002,mug,ceramic,blue,kitchen,,no_text,,,2\n"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A batch with a page of its rows; `bad` are its first bad rows, whatever page it is."""

    view: BatchView
    state: RowState | None
    is_first: bool
    has_more: bool
    rows: Sequence[BatchRow]
    images: dict[str, list[ImageRecord]]
    prompts: dict[int, str]
    bad: Sequence[BatchRow]


def render_drop() -> str:
    """Drawn once: a field for files must not be drawn anew while one is chosen."""
    example = "data:text/csv;charset=utf-8," + quote(_EXAMPLE)
    refusals = "".join(
        f'<template data-says="{name}" data-most="{most}">{both(phrase)}</template>'
        for name, phrase, most in (
            ("table", texts.TABLE_TOO_LARGE, MAX_FILE_BYTES // 2**20),
            ("all", texts.ALL_TOO_LARGE, MAX_BODY_BYTES_OF[ADDRESS] // 2**20 - 1),
            ("lost", common.LOST, ""),
        )
    )
    return (
        '<section class="v-drop" id="catalogue-dropzone">'
        f'<p class="v-title">{both(texts.DROP)}</p>'
        '<input type="file" id="catalogue-file" class="v-file" '
        'accept=".csv,.tsv,.txt,.xlsx,text/csv">'
        '<label for="catalogue-file" class="v-button v-strong" id="catalogue-choose">'
        f"{both(texts.CHOOSE)}</label>"
        '<label for="catalogue-sketches" class="v-label">'
        f"{both(texts.SKETCHES)}</label>"
        '<input type="file" id="catalogue-sketches" class="v-file" multiple '
        'accept="image/png,image/jpeg,image/webp">'
        '<label for="catalogue-sketches" class="v-button">'
        f"{both(texts.CHOOSE_SKETCHES)}</label>"
        '<p class="v-note" id="catalogue-chosen" role="status"></p>'
        f'<p class="v-note">{both(texts.DROP_HINT)} '
        f'<a href="{escape(example)}" download="example.csv">{both(texts.EXAMPLE)}</a></p>'
        f'<p class="v-hint" id="catalogue-checking" hidden>{both(texts.CHECKING)}</p>'
        f'{refusals}<p class="v-message" id="catalogue-message" role="alert" hidden></p></section>'
    )


def render_list(batches: Sequence[Batch], chosen: str, say: Say) -> str:
    heading = f'<h2 class="v-heading">{escape(say(texts.TABLES))}</h2>'
    if not batches:
        return f'{heading}<p class="v-hint">{escape(say(texts.NONE_YET))}</p>'
    entries = "".join(
        f'<li><button type="button" class="v-table" data-act="open" data-id="{batch.id}"'
        f"{' aria-current=true' if batch.id == chosen else ''} "
        f'aria-label="{escape(say(texts.SHOW_TABLE, name=batch.name))}">'
        f'<span class="v-title">{escape(batch.name)}</span>'
        f'<span class="v-note">{escape(say(texts.STATUS[batch.status]))}</span></button></li>'
        for batch in batches
    )
    return f'{heading}<ul class="v-tables">{entries}</ul>'


def render_batch(page: Page | None, say: Say) -> str:
    if page is None:
        return (
            f'<div class="v-mat v-empty"><div><p class="v-lead">{escape(say(texts.EMPTY))}</p>'
            f"<p>{escape(say(texts.EMPTY_HINT))}</p></div></div>"
        )
    batch = page.view.batch
    return (
        f'<article data-batch="{batch.id}" data-status="{batch.status}">'
        f"{_head(page, say)}{_facts(page.view, say)}{_bad(page, say)}{_rows(page, say)}</article>"
    )


def _head(page: Page, say: Say) -> str:
    view, batch = page.view, page.view.batch
    status = say(texts.STATUS[batch.status])
    done, total = view.num_over, view.num_good
    note = " · ".join(batch.notes)
    message = (
        f'<p class="v-message">{escape(told(batch.message, say))}</p>' if batch.message else ""
    )
    is_known = bool(total) and batch.status is not BatchStatus.CHECKING
    bar = progress_bar(done, total, say(texts.OF, done=done, total=total)) if is_known else ""
    return (
        '<div class="v-batch-head"><div>'
        f'<h2 class="v-lead">{escape(batch.name)} '
        f'<span class="v-badge v-{batch.status}">{escape(status)}</span></h2>'
        f'<p class="v-note">{escape(note)}</p></div>'
        f'<div class="v-controls">{_buttons(view, say)}</div></div>{bar}{message}'
    )


def _buttons(view: BatchView, say: Say) -> str:
    batch = view.batch
    parts: list[str] = []

    def add(phrase: Phrase, verb: str, kind: str = "quiet") -> None:
        parts.append(button(say(phrase), verb, id=batch.id, kind=kind))

    if batch.status is BatchStatus.READY and view.num_good:
        add(texts.START, "start", "strong")
    if batch.status is BatchStatus.RUNNING:
        add(texts.PAUSE, "pause")
    if batch.status is BatchStatus.PAUSED:
        add(texts.RESUME, "resume", "strong")
    if batch.status.is_active or batch.status is BatchStatus.CHECKING:
        add(texts.CANCEL, "cancel")
    else:
        is_begun = batch.status is not BatchStatus.READY
        if is_begun and view.num_rows(RowState.FAILED, RowState.CANCELLED):
            add(texts.RETRY, "retry", "strong")
        add(texts.DELETE, "delete")
    if view.num_rows(RowState.SUCCEEDED, RowState.FAILED, RowState.CANCELLED):
        parts.append(_download(batch.id, "results.zip", say(texts.ZIP), "v-strong"))
        parts.append(_download(batch.id, "made.csv", say(texts.CSV)))
    if view.num_rows(RowState.BAD) and batch.status is not BatchStatus.CHECKING:
        parts.append(_download(batch.id, "bad-rows.csv", say(texts.TO_MEND)))
    return "".join(parts)


def _download(batch_id: str, what: str, label: str, kind: str = "v-quiet") -> str:
    address = f"/api/v1/batches/{batch_id}/{what}"
    return f'<a class="v-button {kind}" href="{address}" download>{escape(label)}</a>'


def _facts(view: BatchView, say: Say) -> str:
    total = sum(count for state, count in view.images.items() if state is not RowState.BAD)
    facts = [(texts.GOOD_ROWS, say(texts.OF, done=view.num_over, total=view.num_good))]
    if view.batch.status is BatchStatus.CHECKING:
        facts = [(texts.CHECKED_SO_FAR, f"{view.num_rows():,}")]
    if num_bad := view.num_rows(RowState.BAD):
        facts.append((texts.BAD_ROWS, f"{num_bad:,}"))
    facts.append((texts.PICTURES, f"{total:,}"))
    if view.num_images_left and view.batch.work:
        known = rounded(view.device_seconds, say)
        steps = say(texts.STEPS, number=view.num_steps_left)
        facts.append((texts.DRAWING_TIME, say.joined(known or say(texts.NOT_KNOWN_YET), steps)))
    if view.batch.status is BatchStatus.RUNNING and view.seconds_left is not None:
        facts.append((texts.LEFT, about(view.seconds_left, say)))
    if num_failed := view.num_rows(RowState.FAILED):
        facts.append((texts.FAILED, f"{num_failed:,}"))
    if view.num_held:
        facts.append((texts.HELD, f"{view.num_held:,}"))
    inside = "".join(
        f"<div><dt>{escape(say(name))}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
    )
    return f'<dl class="v-facts">{inside}</dl>'


def _bad(page: Page, say: Say) -> str:
    num_bad = page.view.num_rows(RowState.BAD)
    if not num_bad or page.state is RowState.BAD:
        return ""
    lines = "".join(
        f'<tr><td class="v-number">{row.line}</td><td>{escape(row.sku)}</td>'
        f"<td>{escape(told(row.error, say))}</td></tr>"
        for row in page.bad[:SHOWN_BAD]
    )
    more = num_bad - min(num_bad, SHOWN_BAD)
    rest = f'<p class="v-note">{escape(say(texts.MORE_BAD, number=more))}</p>' if more else ""
    heads = _heads(say, texts.LINE, texts.SKU, texts.REASON)
    return (
        f'<section class="v-bad"><h3 class="v-heading">{escape(say(texts.WHAT_IS_WRONG))}</h3>'
        f'<table class="v-rows">{heads}<tbody>{lines}</tbody></table>{rest}</section>'
    )


def _rows(page: Page, say: Say) -> str:
    filters = "".join(
        _filter(page, state, say)
        for state in (None, *RowState)
        if state is None or page.view.num_rows(state)
    )
    lines = "".join(_row(page, row, say) for row in page.rows)
    heads = _heads(say, texts.LINE, texts.PICTURE, texts.SKU, texts.WHAT, texts.STATE)
    table = f'<table class="v-rows">{heads}<tbody>{lines}</tbody></table>'
    if not page.rows:
        table = f'<p class="v-hint">{escape(say(texts.NO_ROWS))}</p>'
    turns = ""
    if not page.is_first:
        turns += button(say(texts.BACK_TO_TOP), "rows", index=0)
    if page.has_more:
        turns += button(say(texts.NEXT), "rows", index=page.rows[-1].line)
    return (
        f'<div class="v-filters" role="group">{filters}</div>{table}'
        f'<div class="v-controls v-turns">{turns}</div>'
    )


def _filter(page: Page, state: RowState | None, say: Say) -> str:
    word = say(texts.ALL) if state is None else say(texts.ROW_STATES[state])
    number = page.view.num_rows() if state is None else page.view.num_rows(state)
    is_on = "true" if state is page.state else "false"
    return (
        f'<button type="button" class="v-button v-filter" data-act="filter" '
        f'data-id="{state or ""}" aria-pressed="{is_on}">{escape(word)} '
        f'<span class="v-count">{number:,}</span></button>'
    )


def _row(page: Page, row: BatchRow, say: Say) -> str:
    images = page.images.get(row.job_id, [])
    released = [image for image in images if image.release is Release.RELEASED]
    shown = "".join(
        f'<a href="{picture_address(image.id)}" target="_blank" rel="noopener">'
        f'<img class="v-row-picture" src="/thumbs/{image.id}.webp" loading="lazy" '
        f'alt="{escape(row.sku)}"></a>'
        for image in released[:SHOWN_PICTURES]
    )
    if len(released) > SHOWN_PICTURES:
        shown += f'<span class="v-note">+{len(released) - SHOWN_PICTURES}</span>'
    state = say(texts.ROW_STATES[row.state])
    if len(images) > len(released):
        state = say.joined(state, say(texts.HELD))
    why = f'<br><span class="v-note">{escape(told(row.error, say))}</span>' if row.error else ""
    prompt = "" if row.state is RowState.BAD else page.prompts[row.line]
    return (
        f'<tr class="v-row-{row.state}"><td class="v-number">{row.line}</td>'
        f'<td class="v-row-pictures">{shown}</td><td>{escape(row.sku)}</td>'
        f"<td>{escape(prompt)}</td><td>{escape(state)}{why}</td></tr>"
    )


def _heads(say: Say, *phrases: Phrase) -> str:
    cells = "".join(f'<th scope="col">{escape(say(phrase))}</th>' for phrase in phrases)
    return f"<thead><tr>{cells}</tr></thead>"
