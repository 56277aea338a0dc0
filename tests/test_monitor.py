"""The Monitor: what each person sees of it, and in a real browser with and without cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.application import Studio
from studio.brief import Brief
from studio.person import LOCAL_PERSON, Person, Role
from studio.ui.monitor import render_line, render_monitor
from studio.ui.sparkline import sparkline
from studio.ui.speech import Language, Say
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve
from tests.nvml_tools import FakeNvml, fake_nvml

BRIEF = Brief(subject="mug", color="red", num_images=4)
MAKER = Person(name="mia", roles=frozenset({Role.MERCHANDISER}))


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[FakeNvml]:
    with fake_nvml(tmp_path) as fake:
        yield fake


def looked_at(open_studio: OpenStudio, **settings: object) -> Studio:
    studio = open_studio(watch_seconds=1, **settings)
    studio.wait_until_ready(WAIT_SECONDS)
    for _ in range(3):
        studio.watch.sampler.look_now()
    return studio


def monitor_of(new_page: NewPage, address: str) -> Page:
    """The page with its Monitor in front."""
    page = new_page(address)
    page.goto(f"{address}/#monitor")
    page.wait_for_selector("#monitor .v-tile")
    return page


def test_everyone_sees_one_line_and_admins_the_rest(open_studio: OpenStudio) -> None:
    studio = looked_at(open_studio)
    for_maker = render_monitor(studio, MAKER)
    assert "Ready" in for_maker
    assert "for admins" in for_maker
    assert "v-tile" not in for_maker
    assert 'data-tile="memory"' in render_monitor(studio, LOCAL_PERSON)


def test_the_line_says_how_many_are_ahead_and_about_how_long(open_studio: OpenStudio) -> None:
    studio = looked_at(open_studio, step_seconds=0.2)
    for _ in range(2):
        studio.submit(BRIEF)
    line = render_line(studio, MAKER)
    assert re.fullmatch(r"2 jobs ahead, about \d+ s", line)
    chinese = render_line(studio, MAKER, Say(Language.ZH))
    assert chinese.startswith("前面有 2 个任务, ")


def test_what_went_wrong_is_escaped(open_studio: OpenStudio) -> None:
    studio = looked_at(open_studio)
    studio.watch.trouble("model", "<script>hit()</script>", "0123456789abcdef")
    html = render_monitor(studio, LOCAL_PERSON)
    assert "<script>" not in html
    assert "&lt;script&gt;hit()" in html


def test_a_studio_that_is_not_watched_says_how_to_watch_it(open_studio: OpenStudio) -> None:
    studio = open_studio(watch_seconds=0)
    assert "VITRINE_WATCH_SECONDS" in render_monitor(studio, LOCAL_PERSON)


def test_a_line_has_a_gap_where_values_are_missing() -> None:
    points = [(-30.0, 1.0), (-20.0, 2.0), (-10.0, None), (-5.0, 1.0), (0.0, 3.0)]
    svg = sparkline(points, span_seconds=60, label="a <b>", top=4)
    assert svg.count("<polyline") == 2
    assert 'points="80.0,' in svg
    assert "160.0," in svg
    assert "a &lt;b&gt;" in svg
    assert "<polyline" not in sparkline([(0.0, 1.0)], span_seconds=60, label="")


def test_two_cards_one_missing_a_value_one_lost_and_found(
    driver: FakeNvml, open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    studio = looked_at(open_studio)
    studio.watch.sampler._telemetry._retry_seconds = 0.0
    page = monitor_of(new_page, serve(studio).address)
    first = page.locator("#monitor .v-device", has_text="NVIDIA Pretend 0")
    second = page.locator("#monitor .v-device", has_text="NVIDIA Pretend 1")
    expect(first.locator('[data-tile="utilisation"] .v-figure')).to_have_text("64 %")
    expect(first.locator('[data-tile="sm_activity"] .v-figure')).to_have_text("42 %")
    expect(first.locator('[data-tile="memory"]')).to_contain_text("20.0 GiB")
    expect(first.locator('[data-tile="memory"]')).to_contain_text("of 80.0 GiB")
    expect(first.locator('[data-tile="temperature"]')).to_contain_text("61 °C")
    expect(first.locator('[data-tile="temperature"]')).to_contain_text("limit 85 °C")
    expect(first.locator('[data-tile="power"]')).to_contain_text("350 W")
    expect(first.locator('[data-tile="throttling"] .v-figure')).to_have_text("none")
    expect(first.locator('[data-tile="pcie"]')).to_contain_text("5.0 × 16")
    expect(first.locator('[data-tile="ecc"]')).to_contain_text("3 corrected")
    expect(first.locator("svg polyline").first).to_be_attached()
    for missing in ("sm_activity", "ecc"):
        expect(second.locator(f'[data-tile="{missing}"] .v-figure')).to_have_text("n/a")

    driver.set(**{"gpu0.temperature": 92, "gpu0.reasons": 0x40, "gpu1.lost": 1})
    expect(second).to_contain_text("Lost: the card does not answer")
    expect(first.locator('[data-tile="temperature"]')).to_have_class(re.compile("v-alarming"))
    expect(first.locator('[data-tile="throttling"]')).to_contain_text("heat (hardware)")
    driver.reset()
    expect(second.locator('[data-tile="utilisation"] .v-figure')).to_have_text("64 %")
    expect(page.locator("#monitor .v-lost")).to_have_count(0)

    driver.set(down=1)
    expect(page.locator("#monitor")).to_contain_text("The NVIDIA driver does not answer")
    driver.reset()
    expect(first.locator('[data-tile="power"]')).to_contain_text("350 W")


def test_without_a_gpu_processor_and_memory_stand_in_the_same_places(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    studio = looked_at(open_studio, step_seconds=0.05)
    assert studio.watch.sampler.latest is not None
    if studio.watch.sampler.latest.machine.gpus:
        pytest.skip("this machine has a GPU")
    page = monitor_of(new_page, serve(studio).address)
    device = page.locator("#monitor .v-device").first
    expect(device).to_contain_text("no GPU that NVML can see")
    expect(device.locator('[data-tile="utilisation"] .v-figure')).to_have_text(re.compile(r"\d+ %"))
    expect(device.locator('[data-tile="memory"]')).to_contain_text("by this studio")
    for missing in ("power", "throttling", "pcie", "ecc"):
        expect(device.locator(f'[data-tile="{missing}"] .v-figure')).to_have_text("n/a")
    engine = page.locator("#monitor .v-device").nth(1)
    expect(engine.locator('[data-tile="backend"]')).to_contain_text("closed-form · float32")
    expect(engine.locator('[data-tile="rows"] .v-figure')).to_have_text("idle")
    studio.submit(BRIEF)
    expect(engine.locator('[data-tile="rows"] .v-figure')).to_have_text("2.0")
    # A reading may hold a step's pass and not yet its count, so the figure is only near 50.
    expect(engine.locator('[data-tile="step"] .v-figure')).to_have_text(re.compile(r"^\d+ ms$"))
    expect(page.locator("#monitor")).to_contain_text("Read every 1 s")
