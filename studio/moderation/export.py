"""The record of decisions as a file for others: CSV or JSON. It names pictures and shows none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from studio.review import Decision

FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_RISKY = ("=", "+", "-", "@", "\t", "\r")


def export_decisions(decisions: Iterable[Decision], file_format: str) -> str:
    """Every entry in order; `at` also as a time that people read."""
    rows = [
        {
            **decision.to_dict(),
            "time": datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="milliseconds"),
        }
        for decision in decisions
    ]
    if file_format == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    buffer = io.StringIO()
    names = [*Decision.__dataclass_fields__, "time"]
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    for row in rows:
        scores = json.dumps(row["scores"], sort_keys=True)
        writer.writerow({**row, "scores": scores, "note": _inert(str(row["note"]))})
    return buffer.getvalue()


def _inert(text: str) -> str:
    """What somebody typed must be no formula where a spreadsheet opens it."""
    return f"'{text}" if text.startswith(_RISKY) else text
