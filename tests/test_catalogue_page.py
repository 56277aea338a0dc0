"""The Catalogue in a browser: a table is dropped, mended, drawn, and its pictures taken away."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from studio.batch import BatchStatus, RowState
from studio.person import Person, Role
from studio.ui.catalogue import Looking, act, refresh
from studio.ui.speech import Language, Say
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, NewPage, OpenStudio, Serve

ADA = Person(name="ada", roles=frozenset({Role.MERCHANDISER}))


def go_to_catalogue(page: Page) -> None:
    page.get_by_role("link", name="Catalogue").click()
    expect(page.locator("#catalogue .v-empty")).to_be_visible()


def test_a_table_becomes_pictures_named_by_sku(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, tmp_path: Path
) -> None:
    served = serve(open_studio(step_seconds=0.01))
    served.studio.wait_until_ready(WAIT_SECONDS)
    path = tmp_path / "mugs.csv"
    path.write_bytes(table(*good_lines(24), ",mug,,,,,,,,", "=1+1,,,,,,,,,"))
    page = new_page(served.address)
    go_to_catalogue(page)

    page.set_input_files("#catalogue-file", str(path))
    article = page.locator("#catalogue article")
    expect(article).to_contain_text("mugs.csv")
    expect(article.locator(".v-bad")).to_contain_text("The SKU is empty")
    expect(article.locator(".v-bad")).to_contain_text("The subject is empty")
    expect(article.locator(".v-facts")).to_contain_text(re.compile(r"Drawing time\s*\d+ s"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rows to mend").click()
    assert "'=1+1" in Path(download.value.path()).read_text("utf-8-sig")

    page.get_by_role("button", name="Start").click()
    expect(article).to_have_attribute("data-status", "running")
    expect(article.locator(".v-row-succeeded img").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(article).to_have_attribute("data-status", "paused")
    page.get_by_role("button", name="Resume").click()
    expect(article).to_have_attribute("data-status", "finished")
    expect(article.locator(".v-row-succeeded img")).to_have_count(24)
    page.wait_for_function(
        "document.querySelector('#catalogue .v-row-succeeded img').naturalWidth > 0"
    )

    page.locator('#catalogue [data-act="filter"][data-id="bad"]').click()
    expect(article.locator(".v-row-bad")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download pictures").click()
    assert download.value.suggested_filename == "mugs-pictures.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 25
        assert "SKU-0000.png" in archive.namelist()


def test_a_file_that_is_no_table_is_refused_with_a_sentence(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, tmp_path: Path
) -> None:
    served = serve(open_studio())
    path = tmp_path / "picture.csv"
    path.write_bytes(b"one,two\n1,2\n")
    # The browser itself notes that the server refused something.
    page = new_page(served.address, ignore=("status of 422",))
    go_to_catalogue(page)
    page.set_input_files("#catalogue-file", str(path))
    expect(page.locator("#catalogue-message")).to_contain_text("names no column the studio knows")
    path.write_bytes(table(*good_lines(1)))
    page.set_input_files("#catalogue-file", str(path))
    expect(page.locator("#catalogue article")).to_contain_text("picture.csv")
    expect(page.locator("#catalogue-message")).to_be_hidden()


def test_files_that_are_too_large_are_told_before_they_are_sent(
    open_studio: OpenStudio, serve: Serve, new_page: NewPage, tmp_path: Path
) -> None:
    served = serve(open_studio())
    for name, mebibytes in (("table.csv", 33), ("one.png", 40), ("two.png", 40)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(mebibytes * 2**20)
    page = new_page(served.address, locale="zh-CN")
    page.locator('#nav [data-area="catalogue"]').click()
    said = page.locator("#catalogue-message .v-said:visible")
    page.set_input_files("#catalogue-file", str(tmp_path / "table.csv"))
    expect(said).to_have_text("文件有 33 MiB：请拆分成不超过 32 MiB 的文件。")
    (tmp_path / "table.csv").write_bytes(table(*good_lines(1)))
    page.set_input_files("#catalogue-sketches", [tmp_path / "one.png", tmp_path / "two.png"])
    with (tmp_path / "fits.csv").open("wb") as file:
        file.truncate(30 * 2**20)
    page.set_input_files("#catalogue-file", str(tmp_path / "fits.csv"))
    expect(said).to_contain_text("共 110 MiB，而工作室一次最多接受 95 MiB")
    page.set_input_files("#catalogue-sketches", [])
    page.set_input_files("#catalogue-file", str(tmp_path / "table.csv"))
    expect(page.locator("#catalogue article")).to_contain_text("table.csv")


def test_a_button_moves_ones_own_batch_and_nobody_elses(open_studio: OpenStudio) -> None:
    studio = open_studio()
    batch_id = studio.batches.check("a.csv", table(*good_lines(60)), "ada").batch.id
    looking = Looking(batch_id=batch_id)
    _, html, _, seen = refresh(studio, looking, "", ADA, Say())
    assert html.count("<tr") == 51
    again = refresh(studio, looking, seen, ADA, Say())
    assert all(isinstance(each, dict) for each in again), "nothing is drawn twice"
    looking = act(studio, looking, {"act": "rows", "index": 51}, ADA)
    assert refresh(studio, looking, "", ADA, Say())[1].count("<tr") == 11
    act(studio, looking, {"act": "start", "id": batch_id}, ADA)
    wait_for_batch(studio, batch_id, BatchStatus.FINISHED, owner="ada")
    looking = act(studio, looking, {"act": "filter", "id": "failed"}, ADA)
    assert looking.state is RowState.FAILED
    assert "No row is in this state." in refresh(studio, looking, "", ADA, Say())[1]
    bob = Person(name="bob", roles=frozenset({Role.MERCHANDISER}))
    assert batch_id not in refresh(studio, looking, "", bob, Say())[1]
    act(studio, looking, {"act": "delete", "id": batch_id}, ADA)
    assert studio.batches.page("ada") == []


def test_every_word_of_a_batch_is_said_in_chinese_too(open_studio: OpenStudio) -> None:
    studio = open_studio()
    batch_id = studio.batches.check("a.csv", table(*good_lines(1), ",mug,,,,,,,,"), "ada").batch.id
    html = refresh(studio, Looking(batch_id=batch_id), "", ADA, Say(Language.ZH))[1]
    for word in ("已检查", "开始", "无法绘制的行", "下载待修改的行"):
        assert word in html


def test_the_create_area_does_not_follow_a_batch(open_studio: OpenStudio) -> None:
    from studio.brief import Brief
    from studio.ui.snapshot import Chosen, look

    studio = open_studio()
    job = studio.submit(Brief(subject="vase"), "ada")
    batch_id = studio.batches.check("a.csv", table(*good_lines(20)), "ada").batch.id
    studio.batches.start(batch_id, "ada")
    wait_for_batch(studio, batch_id, owner="ada")
    snapshot = look(studio, Chosen(), "ada")
    assert snapshot.result is not None
    assert snapshot.result.job.id == job.id
