"""`Running`: a studio that runs on this machine, asked over HTTP: its health, figures, memory.

The doctor looks at the one that serves where it can, since what ails it lives in its process.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 40.0

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Running:
    """Asks the studio at `address`. With accounts an admin's key is in `VITRINE_API_KEY`."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def health(self) -> dict[str, Any] | None:
        """What `/healthz` says; `None` where no studio answers."""
        answer = self._ask("/healthz")
        try:
            values = None if answer is None else json.loads(answer)
        except ValueError:
            return None
        return values if isinstance(values, dict) and "status" in values else None

    def metrics(self) -> str:
        """The text of `/metrics`; empty where it may not be read."""
        return self._ask("/metrics") or ""

    def value(self, name: str, **labels: str) -> float | None:
        """One number of `/metrics`, the first whose labels agree."""
        for found, given, number in samples(self.metrics()):
            if found == name and labels.items() <= given.items():
                return number
        return None

    def give_back_memory(self) -> dict[str, int] | None:
        """Have the engine give back what nothing uses; `None` where it did not."""
        answer = self._ask("/monitor/give-back-memory", method="POST")
        try:
            values = None if answer is None else json.loads(answer)
        except ValueError:
            return None
        return values if isinstance(values, dict) and "freed" in values else None

    def _ask(self, path: str, method: str = "GET") -> str | None:
        request = urllib.request.Request(self.address + path, method=method)
        if key := os.environ.get("VITRINE_API_KEY"):
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            return error.read().decode(errors="replace") if path == "/healthz" else None
        except (OSError, ValueError):
            return None


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of every sample of a scrape."""
    found = []
    for line in text.splitlines():
        if match := _SAMPLE.match(line):
            labels = {label[1]: label[2] for label in _LABEL.finditer(match[2] or "")}
            found.append((match[1], labels, float(match[3])))
    return found
