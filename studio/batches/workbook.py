"""`read_workbook`: the first sheet of an XLSX file, read row by row.

An XLSX is a zip: what it says it unpacks to is bounded before anything is unpacked, and a zip
cannot unpack to more than it says. Values are taken as they were last shown; nothing is computed.
"""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

from studio.batches.cells import cleaned
from studio.errors import BadInput

MAX_PARTS = 1_000
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_STRINGS_BYTES = 64 * 2**20
"""Of the table of strings, which is held in memory as a whole."""

_MAX_COLUMNS = 128
_MAX_SHEET_ROWS = 2**20
_DAMAGED = "The workbook is damaged or no XLSX at all: save it again, or as CSV (UTF-8)."


def read_workbook(content: bytes) -> tuple[Iterator[tuple[int, tuple[str, ...]]], tuple[str, ...]]:
    """(row number, cells) of the first sheet, and a note on which it was.

    Raises:
        BadInput: it is damaged, or unpacks to more than the studio takes. Also while rows are read.
    """
    _check_size(content)
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that do not matter for the cells
            book = openpyxl.load_workbook(
                io.BytesIO(content), read_only=True, data_only=True, keep_links=False
            )
        sheet: Any = book.worksheets[0]
        sheet.reset_dimensions()  # what the file says of its size may be wrong
    except BadInput:
        raise
    except Exception as error:  # whatever a library meets in a damaged file
        raise BadInput(_DAMAGED) from error
    return _rows(sheet), (f"Read from the sheet “{str(sheet.title)[:60]}”.",)


def _check_size(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            infos = parts.infolist()
            unpacked_bytes = sum(info.file_size for info in infos)
            strings_bytes = sum(i.file_size for i in infos if "sharedstrings" in i.filename.lower())
            if len(infos) > MAX_PARTS or any(info.flag_bits & 1 for info in infos):
                raise BadInput(_DAMAGED)
            if unpacked_bytes > MAX_UNPACKED_BYTES or strings_bytes > MAX_STRINGS_BYTES:
                raise BadInput(
                    f"The workbook unpacks to {unpacked_bytes / 2**20:,.0f} MiB, and the studio "
                    f"takes {MAX_UNPACKED_BYTES // 2**20}: split it, or save it as CSV (UTF-8)."
                )
            for info in infos:
                if info.filename.lower().endswith((".xml", ".rels")):
                    with parts.open(info) as part:
                        if b"<!DOCTYPE" in part.read(2048):  # no XLSX has one; bombs do
                            raise BadInput(_DAMAGED)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        raise BadInput(_DAMAGED) from error


def _rows(sheet: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    try:
        rows = sheet.iter_rows(max_col=_MAX_COLUMNS, max_row=_MAX_SHEET_ROWS, values_only=True)
        for number, cells in enumerate(rows, start=1):
            yield number, cleaned(_text(cell) for cell in cells)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(_DAMAGED) from error


def _text(value: object) -> str:
    """A cell as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return str(value)
