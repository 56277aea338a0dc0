"""Tables for the tests of batches, as merchandisers' programs write them."""

from __future__ import annotations

import io
import time
from typing import Any

import openpyxl

from studio.application import Studio
from studio.batch import BatchStatus, BatchView
from tests.conftest import WAIT_SECONDS

HEADER = "sku,subject,material,color,scene,notes,preset,size,seed,count"


def table(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *lines)).encode()


def good_lines(number: int, *, start: int = 0) -> list[str]:
    return [f"SKU-{n:04},mug,ceramic,red,,,,,{n}," for n in range(start, start + number)]


def workbook(*rows: tuple[Any, ...]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def wait_for_batch(
    studio: Studio, batch_id: str, status: BatchStatus = BatchStatus.FINISHED, owner: str = "local"
) -> BatchView:
    deadline = time.monotonic() + WAIT_SECONDS
    while (view := studio.batches.view(batch_id, owner)).batch.status is not status:
        assert time.monotonic() < deadline, f"still {view}"
        time.sleep(0.02)
    return view
