"""`read_table`: a file of a merchandiser's, CSV or XLSX, as headers and lines of text.

What kind it is, is told from its first bytes; encoding and separator from its contents. Everything
is bounded before it is unpacked. This file knows no column by its meaning beyond what tells a
separator; `columns` does.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
from collections.abc import Iterator

from studio.batches.cells import cleaned
from studio.batches.columns import num_known
from studio.batches.workbook import read_workbook
from studio.errors import BadInput

MAX_FILE_BYTES = 32 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 64
MAX_CELL_CHARS = 2_000

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAVE_AS = "save it as CSV (UTF-8) or XLSX"

Cells = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """`lines` are read once, as (line number in the file, cells); `notes` say how it was read."""

    headers: Cells
    lines: Iterator[tuple[int, Cells]]
    notes: tuple[str, ...]


def read_table(content: bytes) -> Table:
    """The table in `content`; lines are read as they are asked for.

    Raises:
        BadInput: it is too big, no table, or has no headers the studio knows. Also while lines are
            read: when there are too many, or the file is damaged further down.
    """
    if len(content) > MAX_FILE_BYTES:
        raise BadInput(
            f"The file is {len(content) / 2**20:.1f} MiB: split it into files of at most "
            f"{MAX_FILE_BYTES // 2**20} MiB."
        )
    if not content.strip():
        raise BadInput("The file is empty: fill in the example that the studio offers.")
    if content.startswith(b"PK"):
        rows, notes = read_workbook(content)
    elif content.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadInput(f"This is a workbook of an old format, or has a password: {_SAVE_AS}.")
    else:
        rows, notes = _read_text(content)
    headers = _headers(rows)
    return Table(headers=headers, lines=_lines(rows, len(headers)), notes=notes)


def _headers(rows: Iterator[tuple[int, Cells]]) -> Cells:
    headers: Cells = next((cells for _, cells in rows if any(cells)), ())
    while headers and not headers[-1]:
        headers = headers[:-1]
    if not num_known(headers):
        raise BadInput(
            "The first line names no column the studio knows: it must say which column is which, "
            "as in “sku,subject,color” or “货号,商品,颜色”."
        )
    if len(headers) > MAX_COLUMNS:
        raise BadInput(f"The table has {len(headers)} columns: keep at most {MAX_COLUMNS}.")
    return headers


def _lines(rows: Iterator[tuple[int, Cells]], num_columns: int) -> Iterator[tuple[int, Cells]]:
    """As many cells in each as there are headers, or more where the line has more."""
    num_rows = 0
    for line, cells in rows:
        if not any(cells):
            continue
        num_rows += 1
        if num_rows > MAX_ROWS:
            raise BadInput(
                f"The table has more than {MAX_ROWS:,} rows: split it into several files."
            )
        while len(cells) > num_columns and not cells[-1]:
            cells = cells[:-1]
        yield line, cells + ("",) * (num_columns - len(cells))


def _read_text(content: bytes) -> tuple[Iterator[tuple[int, Cells]], tuple[str, ...]]:
    text, encoding = _decoded(content)
    if "\0" in text:
        raise BadInput(f"This is no table but a file of another kind: {_SAVE_AS}.")
    if text[:4].casefold() == "sep=":  # Excel's own hint, a line that is no data
        text = "\n" + text.partition("\n")[2]
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(
        _SEPARATORS, key=lambda each: num_known(next(csv.reader([head], delimiter=each)))
    )
    return _csv_rows(text, separator), (f"Read as {encoding} with {_SEPARATORS[separator]}.",)


def _decoded(content: bytes) -> tuple[str, str]:
    """The text, and what its encoding is called."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16")):
        if content.startswith(mark):
            candidates = [encoding]
            break
    else:
        candidates = ["UTF-8", "GB18030"]
    for encoding in candidates:
        try:
            is_utf8 = encoding == "UTF-8"
            text = content.decode("utf-8-sig" if is_utf8 else encoding.lower())
        except UnicodeDecodeError:
            continue
        return text, "Chinese text (GBK)" if encoding == "GB18030" else encoding
    raise BadInput(f"The text is neither UTF-8 nor GBK: {_SAVE_AS}.")


def _csv_rows(text: str, separator: str) -> Iterator[tuple[int, Cells]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    try:
        for cells in reader:
            yield line, cleaned(cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(
            f"The table cannot be read from line {line} on ({error}): look for a quotation mark "
            "that is not closed."
        ) from error
