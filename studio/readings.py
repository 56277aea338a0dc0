"""`GpuReading`, `HostReading`, `MachineReading`: one look at the machine. Values only.

What a card, a driver or a system does not give is `None`, never a guess; the faces say "n/a".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

DEFAULT_TEMPERATURE_LIMIT = 85.0
"""Degrees Celsius a card is held against where nothing else is set."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """What torch's allocator holds on one card, in bytes.

    `fragmented_bytes` lie in blocks that are partly in use and so can neither be given back nor be
    taken for a large tensor.
    """

    allocated_bytes: int
    reserved_bytes: int
    fragmented_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class GpuReading:
    """One NVML sample of one card. Ratios are from 0 to 1, clocks in hertz, times in seconds.

    A card that `is_lost` was there before and does not answer now; nothing else of it is known.
    `throttle_reasons` are NVML's own, in words; empty where none is active. `ecc_errors` counts
    those since the driver was loaded, by "corrected" and "uncorrected".
    """

    index: int
    name: str
    uuid: str
    is_lost: bool = False
    utilization: float | None = None
    sm_activity: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    torch_memory: DeviceMemory | None = None
    temperature: float | None = None
    slowdown_temperature: float | None = None
    fan: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    sm_clock_hertz: float | None = None
    max_sm_clock_hertz: float | None = None
    memory_clock_hertz: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_sent_bytes_per_second: float | None = None
    pcie_received_bytes_per_second: float | None = None
    ecc_errors: Mapping[str, float] | None = None

    @property
    def is_throttled(self) -> bool:
        """Whether heat or power holds the card back; being idle does not count."""
        return bool(self.throttle_reasons)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostReading:
    """Processor and memory of the machine, and this process's part of both.

    `memory_total_bytes` is the smaller of what the machine has and what this process may use.
    """

    utilization: float
    process_utilization: float
    memory_used_bytes: int
    memory_total_bytes: int
    process_memory_bytes: int
    num_cores: int
    clock_hertz: float | None = None
    max_clock_hertz: float | None = None
    temperature: float | None = None
    load: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineReading:
    """`at` is Unix seconds. `gpu_trouble` says why the cards could not be read, "" where they were.

    `has_driver` tells a machine without any NVIDIA driver, where no card is missed, from one whose
    driver does not answer. `read_seconds` is what the look itself took of a core.
    """

    at: float
    host: HostReading
    gpus: tuple[GpuReading, ...] = ()
    has_driver: bool = False
    gpu_trouble: str = ""
    read_seconds: float = 0.0
