"""The Create area in a real browser: strokes by the mouse, drafts and variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve, Served, serving
from tests.test_page import write

SQUARE = ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One studio for all tests here; a picture takes a fifth of a second."""
    model = gaussian_model(step_seconds=0.02)
    folder = tmp_path_factory.mktemp("create") / "data"
    config = Config(data_dir=folder, precision="float32", max_rows=2)

    def load(precision: str, report: object) -> Model:
        return model

    with ExitStack() as opened:
        studio = opened.enter_context(Studio.open(config, card=model.card, load=load))
        studio.wait_until_ready(WAIT_SECONDS)
        yield opened.enter_context(serving(studio))


def canvas(page: Page) -> Locator:
    return page.locator("#sketch-pad canvas")


def draw(page: Page, points: tuple[tuple[float, float], ...] = SQUARE) -> None:
    """One stroke through `points`, as fractions of the canvas, by the mouse."""
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


INK = (
    "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
    ".reduce((n, v, i) => n + (i % 4 === 0 && v < 128), 0))"
    "(document.querySelector('#sketch-pad canvas'))"
)


def ink(page: Page) -> int:
    """How many pixels of the canvas are dark."""
    return int(page.evaluate(INK))


def follows(page: Page) -> Locator:
    return page.locator("#field-follows input")


def test_a_sketch_becomes_a_picture_that_follows_it_in_one_click(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    before = len(served.studio.jobs())
    expect(page.locator(".v-pad-hint")).to_be_visible()
    draw(page)
    expect(follows(page)).to_be_checked()
    expect(page.locator(".v-pad-hint")).to_be_hidden()

    page.click("#generate")  # the only click: the pen is in the hand, the switch is on by itself
    expect(page.locator("#result img.v-picture")).to_be_visible()
    expect(page.locator("#result .v-facts")).to_contain_text("Sketch followed")
    job = served.studio.jobs()[0]
    assert len(served.studio.jobs()) == before + 1
    assert job.request.control is not None
    (image,) = served.studio.view(job.id).images.values()
    with Image.open(served.studio.image(image.id)[1]) as picture:
        grey = picture.convert("L")
    drawn = grey.crop((16, 16, 24, 48)).resize((1, 1)).getpixel((0, 0))
    free = grey.crop((26, 26, 38, 38)).resize((1, 1)).getpixel((0, 0))
    assert float(str(drawn)) > float(str(free)) + 20


def test_from_an_empty_page_one_click_makes_a_first_picture(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    page.evaluate(
        "window.clicks = 0; addEventListener('click', e => window.clicks += e.isTrusted, true)"
    )
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    assert page.evaluate("window.clicks") == 1


def test_strokes_survive_every_action_of_the_page_and_a_reload(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    draw(page)
    expect(follows(page)).to_be_checked()
    drawn = ink(page)
    assert drawn > 500

    write(page, "subject", "teapot")
    page.click("#generate")
    expect(page.locator("#result")).to_contain_text("teapot")  # not the picture before it
    expect(page.locator("#result img.v-picture")).to_be_visible()
    page.locator("#recent .v-thumb").first.click()
    page.get_by_role("button", name="Reuse seed").click()
    expect(page.locator("#field-seed input")).not_to_have_value("")
    page.locator('#tools [data-act="speak"]').click()
    expect(page.locator("#generate")).to_have_text("生成")
    assert ink(page) == drawn
    page.locator('#tools [data-act="speak"]').click()

    page.reload()
    page.wait_for_selector("#generate")
    expect(follows(page)).to_be_checked()
    page.wait_for_function(f"{INK} > 0")
    assert abs(ink(page) - drawn) < 0.1 * drawn
    page.click("#generate")
    expect(page.locator("#result .v-facts")).to_contain_text("Sketch followed")


def choose_size(page: Page, name: str) -> None:
    page.locator("#field-size input").click()
    page.get_by_role("option", name=re.compile(f"^{name}")).click()


def wait_for_shape(page: Page, width: int, height: int) -> None:
    page.wait_for_function(
        "([w, h]) => { const c = document.querySelector('#sketch-pad canvas');"
        " return c.width === w && c.height === h; }",
        arg=[width, height],
    )


def settled(page: Page, *before: str) -> str:
    """The digest of the sketch, once it is another than `before` and both sides know it."""
    handle = page.wait_for_function(
        "(before) => { const kept = localStorage.getItem('vitrine-sketch');"
        " return kept && !before.includes(kept) && kept"
        " === document.querySelector('#sketch-facts [data-digest]')?.dataset.digest && kept; }",
        arg=list(before),
    )
    return str(handle.json_value())


def test_strokes_come_through_other_shapes_and_a_reload_unharmed(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    draw(page)
    square, in_square = ink(page), settled(page)
    choose_size(page, "Photo")
    wait_for_shape(page, 768, 512)
    wide, in_wide = ink(page), settled(page, in_square)
    assert 0.3 * square < wide < 0.8 * square, "it is smaller, and all there"
    choose_size(page, "Square")
    wait_for_shape(page, 768, 768)
    assert ink(page) == square

    # A browser that opens the page fits the sketch into the shape it has at first, then into this.
    choose_size(page, "Photo")
    wait_for_shape(page, 768, 512)
    draw(page, ((0.05, 0.05), (0.95, 0.05)))
    drawn, digest = ink(page), settled(page, in_square, in_wide)
    page.reload()
    page.wait_for_selector("#sketch-pad canvas")
    wait_for_shape(page, 768, 512)
    page.wait_for_function(f"{INK} > 0")
    expect(page.locator("#sketch-facts [data-digest]")).to_have_attribute("data-digest", digest)
    assert abs(ink(page) - drawn) < 0.02 * drawn


def test_a_brief_edited_again_brings_its_own_sketch_in_its_own_shape(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    choose_size(page, "Photo")
    wait_for_shape(page, 768, 512)
    draw(page)
    expect(follows(page)).to_be_checked()
    write(page, "notes", "with a sketch of its own")
    page.click("#generate")
    expect(page.locator("#result")).to_contain_text("with a sketch of its own")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    first = served.studio.jobs()[0]

    choose_size(page, "Square")
    wait_for_shape(page, 768, 768)
    draw(page, ((0.1, 0.1), (0.9, 0.9)))
    write(page, "notes", "")
    page.get_by_role("button", name="Edit this brief").click()
    wait_for_shape(page, 768, 512)
    expect(page.locator("#field-notes textarea")).to_have_value("with a sketch of its own")
    page.click("#generate")
    page.wait_for_function(
        "job => document.querySelector('#result .v-result')?.dataset.job !== job", arg=first.id
    )
    again = served.studio.jobs()[0]
    assert again.id != first.id
    assert again.request.control is not None
    assert again.request.control == first.request.control


def test_a_sketch_is_followed_though_what_the_tab_had_told_was_forgotten(
    served: Served, new_page: NewPage
) -> None:
    """So it is an hour after the machine of a tab slept, and when the studio was started anew."""
    page = new_page(served.address)
    draw(page)
    expect(follows(page)).to_be_checked()
    facts = "#sketch-facts [data-digest]"
    expect(page.locator(facts)).to_have_attribute("data-digest", re.compile("."))
    digest = str(page.locator(facts).get_attribute("data-digest"))
    page.evaluate(
        "facts => new MutationObserver(() => {"
        " if (!document.querySelector(facts).dataset.digest) window.isForgotten = true; })"
        ".observe(document.querySelector('#sketch-facts'),"
        " { subtree: true, childList: true, attributes: true })",
        facts,
    )
    mounted = [getattr(route, "app", None) for route in served.app.routes]
    (gradio,) = [app for app in mounted if hasattr(app, "state_holder")]
    gradio.state_holder.session_data.clear()
    page.wait_for_function("window.isForgotten")
    expect(page.locator(facts)).to_have_attribute("data-digest", digest)
    expect(follows(page)).to_be_checked()
    page.click("#generate")
    expect(page.locator("#result .v-facts")).to_contain_text("Sketch followed")


def test_undo_redo_eraser_and_clear(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    tool = {name: page.locator(f'[data-tool="{name}"]') for name in ("undo", "redo", "clear")}
    draw(page)
    first = ink(page)
    draw(page, ((0.1, 0.1), (0.9, 0.1)))
    both = ink(page)
    assert both > first
    tool["undo"].click()
    assert ink(page) == first
    tool["redo"].click()
    assert ink(page) == both
    page.locator('[data-tool="eraser"]').click()
    draw(page, ((0.05, 0.1), (0.95, 0.1)))
    assert ink(page) == first
    tool["clear"].click()
    assert ink(page) == 0
    expect(page.locator(".v-pad-hint")).to_be_visible()
    expect(follows(page)).not_to_be_checked()
    follows(page).check()
    page.click("#generate")
    expect(page.get_by_role("alert").first).to_contain_text("Nothing is drawn yet")


def test_a_dropped_picture_shows_its_outlines_for_both_thresholds(
    served: Served, new_page: NewPage, tmp_path: Path
) -> None:
    photo = Image.radial_gradient("L").resize((400, 300)).convert("RGB")
    photo.paste((200, 60, 40), (100, 80, 300, 220))
    photo.save(tmp_path / "photo.jpg")
    page = new_page(served.address)
    page.locator("#sketch-pad input[type=file]").set_input_files(tmp_path / "photo.jpg")
    expect(follows(page)).to_be_checked()
    page.locator('[data-tool="outlines"]').click()
    outlines = page.locator(".v-outlines")
    expect(outlines).to_be_visible()
    first = outlines.get_attribute("src") or ""
    assert re.search(r"height=64&width=64&low=100&high=200", first)

    page.get_by_role("button", name="Fine tuning").click()
    for name, value in (("low", "20"), ("high", "40")):
        page.locator(f"#field-canny_{name} input[type=number]").fill(value)
    expect(outlines).to_have_attribute("src", re.compile("low=20&high=40"))
    page.wait_for_function("document.querySelector('.v-outlines').naturalWidth === 64")
    assert served.studio.num_active() == 0


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("large.png", b"\x89PNG" + bytes(21 * 2**20), "takes 21 MiB: send one of at most 20"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "An SVG is a program"),
        ("note.png", b"only text", "no picture that the studio reads"),
    ],
)
def test_a_bad_file_is_one_sentence_and_the_canvas_stays(
    served: Served, new_page: NewPage, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    page = new_page(served.address, ignore=("Failed to load resource",))
    draw(page)
    drawn = ink(page)
    page.locator("#sketch-pad input[type=file]").set_input_files(tmp_path / name)
    expect(page.locator(".v-pad-message")).to_contain_text(sentence)
    assert ink(page) == drawn
    draw(page, ((0.1, 0.9), (0.9, 0.9)))
    expect(page.locator(".v-pad-message")).to_be_hidden()


def shown_draft(page: Page, after: str = "") -> str:
    """Wait for a draft that is on the page, another than `after`; its job."""
    page.wait_for_function(
        "(after) => { const d = document.querySelector('#draft'), i = d.querySelector('img');"
        " return (d.dataset.shownJob ?? '') !== after && i?.naturalWidth === 64 && !i.hidden; }",
        arg=after,
    )
    return str(page.locator("#draft").get_attribute("data-shown-job"))


def test_a_draft_follows_typing_and_strokes_and_generate_draws_it_in_full(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    before = len(served.studio.jobs())
    page.locator("#field-live input").check()
    first = shown_draft(page)
    page.locator("#field-notes textarea").press_sequentially("at dawn")
    second = shown_draft(page, first)
    draw(page)
    third = shown_draft(page, second)
    assert len({first, second, third}) == 3
    assert len(served.studio.jobs()) == before
    expect(page.locator("#result")).to_be_hidden()

    page.click("#generate")
    expect(page.locator("#result")).to_contain_text("at dawn")  # not the picture before it
    expect(page.locator("#result img.v-picture")).to_be_visible()
    expect(page.locator("#draft img.v-picture")).to_be_hidden()
    job = served.studio.jobs()[0]
    assert job.brief.notes == "at dawn"
    assert job.request.control is not None
    assert job.request.num_steps == 8


def strength(served: Served, job_id: str) -> float | None:
    """How strictly a draft follows its sketch."""
    control = served.studio.job(job_id).request.control
    return None if control is None else control.conditioning_scale


def test_a_draft_follows_the_numbers_beside_the_canvas(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    page.locator("#field-live input").check()
    draw(page)
    expect(follows(page)).to_be_checked()
    shown = shown_draft(page)
    page.locator("#field-control_strength input[type=number]").fill("1.5")
    while strength(served, shown) != 1.5:
        shown = shown_draft(page, shown)
    follows(page).uncheck()
    assert strength(served, shown_draft(page, shown)) is None


def test_the_shortcuts_of_create_start_and_stop_nothing_elsewhere(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    before = len(served.studio.jobs())
    write(page, "notes", "once only")
    page.get_by_role("link", name="Monitor").click()
    expect(page.locator("#workbench")).to_be_hidden()
    page.keyboard.press("Control+Enter")
    page.get_by_role("link", name="Create").click()
    expect(page.locator("#workbench")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result")).to_contain_text("once only")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    assert len(served.studio.jobs()) == before + 1


def test_variants_fill_a_grid_and_are_stopped_as_one(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    page.get_by_role("button", name="Variants").click()
    for field, names in (("color", ("red", "blue")), ("scene", ("garden", "white studio"))):
        for name in names:
            page.locator(f"#vary-{field} input").click()
            page.get_by_role("option", name=name, exact=True).click()
        page.keyboard.press("Escape")
    expect(page.locator("#vary-hint")).to_contain_text("4 pictures from one seed")
    page.click("#generate")
    expect(page.locator("#result .v-grid li")).to_have_count(4)
    expect(page.locator("#progress .v-card")).to_have_count(1)
    expect(page.locator("#result .v-grid img:not(.v-preview)")).to_have_count(4)
    mat, grid, caption = (
        page.locator(f"#result {name}").bounding_box()
        for name in (".v-grid-mat", ".v-grid", ".v-caption")
    )
    assert mat is not None
    assert grid is not None
    assert caption is not None
    assert mat["y"] < grid["y"] < grid["y"] + grid["height"] < mat["y"] + mat["height"]
    assert mat["y"] + mat["height"] < caption["y"], "nothing lies upon another"
    expect(page.locator("#progress .v-card")).to_have_count(0)
    page.locator("#result .v-grid .v-thumb").nth(1).click()
    expect(page.locator("#result .v-title")).to_contain_text("blue ceramic mug")
    page.get_by_role("button", name="All variants").click()
    expect(page.locator("#result .v-grid li")).to_have_count(4)

    for name in ("green", "yellow", "black", "white", "grey", "pink"):
        page.locator("#vary-color input").click()
        page.get_by_role("option", name=name, exact=True).click()
    expect(page.locator("#vary-hint")).to_contain_text("16 pictures from one seed")
    page.click("#generate")
    page.locator('#progress [data-act="stop-group"]').dispatch_event("click")
    expect(page.locator("#progress")).to_contain_text("Stopped")
    group = served.studio.jobs()[0].group_id
    assert group
    assert not any(job.status.is_active for job in served.studio.groups.jobs(group, "local"))


def test_refusals_of_canvas_and_form_are_chinese_where_the_page_is(
    served: Served, new_page: NewPage, tmp_path: Path
) -> None:
    (tmp_path / "large.png").write_bytes(b"\x89PNG" + bytes(21 * 2**20))
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = new_page(served.address, locale="zh-CN", ignore=("Failed to load resource",))
    picker, message = page.locator("#sketch-pad input[type=file]"), page.locator(".v-pad-message")
    picker.set_input_files(tmp_path / "large.png")
    said = message.locator(".v-said:visible")
    expect(said).to_have_text("图片有 21 MiB：请使用不超过 20 MiB 的图片。")
    picker.set_input_files(tmp_path / "drawing.svg")
    expect(message).to_have_text("SVG 是会绘图的程序，工作室不运行程序：请先另存为 PNG。")
    write(page, "subject", "")
    page.click("#generate")
    expect(page.locator("#message")).to_have_text("商品为空：请填写图片要表现什么，例如“沙发”。")


def test_nothing_is_lost_when_the_tab_closes(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    draw(page)
    expect(follows(page)).to_be_checked()
    write(page, "num_images", "3")
    page.click("#generate")
    expect(page.locator("#result .v-strip .v-thumb")).to_have_count(3)
    job = served.studio.jobs()[0]
    other = page.context.new_page()
    page.close()
    other.goto(served.address)
    expect(other.locator(f'#result .v-result[data-job="{job.id}"]')).to_be_visible()
    expect(other.locator("#result .v-strip img:not(.v-preview)")).to_have_count(3)
    expect(follows(other)).to_be_checked()
    assert ink(other) > 500


def test_a_phone_can_draw(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    draw(page)
    expect(follows(page)).to_be_checked()


def test_where_no_sketch_can_be_followed_the_page_says_so_and_offers_none(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    plain = gaussian_model(follows_sketches=False)
    studio = open_studio(load=lambda precision, report: plain)
    studio.wait_until_ready(WAIT_SECONDS)
    page = new_page(serve(studio).address)
    expect(page.locator("#sketch-facts")).to_contain_text("follows no sketches yet")
    expect(canvas(page)).to_be_hidden()
    expect(follows(page)).to_be_hidden()
    boxes = [page.locator(name).bounding_box() for name in ("#brief", "#middle", "#side")]
    lefts = [box["x"] for box in boxes if box]
    assert lefts == sorted(set(lefts)), "side by side, none upon another"
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()
