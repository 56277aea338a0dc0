"""`Ballast`: memory taken of a card so that little is left, for real allocations to fail.

For the bench alone: it shows that the engine goes on where memory runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from studio.engine.memory import SCRATCH, estimate, free_memory, is_out_of_memory, release
from studio.engine.model import Model

MIN_BLOCK_BYTES = 32 * 2**20
"""Smaller pieces are left: libraries need some, too."""

NUM_LEFT_ROWS = 2
"""Of a pass that is to fit still: one guided picture's."""


class Ballast:
    """Blocks of memory on `device`; `free` and `take` stand for what asks and what allocates."""

    def __init__(
        self,
        device: str,
        *,
        free: Callable[[str], int] = free_memory,
        take: Callable[[int, str], Any] | None = None,
    ) -> None:
        self._device, self._free, self._take = device, free, take or _taken
        self._blocks: list[Any] = []
        self.num_bytes = 0

    def fill(self, leave_bytes: int) -> int:
        """Take memory until no more than `leave_bytes` are left, or none is given; bytes taken."""
        release(self._device)  # what torch keeps for later would be as good as free
        size = self._free(self._device) - leave_bytes
        while size >= MIN_BLOCK_BYTES:
            try:
                self._blocks.append(self._take(size, self._device))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                size //= 2
                continue
            self.num_bytes += size
            size = min(size, self._free(self._device) - leave_bytes)
        return self.num_bytes

    def drop(self) -> None:
        """Give all of it back."""
        self._blocks.clear()
        self.num_bytes = 0
        release(self._device)


def bytes_to_leave(model: Model, size: tuple[int, int]) -> int:
    """What one guided picture of `size` needs besides the weights, its decoding beside the steps of
    another; and no more.
    """
    one = estimate(model, *size, num_rows=NUM_LEFT_ROWS)
    return int(SCRATCH * (one.state_bytes + one.denoise_bytes + one.decode_bytes))


def _taken(num_bytes: int, device: str) -> torch.Tensor:
    return torch.empty(num_bytes, dtype=torch.uint8, device=device)
