"""Cells of tables as they come in and go out.

What leaves the studio is opened in spreadsheets, which run a cell that begins like a formula. So
such a cell goes out with an apostrophe before it, which is taken off where it comes in again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

BYTE_ORDER_MARK = "\ufeff".encode()
"""At the beginning of a CSV file it tells spreadsheets that the text is UTF-8."""


def cleaned(cells: Iterable[str]) -> tuple[str, ...]:
    """Cells as they are judged: without space around them, and without a guard."""
    return tuple(unguarded(cell.strip()) for cell in cells)


def guarded(text: str) -> str:
    """`text` as a cell that no spreadsheet runs."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def unguarded(text: str) -> str:
    """The inverse of `guarded`, so that a file handed back can be handed in again."""
    return text[1:] if text.startswith("'") and guarded(text[1:]) == text else text


def csv_line(cells: Iterable[object]) -> bytes:
    """One line of a CSV file in UTF-8, its cells guarded."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(
        guarded(cell) if isinstance(cell, str) else ("" if cell is None else cell) for cell in cells
    )
    return buffer.getvalue().encode()
