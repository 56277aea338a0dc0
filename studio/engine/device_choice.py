"""`DeviceChoice`: which device a model is loaded on, and what becomes of it where that does not do.

A card that is named is taken or refused. Left to "auto", it is the first card that torch was built
for; where that cannot hold the model or cannot run it, the processor takes its place, and `note`
says so for the log and for the health.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from studio.errors import BadConfig, NotReady

CARD_ERROR = re.compile(r"CUDA|cuDNN|CUBLAS|no kernel image", re.IGNORECASE)
"""In what torch says when a card cannot do what it is asked for."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A card that torch sees: name, compute capability, and whether torch has code for it."""

    name: str
    capability: tuple[int, int]
    is_known: bool


def torch_cards() -> Sequence[Card]:
    """The cards that torch sees here. Loads torch."""
    import torch

    if not torch.cuda.is_available():
        return ()
    built_for = torch.cuda.get_arch_list()
    found = []
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        name = torch.cuda.get_device_name(index)
        found.append(Card(name, capability, is_built_for(capability, built_for)))
    return found


def is_built_for(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Whether code for `built_for` ("sm_90", "compute_120", …) runs on such a card.

    Machine code runs on later cards of its own generation, an intermediate one on all later cards.
    """
    major, minor = capability
    for name in built_for:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name)
        if found is None:
            continue
        theirs = (int(found[2]), int(found[3]))
        if found[1] == "compute" and theirs <= capability:
            return True
        if found[1] == "sm" and theirs[0] == major and theirs[1] <= minor:
            return True
    return False


class DeviceChoice:
    """The device for the settings `name` and `backend`; chosen when it is first asked for."""

    def __init__(
        self,
        name: str,
        backend: str = "auto",
        *,
        cards: Callable[[], Sequence[Card]] = torch_cards,
    ) -> None:
        self.note = ""
        self._name, self._backend, self._cards = name, backend, cards
        self._device = ""

    @property
    def device(self) -> str:
        """As torch names it.

        Raises:
            BadConfig: a card is asked for, and torch can use none, or not that one.
        """
        self._device = self._device or self._chosen()
        return self._device

    def leave(self, error: BaseException) -> bool:
        """After `error`: whether there is another device to try, which `device` then is."""
        is_own_choice = self._name == "auto" and self._backend != "tensorrt"
        reason = complaint_of_card(error)
        if not (reason and is_own_choice and self._device.startswith("cuda")):
            return False
        self._leave(f"The card {self._name_of_card()} {reason}")
        return True

    def _chosen(self) -> str:
        if self._name == "cpu" or (self._name == "auto" and self._backend == "openvino"):
            return "cpu"
        cards = self._cards()
        if self._name == "auto":
            return self._first_known(cards)
        if int(self._name.partition(":")[2] or 0) >= len(cards):
            raise BadConfig(
                f"torch can use {len(cards) or 'no'} NVIDIA cards here, so --device {self._name} "
                "is none of them: choose cpu or auto, and see `studio doctor` for what is amiss."
            )
        return self._name

    def _first_known(self, cards: Sequence[Card]) -> str:
        for index, card in enumerate(cards):
            if card.is_known:
                return f"cuda:{index}" if index else "cuda"
        if cards:
            major, minor = cards[0].capability
            self._leave(
                f"The card {cards[0].name} (compute capability {major}.{minor}) is none that this "
                "PyTorch was built for"
            )
        return "cpu"

    def _leave(self, what: str) -> None:
        self.note = f"{what}: the processor draws instead."
        self._device = "cpu"

    def _name_of_card(self) -> str:
        index, cards = int(self._device.partition(":")[2] or 0), self._cards()
        return cards[index].name if index < len(cards) else self._device


def complaint_of_card(error: BaseException) -> str:
    """What `error`, or what it came from, says of the card; "" where that is not to blame."""
    from studio.engine.memory import is_out_of_memory

    if isinstance(error, NotReady) or is_out_of_memory(error):
        return "has not enough memory for this model"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RuntimeError) and CARD_ERROR.search(str(cause)):
            return f"cannot run this model ({str(cause).splitlines()[0]})"
        cause = cause.__cause__
    return ""
