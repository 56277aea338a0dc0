"""What goes to a card and what comes back, without the host waiting for either.

Pageable memory is copied while the host waits for all that is on the stream; pinned memory is not.
On a processor all of this is nothing but the tensor itself.
"""

from __future__ import annotations

import torch


def send(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """`tensor`, of the host's memory, on `device`, in the order of its current stream."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Arrival:
    """A tensor on its way to the host's memory."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if tensor.device.type == "cuda":
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(tensor.device))
        else:
            self._host = tensor

    @property
    def is_there(self) -> bool:
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> torch.Tensor:
        """The tensor, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return self._host


class OneAhead:
    """Lets the host be one step ahead of a card, and no further.

    Without it the host would put steps on the stream as fast as it can: a cancelled picture would
    be drawn to its end, and no step would seem to take any time.
    """

    def __init__(self) -> None:
        self._last: torch.cuda.Event | None = None

    def step(self, device: torch.device | str) -> None:
        """Call it once a step is put on the stream: waits for the step before."""
        if torch.device(device).type != "cuda":
            return
        before = self._last
        self._last = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._last.record(torch.cuda.current_stream(torch.device(device)))
        if before is not None:
            before.synchronize()
