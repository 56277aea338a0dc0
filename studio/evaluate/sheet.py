"""The picture report: one tall PNG that shows what the figures say, the failures first.

    figures · worst failures · nearest training pictures · sketches · confusion

Knows pixels and places; what is shown was chosen elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from studio.evaluate.match import worst
from studio.evaluate.measure import Drawn, Evaluation, Pair
from studio.evaluate.report import Row, head, rows
from studio.evaluate.sketched import Sketched
from studio.events import Pixels
from studio.presets import FIELDS

WIDTH, MARGIN, GAP, CELL = 1200, 32, 16, 176
PAPER, INK, FAINT, WRONG = (250, 250, 249), (38, 38, 38), (120, 120, 120), (176, 42, 36)
ACCENT = (37, 84, 160)
NUM_FAILURES, NUM_SKETCHES = 18, 9
LINE = 22

Section = Image.Image


def build_sheet(evaluation: Evaluation) -> Image.Image:
    """The report of one model."""
    figures, drawn = evaluation.figures, evaluation.drawn
    sections = [table("Figures", head(figures), list(rows(figures))), _failures(drawn)]
    for by, title in (
        ("features", "Nearest training pictures, by features"),
        ("pixels", "Nearest training pictures, by pixels"),
    ):
        if pairs := [pair for pair in evaluation.pairs if pair.by == by]:
            sections.append(_pairs(title, pairs, drawn))
    if evaluation.sketched:
        sections.append(_sketches(evaluation.sketched))
    sections.append(_confusion(figures["confusion"]))
    return stack(sections)


def stack(sections: Sequence[Section]) -> Image.Image:
    """Sections one below the other on one sheet."""
    height = sum(section.height for section in sections) + GAP * (len(sections) + 1)
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    y = GAP
    for section in sections:
        sheet.paste(section, (0, y))
        y += section.height + GAP
    return sheet


def grid(
    title: str,
    note: str,
    pictures: Sequence[Pixels],
    captions: Sequence[Sequence[tuple[str, bool]]],
) -> Section:
    """Labelled pictures; a caption's lines are marked where they are wrong."""
    columns = (WIDTH - 2 * MARGIN + GAP) // (CELL + GAP)
    num_lines = max((len(lines) for lines in captions), default=0)
    row_height = CELL + 6 + 16 * num_lines + GAP
    num_rows = -(-len(pictures) // columns)
    section, pen, top = _section(title, note, num_rows * row_height)
    for index, (pixels, lines) in enumerate(zip(pictures, captions, strict=True)):
        x = MARGIN + index % columns * (CELL + GAP)
        y = top + index // columns * row_height
        section.paste(_fitted(pixels), (x, y))
        for number, (text, is_wrong) in enumerate(lines):
            at = (x, y + CELL + 6 + 16 * number)
            pen.text(at, _cut(text, CELL, 13), WRONG if is_wrong else FAINT, _font(13))
    return section


def table(title: str, note: str, lines: Sequence[Row]) -> Section:
    """Measure, value and what it is held against, in three columns."""
    section, pen, top = _section(title, note, LINE * len(lines) + GAP)
    widest = max((_font(15).getlength(second) for _, second, _ in lines), default=0)
    third_at = MARGIN + 400 + int(widest) + GAP
    for index, (first, second, third) in enumerate(lines):
        y = top + index * LINE
        pen.text((MARGIN, y), _cut(first, 390, 15), INK, _font(15))
        pen.text((MARGIN + 400, y), second, ACCENT, _font(15))
        pen.text((third_at, y), _cut(third, WIDTH - MARGIN - third_at, 15), FAINT, _font(15))
    return section


def _failures(drawn: Drawn) -> Section:
    chosen = worst(drawn.readings, drawn.wanted, NUM_FAILURES)
    num_failed = len(worst(drawn.readings, drawn.wanted, len(drawn.tasks)))
    note = f"{num_failed} of {len(drawn.tasks)} pictures miss a field; most fields wrong first."
    captions = [
        [
            (asked if asked == seen else f"{asked}, seen {seen}", asked != seen)
            for asked, seen in zip(
                drawn.tasks[index].labels, drawn.readings.labels[index], strict=True
            )
        ]
        for index in chosen
    ]
    return grid("Worst failures", note, [drawn.pictures[index] for index in chosen], captions)


def _pairs(title: str, pairs: Sequence[Pair], drawn: Drawn) -> Section:
    pictures: list[Pixels] = []
    captions: list[list[tuple[str, bool]]] = []
    for pair in pairs:
        pictures.append(drawn.pictures[pair.index])
        captions.append([(f"drawn, {pair.distance:.3f} away", False)])
        with Image.open(pair.training) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
        captions.append([(f"training {pair.training.stem}", False)])
    return grid(
        title, "Drawn pictures with the training picture nearest to each.", pictures, captions
    )


def _sketches(sketched: Sequence[Sketched]) -> Section:
    sorts = list(dict.fromkeys(one.sort for one in sketched))
    by_sort = {sort: [one for one in sketched if one.sort == sort] for sort in sorts}
    chosen: list[Sketched] = []
    while len(chosen) < min(NUM_SKETCHES, len(sketched)):
        for group in by_sort.values():
            if group and len(chosen) < NUM_SKETCHES:
                # The worst of each sort comes first.
                group.sort(key=lambda one: one.adherence(is_controlled=True).f1)
                chosen.append(group.pop(0))
    pictures: list[Pixels] = []
    captions: list[list[tuple[str, bool]]] = []
    for one in chosen:
        lines = np.repeat((~one.edges)[:, :, None], 3, axis=2).astype(np.uint8) * 255
        pictures += [lines, one.with_control, one.without]
        for text, controlled in (("followed", True), ("not shown", False)):
            f1 = one.adherence(is_controlled=controlled).f1
            captions.append([(f"{text}: F1 {f1:.2f}", False)])
        captions.insert(-2, [(f"{one.labels.subject}, {one.sort}", False)])
    note = "The sketch, the picture drawn after it, and the same seed without; worst of each sort."
    return grid("Sketches", note, pictures, captions)


def _confusion(table: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Section:
    side, label = 24, 96
    blocks = []
    for field in FIELDS:
        asked = list(table[field])
        seen = sorted({name for counts in table[field].values() for name in counts} | set(asked))
        blocks.append((field, asked, seen))
    half = (WIDTH - 2 * MARGIN) // 2
    heights = [label + side * len(asked) + LINE + GAP for _, asked, _ in blocks]
    row_heights = [max(heights[0:2]), max(heights[2:4])]
    note = "Rows are what was asked, columns what the classifier saw; shares of a row."
    section, pen, top = _section("Confusion", note, sum(row_heights))
    for index, (field, asked, seen) in enumerate(blocks):
        x = MARGIN + index % 2 * half
        y = top + (row_heights[0] if index >= 2 else 0)
        pen.text((x, y), field, INK, _font(15))
        left, first = x + label, y + LINE + label - GAP
        for column, name in enumerate(seen):
            _upright(section, name, left + column * side, first - 4)
        for row, name in enumerate(asked):
            counts = table[field][name]
            total = sum(counts.values())
            at = (x, first + row * side + 4)
            pen.text(at, _cut(name, label - 8, 13), FAINT, _font(13))
            for column, other in enumerate(seen):
                _cell(
                    pen,
                    left + column * side,
                    first + row * side,
                    counts.get(other, 0),
                    total,
                    name == other,
                )
    return section


def _cell(pen: ImageDraw.ImageDraw, x: int, y: int, num: int, total: int, is_right: bool) -> None:
    share = num / total if total else 0
    shade = np.array(ACCENT if is_right else WRONG)
    fill = tuple((np.array((255, 255, 255)) * (1 - share) + shade * share).astype(int).tolist())
    pen.rectangle((x, y, x + 22, y + 22), fill=fill, outline=(225, 225, 223))
    if num:
        color = (255, 255, 255) if share > 0.5 else INK
        pen.text((x + 11, y + 11), str(num), color, _font(11), anchor="mm")


def _upright(section: Section, text: str, x: int, bottom: int) -> None:
    """Text that reads upwards, for a narrow column."""
    text = _cut(text, 84, 13)
    strip = Image.new("RGB", (84, 18), PAPER)
    ImageDraw.Draw(strip).text((0, 1), text, FAINT, _font(13))
    section.paste(strip.rotate(90, expand=True), (x + 3, bottom - 84))


def _section(title: str, note: str, height: int) -> tuple[Section, ImageDraw.ImageDraw, int]:
    top = 62
    section = Image.new("RGB", (WIDTH, top + height), PAPER)
    pen = ImageDraw.Draw(section)
    pen.text((MARGIN, 4), title, INK, _font(24))
    pen.text((MARGIN, 34), _cut(note, WIDTH - 2 * MARGIN, 15), FAINT, _font(15))
    return section, pen, top


def _fitted(pixels: Pixels) -> Image.Image:
    """A picture within a cell, its shape kept, in the middle."""
    picture = Image.fromarray(pixels)
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    cell = Image.new("RGB", (CELL, CELL), PAPER)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    cell.paste(small, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def _cut(text: str, width: int, size: int) -> str:
    """As much of a text as fits, with an ellipsis where it does not."""
    measure: Callable[[str], float] = _font(size).getlength
    if measure(text) <= width:
        return text
    while text and measure(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
