"""`Telemetry`: reads the cards through NVML, and processor and memory from the system.

The only door of `pynvml`. Called by one thread (`watch.sampler`). Every value is asked for by
itself, so that one a card does not give costs no other; a card that does not answer any more is
shown as lost and looked for again, and so is a driver that is reset or comes up later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pynvml

from studio.readings import DeviceMemory, GpuReading, HostReading, MachineReading

_T = TypeVar("_T")

RETRY_SECONDS = 10.0
"""How long until a driver that does not answer, or a card that is lost, is looked for again."""

TorchMemory = Callable[[], Mapping[str, DeviceMemory]]
"""What torch's allocator holds by the card's UUID, without NVML's prefix; see `engine.devices`."""

THROTTLE_REASONS: Mapping[int, str] = {
    pynvml.nvmlClocksEventReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "heat (driver)",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "heat (hardware)",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
}
"""Bits that hold a card back. Being idle and clocks that were chosen are none."""

_LOST = (
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_GPU_NOT_FOUND,
    pynvml.NVML_ERROR_RESET_REQUIRED,
)
_GONE = (*_LOST, pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT)
"""Also what an index beyond the last card is answered with."""

_DOWN = (
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What stays the same of a card, so that it can be named when it is lost."""

    name: str
    uuid: str


class Telemetry:
    """`read` is one look. One thread calls it; what it returns are values."""

    def __init__(
        self,
        *,
        torch_memory: TorchMemory = dict,
        memory_limit: Callable[[], int | None] = lambda: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._torch_memory = torch_memory
        self._memory_limit = memory_limit
        self._retry_seconds = retry_seconds
        self._is_up = False
        self._tried_at = -float("inf")
        self._trouble = ""
        self._has_driver = False
        self._known: dict[int, _Known] = {}
        self._samples: dict[int, Any] = {}
        self._process = psutil.Process()
        self._process.cpu_percent()  # both begin their intervals
        psutil.cpu_percent()

    def read(self) -> MachineReading:
        """The machine as it is now. Never raises for a card or a driver."""
        began = time.thread_time()
        gpus = self._gpus()
        host = self._host()
        return MachineReading(
            at=time.time(),
            host=host,
            gpus=gpus,
            has_driver=self._has_driver,
            gpu_trouble=self._trouble,
            read_seconds=time.thread_time() - began,
        )

    def driver(self) -> dict[str, str]:
        """Versions of the driver and of the CUDA it brings; empty where there is none."""
        if not self._is_up and not self._start():
            return {}
        found = {"driver": _given(pynvml.nvmlSystemGetDriverVersion)}
        cuda = _given(pynvml.nvmlSystemGetCudaDriverVersion)
        found["cuda"] = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        return {name: str(value) for name, value in found.items() if value is not None}

    def close(self) -> None:
        if self._is_up:
            self._stop()

    # NVML's life: up, down when it says so, up again

    def _start(self) -> bool:
        if time.monotonic() - self._tried_at < self._retry_seconds:
            return False
        self._tried_at = time.monotonic()
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            is_absent = error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
            self._has_driver = not is_absent
            self._trouble = "" if is_absent else f"The NVIDIA driver does not answer: {error}."
            return False
        self._is_up = self._has_driver = True
        self._trouble = ""
        return True

    def _stop(self) -> None:
        self._is_up = False
        self._samples.clear()
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _gpus(self) -> tuple[GpuReading, ...]:
        if not self._is_up and not self._start():
            return self._lost()
        try:
            num_cards = pynvml.nvmlDeviceGetCount()
            torch_memory = self._torch_memory()
            indices = sorted({*range(num_cards), *self._known})
            readings = tuple(self._card(index, torch_memory) for index in indices)
        except pynvml.NVMLError as error:
            self._trouble = f"The NVIDIA driver does not answer any more: {error}."
            self._stop()
            self._tried_at = time.monotonic()
            return self._lost()
        lost = [reading.name for reading in readings if reading.is_lost]
        self._trouble = f"Lost: {', '.join(lost)}." if lost else ""
        if lost and time.monotonic() - self._tried_at >= self._retry_seconds:
            self._stop()  # NVML finds a card again only when it is started anew
        return readings

    def _lost(self) -> tuple[GpuReading, ...]:
        return tuple(
            GpuReading(index=index, name=known.name, uuid=known.uuid, is_lost=True)
            for index, known in sorted(self._known.items())
        )

    def _card(self, index: int, torch_memory: Mapping[str, DeviceMemory]) -> GpuReading:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            if index not in self._known:
                self._known[index] = _Known(
                    name=str(_given(pynvml.nvmlDeviceGetName, handle) or f"GPU {index}"),
                    uuid=str(_given(pynvml.nvmlDeviceGetUUID, handle) or index),
                )
            known = self._known[index]
            # Asked first and by name: a card that fell off answers every question so.
            memory = _given(pynvml.nvmlDeviceGetMemoryInfo, handle)
        except pynvml.NVMLError as error:
            self._samples.pop(index, None)
            if error.value not in _GONE or index not in self._known:
                raise
            known = self._known[index]
            return GpuReading(index=index, name=known.name, uuid=known.uuid, is_lost=True)
        reading = GpuReading(index=index, name=known.name, uuid=known.uuid)
        try:
            return dataclasses.replace(
                reading,
                memory_used_bytes=None if memory is None else int(memory.used),
                memory_total_bytes=None if memory is None else int(memory.total),
                torch_memory=torch_memory.get(known.uuid.removeprefix("GPU-")),
                sm_activity=self._sm_activity(index, handle),
                **_values(handle),
            )
        except pynvml.NVMLError as error:
            if error.value in _DOWN:
                raise
            return dataclasses.replace(reading, is_lost=True)

    def _sm_activity(self, index: int, handle: Any) -> float | None:
        """The share of SM cycles with work, between this look and the last one (Hopper and later).

        `None` on the first look, and where the card does not count it.
        """
        support = _given(pynvml.nvmlGpmQueryDeviceSupport, handle)
        if support is None or not support.isSupportedDevice:
            return None
        sample = _given(pynvml.nvmlGpmSampleAlloc)
        if sample is None:
            return None
        if _given(pynvml.nvmlGpmSampleGet, handle, sample) is None:
            _given(pynvml.nvmlGpmSampleFree, sample)
            return None
        before = self._samples.pop(index, None)
        self._samples[index] = sample
        if before is None:
            return None
        question = pynvml.c_nvmlGpmMetricsGet_t()
        question.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        question.numMetrics = 1
        question.sample1, question.sample2 = before, sample
        question.metrics[0].metricId = pynvml.NVML_GPM_METRIC_SM_UTIL
        answer = _given(pynvml.nvmlGpmMetricsGet, question)
        _given(pynvml.nvmlGpmSampleFree, before)
        if answer is None or answer.metrics[0].nvmlReturn != pynvml.NVML_SUCCESS:
            return None
        return float(answer.metrics[0].value) / 100

    def _host(self) -> HostReading:
        memory = psutil.virtual_memory()
        clock = psutil.cpu_freq()
        limit = self._memory_limit()
        num_cores = psutil.cpu_count() or 1
        return HostReading(
            utilization=psutil.cpu_percent() / 100,
            process_utilization=self._process.cpu_percent() / 100 / num_cores,
            memory_used_bytes=int(memory.total - memory.available),
            memory_total_bytes=int(memory.total if limit is None else min(limit, memory.total)),
            process_memory_bytes=int(self._process.memory_info().rss),
            num_cores=num_cores,
            clock_hertz=clock.current * 1e6 if clock and clock.current else None,
            max_clock_hertz=clock.max * 1e6 if clock and clock.max else None,
            temperature=_host_temperature(),
            load=psutil.getloadavg()[0],
        )


def _given(ask: Callable[..., _T], *arguments: Any) -> _T | None:
    """The answer, `None` where it is not given here.

    Raises:
        NVMLError: the card, or the driver, is gone.
    """
    try:
        return ask(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _DOWN or error.value in _LOST:
            raise
        return None


def _values(handle: Any) -> dict[str, Any]:
    """What NVML tells of one card, in the names and units of `GpuReading`."""
    usage = _given(pynvml.nvmlDeviceGetUtilizationRates, handle)
    reasons = _given(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:  # older drivers know it by its older name only
        reasons = _given(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)

    def scaled(factor: float, ask: Callable[..., Any], *arguments: Any) -> float | None:
        answer = _given(ask, handle, *arguments)
        return None if answer is None else float(answer) * factor

    return {
        "utilization": None if usage is None else usage.gpu / 100,
        "temperature": scaled(1, pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU),
        "slowdown_temperature": scaled(
            1, pynvml.nvmlDeviceGetTemperatureThreshold, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        ),
        "fan": scaled(0.01, pynvml.nvmlDeviceGetFanSpeed),
        "power_watts": scaled(1e-3, pynvml.nvmlDeviceGetPowerUsage),
        "power_limit_watts": scaled(1e-3, pynvml.nvmlDeviceGetEnforcedPowerLimit),
        "sm_clock_hertz": scaled(1e6, pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        "max_sm_clock_hertz": scaled(1e6, pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
        "memory_clock_hertz": scaled(1e6, pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
        "throttle_reasons": None if reasons is None else throttle_words(int(reasons)),
        "pcie_generation": _given(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle),
        "pcie_width": _given(pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle),
        "pcie_sent_bytes_per_second": scaled(
            1e3, pynvml.nvmlDeviceGetPcieThroughput, pynvml.NVML_PCIE_UTIL_TX_BYTES
        ),
        "pcie_received_bytes_per_second": scaled(
            1e3, pynvml.nvmlDeviceGetPcieThroughput, pynvml.NVML_PCIE_UTIL_RX_BYTES
        ),
        "ecc_errors": _ecc_errors(handle),
    }


def _ecc_errors(handle: Any) -> dict[str, float] | None:
    kinds = {
        "corrected": pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        "uncorrected": pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    }
    found = {
        name: _given(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, pynvml.NVML_VOLATILE_ECC)
        for name, kind in kinds.items()
    }
    return {name: float(count) for name, count in found.items() if count is not None} or None


def throttle_words(reasons: int) -> tuple[str, ...]:
    """NVML's bits that hold a card back, in words."""
    return tuple(word for bit, word in THROTTLE_REASONS.items() if reasons & bit)


def _host_temperature() -> float | None:
    """The hottest part of the processor, where the system tells it."""
    if not Path("/sys/class/hwmon").is_dir():
        return None
    try:
        found = psutil.sensors_temperatures()
    except (OSError, AttributeError, ValueError):  # systems without sensors
        return None
    names = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")
    return max(
        (entry.current for name in names for entry in found.get(name, ()) if entry.current),
        default=None,
    )
