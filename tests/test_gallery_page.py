"""The gallery in a real browser and over HTTP, with a few hundred pictures of the closed form."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.gallery import Look
from studio.person import LOCAL_PERSON
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve, Served, serving
from tests.gallery_tools import shelve_many

ME = LOCAL_PERSON
NUM_PICTURES = 400


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two pictures that were drawn, the newest, above many that were put there."""
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("data"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        shelve_many(studio, NUM_PICTURES)
        for brief in (
            Brief(subject="teapot", material="glass", color="green", seed=7),
            Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=8),
        ):
            studio.wait(studio.submit(brief).id, WAIT_SECONDS)
        with serving(studio) as served:
            yield served


def open_gallery(served: Served, new_page: NewPage, path: str = "#gallery", **size: int) -> Page:
    page = new_page(f"{served.address}/{path}", ready="#gallery .v-gallery", **size)
    expect(page.locator("#gallery .v-cell img").first).to_be_visible()
    return page


def ids(page: Page) -> list[str]:
    found = page.locator("#gallery .v-cell").evaluate_all("all => all.map(e => e.dataset.id)")
    return [str(one) for one in found]


def newest(served: Served, number: int = 2) -> list[str]:
    return [item.image.id for item in served.studio.gallery.page(ME, Look(), limit=number).items]


def search(page: Page, text: str, total: str) -> None:
    page.get_by_role("searchbox", name="Search").fill(text)
    expect(page.locator(".v-gallery-total")).to_have_text(total)


def test_only_what_is_in_sight_is_drawn_and_asked_for(served: Served, new_page: NewPage) -> None:
    asked: list[str] = []
    page = new_page(served.address)
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".v-gallery-total")).to_have_text(f"{NUM_PICTURES + 2} pictures")
    expect(page.locator("#gallery .v-cell img").first).to_be_visible()
    assert page.locator("#gallery .v-cell").count() < 60
    assert len([url for url in asked if "/gallery/page" in url]) == 1
    assert len([url for url in asked if "/thumbs/" in url]) < 60

    asked.clear()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    last = page.locator(f'#gallery .v-cell[aria-posinset="{NUM_PICTURES + 2}"] img')
    expect(last).to_be_visible()
    assert page.locator("#gallery .v-cell").count() < 60
    pages = [url for url in asked if "/gallery/page" in url]
    assert 1 <= len(pages) <= 3
    assert all(int(re.findall(r"offset=(\d+)", url)[0]) >= 240 for url in pages)


def test_a_search_a_star_and_a_collection_find_their_pictures(
    served: Served, new_page: NewPage
) -> None:
    page = open_gallery(served, new_page)
    mug, teapot = newest(served)
    search(page, "马克杯 red ceramic", "1 picture")
    assert ids(page) == [mug]
    search(page, "glass teapot", "1 picture")
    expect(page.locator(f'.v-cell[data-id="{teapot}"]')).to_be_visible()
    page.locator(".v-cell-open").first.focus()
    page.keyboard.press("s")
    expect(page.locator(".v-cell-marks")).to_have_text("★")
    page.keyboard.press("x")
    expect(page.locator(".v-num-chosen")).to_have_text("1 selected")
    page.get_by_role("button", name="Move to …").click()
    page.get_by_label("Which collection?").fill("Spring")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("combobox", name="Collection")).to_contain_text("Spring (1)")

    search(page, "", f"{NUM_PICTURES + 2} pictures")
    page.get_by_role("combobox", name="Collection").select_option("Spring")
    expect(page.locator(".v-gallery-total")).to_have_text("1 picture")
    page.get_by_role("combobox", name="Collection").select_option("")
    page.get_by_label("Starred").check()
    expect(page.locator(".v-gallery-total")).to_have_text("1 picture")
    assert ids(page) == [teapot]
    page.get_by_role("searchbox", name="Search").fill("nothing like this")
    expect(page.get_by_text("No picture matches.")).to_be_visible()
    served.studio.gallery.star(ME, [teapot], is_starred=False)
    served.studio.gallery.move(ME, [teapot], "")


def test_the_keyboard_goes_through_the_grid_and_the_open_picture(
    served: Served, new_page: NewPage
) -> None:
    page = open_gallery(served, new_page)
    first, second = newest(served)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    page.locator(".v-cell-open").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(f'.v-cell[data-id="{second}"] .v-cell-open')).to_be_focused()
    page.keyboard.press("End")
    end = page.locator(f'.v-cell[aria-posinset="{NUM_PICTURES + 2}"] .v-cell-open')
    expect(end).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator(f'.v-cell[data-id="{first}"] .v-cell-open')).to_be_focused()
    page.keyboard.press("Enter")
    details = page.locator(".v-details")
    expect(details).to_contain_text("red ceramic mug, wooden table")
    expect(details).to_contain_text(hashlib.sha256(picture(served, first)).hexdigest())
    page.keyboard.press("n")
    expect(details).to_contain_text("green glass teapot")
    assert page.url.endswith(f"#gallery/{second}")
    page.keyboard.press("Escape")
    expect(page.locator(".v-lightbox")).to_be_hidden()
    expect(page.locator(f'.v-cell[data-id="{second}"] .v-cell-open')).to_be_focused()


def picture(served: Served, image_id: str) -> bytes:
    return served.studio.image(image_id)[1].read_bytes()


def test_an_address_opens_its_picture(served: Served, new_page: NewPage) -> None:
    (mug, _) = newest(served)
    page = open_gallery(served, new_page, f"#gallery/{mug}")
    expect(page.locator(".v-details")).to_contain_text("red ceramic mug, wooden table")
    expect(page.locator(".v-details img")).to_be_visible()


def test_a_picture_is_used_as_a_start(served: Served, new_page: NewPage) -> None:
    (_, teapot) = newest(served)
    page = open_gallery(served, new_page, f"#gallery/{teapot}")
    page.get_by_role("button", name="Use as start").click()
    expect(page.locator("#field-subject input")).to_have_value("teapot")
    expect(page.locator("#field-material input")).to_have_value("glass")
    expect(page.locator("#field-seed").locator("input, textarea").first).to_have_value("7")


def test_a_picture_far_down_is_used_as_a_start_by_its_address(
    served: Served, new_page: NewPage
) -> None:
    (oldest,) = served.studio.gallery.page(ME, Look(), offset=NUM_PICTURES + 1).items
    page = open_gallery(served, new_page, f"#gallery/{oldest.image.id}")
    page.get_by_role("button", name="Use as start").click()
    expect(page.locator("#field-subject input")).to_have_value(oldest.brief.subject)
    expect(page.locator("#field-seed input")).to_have_value(str(oldest.image.seed))


def test_two_pictures_are_compared_with_a_slider(served: Served, new_page: NewPage) -> None:
    page = open_gallery(served, new_page)
    for index in range(2):
        page.locator(".v-cell-open").nth(index).focus()
        page.keyboard.press("x")
    page.get_by_role("button", name="Compare").click()
    slider = page.get_by_role("slider", name="How much of the first picture is shown")
    expect(slider).to_be_focused()
    slider.press("Home")
    shown = "document.querySelector('.v-compare-stage').style.getPropertyValue('--shown')"
    assert page.evaluate(shown) == "0%"
    stage = page.locator(".v-compare-stage").bounding_box()
    assert stage is not None
    page.mouse.move(stage["x"] + stage["width"] * 0.75, stage["y"] + 50)
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate(shown) == "75%"
    page.keyboard.press("Escape")


def test_a_picture_is_reproduced_by_a_button(served: Served, new_page: NewPage) -> None:
    (mug, _) = newest(served)
    page = open_gallery(served, new_page, f"#gallery/{mug}")
    page.get_by_role("button", name="Reproduce").click()
    expect(page.locator(".v-reproduced")).to_contain_text("the same, byte for byte")
    assert newest(served)[0] == mug


def test_pictures_leave_as_a_zip_with_the_bytes_they_have(served: Served) -> None:
    chosen = newest(served)
    address = f"{served.address}/gallery/pictures.zip"
    with zipfile.ZipFile(
        io.BytesIO(httpx.get(address, params={"ids": ",".join(chosen)}).content)
    ) as z:
        assert z.namelist() == ["red-ceramic-mug-8.png", "green-glass-teapot-7.png"]
        assert [z.read(name) for name in z.namelist()] == [picture(served, one) for one in chosen]
    served.studio.gallery.label(ME, chosen[:1], "../MUG/17")
    with zipfile.ZipFile(
        io.BytesIO(httpx.get(address, params={"text": "ceramic red"}).content)
    ) as z:
        assert "-MUG-17/red-ceramic-mug-8.png" in [name.lstrip(".") for name in z.namelist()]
        assert not any(".." in name or name.startswith("/") for name in z.namelist())
    served.studio.gallery.label(ME, chosen[:1], "")
    with zipfile.ZipFile(io.BytesIO(httpx.get(address).content)) as z:
        assert len(z.namelist()) == NUM_PICTURES + 2, "of all pages"
    refused = httpx.get(address, params={"ids": "0" * 18})
    assert refused.status_code == 404
    noted = served.studio.audit.entries(act="gallery.download")
    assert [entry.data["num_pictures"] for entry in reversed(noted)][:1] == [2]


def test_a_thumbnail_is_asked_for_again_but_not_sent_again(served: Served) -> None:
    (mug, _) = newest(served)
    address = f"{served.address}/thumbs/{mug}.webp"
    first = httpx.get(address)
    assert first.headers["content-type"] == "image/webp"
    assert first.headers["cache-control"] == "private, no-cache"
    again = httpx.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for wrong in ("0" * 18, "..%2f..%2fstudio.db", "%00"):
        assert httpx.get(f"{served.address}/thumbs/{wrong}.webp").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("star", {"ids": ["x"]}),
        ("star", {"ids": "x", "value": True}),
        ("move", {"ids": ["x"], "value": "y" * 61}),
        ("delete", {"ids": ["x"] * 1001}),
        ("delete", ["x"]),
    ],
)
def test_bad_input_of_the_gallery_is_refused(served: Served, path: str, body: object) -> None:
    assert httpx.post(f"{served.address}/gallery/{path}", json=body).status_code == 422


def test_a_picture_is_deleted_after_a_question(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    served = serve(open_studio())
    studio = served.studio
    studio.wait_until_ready(WAIT_SECONDS)
    studio.wait(studio.submit(Brief(subject="mug", num_images=2)).id, WAIT_SECONDS)
    page = open_gallery(served, new_page)
    page.locator(".v-cell-open").first.focus()
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog", name="Delete")
    expect(dialog).to_contain_text("Delete this picture? It cannot be brought back.")
    dialog.get_by_role("button", name="Cancel").click()
    assert studio.gallery.page(ME, Look()).total == 2
    page.locator(".v-cell-open").first.focus()
    page.keyboard.press("Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator(".v-gallery-total")).to_have_text("1 picture")
    assert len(list((studio.config.data_dir / "pictures").iterdir())) == 1


def test_an_empty_gallery_explains_itself_and_new_pictures_are_there_at_the_next_look(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    served = serve(open_studio())
    page = new_page(f"{served.address}/#gallery", ready="#gallery .v-gallery")
    expect(page.get_by_text("Every finished picture comes here.")).to_be_visible()
    page.get_by_role("link", name="Go to Create").click()
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    page.get_by_role("link", name="Gallery").click()
    expect(page.locator("#gallery .v-cell img")).to_have_count(1)


def test_a_phone_shows_the_gallery_in_chinese(served: Served, new_page: NewPage) -> None:
    page = new_page(
        f"{served.address}/#gallery",
        width=390,
        height=844,
        locale="zh-CN",
        ready="#gallery .v-gallery",
    )
    expect(page.locator(".v-gallery-total")).to_have_text(f"{NUM_PICTURES + 2} 张图片")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".v-cell-open").first.click()
    expect(page.locator(".v-details")).to_contain_text("提示词")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
