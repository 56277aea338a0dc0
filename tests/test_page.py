"""The page in a real browser, over a real server and the closed-form model."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.errors import BadModel
from studio.job import JobStatus
from studio.ui import create_events
from studio.ui.create_form import open_page
from studio.ui.live_panel import TabEvent, Updates
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve, Served

STEP_SECONDS = 0.12


@pytest.fixture
def slow(open_studio: OpenStudio, serve: Serve) -> Served:
    """A studio whose pictures take about a second, one at a time, so that progress is seen."""
    return serve(open_studio(step_seconds=STEP_SECONDS))


@pytest.fixture
def quick(open_studio: OpenStudio, serve: Serve) -> Served:
    return serve(open_studio())


def write(page: Page, field: str, text: str) -> None:
    """Type into a field of the form, as a person does."""
    box = page.locator(f"#field-{field}").locator("input, textarea").first
    box.click()
    box.press("Control+a")
    box.press("Delete")
    if text:
        box.press_sequentially(text)
    box.blur()


def prompt(page: Page) -> str:
    return page.locator("#prompt .v-prompt").inner_text()


def test_a_brief_becomes_a_picture_that_downloads_byte_for_byte(
    slow: Served, new_page: NewPage, tmp_path: Path
) -> None:
    page = new_page(slow.address)
    write(page, "subject", "teapot")
    write(page, "color", "green")
    write(page, "notes", "soft morning light")
    write(page, "seed", "1234")
    sent = "a ceramic green teapot on a wooden table, soft morning light"
    expect(page.locator("#prompt .v-prompt")).to_have_text(sent)

    page.click("#generate")
    preview = page.locator("#result img.v-preview")
    expect(preview).to_be_visible()
    address = preview.get_attribute("src") or ""
    assert re.fullmatch(r"/previews/[0-9a-f]{16}/0\.png\?step=\d+", address)
    expect(page.locator("#progress .v-card")).to_contain_text(re.compile(r"step \d/8"))

    picture = page.locator("#result img.v-picture")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('img.v-picture').naturalWidth > 0")
    assert picture.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [64, 64]
    expect(page.locator("#result .v-facts")).to_contain_text("1234")
    expect(page.locator("#result .v-facts")).to_contain_text("closed-form · float32")
    expect(page.locator("#recent img")).to_have_count(1)
    expect(page.locator("#status")).to_have_text("Ready")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    download.value.save_as(tmp_path / "got.png")
    (image,) = slow.studio.images()
    assert download.value.suggested_filename == "green-ceramic-teapot-1234.png"
    assert hashlib.sha256((tmp_path / "got.png").read_bytes()).hexdigest() == image.digest
    assert slow.studio.job(image.job_id).request.prompt == sent


def test_one_job_is_stopped_by_keyboard_while_another_goes_on(
    slow: Served, new_page: NewPage
) -> None:
    page = new_page(slow.address)
    write(page, "num_images", "4")
    page.click("#generate")
    expect(page.locator("#progress .v-card")).to_have_count(1)
    write(page, "num_images", "16")
    page.click("#generate")
    expect(page.locator("#progress .v-card")).to_have_count(2)
    second, first = slow.studio.jobs()

    page.locator(f'#progress [data-act="stop"][data-id="{second.id}"]').focus()
    page.keyboard.press("Enter")

    card = page.locator(f'#progress .v-card[data-job="{second.id}"]')
    expect(card).to_contain_text("Stopped")
    expect(card.get_by_role("button", name="Draw")).to_be_visible()
    assert slow.studio.job(second.id).status is JobStatus.CANCELLED
    expect(page.locator(f'#progress .v-card[data-job="{first.id}"]')).to_have_count(0)
    assert slow.studio.job(first.id).status is JobStatus.SUCCEEDED


def test_three_ways_to_stop_by_keyboard(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    slow = serve(open_studio(step_seconds=0.8))  # a picture must outlast the look at the page
    slow.studio.wait_until_ready(WAIT_SECONDS)
    page = new_page(slow.address)
    write(page, "num_images", "4")
    page.click("#generate")
    expect(page.locator('#progress [data-act="skip"]')).to_be_visible()
    (job,) = slow.studio.jobs()

    page.keyboard.press("Control+Alt+Period")
    expect(page.locator("#progress .v-card")).to_contain_text("1 skipped")
    expect(page.locator("#result .v-thumb.v-skipped")).to_have_count(1)
    assert len(slow.studio.job(job.id).skipped) == 1

    expect(page.locator("#progress .v-card")).to_contain_text(re.compile(r"2 of 4 · step [1-4]"))
    page.keyboard.press("Control+Shift+Period")
    expect(page.locator("#progress .v-card")).to_contain_text("Stopped")
    assert slow.studio.job(job.id).status is JobStatus.CANCELLED
    assert len(slow.studio.view(job.id).images) >= 1
    expect(page.locator("#progress .v-card")).to_contain_text("1 skipped")

    page.click("#generate")
    expect(page.locator("#progress .v-active")).to_have_count(1)
    page.keyboard.press("Control+Period")
    expect(page.locator("#progress .v-active")).to_have_count(0)
    assert slow.studio.jobs()[0].status is JobStatus.CANCELLED


def test_the_focus_stays_on_a_button_while_its_job_goes_on(slow: Served, new_page: NewPage) -> None:
    page = new_page(slow.address)
    write(page, "num_images", "4")
    page.click("#generate")
    stop = page.locator('#progress [data-act="stop"]')
    stop.focus()
    expect(page.locator("#progress .v-card")).to_contain_text(re.compile("2 of 4"))
    expect(stop).to_be_focused()


def test_a_stopped_job_is_drawn_again_from_its_card(slow: Served, new_page: NewPage) -> None:
    page = new_page(slow.address)
    page.click("#generate")
    page.locator('#progress [data-act="stop"]').click()
    page.locator('#progress [data-act="retry"]').click()
    expect(page.locator("#result img.v-picture")).to_be_visible()
    assert [job.status for job in slow.studio.jobs()] == [JobStatus.SUCCEEDED]


def test_a_reload_and_a_second_browser_find_the_running_job(
    slow: Served, new_page: NewPage
) -> None:
    page = new_page(slow.address)
    write(page, "num_images", "16")
    page.click("#generate")
    expect(page.locator("#result img.v-preview").first).to_be_visible()
    expect(page.locator("#status")).to_contain_text(re.compile(r"Drawing · about \d+ s"))
    (job,) = slow.studio.jobs()

    page.reload()
    other = new_page(slow.address)
    for each in (page, other):
        expect(each.locator(f'#progress .v-card[data-job="{job.id}"]')).to_be_visible()
        expect(each.locator(f'#result .v-result[data-job="{job.id}"]')).to_be_visible()
        expect(each.locator("#result .v-strip .v-thumb")).to_have_count(16)
    assert slow.studio.job(job.id).status is JobStatus.RUNNING
    other.locator('#progress [data-act="stop"]').click()
    expect(page.locator("#progress")).to_contain_text("Stopped")


def test_variants_fill_in_and_each_can_be_shown_large(quick: Served, new_page: NewPage) -> None:
    page = new_page(quick.address)
    write(page, "num_images", "3")
    write(page, "seed", "7")
    page.click("#generate")
    expect(page.locator("#result .v-strip img:not(.v-preview)")).to_have_count(3)
    page.get_by_role("button", name="Variant 3").click()
    expect(page.locator("#result .v-facts")).to_contain_text("9")
    expect(page.get_by_role("button", name="Variant 3")).to_have_attribute("aria-pressed", "true")


def test_the_form_survives_a_reload(quick: Served, new_page: NewPage) -> None:
    page = new_page(quick.address)
    write(page, "subject", "glass teapot")
    write(page, "notes", "seen from above")
    page.locator("#field-negative_presets input").click()
    page.get_by_role("option", name="No people").click()
    page.keyboard.press("Escape")
    expect(page.locator("#prompt")).to_contain_text("person, people")
    before = "a ceramic red glass teapot on a wooden table, seen from above"
    expect(page.locator("#prompt .v-prompt")).to_have_text(before)
    page.wait_for_function("() => JSON.stringify(localStorage).includes('vitrine-brief')")

    page.reload()
    expect(page.locator("#prompt .v-prompt")).to_have_text(before)
    expect(page.locator("#prompt")).to_contain_text("person, people")
    expect(page.locator("#field-subject input")).to_have_value("glass teapot")
    expect(page.locator("#field-notes textarea")).to_have_value("seen from above")


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("subject", "", "The subject is empty"),
        ("seed", "twelve", "The seed must be a whole number"),
        ("num_images", "0", "The number of pictures must be a whole number from 1 to 16"),
        ("num_images", "1000", "The number of pictures must be a whole number from 1 to 16"),
    ],
)
def test_bad_input_is_answered_beside_the_form_which_keeps_its_words(
    quick: Served, new_page: NewPage, field: str, text: str, sentence: str
) -> None:
    page = new_page(quick.address)
    write(page, "notes", "kept as it was")
    write(page, field, text)
    page.click("#generate")
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.locator("#field-notes textarea")).to_have_value("kept as it was")
    expect(page.locator(f"#field-{field} input")).to_have_value(text)
    marked = page.locator(f"#field-{field}").evaluate(
        "e => getComputedStyle(e).getPropertyValue('--block-title-text-color').trim()"
    )
    danger = page.evaluate("getComputedStyle(document.body).getPropertyValue('--v-danger').trim()")
    assert marked == danger
    assert quick.studio.jobs() == []

    write(page, field, {"subject": "mug", "seed": "12", "num_images": "1"}[field])
    expect(page.get_by_role("alert")).to_be_hidden()
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()


def test_nothing_can_be_typed_before_the_form_is_filled_which_would_take_it_away(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_fill = threading.Event()

    def fill_late(event: TabEvent) -> Updates:
        assert may_fill.wait(WAIT_SECONDS)
        return open_page(event)

    monkeypatch.setattr(create_events, "open_page", fill_late)
    # The timer's first look overtakes the form's values.
    page = new_page(serve(open_studio()).address, ready="#generate, #result .v-mat")
    notes = page.locator("#field-notes textarea")
    notes.focus()
    expect(notes).not_to_be_focused()

    may_fill.set()
    page.wait_for_selector("#workbench:not([inert])")
    write(page, "notes", "seen from above")
    page.click("#generate")
    expect(page.locator("#result .v-facts")).to_be_visible()
    expect(notes).to_have_value("seen from above")


def test_ten_thousand_characters_are_refused_and_kept(quick: Served, new_page: NewPage) -> None:
    page = new_page(quick.address)
    page.locator("#field-notes textarea").fill("x" * 10_000)
    page.click("#generate")
    expect(page.get_by_role("alert")).to_contain_text("10,000 characters long: shorten it to 200")
    assert len(page.locator("#field-notes textarea").input_value()) == 10_000


def test_markup_in_the_form_is_shown_and_not_obeyed(quick: Served, new_page: NewPage) -> None:
    page = new_page(quick.address)
    evil = "<img src=x onerror=window.hit=1><script>window.hit=1</script>${window.hit=1}{{1}}"
    write(page, "subject", "<b onclick=hit()>mug</b>")
    page.locator("#field-notes textarea").fill(evil)
    expect(page.locator("#prompt .v-prompt")).to_contain_text(evil)
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_visible()
    expect(page.locator("#result")).to_contain_text(evil)
    expect(page.locator("#result .v-title")).to_contain_text("<b onclick=hit()>mug</b>")
    assert page.evaluate("window.hit") is None
    assert page.locator("#result script, #result b, #prompt script, #prompt img").count() == 0


def test_control_and_enter_generate_what_was_just_typed(quick: Served, new_page: NewPage) -> None:
    page = new_page(quick.address)
    subject = page.locator("#field-subject input")
    subject.click()
    subject.press("Control+a")
    subject.press_sequentially("copper kettle")
    subject.press("Control+Enter")
    expect(page.locator("#result .v-title")).to_contain_text("copper kettle")
    assert [job.brief.subject for job in quick.studio.jobs()] == ["copper kettle"]


def test_a_phone_shows_one_column_and_brings_the_result_into_view(
    quick: Served, new_page: NewPage
) -> None:
    page = new_page(quick.address, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#generate")
    expect(page.locator("#result img.v-picture")).to_be_in_viewport()


def test_while_the_model_warms_jobs_are_taken_and_wait(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    from studio.engine.gaussian import gaussian_model

    may_load = threading.Event()

    def load(precision: str, report: object) -> object:
        report("UNet")  # type: ignore[operator]
        assert may_load.wait(60)
        return gaussian_model()

    served = serve(open_studio(load=load))
    page = new_page(served.address)
    expect(page.locator("#status")).to_contain_text("Warming: ")
    expect(page.locator("#status")).to_contain_text("UNet")
    page.click("#generate")
    expect(page.locator("#progress")).to_contain_text("waiting for the model")
    may_load.set()
    expect(page.locator("#result img.v-picture")).to_be_visible()


def test_a_model_that_cannot_be_loaded_is_told_and_nothing_is_offered(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    def load(precision: str, report: object) -> object:
        raise BadModel("The weights in unet are cut short: copy the folder again.")

    page = new_page(serve(open_studio(load=load)).address)
    expect(page.locator("#result")).to_contain_text("The weights in unet are cut short")
    expect(page.locator("#generate")).to_be_disabled()
