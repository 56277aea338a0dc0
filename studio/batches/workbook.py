"""`read_workbook`: the first sheet of an XLSX file, read row by row.

An XLSX is a zip: what it says it unpacks to is bounded before anything is unpacked, and a zip
cannot unpack to more than it says. Sheets are read row by row; all else is held in memory as a
whole, whatever it is called, and may be much less. Values are taken as they were last shown;
nothing is computed.
"""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from studio.batches.cells import cleaned
from studio.errors import BadInput

MAX_PARTS = 1_000
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_HELD_BYTES = 64 * 2**20
"""Of everything but the sheets: mostly the table of strings."""

_MAX_COLUMNS = 128
_MAX_SHEET_ROWS = 2**20
_DAMAGED = "The workbook is damaged or no XLSX at all: save it again, or as CSV (UTF-8)."
_TYPES, _MAX_TYPES_BYTES = "[Content_Types].xml", 2**20
_SHEETS, _SHEET_TYPE = "xl/worksheets/", "spreadsheetml.worksheet+xml"


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
            if len(infos) > MAX_PARTS or any(info.flag_bits & 1 for info in infos):
                raise BadInput(_DAMAGED)
            if unpacked_bytes > MAX_UNPACKED_BYTES:
                raise BadInput(
                    f"The workbook unpacks to {unpacked_bytes / 2**20:,.0f} MiB, and the studio "
                    f"takes {MAX_UNPACKED_BYTES // 2**20}: split it, or save it as CSV (UTF-8)."
                )
            for info in infos:
                with parts.open(info) as part:
                    if b"<!DOCTYPE" in part.read(2048):  # no XLSX has one; bombs do
                        raise BadInput(_DAMAGED)
            sheets = _sheets(parts)
            held_bytes = sum(info.file_size for info in infos if info.filename not in sheets)
            if held_bytes > MAX_HELD_BYTES:
                raise BadInput(
                    f"The workbook has {held_bytes / 2**20:,.0f} MiB beside its sheets, and the "
                    f"studio takes {MAX_HELD_BYTES // 2**20}: save it as CSV (UTF-8)."
                )
    except BadInput:
        raise
    except Exception as error:  # zips go wrong in as many ways as there are compressions
        raise BadInput(_DAMAGED) from error


def _sheets(parts: zipfile.ZipFile) -> set[str]:
    """The parts that are sheets by what the workbook says of them, and are nothing else besides."""
    info = parts.NameToInfo.get(_TYPES)
    if info is None or info.file_size > _MAX_TYPES_BYTES:
        raise BadInput(_DAMAGED)
    named = [
        (entry.get("PartName", "").removeprefix("/"), entry.get("ContentType", ""))
        for entry in ElementTree.fromstring(parts.read(info))
    ]
    num_named = Counter(name for name, _ in named)
    return {
        name
        for name, kind in named
        if kind.endswith(_SHEET_TYPE) and name.startswith(_SHEETS) and num_named[name] == 1
    }


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
