"""What torch holds of the devices' memory: figures for the watch, and giving it back when asked.

Never the first to touch CUDA or to load torch: whoever only watches must not take memory.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any

import psutil

from studio.engine.cgroups import memory_limits
from studio.engine.device_choice import DeviceChoice
from studio.readings import DeviceMemory


def torch_memory() -> Mapping[str, DeviceMemory]:
    """What torch's allocator holds, by the UUID of the card; empty where torch uses none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return {}
    found = {}
    for index in range(torch.cuda.device_count()):
        stats = torch.cuda.memory_stats(index)
        uuid = str(torch.cuda.get_device_properties(index).uuid)
        found[uuid.removeprefix("GPU-")] = DeviceMemory(
            allocated_bytes=int(stats.get("allocated_bytes.all.current", 0)),
            reserved_bytes=int(stats.get("reserved_bytes.all.current", 0)),
            fragmented_bytes=int(stats.get("inactive_split_bytes.all.current", 0)),
        )
    return found


def cuda_state() -> dict[str, Any]:
    """Whether torch can use a card, and the CUDA it was built for. Loads torch."""
    import torch

    return {
        "is_available": bool(torch.cuda.is_available()),
        "cuda": torch.version.cuda or "",
        "num_cards": int(torch.cuda.device_count()),
    }


def chosen_device(name: str) -> str:
    """The torch device for a setting, where nothing takes the place of a card that does not do.

    Raises:
        BadConfig: a card is asked for, and torch can use none, or not that one.
    """
    return DeviceChoice(name).device


def make_current(device: str) -> None:
    """Have what this thread asks of a card without saying of which, asked of `device`."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)


def half_precision() -> str:
    """The half precision that this machine's card computes in, if it has one."""
    import torch

    is_old = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False)
    return "float16" if is_old else "bfloat16"


def memory_limit() -> int | None:
    """The memory this process may use where that is less than the machine's; else `None`."""
    return min((limit for limit, _ in memory_limits()), default=None)


def give_back(device: str) -> dict[str, int]:
    """Give back the memory nothing refers to; bytes held "before" and "after", and "freed".

    Of a card: what torch reserves there. Of a processor: the process's resident memory, from which
    the C library keeps freed blocks unless told to trim. To be called by the thread that draws.
    """
    from studio.engine.memory import release

    before = held_bytes(device)
    release(device)
    if not device.startswith("cuda"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    after = held_bytes(device)
    return {"before": before, "after": after, "freed": before - after}


def held_bytes(device: str) -> int:
    """What is taken of the device's memory: by torch on a card, by this process elsewhere."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_reserved(device))
    return int(psutil.Process().memory_info().rss)
