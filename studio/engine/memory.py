"""Memory: what a pass will take, known before it is taken; what a device has; what to do without.

Rows of a pass cost the same each: dry runs of one and of two rows give the line for all. The real
networks are not touched, so any thread may ask.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
from collections.abc import Iterable

import psutil
import torch

from studio.engine.cgroups import memory_limits
from studio.engine.dry_run import decode_bytes, pass_bytes, preview_bytes, weights_bytes
from studio.engine.model import Model
from studio.errors import BadInput
from studio.request import Request

FLOAT_BYTES = 4
GIGABYTE = 1e9

SCRATCH = 1.5
"""Taken per byte counted, libraries' scratch space included (a processor's resident memory)."""

OUT_OF_MEMORY_WORDS = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "STATUS_ALLOC_FAILED",
)
"""Words of errors that have no class of their own: of the processor's allocator on two systems, of
C++ libraries, and of CUDA and its libraries where torch's allocator is not asked."""

STATE_TENSORS = 6
"""Latents a sample may hold: its own, the clean ones, its noise, and three of a multistep rule."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes of a model, and the most that are alive at once in one pass and one decoding.

    Counts what torch asks for: a library's scratch space and the allocator's rounding come on top.
    """

    weights_bytes: int
    denoise_bytes: int
    decode_bytes: int
    state_bytes: int
    preview_bytes: int = 0

    @property
    def working_bytes(self) -> int:
        """Besides the weights; a pass, a preview and a decoding take turns."""
        return self.state_bytes + max(self.denoise_bytes, self.preview_bytes, self.decode_bytes)


def estimate(
    model: Model, height: int, width: int, *, num_rows: int, num_control_rows: int = 0
) -> MemoryEstimate:
    """What `num_rows` rows of `height` × `width` pixels take, each a sample of its own.

    Where any row follows a control image, all are counted as if they did. Quick once a size is
    known; the first time takes as long as the network's Python does (SDXL's: some seconds).
    """
    is_controlled = num_control_rows > 0
    first = pass_bytes(model, height, width, 1, is_controlled)
    denoise_bytes = first
    if num_rows != 1:
        second = pass_bytes(model, height, width, 2, is_controlled)
        denoise_bytes = first + (second - first) * (num_rows - 1)
    return MemoryEstimate(
        weights_bytes=weights_bytes(model),
        denoise_bytes=denoise_bytes,
        decode_bytes=decode_bytes(model, height, width),
        preview_bytes=preview_bytes(model, height, width),
        state_bytes=num_rows * _state_bytes(model, height, width)
        + num_control_rows * 3 * height * width * FLOAT_BYTES,
    )


def most_rows(model: Model, height: int, width: int, budget_bytes: int) -> int:
    """The most rows whose pass fits into `budget_bytes`, 0 where even one does not.

    Leaves room for `SCRATCH`: a processor's memory that runs out takes the whole process with it.
    """
    first = pass_bytes(model, height, width, 1) + _state_bytes(model, height, width)
    each = pass_bytes(model, height, width, 2) + 2 * _state_bytes(model, height, width) - first
    left = int(budget_bytes / SCRATCH) - first
    return 0 if left < 0 else 1 + left // max(1, each)


def check_fits(model: Model, request: Request, *, total_bytes: int | None = None) -> None:
    """See that a picture of `request` could be drawn if nothing else were going on.

    `total_bytes` is what there is in all, the device's memory unless given.

    Raises:
        BadInput: it is not enough, however long one waits.
    """
    total = total_memory(model.device) if total_bytes is None else total_bytes
    weights = weights_bytes(model)
    room = total - weights
    num_control_rows = int(request.control is not None)

    def needed(height: int, width: int) -> int:
        one = estimate(model, height, width, num_rows=1, num_control_rows=num_control_rows)
        return one.working_bytes

    wanted = needed(request.height, request.width)
    if wanted <= room:
        return
    smaller = next((size for size in _smaller(model, request) if needed(*size) <= room), None)
    raise BadInput(
        f"A picture of {request.height} × {request.width} needs {_gigabytes(wanted)} besides the "
        f"{_gigabytes(weights)} of the model, and the device has {_gigabytes(total)} in all: "
        + (
            f"choose {smaller[0]} × {smaller[1]} or smaller."
            if smaller
            else "it needs a smaller model, or a device with more memory."
        )
    )


def free_memory(device: str) -> int:
    """Bytes that could be taken now."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        # What torch keeps for itself and does not use is as good as free.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    available: int = psutil.virtual_memory().available
    return max(0, min([available, *(limit - used for limit, used in memory_limits())]))


@functools.cache  # asked at every submission
def total_memory(device: str) -> int:
    """Bytes there would be if nobody used any."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    total: int = psutil.virtual_memory().total
    return min([total, *(limit for limit, _ in memory_limits())])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or what it came from, says that memory ran out, on whatever device."""
    if error.__cause__ is not None and is_out_of_memory(error.__cause__):
        return True
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in OUT_OF_MEMORY_WORDS
    )


def release(device: str) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def release_all() -> None:
    """The same on whatever devices there are."""
    is_used = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    release("cuda" if is_used else "cpu")


def _state_bytes(model: Model, height: int, width: int) -> int:
    """What is kept of one sample between steps."""
    channels, latent_height, latent_width = model.latent_shape(height, width)
    return STATE_TENSORS * channels * latent_height * latent_width * FLOAT_BYTES


def _smaller(model: Model, request: Request) -> Iterable[tuple[int, int]]:
    """The sizes of the model that are smaller than the one asked for, largest first."""
    area = request.height * request.width
    sizes = [size for size in model.card.sizes if size[0] * size[1] < area]
    return sorted(sizes, key=lambda size: size[0] * size[1], reverse=True)


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / GIGABYTE:.1f} GB"
