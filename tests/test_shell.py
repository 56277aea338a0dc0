"""The shell in a real browser, with an area beside Create: addresses, languages, shortcuts."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.person import Person, Role
from studio.ui import page as page_module
from studio.ui.area import Area, Frame, Shortcut
from studio.ui.create import CREATE
from studio.ui.speech import label, say_for
from studio.ui.texts import shell
from tests.conftest import NewPage, Served, serving

TICK_SECONDS = 0.1
PLANTS = [3]
"""The last one is how many there are in the garden."""


def build_garden(studio: Studio, frame: Frame) -> None:
    """A box with a label, a word in the person's language, and a count of ticks."""
    gr.Textbox(label=label(shell.READY), interactive=True, elem_id="garden-box")
    word = gr.HTML(elem_id="garden-word", apply_default_css=False)
    ticks = gr.Number(0, elem_id="garden-ticks")

    def speak(request: gr.Request) -> str:
        return say_for(request)(shell.DRAWING)

    frame.on_show(speak, outputs=[word], queue=False)
    frame.on_speak(speak, outputs=[word])
    frame.timer(TICK_SECONDS).tick(
        lambda number: number + 1, ticks, ticks, queue=False, show_progress="hidden"
    )


GARDEN = Area(
    id="garden",
    title=shell.STARTING,
    build=build_garden,
    shortcuts=(Shortcut(keys="Control+Period", does=shell.STOPPING),),
    count=lambda studio, person: PLANTS[-1],
)
CELLAR = Area(id="cellar", title=shell.STOPPING, build=build_garden, roles=frozenset())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("data"), precision="float32", max_rows=2)
    with (
        pytest.MonkeyPatch.context() as patch,
        Studio.open(config, card=model.card, load=lambda precision, report: model) as studio,
    ):
        patch.setattr(page_module, "AREAS", (CREATE, GARDEN, CELLAR))
        with serving(studio) as served:
            yield served


def go(page: Page, area: str) -> None:
    page.locator(f'#nav [data-area="{area}"]').click()


def ticks(page: Page) -> int:
    return int(page.locator("#garden-ticks input").input_value())


def test_what_was_typed_survives_a_look_elsewhere_and_only_timers_in_front_run(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    expect(page.locator('#nav [aria-current="page"]')).to_have_text("Create")
    page.locator("#field-notes textarea").fill("soft light")
    go(page, "garden")
    expect(page.locator('#nav [aria-current="page"]')).to_have_text("starting (3)")
    expect(page.locator("#field-notes")).to_be_hidden()
    page.wait_for_function("+document.querySelector('#garden-ticks input').value > 2")
    page.locator("#garden-box textarea").fill("grown")

    go(page, "create")
    expect(page.locator("#field-notes textarea")).to_have_value("soft light")
    before = ticks(page)
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    assert ticks(page) <= before + 1, "one may have been under way"
    go(page, "garden")
    expect(page.locator("#garden-box textarea")).to_have_value("grown")


def test_the_area_in_front_stays_marked_when_a_count_changes(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    expect(page.locator('#nav [aria-current="page"]')).to_have_text("Create")
    PLANTS.append(4)
    try:
        expect(page.locator("#nav")).to_contain_text("starting (4)")
        expect(page.locator('#nav [aria-current="page"]')).to_have_text("Create")
    finally:
        PLANTS.pop()


def test_an_address_opens_its_area_and_back_goes_back(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    page.goto(f"{served.address}/#garden/some/thing")
    expect(page.locator("#garden-box textarea")).to_be_visible()
    expect(page).to_have_title("starting · Vitrine")
    page.reload()
    expect(page.locator("#garden-box textarea")).to_be_visible()
    go(page, "create")
    expect(page.locator("#generate")).to_be_visible()
    page.go_back()
    expect(page.locator("#garden-box textarea")).to_be_visible()


def test_an_area_that_is_not_open_to_a_person_cannot_be_reached_by_address(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    expect(page.locator('#nav [data-area="garden"]')).to_be_visible()
    expect(page.locator('#nav [data-area="cellar"]')).to_have_count(0)
    for address in ("#cellar", "#nowhere", "#%22%5D"):
        page.goto(f"{served.address}/{address}")
        expect(page.locator("#generate")).to_be_visible()
        expect(page.locator('#nav [aria-current="page"]')).to_have_text("Create")


def test_the_language_is_switched_in_place_and_kept(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    page.locator("#field-notes textarea").fill("soft light")
    go(page, "garden")
    expect(page.locator("#garden-word")).to_have_text("Drawing")
    page.locator("#garden-box textarea").fill("grown")

    page.get_by_role("button", name="Switch the language to Chinese").click()
    expect(page.locator("#garden-word")).to_have_text("正在绘制")
    expect(page.locator("#garden-box")).to_contain_text("就绪")
    expect(page.locator("#nav")).to_contain_text("创作")
    expect(page.locator("#status")).to_contain_text("就绪")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("#garden-box textarea")).to_have_value("grown")
    go(page, "create")
    expect(page.locator("#field-notes textarea")).to_have_value("soft light")

    page.reload()
    expect(page.locator("#nav")).to_contain_text("创作")
    go(page, "garden")
    expect(page.locator("#garden-box")).to_contain_text("就绪")
    page.get_by_role("button", name="切换到英文").click()
    expect(page.locator("#garden-box")).to_contain_text("Ready")


def test_an_area_first_seen_after_the_switch_speaks_the_new_language(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    page.get_by_role("button", name="Switch the language to Chinese").click()
    expect(page.locator("#nav")).to_contain_text("创作")
    go(page, "garden")
    expect(page.locator("#garden-box")).to_contain_text("就绪")
    expect(page.locator("#garden-word")).to_have_text("正在绘制")


def test_a_chinese_browser_is_spoken_to_in_chinese(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address, locale="zh-TW")
    expect(page.locator("#nav")).to_contain_text("创作")
    go(page, "garden")
    expect(page.locator("#garden-box")).to_contain_text("就绪")


def test_the_shortcuts_are_shown_by_a_question_mark_but_not_while_typing(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address)
    expect(page.locator("#nav nav")).to_be_visible()
    page.locator("#field-notes textarea").press("?")
    expect(page.locator("#field-notes textarea")).to_have_value("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_hidden()
    page.locator("#field-notes textarea").blur()
    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Ctrl+.")
    expect(dialog).to_contain_text("The studio is stopping")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("Alt+2")
    expect(page.locator("#garden-box textarea")).to_be_visible()


def test_a_role_opens_an_area() -> None:
    reviewer = Person(name="ada", roles=frozenset({Role.REVIEWER}))
    assert not CREATE.is_open_to(reviewer)
    assert GARDEN.is_open_to(reviewer)
