"""Which device is taken; one that does not do is left with a sentence, never in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from studio.engine.device_choice import Card, DeviceChoice, complaint_of_card, is_built_for
from studio.engine.devices import chosen_device
from studio.engine.gaussian import gaussian_model
from studio.engine.manager import Manager, State
from studio.engine.model import Model
from studio.engine.warmup import NO_MEMORY
from studio.errors import BadConfig, BadModel, NotReady

SMALL = Card("Pretend 8 GB", (8, 9), is_known=True)
OLD = Card("Pretend 2012", (3, 5), is_known=False)
NO_KERNEL = RuntimeError("CUDA error: no kernel image is available for execution on the device")


def choice(name: str, *cards: Card, backend: str = "auto") -> DeviceChoice:
    return DeviceChoice(name, backend, cards=lambda: cards)


@pytest.mark.parametrize(
    ("capability", "built_for", "is_known"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 9), ["sm_75", "sm_86"], True),  # machine code of the same generation
        ((8, 0), ["sm_86"], False),
        ((12, 1), ["sm_90", "compute_90"], True),  # compiled further when it is loaded
        ((7, 0), ["sm_75", "compute_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 0), ["gfx90a"], False),
    ],
)
def test_a_card_is_known_by_what_torch_was_built_for(
    capability: tuple[int, int], built_for: Sequence[str], is_known: bool
) -> None:
    assert is_built_for(capability, built_for) is is_known


def test_auto_takes_the_first_card_that_is_known() -> None:
    assert choice("auto", SMALL).device == "cuda"
    assert choice("auto", OLD, SMALL).device == "cuda:1"
    assert choice("auto").device == "cpu"
    assert choice("auto", SMALL, backend="openvino").device == "cpu"


def test_a_card_too_old_is_left_with_a_sentence() -> None:
    chosen = choice("auto", OLD)
    assert chosen.device == "cpu"
    assert chosen.note == (
        "The card Pretend 2012 (compute capability 3.5) is none that this PyTorch was built for: "
        "the processor draws instead."
    )


def test_a_card_that_is_named_is_taken_or_refused() -> None:
    assert choice("cuda:1", SMALL, SMALL).device == "cuda:1"
    with pytest.raises(BadConfig, match="torch can use 1 NVIDIA cards here, so --device cuda:1"):
        assert choice("cuda:1", SMALL).device


def test_without_a_card_a_setting_that_names_none_is_the_processor() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a card")
    assert chosen_device("auto") == "cpu"
    with pytest.raises(BadConfig, match="no NVIDIA cards here"):
        chosen_device("cuda")


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "has not enough memory for this model"),
        (NotReady(NO_MEMORY), "has not enough memory for this model"),
        (NO_KERNEL, f"cannot run this model ({NO_KERNEL})"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (BadModel("The model is damaged."), ""),
    ],
)
def test_what_is_the_cards_fault_is_told_from_what_is_not(error: Exception, complaint: str) -> None:
    assert complaint_of_card(error) == complaint


def test_the_fault_is_found_beneath_what_was_made_of_it() -> None:
    error = BadModel("The model cannot be loaded.")
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory.")
    assert complaint_of_card(error) == "has not enough memory for this model"


def test_only_a_card_of_our_own_choosing_is_left() -> None:
    for chosen in (choice("cuda", SMALL), choice("auto", SMALL, backend="tensorrt")):
        assert chosen.device == "cuda"
        assert not chosen.leave(NO_KERNEL)
    free = choice("auto", SMALL)
    assert free.device == "cuda"
    assert not free.leave(BadModel("The model is damaged."))
    assert free.leave(NO_KERNEL)
    assert free.device == "cpu"
    assert not free.leave(NO_KERNEL)


def small_card(device: DeviceChoice, error: Exception) -> Callable[..., Model]:
    """Loads on the processor, and is short of memory on a card."""

    def load(precision: str, report: Callable[[str], None]) -> Model:
        if device.device != "cpu":
            raise error
        return gaussian_model()

    return load


def test_a_card_too_small_is_left_and_the_health_and_the_log_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = choice("auto", SMALL)
    load = small_card(device, torch.OutOfMemoryError("CUDA out of memory."))
    manager = Manager(load, on_event=lambda event: None, device=device)
    with caplog.at_level(logging.WARNING, logger="studio"):
        manager.start()
        manager.wait_until_ready(30.0)
    manager.close()
    sentence = (
        "The card Pretend 8 GB has not enough memory for this model: the processor draws instead."
    )
    assert manager.health.note == sentence
    assert sentence in caplog.messages


def test_a_named_card_too_small_is_one_sentence() -> None:
    device = choice("cuda", SMALL)
    load = small_card(device, torch.OutOfMemoryError("CUDA out of memory."))
    manager = Manager(load, on_event=lambda event: None, device=device)
    manager.start()
    with pytest.raises(NotReady, match="no memory left for a single picture"):
        manager.wait_until_ready(30.0)
    assert manager.health.state is State.FAILED
    manager.close()
