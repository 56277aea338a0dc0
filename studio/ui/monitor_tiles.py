"""The tiles of the Monitor: a figure with its name, a note and ten minutes behind it.

The same tiles in the same order for a card and for a processor, "n/a" where a value is not given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from studio.application import Studio
from studio.readings import GpuReading, HostReading
from studio.ui.markup import escape, joined
from studio.ui.sparkline import sparkline
from studio.ui.speech import Phrase, Say
from studio.ui.texts import monitor as texts
from studio.watch.history import History
from studio.watch.sampler import Look

Show = Callable[[float | None], str]

LABELS: Mapping[str, Phrase] = {
    "backend": texts.BACKEND,
    "clocks": texts.CLOCKS,
    "decode": texts.DECODE,
    "ecc": texts.ECC,
    "host_memory": texts.HOST_MEMORY,
    "memory": texts.MEMORY,
    "outside": texts.OUTSIDE,
    "own_share": texts.OWN_SHARE,
    "padding": texts.PADDING,
    "pcie": texts.PCIE,
    "power": texts.POWER,
    "queue": texts.QUEUE,
    "restarts": texts.RESTARTS,
    "rows": texts.ROWS,
    "sm_activity": texts.SM_ACTIVITY,
    "step": texts.STEP,
    "temperature": texts.TEMPERATURE,
    "throttling": texts.THROTTLING,
    "utilisation": texts.UTILISATION,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """`series` names what the sparkline shows, "" for none; `top` is the line's upper end.

    `name` is for tests and style sheets; it is the same in every language.
    """

    name: str
    label: str
    value: str
    say: Say
    note: str = ""
    series: str = ""
    show: Show = str
    top: float | None = None
    is_alarming: bool = False


def render_tile(tile: Tile, history: History) -> str:
    """The tile as a pair of a description list."""
    line = ""
    points = history.series(tile.series) if tile.series else []
    values = [value for _, value in points if value is not None]
    if values:
        label = tile.say(texts.HISTORY, low=tile.show(min(values)), high=tile.show(max(values)))
        line = sparkline(
            points,
            span_seconds=history.span_seconds,
            label=f"{tile.label}, {label}",
            top=tile.top,
        )
    alarming = " v-alarming" if tile.is_alarming else ""
    return (
        f'<div class="v-tile{alarming}" data-tile="{escape(tile.name)}">'
        f'<dt>{escape(tile.label)}</dt><dd class="v-figure">{escape(tile.value)}</dd>'
        f'<dd class="v-note">{escape(tile.note)}</dd><dd class="v-line">{line}</dd></div>'
    )


def card_tiles(gpu: GpuReading, temperature_limit: float, say: Say) -> tuple[Tile, ...]:
    """One card."""
    make = _Maker(say)
    na, prefix = make.na, f"gpu{gpu.index}"
    memory, torch = gpu.memory_used_bytes, gpu.torch_memory
    reasons = gpu.throttle_reasons
    ecc = gpu.ecc_errors or {}
    is_hot = gpu.temperature is not None and gpu.temperature >= temperature_limit
    total = gpu.memory_total_bytes
    link = None
    if gpu.pcie_generation is not None and gpu.pcie_width is not None:
        link = f"{gpu.pcie_generation}.0 × {gpu.pcie_width}"
    return (
        make(
            "utilisation", make.ratio(gpu.utilization), f"{prefix}.utilization", make.ratio, top=1
        ),
        make(
            "sm_activity", make.ratio(gpu.sm_activity), f"{prefix}.sm_activity", make.ratio, top=1
        ),
        make(
            "memory",
            make.bytes(memory),
            f"{prefix}.memory",
            make.bytes,
            note=joined(
                say(texts.OF, total=make.bytes(total)),
                say(
                    texts.TORCH,
                    reserved=make.bytes(torch.reserved_bytes if torch else None),
                    fragmented=make.bytes(torch.fragmented_bytes if torch else None),
                ),
            ),
            top=total,
            is_alarming=bool(memory and total and memory > 0.95 * total),
        ),
        make(
            "temperature",
            make.degrees(gpu.temperature),
            f"{prefix}.temperature",
            make.degrees,
            note=say(texts.LIMIT, limit=make.degrees(temperature_limit)),
            top=max(temperature_limit, 100.0),
            is_alarming=is_hot,
        ),
        make(
            "power",
            make.watts(gpu.power_watts),
            f"{prefix}.power",
            make.watts,
            note=say(texts.LIMIT, limit=make.watts(gpu.power_limit_watts)),
            top=gpu.power_limit_watts,
        ),
        make(
            "clocks",
            make.hertz(gpu.sm_clock_hertz),
            f"{prefix}.clock",
            make.hertz,
            note=joined(
                say(texts.AT_MOST, clock=make.hertz(gpu.max_sm_clock_hertz)),
                say(texts.MEMORY_CLOCK, clock=make.hertz(gpu.memory_clock_hertz)),
            ),
            top=gpu.max_sm_clock_hertz,
        ),
        make(
            "throttling",
            na if reasons is None else ", ".join(reasons) or say(texts.NONE),
            is_alarming=gpu.is_throttled,
        ),
        make(
            "pcie",
            make.rate(gpu.pcie_received_bytes_per_second),
            f"{prefix}.pcie",
            make.rate,
            note=joined(
                say(texts.SENT, sent=make.rate(gpu.pcie_sent_bytes_per_second)), link or na
            ),
        ),
        make(
            "ecc",
            make.count(ecc.get("uncorrected")),
            note=say(texts.ECC_NOTE, corrected=make.count(ecc.get("corrected"))),
            is_alarming=bool(ecc.get("uncorrected")),
        ),
    )


def host_tiles(host: HostReading, studio: Studio, say: Say) -> tuple[Tile, ...]:
    """Processor and memory, in the places of a card's figures."""
    make = _Maker(say)
    limit = float(studio.config.temperature_limit)
    return (
        make("utilisation", make.ratio(host.utilization), "host.utilization", make.ratio, top=1),
        make(
            "own_share",
            make.ratio(host.process_utilization),
            "host.process_utilization",
            make.ratio,
            name="sm_activity",
            top=1,
        ),
        make(
            "host_memory",
            make.bytes(host.memory_used_bytes),
            "host.memory",
            make.bytes,
            name="memory",
            note=joined(
                say(texts.OF, total=make.bytes(host.memory_total_bytes)),
                say(texts.OWN_MEMORY, own=make.bytes(host.process_memory_bytes)),
            ),
            top=host.memory_total_bytes,
            is_alarming=host.memory_used_bytes > 0.95 * host.memory_total_bytes,
        ),
        make(
            "temperature",
            make.degrees(host.temperature),
            "host.temperature",
            make.degrees,
            note=say(texts.LIMIT, limit=make.degrees(limit)),
            top=max(limit, 100.0),
            is_alarming=host.temperature is not None and host.temperature >= limit,
        ),
        make("power", make.na),
        make(
            "clocks",
            make.hertz(host.clock_hertz),
            "host.clock",
            make.hertz,
            note=say(texts.AT_MOST, clock=make.hertz(host.max_clock_hertz)),
            top=host.max_clock_hertz,
        ),
        make("throttling", make.na),
        make("pcie", make.na),
        make("ecc", make.na),
    )


def engine_tiles(studio: Studio, look: Look, say: Say) -> tuple[Tile, ...]:
    """What the engine does."""
    make = _Maker(say)
    health, facts, pace, queued = studio.health, look.facts, look.pace, look.counts.queued
    idle = say(texts.IDLE)
    rows, places = pace.rows_per_step, pace.places_per_step
    empty = None if rows is None or not places else 1 - rows / places
    backend = joined(health.backend, health.precision) if health.is_ready else ""
    return (
        make(
            "queue",
            f"{sum(queued.values()):,}",
            "queue",
            _count,
            note=say(
                texts.QUEUE_NOTE,
                interactive=f"{queued.get('interactive', 0):,}",
                bulk=f"{queued.get('bulk', 0):,}",
            ),
        ),
        make(
            "rows",
            idle if rows is None else f"{rows:.1f}",
            "rows_per_step",
            _one_digit,
            note=say(texts.ROWS_NOTE, places=f"{places or health.max_rows:.0f}"),
            top=places or health.max_rows or None,
        ),
        make(
            "step",
            idle if pace.step_seconds is None else make.milliseconds(pace.step_seconds),
            "step_seconds",
            make.milliseconds,
            note=say(texts.STEP_NOTE, expected=make.milliseconds(health.step_seconds or None)),
        ),
        make(
            "padding",
            idle if empty is None else make.ratio(empty),
            note=say(texts.PADDING_NOTE),
        ),
        make(
            "outside",
            idle if pace.outside_share is None else make.ratio(pace.outside_share),
            "outside_share",
            make.ratio,
            note=say(texts.OUTSIDE_NOTE),
            top=1,
        ),
        make("backend", backend or make.na, note=joined(health.model, health.plan)),
        make(
            "decode",
            make.na if facts is None else f"{facts.num_to_decode:,}",
            "to_decode",
            _count,
            note=say(texts.DECODE_NOTE, held=0 if facts is None else facts.num_held),
        ),
        make(
            "restarts",
            f"{health.num_restarts:,}",
            note=say(texts.RESTARTS_NOTE, count=0 if facts is None else facts.num_out_of_memory),
            is_alarming=health.num_restarts > 0,
        ),
    )


class _Maker:
    """Makes tiles and their figures in one language."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.na = say(texts.NA)

    def __call__(
        self,
        key: str,
        value: str,
        series: str = "",
        show: Show = str,
        *,
        name: str = "",
        note: str = "",
        top: float | None = None,
        is_alarming: bool = False,
    ) -> Tile:
        return Tile(
            name=name or key,
            label=self.say(LABELS[key]),
            value=value,
            say=self.say,
            note=note,
            series=series,
            show=show,
            top=top,
            is_alarming=is_alarming,
        )

    def ratio(self, value: float | None) -> str:
        return self.na if value is None else ratio(value)

    def count(self, value: float | None) -> str:
        return self.na if value is None else f"{value:,.0f}"

    def bytes(self, value: float | None) -> str:
        if value is None:
            return self.na
        return f"{value / 2**30:.1f} GiB" if value >= 2**29 else f"{value / 2**20:.0f} MiB"

    def rate(self, value: float | None) -> str:
        if value is None:
            return self.na
        return f"{value / 1e9:.1f} GB/s" if value >= 1e8 else f"{value / 1e6:.1f} MB/s"

    def degrees(self, value: float | None) -> str:
        return self.na if value is None else f"{value:.0f} °C"

    def watts(self, value: float | None) -> str:
        return self.na if value is None else f"{value:.0f} W"

    def hertz(self, value: float | None) -> str:
        return self.na if value is None else f"{value / 1e9:.2f} GHz"

    def milliseconds(self, value: float | None) -> str:
        if value is None:
            return self.na
        return f"{1000 * value:.0f} ms" if value >= 0.01 else f"{1000 * value:.1f} ms"


def ratio(value: float, *, digits: int = 0) -> str:
    """ "42 %"."""
    return f"{100 * value:.{digits}f} %"


def _count(value: float | None) -> str:
    return f"{value or 0:,.0f}"


def _one_digit(value: float | None) -> str:
    return f"{value or 0:.1f}"
