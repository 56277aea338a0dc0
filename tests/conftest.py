"""What the tests of the faces share: a studio over the closed-form model, a server, a browser."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studio.application import Studio
from studio.config import Config

if TYPE_CHECKING:  # playwright and uvicorn are only needed by the tests that ask for them
    from fastapi import FastAPI
    from playwright.sync_api import Browser, Page

WARNINGS_OF_OTHERS = [
    # gradio 6.31 sets an option of pandas that pandas 3 has made the default.
    "ignore:'future.no_silent_downcasting' is deprecated:DeprecationWarning",
    "ignore:The copy keyword is deprecated and will be removed:DeprecationWarning",
]

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
]
WAIT_SECONDS = 30.0

OpenStudio = Callable[..., Studio]


def pytest_configure(config: pytest.Config) -> None:
    for warning in WARNINGS_OF_OTHERS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_collection_finish() -> None:
    """What importing left stays until the end: no collection of garbage looks through it again."""
    gc.freeze()


@dataclasses.dataclass(frozen=True)
class Served:
    """A studio behind a real HTTP server in a thread."""

    studio: Studio
    address: str
    stop: Callable[[], None]
    app: FastAPI


Serve = Callable[[Studio], Served]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a studio under test measures is kept apart from what this user's own studio has.

    And none prepares plans in the background, unless the test is about that.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_BACKEND", "torch")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _same_noise() -> None:
    """What draws noise without a seed draws the same in every run."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def open_studio(tmp_path: Path) -> Iterator[OpenStudio]:
    """`open_studio(step_seconds=…, load=…, **config)`: a studio over the closed-form model.

    Without `is_closed_world` every picture is held, as there is no classifier.
    """
    from studio.engine.gaussian import gaussian_model

    with contextlib.ExitStack() as opened:

        def open_one(
            *,
            step_seconds: float = 0.0,
            load: Any = None,
            is_closed_world: bool = True,
            classifier: Any = None,
            **settings: Any,
        ) -> Studio:
            model = gaussian_model(step_seconds=step_seconds)
            card = dataclasses.replace(model.card, is_closed_world=is_closed_world)
            # Settled beforehand, so that a slow stand-in is not measured for long.
            known = {"data_dir": tmp_path / "data", "precision": "float32", "max_rows": 2}
            config = Config(**(known | settings))
            load = load or (lambda precision, report: model)
            return opened.enter_context(
                Studio.open(config, card=card, load=load, classifier=classifier)
            )

        yield open_one


@pytest.fixture
def studio(open_studio: OpenStudio) -> Studio:
    """A warm studio that draws at once."""
    studio = open_studio()
    studio.wait_until_ready(WAIT_SECONDS)
    return studio


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(studio)`: the studio over HTTP on a free port of this machine."""
    with contextlib.ExitStack() as running:
        yield lambda studio: running.enter_context(serving(studio))


@contextlib.contextmanager
def serving(studio: Studio) -> Iterator[Served]:
    import uvicorn

    from studio.server import create_app, listen, uvicorn_config

    app = create_app(studio)
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn_config(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(WAIT_SECONDS)

        try:
            yield Served(studio, f"http://127.0.0.1:{listener.getsockname()[1]}", stop, app)
        finally:
            stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. On a machine without it the tests are skipped, but never where `CI` is set."""
    executable = os.environ.get("VITRINE_CHROMIUM") or shutil.which("chromium")
    if executable is None:
        reason = "chromium is missing: run scripts/install_debian_packages.sh"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * WAIT_SECONDS)  # of a machine that does other things too
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


NewPage = Callable[..., "Page"]


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """`new_page(address, width=…, height=…)`: the page open in a browser profile of its own.

    `ready` is what shows that it stands, `ignore` are parts of complaints that are meant. At the
    end of the test nothing may have gone wrong unseen: no script error, no complaint in the
    console, no request to another machine.
    """
    faults: list[str] = []
    with contextlib.ExitStack() as opened:

        def open_page(
            address: str,
            *,
            width: int = 1280,
            height: int = 800,
            locale: str = "en-US",
            ready: str = "#generate, #workbench:not([inert]) .v-mat",
            scripts: bool = True,
            ignore: tuple[str, ...] = (),
        ) -> Page:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                locale=locale,
                java_script_enabled=scripts,
            )
            opened.callback(context.close)
            origin = address.partition("#")[0].rstrip("/")
            context.set_default_timeout(WAIT_SECONDS * 1000)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
            page.on(
                "console",
                lambda line: (
                    faults.append(line.text)
                    if line.type == "error" and not any(part in line.text for part in ignore)
                    else None
                ),
            )
            page.on(
                "request",
                lambda request: (
                    None
                    if request.url.startswith((origin, "data:", "blob:"))
                    else faults.append(f"request to {request.url}")
                ),
            )
            page.goto(address)
            for selector in ready.split(", "):
                page.wait_for_selector(selector)
            return page

        yield open_page
    assert not faults
