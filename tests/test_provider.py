"""Single sign-on, against a provider of OpenID Connect that runs as a process of its own."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadConfig, Unauthenticated, Unavailable
from studio.person import Role
from studio.provider import Provider
from tests.conftest import WAIT_SECONDS, Served, serving
from tests.people_tools import ADMIN, browser_of, people_of

PROVIDER = (sys.executable, "-W", "ignore", "-m", "oidc_provider_mock")
PEOPLE: tuple[dict[str, Any], ...] = (
    {"sub": "1", "preferred_username": "Grace", "groups": ["makers", "judges"]},
    {"sub": "2", "preferred_username": "heidi", "groups": ["makers"]},
    {"sub": "3", "preferred_username": "ivan", "groups": ["strangers"]},
    {"sub": "4", "preferred_username": "ada", "groups": ["makers"]},
    {"sub": "5", "preferred_username": "judy", "groups": ["makers"]},
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [part for each in PEOPLE for part in ("--user-claims", json.dumps(each))]
    process = subprocess.Popen(
        [*PROVIDER, "--port", str(port), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                found = httpx.get(f"{address}/.well-known/openid-configuration").json()
                break
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield str(found["issuer"])
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


@pytest.fixture(scope="module")
def served(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = gaussian_model()
    config = Config(
        data_dir=tmp_path_factory.mktemp("sso"),
        precision="float32",
        max_rows=2,
        oidc_issuer=issuer,
        oidc_client_id="vitrine",
        oidc_client_secret="a secret",
        oidc_name="Example",
        oidc_roles_claim="groups",
        oidc_roles=("makers=merchandiser", "judges=reviewer"),
    )
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        people_of(studio)
        with serving(studio) as served:
            yield served


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with browser_of(served) as client:
        yield client


def at_provider(client: httpx.Client, subject: str, next: str = "/account") -> str:
    """Begin, and agree at the provider; the address it sends the browser back to."""
    begun = client.get("/sign-in/provider", params={"next": next})
    assert begun.status_code == 303, begun.text
    answer = httpx.post(begun.headers["location"], data={"sub": subject})
    assert answer.status_code in (302, 303), answer.text
    return str(answer.headers["location"])


def signed_in(client: httpx.Client, subject: str) -> httpx.Response:
    return client.get(at_provider(client, subject))


def message_of(answer: httpx.Response) -> str:
    found = re.search(r'<p class="message[^>]*>(.*?)</p>', answer.text)
    return found[1] if found else ""


def test_the_way_there_is_on_the_sign_in_page(client: httpx.Client) -> None:
    page = client.get("/sign-in?next=/account").text
    assert "Sign in with Example" in page
    assert 'href="/sign-in/provider?next=/account"' in page


def test_the_provider_is_asked_with_a_challenge_a_nonce_and_a_state(client: httpx.Client) -> None:
    begun = client.get("/sign-in/provider")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert len(asked["nonce"][0]) >= 32
    assert asked["response_type"] == ["code"]
    assert asked["state"] == [client.cookies["vitrine-sign-in"]]
    assert "HttpOnly" in begun.headers["set-cookie"]


def test_somebody_new_has_an_account_with_the_roles_of_their_groups(
    served: Served, client: httpx.Client
) -> None:
    answer = signed_in(client, "1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert client.get("/session").json() == {
        "name": "grace",
        "roles": ["merchandiser", "reviewer"],
    }
    account = served.studio.people.account("grace")
    assert (account.subject, account.has_password) == ("1", False)
    with pytest.raises(Unauthenticated):
        served.studio.people.sign_in("grace", "", address="")


def test_roles_follow_the_provider_at_each_sign_in(served: Served, client: httpx.Client) -> None:
    signed_in(client, "2")
    people = served.studio.people
    people.set_roles("heidi", ["admin"], by=people.account(ADMIN).person())
    signed_in(client, "2")
    assert people.account("heidi").roles == {Role.MERCHANDISER}


def test_somebody_without_a_group_of_ours_is_refused(client: httpx.Client) -> None:
    answer = signed_in(client, "3")
    assert answer.status_code == 403
    assert "Example gives you no role in this studio" in message_of(answer)
    assert client.get("/session").status_code == 401


def test_a_name_that_is_taken_is_nobody_elses_until_an_admin_links_it(
    served: Served, client: httpx.Client
) -> None:
    answer = signed_in(client, "4")
    assert answer.status_code == 409
    assert "studio users link ada 4" in message_of(answer)
    assert client.get("/session").status_code == 401
    people = served.studio.people
    people.add("judy", "correct horse battery", ["merchandiser"], by=_ada(served))
    people.link("judy", "5", by=_ada(served))
    signed_in(client, "5")
    assert client.get("/session").json()["name"] == "judy"


def test_somebody_disabled_does_not_come_in_that_way_either(
    served: Served, client: httpx.Client
) -> None:
    signed_in(client, "1")
    served.studio.people.set_enabled("grace", False, by=_ada(served))
    answer = signed_in(client, "1")
    assert answer.status_code == 401
    assert "disabled" in message_of(answer)
    served.studio.people.set_enabled("grace", True, by=_ada(served))


def test_what_was_begun_in_another_browser_or_used_before_is_refused(
    served: Served, client: httpx.Client
) -> None:
    back = at_provider(client, "1")
    with browser_of(served) as other:
        assert "another browser" in message_of(other.get(back))
    state = client.cookies["vitrine-sign-in"]
    assert client.get(back).status_code == 303
    client.post("/sign-out")
    client.cookies.set("vitrine-sign-in", state, path="/sign-in")
    assert "begin again" in message_of(client.get(back))


@pytest.mark.parametrize(
    "query", ["", "state=x&code=y", "error=access_denied&state=x", "code=x", "state=%00&code=é"]
)
def test_what_comes_back_without_having_been_asked_is_refused(
    client: httpx.Client, query: str
) -> None:
    answer = client.get(f"/sign-in/provider/back?{query}")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers or "session=" not in answer.headers["set-cookie"]


def test_a_code_that_the_provider_does_not_know_is_refused(client: httpx.Client) -> None:
    back = at_provider(client, "1")
    answer = client.get(re.sub(r"code=[^&]+", "code=made-up", back))
    assert answer.status_code == 401


def test_the_provider_refusing_is_told(client: httpx.Client) -> None:
    client.get("/sign-in/provider")
    state = client.cookies["vitrine-sign-in"]
    answer = client.get(f"/sign-in/provider/back?error=access_denied&state={state}")
    assert "Example refused the sign-in" in message_of(answer)


def _ada(served: Served) -> Any:
    return served.studio.people.account(ADMIN).person()


# Tokens that are not good


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": "k"})


def provider_with(key: RSAKey) -> Provider:
    config = Config(oidc_issuer="https://id.example.com", oidc_client_id="vitrine")
    provider = Provider(config)
    keys = {"keys": [key.as_dict(private=False)]}
    metadata = {"issuer": "https://id.example.com"}
    provider._discover = lambda *, anew=False: (metadata, keys)  # type: ignore[method-assign]
    return provider


def token_of(key: Any, *, algorithm: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": "https://id.example.com",
        "aud": "vitrine",
        "sub": "1",
        "exp": int(time.time()) + 300,
        "nonce": "n",
    } | changes
    header = {"alg": algorithm, "kid": "k"}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(header, present, key, algorithms=[algorithm])


def test_a_good_token_is_trusted(key: RSAKey) -> None:
    assert provider_with(key)._claims(token_of(key), "n")["sub"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"exp": 1},
        {"exp": None},
        {"nonce": "another"},
        {"nonce": None},
        {"azp": "another"},
    ],
    ids=str,
)
def test_a_token_for_somebody_or_something_else_is_refused(
    key: RSAKey, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        provider_with(key)._claims(token_of(key, **changes), "n")


def test_a_token_signed_by_anybody_else_is_refused(key: RSAKey) -> None:
    other = RSAKey.generate_key(2048, parameters={"kid": "k"})
    with pytest.raises(Unauthenticated):
        provider_with(key)._claims(token_of(other), "n")
    head, body, _ = token_of(key).split(".")
    for made_up in (f"{head}.{body}.", "eyJhbGciOiJub25lIn0." + body + ".", "x", ""):
        with pytest.raises(Unauthenticated):
            provider_with(key)._claims(made_up, "n")


def test_a_provider_that_does_not_answer_leaves_the_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    provider = Provider(Config(oidc_issuer=f"http://127.0.0.1:{port}", oidc_client_id="vitrine"))
    with pytest.raises(Unavailable, match="sign in with a password"):
        provider.begin("http://127.0.0.1/back", "/")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"oidc_issuer": "http://id.example.com"}, "begins with https://"),
        ({"oidc_issuer": "ftp://id.example.com"}, "begins with https://"),
        ({"oidc_issuer": "https://id.example.com"}, "CLIENT_ID is missing"),
        ({"oidc_roles": ("makers=boss",)}, "merchandiser, reviewer, admin"),
        ({"oidc_roles": ("=admin",)}, "merchandiser, reviewer, admin"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    known = {"oidc_issuer": "https://id.example.com", "oidc_client_id": "x"}
    if "oidc_roles" in settings:
        settings = known | settings
    with pytest.raises(BadConfig, match=re.escape(sentence)):
        Config(**settings)
