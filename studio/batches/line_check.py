"""`LineChecker`: what a line of a table must pass before anything is drawn, and its row then.

A line is judged as the form would be, by the same voice; on top of that it needs a SKU of its own.
Pictures go out under the SKU, so it is made safe as a file name here.
"""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from studio.batch import BatchRow, Portion, RowState
from studio.batches.columns import REQUIRED, column_of
from studio.batches.table import MAX_CELL_CHARS, Cells
from studio.brief import Brief
from studio.errors import BadInput
from studio.job import new_id
from studio.presets import Named, Presets
from studio.request import Request
from studio.rows import bare

_T = TypeVar("_T")

MAX_SKU_CHARS = 80
_LABELS = {"sku": "SKU (货号)", "subject": "subject (商品)"}
_UNSAFE = re.compile(r'[\\/:*?"<>|]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_DIVIDERS = re.compile(r"[,;，；、|]")

CheckBrief = Callable[[Brief], Request]
"""The request a brief asks for. Raises `BadInput`."""

FindSketch = Callable[[str], str]
"""The digest under which a sketch file of this name is kept. Raises `BadInput`."""


class LineChecker:
    """Checks the lines of one table, in their order. `work` adds up what the good ones take."""

    def __init__(
        self,
        headers: Cells,
        presets: Presets,
        *,
        check: CheckBrief,
        find_sketch: FindSketch,
    ) -> None:
        """See which column is which.

        Raises:
            BadInput: a column is missing, or there twice.
        """
        self._presets = presets
        self._check = check
        self._find_sketch = find_sketch
        self._columns = [column_of(header) for header in headers]
        named = collections.Counter(filter(None, self._columns))
        missing = [_LABELS[column] for column in REQUIRED if column not in named]
        if missing:
            raise BadInput(f"The table lacks the column {' and '.join(missing)}: add it.")
        for column, count in named.items():
            if count > 1:
                raise BadInput(f"The table has {count} columns for {column}: keep one of them.")
        unknown = [
            header or f"column {index + 1}"
            for index, header in enumerate(headers)
            if self._columns[index] is None
        ]
        shown = ", ".join(header[:40] for header in unknown[:8]) + ("…" if len(unknown) > 8 else "")
        self.notes: tuple[str, ...] = (f"Not used: {shown}.",) if unknown else ()
        self._lines: dict[str, int] = {}
        self._names: set[str] = set()
        self._work: collections.Counter[Request] = collections.Counter()

    @property
    def work(self) -> tuple[Portion, ...]:
        return tuple(
            Portion(request=request, num_images=count) for request, count in self._work.items()
        )

    def row(self, line: int, cells: Cells) -> BatchRow:
        """The row of a line, good or bad."""
        values = {
            column: cell
            for column, cell in zip(self._columns, cells, strict=False)
            if column is not None
        }
        reasons: list[str] = []
        sku = _attempt(reasons, lambda: self._sku(line, values["sku"])) or ""
        num_images = 1
        brief = Brief()
        request = None
        if len(cells) > len(self._columns):
            reasons.append(
                f"The line has {len(cells)} cells under {len(self._columns)} headers: put text "
                "with a separator in it between quotation marks."
            )
        elif any(len(cell) > MAX_CELL_CHARS for cell in cells):
            reasons.append("A cell is far too long: look for a quotation mark that is not closed.")
        else:
            sketch = None
            if values.get("sketch"):
                sketch = _attempt(reasons, lambda: self._find_sketch(values["sketch"]))
            brief = self._brief(values, sketch)
            request = _attempt(reasons, lambda: self._check(brief))
        if request is not None:
            num_images = request.num_images
        if reasons or request is None:
            return BatchRow(
                line=line,
                sku=_shown(values["sku"]),
                stem="",
                brief=Brief(),
                num_images=0,
                job_id=new_id(),
                state=RowState.BAD,
                error=" ".join(reasons),
                cells=tuple(cell[:MAX_CELL_CHARS] for cell in cells[: len(self._columns)]),
            )
        self._work[bare(request)] += num_images
        return BatchRow(
            line=line,
            sku=sku,
            stem=self._stem(sku, num_images),
            brief=brief,
            num_images=num_images,
            job_id=new_id(),
        )

    def _brief(self, values: Mapping[str, str], sketch: str | None) -> Brief:
        return Brief(
            subject=values["subject"],
            material=values.get("material", ""),
            color=values.get("color", ""),
            scene=values.get("scene", ""),
            notes=values.get("notes", ""),
            negative_presets=tuple(self._preset_ids(values.get("preset", ""))),
            size=_id_of(self._presets.sizes, values.get("size", "")),
            quality=_id_of(self._presets.qualities, values.get("quality", "")),
            num_images=values.get("count") or 1,
            seed=values.get("seed") or None,
            sketch=sketch,
        )

    def _preset_ids(self, text: str) -> list[str]:
        """Presets by id or by name; what is neither is left as it is, to be refused."""
        known = {
            name.casefold(): preset.id
            for preset in self._presets.negatives
            for name in (preset.id, preset.en, preset.zh)
        }
        parts = [" ".join(part.split()) for part in _DIVIDERS.split(text)]
        # A preset's own name may have a comma in it.
        whole = known.get(" ".join(text.split()).casefold())
        return [whole] if whole else [known.get(part.casefold(), part) for part in parts if part]

    def _sku(self, line: int, text: str) -> str:
        sku = " ".join(unicodedata.normalize("NFKC", text[: 10 * MAX_SKU_CHARS]).split())
        if not sku:
            raise BadInput("The SKU is empty: give the row one of its own.")
        if len(sku) > MAX_SKU_CHARS or len(text) > 10 * MAX_SKU_CHARS:
            raise BadInput(f"The SKU is too long: shorten it to {MAX_SKU_CHARS} characters.")
        if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in sku):
            raise BadInput("The SKU holds a character that cannot be seen: type it again.")
        if set(sku) <= set("./\\") or ".." in re.split(r"[\\/]", sku):
            raise BadInput(f"The SKU “{_shown(sku)}” is a path and no name: write the SKU alone.")
        first = self._lines.setdefault(sku.casefold(), line)
        if first != line:
            raise BadInput(f"The SKU “{_shown(sku)}” is in line {first} already: use each once.")
        return sku

    def _stem(self, sku: str, num_images: int) -> str:
        """A name no other row's picture has, on any system that tells upper case or does not."""
        stem = _UNSAFE.sub("_", sku).strip(" .") or "_"
        if _RESERVED.fullmatch(stem):
            stem = f"_{stem}"
        for number in range(1, 10**6):
            tried = stem if number == 1 else f"{stem}~{number}"
            names = {tried.casefold()}
            if num_images > 1:
                names = {f"{tried}-{index + 1}".casefold() for index in range(num_images)}
            if not names & self._names:
                self._names |= names
                return tried
        raise AssertionError("a million rows of one name in a table of fewer")


def _id_of(presets: Iterable[Named], text: str) -> str | None:
    """A preset by id, by name in either language, or as it was written."""
    for preset in presets:
        if text.casefold() in (preset.id, preset.en.casefold(), preset.zh):
            return preset.id
    return text or None


def _attempt(reasons: list[str], act: Callable[[], _T]) -> _T | None:
    try:
        return act()
    except BadInput as error:
        reasons.append(str(error))
        return None


def _shown(text: str) -> str:
    """A cell as it may stand in a message: short, and with nothing invisible in it."""
    kept = "".join(each for each in text[:61] if unicodedata.category(each)[0] != "C")
    return f"{kept[:60]}…" if len(text) > 60 else kept
