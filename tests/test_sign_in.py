"""The way in and out, over HTTP and in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadConfig
from studio.gate import COOKIE, SECURE_COOKIE
from studio.pages.sign_in import local_path
from studio.server import serve
from tests.conftest import WAIT_SECONDS, NewPage, Served, serving
from tests.people_tools import PASSWORD, browser_of, people_of, sign_in


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(data_dir=tmp_path_factory.mktemp("in"), precision="float32", max_rows=2)
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        people_of(studio, bob="merchandiser", carl="merchandiser", dora="merchandiser")
        studio.wait_until_ready(WAIT_SECONDS)
        with serving(studio) as served:
            yield served


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with browser_of(served) as client:
        yield client


def test_a_person_is_led_to_the_sign_in_and_back_to_where_they_wanted(
    client: httpx.Client,
) -> None:
    answer = client.get("/pictures/x.png?download=1", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    where = "/sign-in?next=%2Fpictures%2Fx.png%3Fdownload%3D1"
    assert answer.headers["location"] == where
    page = client.get(where).text
    assert 'name="next" value="/pictures/x.png?download=1"' in page
    form = {"name": "ada", "password": PASSWORD, "next": "/pictures/x.png?download=1"}
    answer = client.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pictures/x.png?download=1")


@pytest.mark.parametrize(
    "next",
    [
        "https://elsewhere.example",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "\\/elsewhere.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/\t/elsewhere.example",
        "/sign-out",
        "",
    ],
)
def test_the_sign_in_leads_nowhere_else(next: str) -> None:
    assert local_path(next) == "/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: httpx.Client) -> None:
    cookie = sign_in(client, "ada").headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age="):
        assert part in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_of_this_host_alone(client: httpx.Client) -> None:
    form = {"name": "ada", "password": PASSWORD}
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    answer = client.post("/sign-in", data=form, headers=headers)
    assert answer.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=")
    assert "Secure" in answer.headers["set-cookie"]
    token = answer.cookies[SECURE_COOKIE]
    own = {"Cookie": f"{SECURE_COOKIE}={token}"}
    assert client.get("/session", headers=headers | own).json()["name"] == "ada"
    assert client.get("/session", headers=own).status_code == 401, "not over plain http"


def test_the_address_a_proxy_tells_is_the_one_kept(served: Served, client: httpx.Client) -> None:
    form = {"name": "dora", "password": PASSWORD}
    client.post("/sign-in", data=form, headers={"X-Forwarded-For": "203.0.113.9"})
    (session,) = served.studio.people.sessions("dora")
    assert session.address == "203.0.113.9"


def test_a_wrong_password_is_told_without_losing_the_name(client: httpx.Client) -> None:
    answer = sign_in(client, "<b>bob", "wrong password")
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert 'value="&lt;b&gt;bob"' in answer.text
    assert "set-cookie" not in answer.headers
    assert "wrong password" not in answer.text.replace("The name or the password is wrong.", "")


def test_a_lock_out_is_told_with_the_time_to_come_back(client: httpx.Client) -> None:
    for _ in range(5):
        answer = sign_in(client, "carl", "wrong password")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 31
    assert re.search(r"Too many attempts went wrong. Try again in \d+ s,", answer.text)
    assert sign_in(client, "carl").status_code == 429


def test_signing_in_anew_ends_the_session_before(served: Served, client: httpx.Client) -> None:
    sign_in(client, "bob")
    before = client.cookies[COOKIE]
    sign_in(client, "bob")
    assert client.cookies[COOKIE] != before
    client.cookies.set(COOKIE, before)
    assert served.studio.people.visitor(before, "") is None


def test_signing_out_ends_the_session_and_forgets_what_the_browser_kept(
    client: httpx.Client,
) -> None:
    sign_in(client, "bob")
    token = client.cookies[COOKIE]
    answer = client.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?out")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, token)
    assert client.get("/session").status_code == 401


def test_signing_out_cannot_be_done_by_a_link_or_from_elsewhere(client: httpx.Client) -> None:
    sign_in(client, "bob")
    assert client.get("/sign-out").status_code == 404
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert client.post("/sign-out", headers=elsewhere).status_code == 403
    assert client.post("/sign-in", headers=elsewhere).status_code == 403
    assert client.get("/session").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "words"),
    [("zh-CN,zh;q=0.9", "登录后即可制作图片"), ("fr", "Sign in to make pictures"), ("", "Sign in")],
)
def test_the_page_speaks_the_browsers_language(
    client: httpx.Client, accepted: str, words: str
) -> None:
    assert words in client.get("/sign-in", headers={"Accept-Language": accepted}).text


def test_a_language_that_was_chosen_stays(client: httpx.Client) -> None:
    assert "登录" in client.get("/sign-in?lang=zh").text
    assert "登录" in client.get("/sign-in").text


def test_a_watchdog_learns_no_more_than_that_it_serves(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ready"}
    sign_in(client, "bob")
    assert client.get("/healthz").json()["model"] == "gaussian"


def test_without_accounts_only_this_machine_is_served(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, host="0.0.0.0", port=0)
    with pytest.raises(BadConfig, match=r"0\.0\.0\.0 is not a loopback .*`studio users add NAME`"):
        serve(config, tell=lambda line: None)


# In a browser


def test_a_person_signs_in_is_refused_first_and_signs_out(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address, ready="#password", ignore=("401",))
    page.fill("#name", "bob")
    page.fill("#password", "wrong password")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="The name or the password is wrong").wait_for()
    page.wait_for_function("document.activeElement.id === 'password'")  # the name is there already
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#result .v-mat")
    page.get_by_role("navigation", name="Account").get_by_text("bob").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("status").filter(has_text="You are signed out").wait_for()
    page.goto(served.address)
    page.wait_for_selector("#password")


def test_the_sign_in_works_without_scripts(served: Served, new_page: NewPage) -> None:
    page = new_page(served.address, ready="#password", scripts=False)
    page.fill("#name", "bob")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(served.address + "/")


def test_a_page_whose_session_ends_leaves_for_the_sign_in(
    served: Served, new_page: NewPage
) -> None:
    page = new_page(served.address, ready="#password", ignore=("401",))
    page.fill("#name", "bob")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#result .v-mat")
    people = served.studio.people
    for session in people.sessions("bob"):
        people.end_session(session.id, people.account("ada").person())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#password")
