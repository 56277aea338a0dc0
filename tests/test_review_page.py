"""The Review area in a real browser: a queue decided by keyboard alone."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.person import LOCAL_PERSON
from studio.review import Act
from studio.verdict import Release
from tests.conftest import NewPage, OpenStudio, Serve, Served
from tests.moderation_tools import REVIEWER, WAIT_SECONDS, draw, take, write_policy

OWNER = LOCAL_PERSON.name


@pytest.fixture
def served(open_studio: OpenStudio, serve: Serve, tmp_path: Path) -> Served:
    """Three pictures wait; decisions can be undone for a minute."""
    studio = open_studio(is_closed_world=False, moderation_policy=write_policy(tmp_path))
    for seed in (1, 2, 3):
        draw(studio, owner=OWNER, seed=seed)
    return serve(studio)


def open_review(served: Served, new_page: NewPage) -> Page:
    page = new_page(served.address)
    page.evaluate("location.hash = '#review'")
    page.wait_for_selector("#review-case .v-desk-empty >> visible=true")
    return page


def case_id(page: Page, *, other_than: str = "") -> str:
    selector = "#review-case .v-case[data-review]"
    if other_than:
        selector = f'#review-case .v-case[data-review]:not([data-review="{other_than}"])'
    return page.locator(selector).get_attribute("data-review") or ""


def acts(served: Served) -> list[str]:
    return [
        str(entry.act)
        for entry in served.studio.moderation.decisions(REVIEWER)
        if entry.act is not Act.OPEN
    ]


def test_cases_are_decided_by_keyboard_alone(served: Served, new_page: NewPage) -> None:
    page = open_review(served, new_page)
    expect(page.locator("#nav")).to_contain_text("Review (3)")
    page.keyboard.press("n")
    picture = page.locator("#case-picture")
    expect(picture).to_have_attribute("src", re.compile(r"^/review/pictures/[0-9a-f]{16}\.png$"))
    first = case_id(page)

    page.keyboard.press("b")
    expect(picture).to_have_attribute("src", re.compile(r"\.png\?plain=1$"))
    page.keyboard.press("g")
    expect(picture).to_have_attribute("src", re.compile(r"\?plain=1&grey=1$"))
    page.wait_for_function("document.querySelector('#case-picture').naturalWidth > 0")

    page.keyboard.press("t")
    page.keyboard.type("a bit odd")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    second = case_id(page, other_than=first)
    assert second != first
    expect(picture).to_have_attribute("src", re.compile(r"\.png\?grey=1$"))  # blurred again

    expect(page.locator("#review-counts .v-undo")).to_contain_text("Rejected")
    page.keyboard.press("u")
    page.wait_for_selector(f'#review-case [data-review="{first}"]')
    page.keyboard.press("a")
    page.wait_for_selector(f'#review-case .v-case:not([data-review="{first}"])')
    page.keyboard.press("e")
    expect(page.locator("#review-counts")).to_contain_text("1 escalated")
    assert acts(served) == ["reject", "undo", "approve", "escalate"]
    (entry,) = [
        each for each in served.studio.moderation.decisions(REVIEWER) if each.act is Act.REJECT
    ]
    assert (entry.reason, entry.note, entry.by) == ("nudity", "a bit odd", OWNER)


def test_a_case_that_somebody_else_took_over_is_taken_off_the_screen(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, tmp_path: Path
) -> None:
    studio = open_studio(
        is_closed_world=False, moderation_policy=write_policy(tmp_path, lease_seconds=1)
    )
    draw(studio, owner=OWNER)
    served = serve(studio)
    page = open_review(served, new_page)
    page.keyboard.press("n")
    review_id = case_id(page)
    deadline = time.monotonic() + WAIT_SECONDS
    while (case := studio.moderation.take(REVIEWER)) is None:
        assert time.monotonic() < deadline
    assert case.review.id == review_id
    expect(page.locator("#review-case")).to_contain_text("not yours any more")
    expect(page.locator("#case-picture")).to_have_count(0)


def test_an_empty_queue_says_so_and_speaks_chinese(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage
) -> None:
    served = serve(open_studio())
    page = new_page(served.address, locale="zh-CN")
    page.evaluate("location.hash = '#review'")
    expect(page.locator("#review-case")).to_contain_text("没有待审核的图片")


def test_its_owner_sees_a_placeholder_and_a_sentence(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address)
    expect(page.locator("#result img.v-hidden-picture")).to_be_visible()
    expect(page.locator("#result")).to_contain_text("nothing could check this picture")
    case = take(served.studio)
    served.studio.moderation.approve(REVIEWER, case.review.id)
    assert served.studio._store.image(case.image.id).release is Release.HELD
