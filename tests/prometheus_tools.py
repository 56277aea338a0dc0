"""A real Prometheus server over studios under test, with the shipped rules made quick.

What makes them quick is only time: how long a cause must last, how far back a rate looks, and the
limits that are a number of seconds. Every other number is the shipped one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "vitrine.rules.yml"
WAIT_SECONDS = 60.0
WINDOW = "8s"

SECONDS = {
    "vitrine_queue_oldest_seconds > 300": "vitrine_queue_oldest_seconds > 1",
    "vitrine_review_oldest_seconds > 14400": "vitrine_review_oldest_seconds > 1",
    "(rate(vitrine_job_duration_seconds_bucket[15m]))) > 300": (
        "(rate(vitrine_job_duration_seconds_bucket[15m]))) > 1"
    ),
}


def program(name: str) -> str:
    """The path of a program; the test is skipped without it, but never where `CI` is set."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is missing: run scripts/install_debian_packages.sh"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


def quick_rules() -> str:
    """The shipped rules, with times a test can wait for."""
    rules = RULES.read_text(encoding="utf-8")
    for shipped, quick in SECONDS.items():
        assert shipped in rules
        rules = rules.replace(shipped, quick)
    rules = re.sub(r"\[\d+m\]", f"[{WINDOW}]", rules)
    return re.sub(r"\bfor: \d+m", "for: 1s", rules)


class Prometheus:
    """A server that scrapes `targets`, asked over its own interface."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=f"{address}/api/v1", timeout=10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = self._client.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def firing(self) -> set[tuple[str, str]]:
        """(alert, instance) of all that fires."""
        alerts = self._client.get("/alerts").json()["data"]["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"]["instance"])
            for alert in alerts
            if alert["state"] == "firing"
        }

    def wait_for(self, is_true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_true():
            assert time.monotonic() < deadline, f"{what}; firing: {sorted(self.firing())}"
            time.sleep(0.2)

    def close(self) -> None:
        self._client.close()


@contextlib.contextmanager
def prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A server over `targets`, by the name of the instance, with the quick rules."""
    binary = program("prometheus")
    (folder / "rules.yml").write_text(quick_rules(), encoding="utf-8")
    scrapes = "".join(
        f"      - targets: ['{address.removeprefix('http://')}']\n"
        f"        labels: {{instance: '{name}'}}\n"
        for name, address in targets.items()
    )
    (folder / "prometheus.yml").write_text(
        "global:\n  scrape_interval: 500ms\n  scrape_timeout: 450ms\n  evaluation_interval: 500ms\n"
        "rule_files: [rules.yml]\nscrape_configs:\n  - job_name: vitrine\n    static_configs:\n"
        + scrapes,
        encoding="utf-8",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    server = Prometheus(address)
    try:
        _wait_until_up(address, process, folder / "prometheus.log")
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(30)


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/-/ready", timeout=5).status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
