"""axe-core on every area and page, in both languages, wide and on a phone: no serious fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from studio.api_key import Scope
from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.ui.page import AREAS
from studio.variants import Choices, variants_of
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve, Served, serving
from tests.people_tools import ADMIN, PASSWORD, people_of

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("data"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        studio.wait(studio.submit(Brief(subject="mug", num_images=2)).id, WAIT_SECONDS)
        with serving(studio) as served:
            yield served


def faults(page: Page) -> list[str]:
    """The serious ones, each with the elements it is about."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['impact']} {fault['id']}: "
        + "; ".join(node["html"][:160] for node in fault["nodes"][:5])
        for fault in found
        if fault["impact"] in SERIOUS
    ]


SCREENS = [(1280, 800, "en-US"), (390, 844, "zh-CN")]


@pytest.mark.parametrize(("width", "height", "locale"), SCREENS)
def test_no_area_has_a_serious_fault(
    served: Served, new_page: NewPage, width: int, height: int, locale: str
) -> None:
    page = new_page(served.address, width=width, height=height, locale=locale)
    for area in AREAS:
        page.locator(f'#nav [data-area="{area.id}"]').click()
        expect(page.locator(f"#area-{area.id}")).to_be_visible()
        if area.id == "gallery":
            expect(page.locator("#gallery .v-cell img").first).to_be_visible()
        page.wait_for_function(
            "id => document.getElementById(id).innerText.trim().length > 5", arg=f"area-{area.id}"
        )
        assert faults(page) == [], area.id


def test_the_open_dialogs_have_no_serious_fault(served: Served, new_page: NewPage) -> None:
    page = new_page(f"{served.address}/#gallery", ready="#gallery .v-cell img")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.locator(".v-cell-open").first.click()
    expect(page.locator(".v-details img")).to_be_visible()
    assert faults(page) == []


def test_what_fills_the_areas_has_no_serious_fault(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    studio = open_studio(step_seconds=0.05, is_closed_world=False)
    studio.wait_until_ready(WAIT_SECONDS)
    lines = (*good_lines(3), ",mug,,,,,,,,", "A,,,,,,,,,")
    batch_id = studio.batches.check("a.csv", table(*lines)).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id)
    choices = Choices(colors=("red", "blue"), scenes=("garden", "kitchen"))
    studio.groups.submit(variants_of(Brief(subject="mug"), choices), "local")
    page = new_page(serve(studio).address)
    expect(page.locator("#result .v-grid li")).to_have_count(4)
    assert faults(page) == []
    studio.submit(Brief(subject="mug", num_images=16))
    expect(page.locator("#progress .v-stops")).to_be_visible()
    assert faults(page) == []
    page.locator('#nav [data-area="catalogue"]').click()
    expect(page.locator("#catalogue .v-bad")).to_be_visible()
    assert faults(page) == []
    page.locator('#nav [data-area="review"]').click()
    expect(page.locator("#review .v-desk-empty")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("#case-picture")).to_be_visible()
    assert faults(page) == []


@pytest.mark.parametrize(("width", "height", "locale"), SCREENS)
def test_no_page_of_people_has_a_serious_fault(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, width: int, height: int, locale: str
) -> None:
    studio = open_studio()
    people_of(studio, bob="merchandiser")
    served = serve(studio)
    studio.keys.create(ADMIN, "a program", [Scope.JOBS_READ])
    page = new_page(served.address, width=width, height=height, locale=locale, ready="#password")
    assert faults(page) == []
    page.fill("#name", ADMIN)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_selector("#nav nav")
    for path in ("account", "admin", "admin/people/bob", "admin/audit"):
        page.goto(f"{served.address}/{path}")
        assert faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
