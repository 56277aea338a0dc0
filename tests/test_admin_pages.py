"""Account, administration and audit, over HTTP and in a browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import httpx
import pytest

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.person import Role
from tests.conftest import WAIT_SECONDS, NewPage, Served, serving
from tests.people_tools import ADMIN, PASSWORD, browser_of, people_of, sign_in

NEW = "another long password"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("admin"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        people_of(studio, bob="merchandiser", carl="merchandiser")
        studio.wait_until_ready(WAIT_SECONDS)
        with serving(studio) as served:
            yield served


@pytest.fixture
def ada(served: Served) -> Iterator[httpx.Client]:
    with browser_of(served, ADMIN) as client:
        yield client


def message_of(answer: httpx.Response) -> str:
    found = re.search(r'<p class="message[^>]*>(.*?)</p>', answer.text)
    return found[1] if found else ""


def post(client: httpx.Client, path: str, **form: object) -> httpx.Response:
    return client.post(path, data=form, follow_redirects=True)  # type: ignore[arg-type]


def test_an_admin_adds_somebody_who_can_sign_in(served: Served, ada: httpx.Client) -> None:
    answer = post(
        ada, "/admin/people", name="Dora", password=PASSWORD, role=["reviewer", "merchandiser"]
    )
    assert message_of(answer) == "Added."
    assert served.studio.people.account("dora").roles == {Role.REVIEWER, Role.MERCHANDISER}
    with browser_of(served) as client:
        assert sign_in(client, "dora").status_code == 303


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"name": "bob", "password": PASSWORD, "role": "merchandiser"}, 409, "already"),
        ({"name": "<script>", "password": PASSWORD, "role": "merchandiser"}, 422, "letters"),
        ({"name": "eve", "password": "short", "role": "merchandiser"}, 422, "too short"),
        ({"name": "eve", "password": PASSWORD}, 422, "at least one role"),
        ({"name": "eve", "password": PASSWORD, "role": "boss"}, 422, "no role"),
        ({}, 422, "1 to 64"),
    ],
)
def test_what_cannot_be_is_said_and_the_name_kept(
    ada: httpx.Client, form: dict[str, str], status: int, words: str
) -> None:
    answer = post(ada, "/admin/people", **form)
    assert answer.status_code == status
    assert words in message_of(answer)
    assert "<script>" not in answer.text
    if form.get("name") == "eve":
        assert 'value="eve"' in answer.text


def test_roles_limits_password_and_state_are_changed_on_a_persons_page(
    served: Served, ada: httpx.Client
) -> None:
    people = served.studio.people
    assert message_of(post(ada, "/admin/people/carl/roles", role=["reviewer"])) == "Saved."
    assert people.account("carl").roles == {Role.REVIEWER}
    limits = {"max_pictures_per_day": "20", "queue_share": "5"}
    assert message_of(post(ada, "/admin/people/carl/quota", **limits)) == "Saved."
    carl = people.account("carl")
    assert (carl.max_pictures_per_day, carl.queue_share) == (20, 5)
    assert "0 of 20 pictures today" in ada.get("/admin/people/carl").text
    assert "whole number" in message_of(post(ada, "/admin/people/carl/quota", queue_share="0"))
    assert message_of(post(ada, "/admin/people/carl/password", password=NEW)) == "Saved."
    assert people.sign_in("carl", NEW, address="")
    assert message_of(post(ada, "/admin/people/carl/disable")) == "Saved."
    assert not people.account("carl").is_enabled
    assert "Enable carl" in ada.get("/admin/people/carl").text
    assert "last admin" in message_of(post(ada, "/admin/people/ada/disable"))


def test_nobody_who_is_not_there_has_a_page(ada: httpx.Client) -> None:
    assert ada.get("/admin/people/nobody").status_code == 404
    assert post(ada, "/admin/people/nobody/disable").status_code == 404


def test_an_admin_ends_the_session_of_somebody(served: Served, ada: httpx.Client) -> None:
    with browser_of(served, "bob") as bob:
        page = ada.get("/admin/people/bob").text
        (path,) = set(re.findall(r'action="(/account/sessions/\w+/end)"', page))
        answer = post(ada, path, back="/admin/people/bob")
        assert message_of(answer) == "The session is ended."
        assert answer.url.path == "/admin/people/bob"
        assert bob.get("/session").status_code == 401


def test_a_person_changes_their_own_password_and_stays(served: Served) -> None:
    served.studio.people.add("fay", PASSWORD, ["merchandiser"], by=_ada(served))
    with browser_of(served, "fay") as here, browser_of(served, "fay") as there:
        wrong = {"old": NEW, "new": NEW, "again": NEW}
        assert "password now is wrong" in message_of(post(here, "/account/password", **wrong))
        differ = {"old": PASSWORD, "new": NEW, "again": PASSWORD}
        assert "differ" in message_of(post(here, "/account/password", **differ))
        easy = {"old": PASSWORD, "new": "fayfayfayfay", "again": "fayfayfayfay"}
        assert "easy to guess" in message_of(post(here, "/account/password", **easy))
        right = {"old": PASSWORD, "new": NEW, "again": NEW}
        assert message_of(post(here, "/account/password", **right)) == "Your password is changed."
        assert here.get("/session").status_code == 200
        assert there.get("/session").status_code == 401


def test_a_person_makes_a_key_sees_it_once_and_revokes_it(served: Served) -> None:
    with browser_of(served, "bob") as bob:
        form = {"name": "<export>", "scope": ["jobs:read", "keys"], "days": "30"}
        made = bob.post("/account/keys", data=form)
        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"
        (secret,) = re.findall(r'value="(vitrine_[^"]{20,})"', made.text)
        page = bob.get("/account").text
        assert secret not in page
        assert "&lt;export&gt;" in page
        asks = {"authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=served.address, headers=asks) as program:
            assert program.get("/api/v1/jobs").status_code == 200
            assert program.get("/api/v1/pictures").status_code == 403
            assert program.get("/account").status_code == 401
            (key_id,) = [key["id"] for key in program.get("/api/v1/keys").json()["items"]]
            with browser_of(served, "ada") as ada:
                assert "export" not in ada.get("/account").text
                assert ada.post(f"/account/keys/{key_id}/revoke").status_code == 404
            assert bob.post(f"/account/keys/{key_id}/revoke").status_code == 303
            assert program.get("/api/v1/jobs").status_code == 401
        assert "export" not in bob.get("/account").text
        for wrong in ({"name": "x"}, {**form, "days": "soon"}, {**form, "name": ""}):
            refused = bob.post("/account/keys", data=wrong)
            assert refused.status_code == 422
            assert "vitrine_" not in refused.text
    acts = [entry.act for entry in served.studio.audit.entries(act="key", object=key_id)]
    assert acts == ["key.revoke", "key.create"]


def test_a_person_without_the_role_finds_no_administration(served: Served) -> None:
    with browser_of(served, "bob") as bob:
        assert "/admin" not in bob.get("/account").text
        assert bob.get("/admin").status_code == 403
        assert post(bob, "/admin/people/bob/roles", role=["admin"]).status_code == 403
        assert bob.get("/admin/audit.csv").status_code == 403
    assert served.studio.people.account("bob").roles == {Role.MERCHANDISER}


def test_the_audit_is_searched_and_handed_out(ada: httpx.Client) -> None:
    page = ada.get("/admin/audit?act=account&text=bob").text
    assert "account.add" in page
    assert "session.begin" not in page.split("<tbody>")[1].split("</tbody>")[0]
    exported = ada.get("/admin/audit.csv?act=account")
    assert 'filename="vitrine-audit.csv"' in exported.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(exported.text)))
    assert {row["act"].split(".")[0] for row in rows} == {"account"}
    assert ada.get("/admin/audit.json?act=account").json()[-1]["object"] == ADMIN
    assert ada.get("/admin/audit.xml").status_code == 422
    assert "audit.export" in ada.get("/admin/audit").text


@pytest.mark.parametrize(
    "query", ["since=tomorrow", "before=x", "before=-1", f"text={'x' * 300}", f"before={'9' * 30}"]
)
def test_a_search_that_makes_no_sense_is_refused(ada: httpx.Client, query: str) -> None:
    assert ada.get(f"/admin/audit?{query}").status_code == 422


def test_everything_is_there_in_chinese(ada: httpx.Client) -> None:
    for path in ("/account", "/admin", "/admin/people/bob", "/admin/audit"):
        page = ada.get(path, headers={"Accept-Language": "zh-CN"}).text
        assert 'lang="zh-CN"' in page
        assert "审计" in page


def test_a_studio_without_accounts_says_so_where_they_would_be(
    served: Served, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("nobody"), precision="float32", max_rows=2)
    with (
        Studio.open(config, card=model.card, load=lambda precision, report: model) as studio,
        serving(studio) as served,
        browser_of(served) as client,
    ):
        for path in ("/account", "/admin"):
            assert "has no accounts" in client.get(path).text
        form = {"name": "bob", "password": PASSWORD, "role": "merchandiser"}
        assert "first account must be an admin" in message_of(post(client, "/admin/people", **form))


def _ada(served: Served):  # type: ignore[no-untyped-def]
    return served.studio.people.account(ADMIN).person()


def test_an_admin_keeps_house_in_a_browser(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address, ready="#password")
    page.goto(f"{served.address}/admin")
    page.fill("#name", ADMIN)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Add somebody").wait_for()
    page.get_by_label("Name").fill("gus")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Add").click()
    page.get_by_role("status").filter(has_text="Added").wait_for()
    page.get_by_role("link", name="gus").click()
    page.get_by_label("Pictures a day").fill("7")
    page.get_by_role("button", name="Save limits").click()
    page.get_by_role("status").filter(has_text="Saved").wait_for()
    page.get_by_role("button", name="Disable gus").click()
    page.get_by_role("button", name="Enable gus").wait_for()
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("cell", name="account.disable").first.wait_for()
    page.get_by_role("link", name="中文").click()
    page.get_by_role("heading", name="审计").wait_for()
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_selector("#password")
