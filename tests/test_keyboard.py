"""The whole path by keyboard alone: no mouse, no focus set by the test, only keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.gallery import Look
from studio.person import LOCAL_PERSON
from tests.conftest import WAIT_SECONDS, NewPage, Served, serving

MAX_TABS = 60
HAS_FOCUS = "element => element.contains(document.activeElement)"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("data"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        with serving(studio) as served:
            yield served


def tab_to(page: Page, element: Locator, key: str = "Tab") -> None:
    """Press Tab until the focus is on `element`, whatever stands between; and see that it shows."""
    expect(element).to_be_visible()
    for _ in range(MAX_TABS):
        page.keyboard.press(key)
        if element.evaluate(HAS_FOCUS):
            return
    raise AssertionError(f"Tab does not reach {element}")


def type_over(page: Page, text: str) -> None:
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def test_from_an_empty_page_to_a_downloaded_picture_and_back(
    served: Served, new_page: NewPage, tmp_path: Path
) -> None:
    page = new_page(served.address)

    # A picture, by the button; the canvas on the way there is passed by Tab like anything else.
    tab_to(page, page.locator("#field-subject input"))
    type_over(page, "hammock")
    tab_to(page, page.locator("button#generate"))
    page.keyboard.press("Enter")
    expect(page.locator("#recent img")).to_have_count(1)

    # A sketch, by the arrow keys, and a second picture that follows it, by the shortcut.
    tab_to(page, page.locator("#sketch-pad canvas"))
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        for _ in range(4):
            page.keyboard.press(f"Shift+{key}")
    page.keyboard.press("Space")
    expect(page.locator("#field-follows input")).to_be_checked()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#recent img")).to_have_count(2)
    expect(page.locator("#result .v-title")).to_contain_text("hammock")
    assert served.studio.jobs()[0].request.control is not None

    # The gallery: both compared, one downloaded.
    page.keyboard.press("Alt+Digit3")
    cells = page.locator("#gallery .v-cell-open")
    expect(cells).to_have_count(2)
    tab_to(page, cells.first)
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("c")
    divider = page.get_by_role("slider", name="How much of the first picture is shown")
    expect(divider).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(divider).to_have_value("49")
    page.keyboard.press("Escape")
    expect(cells.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    link = page.get_by_role("dialog", name="Picture").get_by_role("link", name="Download PNG")
    tab_to(page, link)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "got.png")
    oldest = served.studio.gallery.page(LOCAL_PERSON, Look()).items[-1].image
    assert hashlib.sha256((tmp_path / "got.png").read_bytes()).hexdigest() == oldest.digest
    page.keyboard.press("Escape")
    expect(cells.nth(1)).to_be_focused()

    # And back: what was typed is still there.
    page.keyboard.press("Alt+Digit1")
    expect(page.locator("button#generate")).to_be_visible()
    tab_to(page, page.locator("#field-subject input"))
    expect(page.locator("#field-subject input")).to_have_value("hammock")
