"""What the benches share: the brief they draw, the settings of their options, how they report."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psutil

from studio.brief import Brief
from studio.config import Config
from studio.errors import BadInput, NotReady

if TYPE_CHECKING:
    from studio.application import Studio

BRIEF = Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=1)
TIMEOUT_SECONDS = 600.0

REST_SECONDS, REST_PERCENT = 0.5, 10.0
"""A process that takes less of a core than this for as long is at rest."""

Report = dict[str, float | str | int]


def config_of(options: argparse.Namespace, folder: str) -> Config:
    """The settings a bench runs with; `folder` is its throw-away data folder."""
    return Config.from_environ(
        data_dir=folder,
        model=options.model,
        precision=options.precision,
        backend=getattr(options, "backend", None),
    )


def at_least(lowest: float, option: str, value: float) -> None:
    """Refuse an option below `lowest`.

    Raises:
        BadInput: it is.
    """
    if not value >= lowest:
        raise BadInput(f"{option} must be {lowest:g} or more, not {value:g}.")


def wait_until_at_rest(timeout_seconds: float) -> None:
    """Block until this process does nothing: an idle engine still measures and prepares.

    Raises:
        NotReady: it does not come to rest in time.
    """
    deadline = time.monotonic() + timeout_seconds
    process = psutil.Process()
    process.cpu_percent()  # the first call begins the interval
    while True:
        time.sleep(REST_SECONDS)
        if process.cpu_percent() < REST_PERCENT:
            return
        if time.monotonic() > deadline:
            raise NotReady("The engine does not come to rest: try again later.")


@contextlib.contextmanager
def serving(studio: Studio) -> Iterator[str]:
    """The studio over HTTP on a free port; the address."""
    import uvicorn

    from studio.server import create_app, listen, uvicorn_config

    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn_config(create_app(studio)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def print_report(report: Report) -> int:
    """A line per figure, then all of them as one line of JSON; the exit code."""
    for name, value in report.items():
        print(f"{name:32} {value}")
    print(json.dumps(report))
    return 0


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their longest entry; the first two to the left, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    for row in cells:
        print(
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )


def shown(value: float | None, digits: int = 2) -> str:
    """A figure for a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def shown_against(value: float, *, is_at_most: bool, digits: int = 3) -> str:
    """A figure to stand beside its target, rounded away from it and never towards it."""
    scale = 10**digits
    rounded = math.ceil(value * scale) if is_at_most else math.floor(value * scale)
    return f"{rounded / scale:.{digits}f}"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "num_cores": num_cores(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def num_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2] for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor()


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
