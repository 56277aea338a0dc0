"""Takes the pictures of the page in `docs/screenshots/`, over the model that ships.

    python scripts/screenshots.py [FOLDER]

Every area and every page of people in both languages at two widths, the page at work, a sketch,
variants, and the dark one. Needs `chromium` (see scripts/install_debian_packages.sh). A few
minutes; look at the result.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from studio.application import Studio
from studio.batch import BatchStatus
from studio.brief import Brief
from studio.config import Config
from studio.gallery import Look
from studio.person import LOCAL_PERSON, Role
from studio.server import create_app, listen, uvicorn_config
from studio.ui.page import AREAS
from studio.variants import Choices, variants_of

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
MAX_COLORS = 256
EARLIER = [
    Brief(subject="sofa", material="leather", color="brown", scene="living room", seed=11),
    Brief(subject="vase", material="ceramic", color="blue", scene="marble counter", seed=5),
    Brief(subject="handbag", material="fabric", color="green", scene="white studio", seed=3),
    Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=7),
    Brief(subject="teapot", material="metal", color="black", scene="wooden table", seed=2),
    Brief(subject="chair", material="wood", color="white", scene="living room", seed=9),
    Brief(subject="lamp", material="metal", color="yellow", scene="living room", seed=4),
]
"""Drawn first, so that neither the recent pictures nor the gallery are empty."""

TABLE = b"""sku,subject,material,color,scene,count
MUG-017,mug,ceramic,red,wooden table,1
MUG-018,mug,ceramic,blue,wooden table,2
VASE-004,,glass,green,white studio,1
../SOFA,sofa,leather,brown,living room,1
"""
"""Two rows of it can be drawn."""

VASE = ((0.4, 0.15), (0.45, 0.3), (0.3, 0.55), (0.38, 0.85), (0.62, 0.85), (0.7, 0.55))
VASE += ((0.55, 0.3), (0.6, 0.15), (0.4, 0.15))
PASSWORD = "four words and more"
PEOPLE_PAGES = {"account": "/account", "people": "/admin", "audit": "/admin/audit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/screenshots"))
    folder = parser.parse_args().folder
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
        page.goto(address)
        settle(page, "create")
        save(page, folder / "empty.png")
        settle(page, "gallery")
        save(page, folder / "examples.png")
        settle(page, "create")

        for brief in EARLIER:
            studio.wait(studio.submit(brief).id, 300)
        shelve(studio)
        hand_over(studio)
        write(page, "num_images", "4")
        write(page, "seed", "20")
        page.click("#generate")
        page.wait_for_selector("#result .v-strip img.v-preview", timeout=120_000)
        page.wait_for_timeout(1_500)
        save(page, folder / "running.png")
        page.wait_for_selector("#progress .v-active", state="detached", timeout=300_000)
        page.wait_for_timeout(1_000)
        save(page, folder / "finished.png")

        for language, locale in LANGUAGES.items():
            for width, size in (("wide", WIDE), ("phone", PHONE)):
                areas(browser, address, folder, f"{language}-{width}", locale, size)
        dark = browser.new_page(viewport=WIDE, color_scheme="dark")
        dark.goto(address)
        settle(dark, "create")
        save(dark, folder / "dark.png")
        dark.close()
        sketch(page)
        save(page, folder / "sketch.png")
        variants(studio, page)
        save(page, folder / "variants.png")

        studio.people.add("ada", PASSWORD, list(Role), by=LOCAL_PERSON)
        for language, locale in LANGUAGES.items():
            for width, size in (("wide", WIDE), ("phone", PHONE)):
                people(browser, address, folder, f"{language}-{width}", locale, size)
        browser.close()


def areas(
    browser: Browser, address: str, folder: Path, name: str, locale: str, size: dict[str, int]
) -> None:
    """Every area, the list of shortcuts, and a picture of the gallery opened and compared."""
    page = browser.new_context(viewport=size, locale=locale).new_page()  # type: ignore[arg-type]
    page.goto(address)
    for area in AREAS:
        settle(page, area.id)
        if area.id == "review":
            page.keyboard.press("n")
            page.wait_for_timeout(1_000)
        save(page, folder / f"{area.id}-{name}.png")
    page.keyboard.press("?")
    page.wait_for_timeout(300)
    save(page, folder / f"shortcuts-{name}.png")
    page.keyboard.press("Escape")
    settle(page, "gallery")
    page.locator(".v-cell-open").first.click()
    page.wait_for_selector(".v-details img")
    page.wait_for_timeout(500)
    save(page, folder / f"picture-{name}.png")


def people(
    browser: Browser, address: str, folder: Path, name: str, locale: str, size: dict[str, int]
) -> None:
    """The way in, and the pages behind it."""
    page = browser.new_context(viewport=size, locale=locale).new_page()  # type: ignore[arg-type]
    page.goto(address)
    save(page, folder / f"sign-in-{name}.png")
    page.fill("#name", "ada")
    page.fill("#password", PASSWORD)
    page.locator("form button").first.click()
    page.wait_for_selector("#nav nav")
    for place, path in PEOPLE_PAGES.items():
        page.goto(f"{address}{path}")
        save(page, folder / f"{place}-{name}.png")


def sketch(page: Page) -> None:
    """The outline of a vase, drawn by the mouse, and the picture that follows it."""
    settle(page, "create")
    box = page.locator("#sketch-pad canvas").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(VASE):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    write(page, "subject", "vase")
    write(page, "color", "blue")
    write(page, "num_images", "1")
    page.click("#generate")
    page.wait_for_selector("#progress .v-active", timeout=30_000)
    page.wait_for_selector("#progress .v-active", state="detached", timeout=300_000)
    page.wait_for_timeout(1_000)


def variants(studio: Studio, page: Page) -> None:
    """Three colours on two tables, from one seed."""
    brief = Brief(subject="mug", material="ceramic", seed=7)
    choices = Choices(colors=("red", "blue", "green"), scenes=("wooden table", "marble counter"))
    group_id = studio.groups.submit(variants_of(brief, choices), LOCAL_PERSON.name)
    for job in studio.groups.jobs(group_id, LOCAL_PERSON.name):
        studio.wait(job.id, 300)
    page.reload()
    settle(page, "create")


def hand_over(studio: Studio) -> None:
    """A table of products, drawn as far as it can be; and a picture that somebody reported."""
    batch_id = studio.batches.check("autumn.csv", TABLE).batch.id
    studio.batches.start(batch_id)
    while studio.batches.batch(batch_id).status is not BatchStatus.FINISHED:
        time.sleep(0.2)
    studio.moderation.report(LOCAL_PERSON, studio.images()[-1].id, "The handle is missing.")


def settle(page: Page, area: str) -> None:
    """Bring an area to the front and wait until it is drawn."""
    page.wait_for_selector("#nav nav")
    page.evaluate("area => { location.hash = '#' + area; }", area)
    page.wait_for_selector(f"#area-{area}", state="visible")
    page.wait_for_timeout(1_500)


def save(page: Page, path: Path) -> None:
    """The screen, from the top, as a small PNG."""
    page.evaluate("scrollTo(0, 0)")
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").quantize(MAX_COLORS, kmeans=2).save(path, optimize=True)


def shelve(studio: Studio) -> None:
    """A collection, an SKU and a star, as a shop would have them."""
    found = [item.image.id for item in studio.gallery.page(LOCAL_PERSON, Look()).items]
    studio.gallery.move(LOCAL_PERSON, found[:4], "Autumn 2027")
    studio.gallery.label(LOCAL_PERSON, found[3:4], "MUG-017")
    studio.gallery.star(LOCAL_PERSON, found[1:2], is_starred=True)


def write(page: Page, field: str, text: str) -> None:
    box = page.locator(f"#field-{field} input")
    box.fill(text)
    box.blur()


if __name__ == "__main__":
    main()
