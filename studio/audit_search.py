"""The audit as it is asked for and handed out: days and words as typed, entries as CSV or JSON.

Used by the page and by the command line alike. Nothing is built in memory: lines are made as
entries are read.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from studio.audit import Entry
from studio.errors import BadInput

COLUMNS = ("number", "at", "actor", "act", "object", "address", "data")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def conditions(*, actor: str, act: str, text: str, since: str, until: str) -> dict[str, Any]:
    """What was asked for, as `AuditRows.entries` takes it; `until` includes its day.

    Raises:
        BadInput: a day is none.
    """
    return {
        "actor": actor.strip().casefold() or None,
        "act": act.strip() or None,
        "text": text.strip() or None,
        "since": _start_of(since),
        "until": _start_of(until, days_later=1),
    }


def _start_of(day: str, *, days_later: int = 0) -> float | None:
    if not day.strip():
        return None
    try:
        date = datetime.date.fromisoformat(day.strip()) + datetime.timedelta(days=days_later)
        return datetime.datetime.combine(date, datetime.time()).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{day!r} is no day: write it as 2026-11-24.") from error


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """A header and a line for each entry; a cell that a spreadsheet would run is made text."""
    yield _csv_line(COLUMNS)
    for each in entries:
        yield _csv_line([_cell(value) for value in _values(each).values()])


def json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """One JSON array, an entry a line."""
    before = "["
    for each in entries:
        values = _values(each) | {"data": dict(each.data)}
        yield f"{before}\n{json.dumps(values, ensure_ascii=False)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _values(each: Entry) -> dict[str, Any]:
    values = dataclasses.asdict(each) | {
        "at": datetime.datetime.fromtimestamp(each.at, datetime.UTC).isoformat(),
        "data": json.dumps(dict(each.data), ensure_ascii=False),
    }
    return {name: values[name] for name in COLUMNS}


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
