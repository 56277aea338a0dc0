"""torch's threads on a processor: all of them while torch computes, one where another library does.

torch's threads do not sleep when they are done. For some milliseconds they turn in circles and wait
for more, on the very cores that OpenVINO's threads want next, and everything else in the process
has to fit in between. So whoever computes says first by whose threads it does; what torch does
between two passes of a plan is small enough for one.
"""

from __future__ import annotations

import functools

import torch


@functools.cache
def num_threads() -> int:
    """How many this process computes with, whatever torch is set to at the moment."""
    return torch.get_num_threads()


def take_all_threads() -> None:
    """torch computes in this thread from here on."""
    _set(num_threads())


def leave_threads() -> None:
    """Another library computes from here on, with `num_threads` of its own."""
    num_threads()  # asked for the first time it must be what torch was given
    _set(1)


def _set(number: int) -> None:
    if torch.get_num_threads() != number:  # setting it forgets what oneDNN has prepared
        torch.set_num_threads(number)
