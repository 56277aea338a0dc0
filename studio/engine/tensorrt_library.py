"""The door to TensorRT: its two flavours, which have one Python API, and what a plan is made for.

`tensorrt` serves data-centre cards and builds on the card itself; `tensorrt_rtx` serves RTX cards,
and builds on any machine, with a GPU or without. Nobody else imports either.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import re
from typing import Any

from studio.errors import SetupError

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
FLAVOURS = (TENSORRT_RTX, TENSORRT)

DISTRIBUTIONS = {TENSORRT: "tensorrt", TENSORRT_RTX: "tensorrt-rtx"}

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""The compute capabilities TensorRT-RTX builds for on a machine without such a card."""

RTX_CARD = re.compile(r"\b(RTX|GeForce)\b")


@dataclasses.dataclass(frozen=True)
class Target:
    """What a plan is compiled for: flavour and version, compute capability ("8.9"), and the driver
    where the plan depends on it. `is_here` where it is the card of this machine.
    """

    flavour: str
    version: str
    capability: str
    driver: str = ""
    is_here: bool = False

    @property
    def library(self) -> str:
        return f"{self.flavour} {self.version}"

    @property
    def processor(self) -> str:
        return f"sm{self.capability.replace('.', '')}"


def is_installed(flavour: str) -> bool:
    """Without importing it."""
    return importlib.util.find_spec(flavour) is not None


def load(flavour: str) -> Any:
    """The library.

    Raises:
        SetupError: it is not installed, or cannot be loaded here.
    """
    try:
        if flavour == TENSORRT_RTX:
            import tensorrt_rtx

            return tensorrt_rtx
        import tensorrt

        return tensorrt
    except (ImportError, OSError) as error:  # a stub is installed, its libraries are not
        raise SetupError(
            f"{flavour} is not usable here ({error}): pip install {DISTRIBUTIONS[flavour]}."
        ) from error


def target_elsewhere(capability: str, flavour: str = TENSORRT_RTX) -> Target:
    """Cards of this compute capability, wherever they are.

    Raises:
        SetupError: plans for them cannot be built on another machine.
    """
    if flavour != TENSORRT_RTX:
        raise SetupError(
            "TensorRT for data-centre cards builds only on the card that serves: leave out "
            "--capability and run this there, or build for an RTX card with tensorrt_rtx."
        )
    if capability not in CAPABILITIES:
        raise SetupError(
            f"TensorRT-RTX builds for no card of compute capability {capability!r}: choose one of "
            f"{', '.join(CAPABILITIES)}."
        )
    return Target(flavour, load(flavour).__version__, capability)


def card_capability(device: str = "cuda") -> str:
    """The compute capability of the card of this machine, such as "8.9"; "" where there is none."""
    import torch

    if not torch.cuda.is_available():
        return ""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"


def card_with(capability: str) -> int | None:
    """The first card of this machine of a compute capability; `None` where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    cards = range(torch.cuda.device_count())
    return next((one for one in cards if card_capability(f"cuda:{one}") == capability), None)


def use_card_of(target: Target) -> None:
    """Have this process build on the card that `target` is for, if that is here."""
    import torch

    if target.is_here:
        torch.cuda.set_device(card_with(target.capability))


def target_here(device: str = "cuda") -> Target:
    """The card of this machine.

    Raises:
        SetupError: there is none, or no TensorRT for it.
    """
    import torch

    capability = card_capability(device)
    if not capability:
        raise SetupError(
            "There is no NVIDIA card here: name what to build for by --capability, such as 8.9."
        )
    flavour = flavour_for(torch.cuda.get_device_name(device))
    return Target(
        flavour,
        load(flavour).__version__,
        capability,
        driver="" if flavour == TENSORRT_RTX else driver_version(),
        is_here=True,
    )


def driver_version() -> str:
    """The newest CUDA the driver of this machine serves, such as "13000"; "" without a driver."""
    version = ctypes.c_int()
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return ""
    return str(version.value)


def flavour_for(card: str) -> str:
    """The flavour for a card of this name: the one made for it, or the other if only that is there.

    Raises:
        SetupError: neither is installed.
    """
    order = FLAVOURS if RTX_CARD.search(card) else FLAVOURS[::-1]
    for flavour in order:
        if is_installed(flavour):
            return flavour
    raise SetupError(
        f"TensorRT is not installed: pip install {DISTRIBUTIONS[order[0]]}, "
        "or start with --backend torch."
    )
