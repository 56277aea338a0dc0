"""A real Prometheus over a running studio: it scrapes, rules fire and clear, dashboards fill."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.faults import NAN_WORD
from studio.errors import BadDataFolder
from studio.person import Person, Role
from studio.server import create_app, listen, uvicorn_config
from studio.watch_rows import Counts
from tests.conftest import WAIT_SECONDS, serving
from tests.nvml_tools import FakeNvml, fake_nvml
from tests.prometheus_tools import ROOT, RULES, WINDOW, Prometheus, program, prometheus
from tests.watch_tools import Troubles

REVIEWER = Person(name="rita", roles=frozenset({Role.REVIEWER}))
BRIEF = Brief(subject="mug", color="red")
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


@dataclasses.dataclass
class Shop:
    """A studio with two cards and a model of an open world, watched by a Prometheus."""

    studio: Studio
    address: str
    cards: FakeNvml
    troubles: Troubles
    prometheus: Prometheus
    free_disk_bytes: int = 2**40
    memory_limit: int | None = None
    has_classifier: bool = True
    is_unreadable: bool = False

    def counts(self) -> Counts:
        if self.is_unreadable:
            raise BadDataFolder("The database cannot be read, on purpose.")
        return self.studio._store.counts()

    def draw(self, brief: Brief = BRIEF) -> None:
        self.studio.wait(self.studio.submit(brief).id, WAIT_SECONDS)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    troubles = Troubles()
    model = troubles.model(is_closed_world=False)
    config = Config(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        precision="float32",
        backend="torch",
        max_rows=4,
        watch_seconds=1,
    )
    with contextlib.ExitStack() as opened:
        cards = opened.enter_context(fake_nvml(folder))
        studio = opened.enter_context(
            Studio.open(config, card=model.card, load=lambda precision, report: model)
        )
        served = opened.enter_context(serving(studio))
        server = opened.enter_context(prometheus(folder, {"shop": served.address}))
        shop = Shop(studio, served.address, cards, troubles, server)
        studio.watch.sources = dataclasses.replace(
            studio.watch.sources,
            free_disk_bytes=lambda: shop.free_disk_bytes,
            memory_limit=lambda: shop.memory_limit,
            has_classifier=lambda: shop.has_classifier,
            counts=shop.counts,
        )
        studio.wait_until_ready(WAIT_SECONDS)
        yield shop


def test_the_shipped_rules_and_configuration_are_sound() -> None:
    promtool = program("promtool")
    folder = RULES.parent
    for arguments in (
        ["check", "rules", str(RULES)],
        ["check", "config", str(folder / "prometheus.yml")],
        ["test", "rules", str(folder / "vitrine.rules.test.yml")],
    ):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_metrics_of_a_studio_pass_prometheus_own_check(shop: Shop) -> None:
    shop.draw()
    text = httpx.get(f"{shop.address}/metrics").text
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_returns_data_after_a_short_load(shop: Shop, path: Path) -> None:
    for subject in ("mug", "sofa"):
        shop.draw(dataclasses.replace(BRIEF, subject=subject, num_images=2))
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    queries = [
        target["expr"].replace("$__rate_interval", WINDOW).replace("$instance", ".*")
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    assert queries

    def is_full() -> bool:
        shop.draw()
        return all(has_data(shop.prometheus, query) for query in queries)

    shop.prometheus.wait_for(is_full, f"some of {queries} have no data")


def has_data(server: Prometheus, query: str) -> bool:
    found = server.query(query)
    return any(one["value"][1] != "NaN" for one in found)


Act = Callable[[Shop], None]


def hold(shop: Shop) -> None:
    """A picture that no classifier saw waits for a reviewer."""
    shop.draw()


def review(shop: Shop) -> None:
    """Every picture that waits is decided."""
    moderation = shop.studio.moderation
    while (case := moderation.take(REVIEWER)) is not None:
        moderation.approve(REVIEWER, case.review.id)


def fail(shop: Shop) -> None:
    for _ in range(3):
        shop.draw(dataclasses.replace(BRIEF, notes=NAN_WORD))


def draw_slowly(shop: Shop) -> None:
    """Two jobs of one device: the second waits for seconds, and takes them."""
    shop.troubles.step_seconds = 0.4
    for _ in range(3):
        shop.studio.submit(dataclasses.replace(BRIEF, num_images=4))


def wait_in_the_queue(shop: Shop) -> None:
    """The dispatcher hands nothing out, so that the queue stands."""
    shop.studio._dispatcher.close()
    shop.studio.submit(BRIEF)


def run_out_of_memory(shop: Shop) -> None:
    shop.troubles.faults.is_armed = True
    shop.draw(dataclasses.replace(BRIEF, num_images=4))


def kill_the_engine(shop: Shop) -> None:
    shop.troubles.dies = True
    shop.draw()


def let_go(shop: Shop) -> None:
    """Everything that is switched on, off; and what waits is drawn."""
    shop.troubles.end()
    shop.studio._dispatcher.open()
    review(shop)


CAUSES: dict[str, tuple[Act, Act]] = {
    "VitrineGpuTemperature": (
        lambda shop: shop.cards.set(**{"gpu0.temperature": 91}),
        lambda shop: shop.cards.set(**{"gpu0.temperature": 60}),
    ),
    "VitrineGpuThrottling": (
        lambda shop: shop.cards.set(**{"gpu0.reasons": 0x40}),
        lambda shop: shop.cards.set(**{"gpu0.reasons": 1}),
    ),
    "VitrineGpuMemory": (
        lambda shop: shop.cards.set(**{"gpu0.memory": 0.99}),
        lambda shop: shop.cards.set(**{"gpu0.memory": 0.5}),
    ),
    "VitrineGpuLost": (
        lambda shop: shop.cards.set(**{"gpu1.lost": 1}),
        lambda shop: shop.cards.set(**{"gpu1.lost": 0}),
    ),
    "VitrineHostMemory": (
        lambda shop: setattr(shop, "memory_limit", 2**20),
        lambda shop: setattr(shop, "memory_limit", None),
    ),
    "VitrineDiskFull": (
        lambda shop: setattr(shop, "free_disk_bytes", 2**20),
        lambda shop: setattr(shop, "free_disk_bytes", 2**40),
    ),
    "VitrineClassifierAbsent": (
        lambda shop: setattr(shop, "has_classifier", False),
        lambda shop: setattr(shop, "has_classifier", True),
    ),
    "VitrineCardsUnread": (
        lambda shop: shop.cards.set(hang=1),
        lambda shop: shop.cards.set(hang=0),
    ),
    "VitrineDown": (
        lambda shop: setattr(shop, "is_unreadable", True),
        lambda shop: setattr(shop, "is_unreadable", False),
    ),
    "VitrineReviewBacklog": (hold, review),
    "VitrineErrorRate": (fail, let_go),
    "VitrineOutOfMemory": (run_out_of_memory, let_go),
    "VitrineEngineRestarts": (kill_the_engine, let_go),
    "VitrineSlowJobs": (draw_slowly, let_go),
    "VitrineQueueAge": (wait_in_the_queue, let_go),
}
TOGETHER = (
    (
        "VitrineGpuTemperature",
        "VitrineGpuThrottling",
        "VitrineGpuMemory",
        "VitrineGpuLost",
        "VitrineHostMemory",
        "VitrineDiskFull",
        "VitrineClassifierAbsent",
    ),
    ("VitrineReviewBacklog", "VitrineErrorRate", "VitrineOutOfMemory", "VitrineEngineRestarts"),
    ("VitrineSlowJobs",),
    ("VitrineQueueAge",),
    ("VitrineCardsUnread",),
    ("VitrineDown",),
)
"""Causes that do not stand in each other's way are provoked at once, to save time."""

FORGOTTEN = frozenset({"VitrineErrorRate", "VitrineOutOfMemory", "VitrineEngineRestarts"})
"""A rate over a few seconds forgets what happened once: it happens until it was seen."""


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0].removeprefix("Vitrine"))
def test_alerts_fire_for_their_cause_and_clear_without_it(
    shop: Shop, names: tuple[str, ...]
) -> None:
    wanted = {(name, "shop") for name in names}
    review(shop)
    shop.prometheus.wait_for(
        lambda: not wanted & shop.prometheus.firing(), f"{names} fire before their cause"
    )
    for name in names:
        CAUSES[name][0](shop)
    seen: set[tuple[str, str]] = set()

    def have_fired() -> bool:
        seen.update(shop.prometheus.firing())
        for name, _ in sorted(wanted - seen):
            if name in FORGOTTEN:
                CAUSES[name][0](shop)
        return wanted <= seen

    shop.prometheus.wait_for(have_fired, f"not all of {names} fire")
    for name in names:
        CAUSES[name][1](shop)

    def have_cleared() -> bool:
        shop.draw()  # a rate falls when good jobs follow bad ones
        review(shop)
        return not wanted & shop.prometheus.firing()

    shop.prometheus.wait_for(have_cleared, f"not all of {names} clear")


def test_a_studio_that_warms_too_long_and_one_that_is_gone_are_told(
    tmp_path: Path,
) -> None:
    import threading

    may_load = threading.Event()
    model = Troubles().model()

    def load(precision: str, report: object) -> object:
        assert may_load.wait(WAIT_SECONDS)
        return model

    config = Config(data_dir=tmp_path / "data", precision="float32", backend="torch", max_rows=2)
    with (
        Studio.open(config, card=model.card, load=load) as studio,  # type: ignore[arg-type]
        serving(studio) as served,
        prometheus(tmp_path, {"other": served.address}) as server,
    ):
        server.wait_for(
            lambda: ("VitrineEngineNotReady", "other") in server.firing(), "warming is not told"
        )
        may_load.set()
        studio.wait_until_ready(WAIT_SECONDS)
        server.wait_for(lambda: not server.firing(), "warm, and still told")
        port = int(served.address.rpartition(":")[2])
        stopped = serving_again(studio, port, served.stop)
        with stopped as restart:
            server.wait_for(lambda: ("VitrineDown", "other") in server.firing(), "down, not told")
            restart()
            server.wait_for(lambda: not server.firing(), "up, and still told to be down")


@contextlib.contextmanager
def serving_again(
    studio: Studio, port: int, stop: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """Stop the server; what is yielded starts another at its address."""
    import threading

    stop()
    with contextlib.ExitStack() as running:

        def restart() -> None:
            listener = running.enter_context(listen("127.0.0.1", port))
            server = uvicorn.Server(uvicorn_config(create_app(studio)))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            running.callback(thread.join, WAIT_SECONDS)
            running.callback(setattr, server, "should_exit", True)

        yield restart
