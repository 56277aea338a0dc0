"""What the studio's telemetry says of cards against what `nvidia-smi` says at the same time."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from studio.readings import GpuReading
from studio.telemetry import Telemetry

INTERVAL_SECONDS = 1.0
SMI_TIMEOUT_SECONDS = 20.0

Values = Mapping[str, float]
Watched = list[tuple[Values, Values]]
"""Pairs of one card at one moment: ours, theirs."""

OURS: Mapping[str, Callable[[GpuReading], float | None]] = {
    "utilization.gpu": lambda card: _times(card.utilization, 100),
    "memory.used": lambda card: _times(card.memory_used_bytes, 1 / 2**20),
    "memory.total": lambda card: _times(card.memory_total_bytes, 1 / 2**20),
    "temperature.gpu": lambda card: card.temperature,
    "power.draw": lambda card: card.power_watts,
    "clocks.sm": lambda card: _times(card.sm_clock_hertz, 1e-6),
    "clocks.mem": lambda card: _times(card.memory_clock_hertz, 1e-6),
}
"""Their names, and our values in their units: percent, MiB, °C, watts, MHz."""


@contextlib.contextmanager
def watching(interval_seconds: float = INTERVAL_SECONDS) -> Iterator[Watched]:
    """Both are asked again and again, in a thread, while this is open; the pairs so far."""
    watched: Watched = []
    program = shutil.which("nvidia-smi")
    if program is None:
        yield watched
        return
    is_over = threading.Event()

    def watch() -> None:
        telemetry = Telemetry()
        telemetry.read()  # some values are of the time between two looks
        try:
            while not is_over.wait(interval_seconds):
                watched.extend(_pairs(program, telemetry))
        finally:
            telemetry.close()

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        is_over.set()
        thread.join()


def compare(watched: Sequence[tuple[Values, Values]]) -> dict[str, Any]:
    """By field, how far ours are from theirs: the median, the largest; and of how many looks."""
    if not watched:
        is_there = shutil.which("nvidia-smi") is not None
        return {"reason": "no card was seen" if is_there else "there is no nvidia-smi here"}
    report: dict[str, Any] = {"num_looks": len(watched)}
    for name in OURS:
        apart = [abs(a[name] - b[name]) for a, b in watched if name in a and name in b]
        if apart:
            report[name] = {
                "theirs": statistics.median(
                    theirs[name] for _, theirs in watched if name in theirs
                ),
                "median_difference": statistics.median(apart),
                "largest_difference": max(apart),
            }
        else:
            report[name] = "not given by both"
    return report


def _pairs(program: str, telemetry: Telemetry) -> Watched:
    """One look of both, by card."""
    fields = ",".join(("uuid", *OURS))
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        cards = telemetry.read().gpus  # while the other is at it
        try:
            output, _ = process.communicate(timeout=SMI_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return []
    theirs = read_smi(output)
    return [
        (ours_of(card), theirs[card.uuid])
        for card in cards
        if card.uuid in theirs and not card.is_lost
    ]


def ours_of(card: GpuReading) -> Values:
    """What we say of a card, in their names and units."""
    values = {name: read(card) for name, read in OURS.items()}
    return {name: value for name, value in values.items() if value is not None}


def read_smi(output: str) -> dict[str, Values]:
    """By UUID, the figures of a table that `nvidia-smi` printed, but what it does not know."""
    found: dict[str, Values] = {}
    for line in output.splitlines():
        uuid, *cells = (cell.strip() for cell in line.split(","))
        values = {}
        for name, cell in zip(OURS, cells, strict=False):
            with contextlib.suppress(ValueError):  # "[N/A]"
                values[name] = float(cell)
        if uuid:
            found[uuid] = values
    return found


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
