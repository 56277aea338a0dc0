"""`studio bench drawing`: from the end of typing, or of a stroke, to a new quick draft on the page.

A real browser, the real page, the real server: what is timed begins with the last key or with the
pen leaving the canvas, and ends when the browser has decoded the draft. The pause that the page
waits for further keys is part of it. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from studio.application import Studio
from studio.bench.common import (
    TIMEOUT_SECONDS,
    Report,
    at_least,
    config_of,
    print_report,
    serving,
    wait_until_at_rest,
)
from studio.errors import SetupError

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WORDS = ("at dawn", "in soft light", "seen from above", "with a shadow", "by a window", "at night")
TARGET_SECONDS = 1.5
WAIT_MS = 30_000.0

_SHOWN = "() => document.querySelector('#draft').dataset.shownJob ?? ''"
_IS_NEW = f"(before) => ({_SHOWN})() !== before"
_SINCE = "() => Number(document.querySelector('#draft').dataset.shownAt) - window.endedAt"
_WATCH = """() => {
  for (const name of ["keyup", "pointerup"])
    document.addEventListener(name, () => { window.endedAt = performance.now(); }, true);
}"""


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    at_least(1, "--times", options.times)
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder,
        Studio.open(config_of(options, folder)) as studio,
        serving(studio) as address,
        _browser() as open_page,
    ):
        studio.wait_until_ready()
        studio.manager.wait_for_plan(TIMEOUT_SECONDS)
        wait_until_at_rest(TIMEOUT_SECONDS)
        page = open_page(address)
        page.locator("#field-live input").check()
        page.wait_for_function(_IS_NEW, arg="", timeout=WAIT_MS)
        page.evaluate(_WATCH)
        report: Report = {
            "model": studio.health.model,
            "backend": studio.health.backend,
            "target_seconds": TARGET_SECONDS,
        }
        report |= _told("typing", [_type(page, number) for number in range(options.times)])
        if studio.control_kinds:
            report |= _told("stroke", [_stroke(page, number) for number in range(options.times)])
        report |= _haste(studio, page)
    return print_report(report)


def _told(name: str, seconds: list[float]) -> Report:
    return {
        f"{name}_median_seconds": round(statistics.median(seconds), 3),
        f"{name}_worst_seconds": round(max(seconds), 3),
        f"{name}_is_met": int(statistics.median(seconds) <= TARGET_SECONDS),
    }


def _timed(page: Page, act: Callable[[], None]) -> float:
    before = page.evaluate(_SHOWN)
    act()
    page.wait_for_function(_IS_NEW, arg=before, timeout=WAIT_MS)
    return float(page.evaluate(_SINCE)) / 1000


def _type(page: Page, number: int) -> float:
    notes = page.locator("#field-notes textarea")
    notes.fill("")
    text = f"{WORDS[number % len(WORDS)]} {number}"
    page.wait_for_timeout(1000)  # the draft of the emptied field
    return _timed(page, lambda: notes.press_sequentially(text, delay=40))


def _stroke(page: Page, number: int) -> float:
    page.wait_for_timeout(500)
    return _timed(page, lambda: _draw(page, 0.2 + 0.6 * ((number * 0.37) % 1)))


def _haste(studio: Studio, page: Page) -> Report:
    """Ten changes faster than drafts are drawn: what was superseded must have been stopped."""
    begun, stopped = studio.drafts.num_begun, studio.drafts.num_stopped
    before = page.evaluate(_SHOWN)
    notes = page.locator("#field-notes textarea")
    for number in range(10):
        notes.press_sequentially(f" {number}")
        page.wait_for_timeout(450)
    page.wait_for_function(_IS_NEW, arg=before, timeout=WAIT_MS)
    page.wait_for_timeout(1500)
    return {
        "hasty_drafts_begun": studio.drafts.num_begun - begun,
        "hasty_drafts_stopped": studio.drafts.num_stopped - stopped,
        "hasty_drafts_left_over": studio.num_active(),
    }


def _draw(page: Page, height: float) -> None:
    box = page.locator("#sketch-pad canvas").bounding_box()
    assert box is not None
    y = box["y"] + height * box["height"]
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], y + 20, steps=10)
    page.mouse.up()


@contextlib.contextmanager
def _browser() -> Iterator[Callable[[str], Page]]:
    """A function that opens the page at an address, in Chromium."""
    executable = os.environ.get("VITRINE_CHROMIUM") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SetupError("This bench needs Playwright: pip install playwright.") from error
    if executable is None:
        raise SetupError("This bench needs Chromium: run scripts/install_debian_packages.sh.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)

        def open_page(address: str) -> Page:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            page.wait_for_selector("#result .v-mat")
            return page

        try:
            yield open_page
        finally:
            browser.close()
