"""Reading the cards: what they give, what they do not, and what happens when they go and come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.config import Config
from studio.readings import DeviceMemory
from studio.telemetry import Telemetry, throttle_words
from tests.nvml_tools import FakeNvml, fake_nvml


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNvml]:
    with fake_nvml(tmp_path_factory.mktemp("nvml")) as fake:
        yield fake


@pytest.fixture
def cards(driver: FakeNvml) -> FakeNvml:
    driver.reset()
    return driver


@pytest.fixture
def telemetry(cards: FakeNvml) -> Iterator[Telemetry]:
    opened = Telemetry(retry_seconds=0.0)
    yield opened
    opened.close()


def test_a_machine_without_a_driver_is_read_all_the_same() -> None:
    telemetry = Telemetry()
    if telemetry.driver():
        pytest.skip("this machine has a driver")
    reading = telemetry.read()
    assert reading.gpus == ()
    assert not reading.has_driver
    assert reading.gpu_trouble == ""
    assert reading.host.num_cores >= 1
    assert 0 < reading.host.process_memory_bytes < reading.host.memory_total_bytes
    assert telemetry.driver() == {}


def test_every_value_a_card_gives_is_read_in_base_units(telemetry: Telemetry) -> None:
    telemetry.read()
    card = telemetry.read().gpus[0]
    assert card.name == "NVIDIA Pretend 0"
    assert card.utilization == 0.64
    assert card.sm_activity == 0.425
    assert (card.memory_used_bytes, card.memory_total_bytes) == (20 * 2**30, 80 * 2**30)
    assert (card.temperature, card.slowdown_temperature) == (61, 93)
    assert (card.power_watts, card.power_limit_watts) == (350, 700)
    assert (card.sm_clock_hertz, card.max_sm_clock_hertz) == (1.755e9, 1.98e9)
    assert card.memory_clock_hertz == 2.619e9
    assert card.throttle_reasons == ()
    assert (card.pcie_generation, card.pcie_width) == (5, 16)
    assert card.pcie_sent_bytes_per_second == 1.2e6
    assert card.pcie_received_bytes_per_second == 52e6
    assert card.ecc_errors == {"corrected": 3, "uncorrected": 0}
    assert telemetry.driver() == {"driver": "580.95.05", "cuda": "13.0"}


def test_a_value_that_is_missing_costs_no_other(telemetry: Telemetry) -> None:
    telemetry.read()
    card = telemetry.read().gpus[1]
    assert (card.sm_activity, card.fan, card.ecc_errors) == (None, None, None)
    assert card.utilization == 0.64
    assert card.power_watts == 350


def test_what_holds_a_card_back_is_told_in_words_and_idling_is_not(
    cards: FakeNvml, telemetry: Telemetry
) -> None:
    cards.set(**{"gpu1.reasons": 0x20 | 0x4})
    idle, slowed = telemetry.read().gpus
    assert not idle.is_throttled
    assert slowed.throttle_reasons == ("power cap", "heat (driver)")
    assert throttle_words(0x1) == ()


def test_a_card_that_is_lost_is_shown_and_found_again(
    cards: FakeNvml, telemetry: Telemetry
) -> None:
    telemetry.read()
    cards.set(**{"gpu1.lost": 1})
    reading = telemetry.read()
    assert [gpu.is_lost for gpu in reading.gpus] == [False, True]
    assert reading.gpus[1].name == "NVIDIA Pretend 1"
    assert reading.gpus[1].temperature is None
    assert reading.gpu_trouble == "Lost: NVIDIA Pretend 1."
    telemetry.read()  # NVML was started anew, and the card is still gone
    cards.reset()
    telemetry.read()
    reading = telemetry.read()
    assert [gpu.is_lost for gpu in reading.gpus] == [False, False]
    assert reading.gpu_trouble == ""


def test_a_card_that_is_not_counted_any_more_is_lost_too(
    cards: FakeNvml, telemetry: Telemetry
) -> None:
    telemetry.read()
    cards.set(cards=1)
    assert [gpu.is_lost for gpu in telemetry.read().gpus] == [False, True]


def test_a_driver_that_is_reset_is_told_and_read_again_when_it_is_back(
    cards: FakeNvml, telemetry: Telemetry
) -> None:
    telemetry.read()
    cards.set(down=1)
    reading = telemetry.read()
    assert [gpu.is_lost for gpu in reading.gpus] == [True, True]
    assert "does not answer" in reading.gpu_trouble
    assert reading.has_driver
    assert "Driver Not Loaded" in telemetry.read().gpu_trouble
    cards.reset()
    reading = telemetry.read()
    assert [gpu.is_lost for gpu in reading.gpus] == [False, False]
    assert reading.gpu_trouble == ""


def test_a_driver_that_does_not_answer_is_not_asked_at_every_look(cards: FakeNvml) -> None:
    telemetry = Telemetry(retry_seconds=3600.0)
    cards.set(down=1)
    assert telemetry.read().gpu_trouble
    cards.reset()
    assert telemetry.read().gpus == ()


def test_what_torch_holds_stands_beside_what_the_card_says(cards: FakeNvml) -> None:
    held = DeviceMemory(allocated_bytes=1, reserved_bytes=3, fragmented_bytes=1)
    uuid = "00000001-0000-0000-0000-000000000000"
    telemetry = Telemetry(torch_memory=lambda: {uuid: held})
    first, second = telemetry.read().gpus
    assert first.torch_memory is None
    assert second.torch_memory == held
    telemetry.close()


def test_a_look_at_two_cards_takes_less_than_a_hundredth_of_a_core_at_the_set_rate(
    telemetry: Telemetry,
) -> None:
    telemetry.read()
    takes = sorted(telemetry.read().read_seconds for _ in range(5))
    assert 0 < takes[2] < 0.01 * Config().watch_seconds
