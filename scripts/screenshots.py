"""Takes the pictures of the page in `docs/screenshots/`, over the model that ships.

    python scripts/screenshots.py [FOLDER]

Needs `chromium` (see scripts/install_debian_packages.sh). A minute or two; look at the result.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, sync_playwright

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.server import create_app, listen, uvicorn_config

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
EARLIER = [
    Brief(subject="sofa", material="leather", color="brown", scene="living room", seed=11),
    Brief(subject="vase", material="ceramic", color="blue", scene="marble counter", seed=5),
    Brief(subject="handbag", material="fabric", color="green", scene="white studio", seed=3),
]
"""Drawn first, so that the column of recent pictures is not empty."""


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vitrine-") as data_dir:
        config = Config(data_dir=Path(data_dir))
        with listen("127.0.0.1", 0) as listener, Studio.open(config) as studio:
            server = uvicorn.Server(uvicorn_config(create_app(studio)))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                studio.wait_until_ready()
                take(studio, f"http://127.0.0.1:{listener.getsockname()[1]}", folder)
            finally:
                server.should_exit = True
                thread.join()


def take(studio: Studio, address: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport=WIDE)
        shoot(page, address, folder / "empty.png")

        for brief in EARLIER:
            studio.wait(studio.submit(brief).id, 300)
        write(page, "num_images", "4")
        write(page, "seed", "20")
        page.click("#generate")
        write(page, "color", "blue")
        page.click("#generate")
        page.locator("#progress .v-card").first.click(position={"x": 30, "y": 30})
        page.wait_for_selector("#result .v-strip img.v-preview", timeout=120_000)
        page.wait_for_timeout(2_500)
        page.screenshot(path=folder / "running.png")

        page.wait_for_selector("#progress .v-card", state="detached", timeout=300_000)
        page.wait_for_timeout(1_000)
        page.screenshot(path=folder / "finished.png")

        dark = browser.new_page(viewport=WIDE, color_scheme="dark")
        shoot(dark, address, folder / "dark.png")
        phone = browser.new_page(viewport=PHONE)
        shoot(phone, address, folder / "phone.png", is_whole=True)
        browser.close()


def shoot(page: Page, address: str, path: Path, *, is_whole: bool = False) -> None:
    page.goto(address)
    page.wait_for_selector("#result .v-mat")
    page.wait_for_timeout(1_000)
    page.screenshot(path=path, full_page=is_whole)


def write(page: Page, field: str, text: str) -> None:
    box = page.locator(f"#field-{field} input")
    box.fill(text)
    box.blur()


if __name__ == "__main__":
    main()
