"""What the benches share: the brief they draw, the settings of their options, how they report."""

from __future__ import annotations

import argparse
import json

from studio.brief import Brief
from studio.config import Config

BRIEF = Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=1)
TIMEOUT_SECONDS = 600.0

Report = dict[str, float | str | int]


def config_of(options: argparse.Namespace, folder: str) -> Config:
    """The settings a bench runs with; `folder` is its throw-away data folder."""
    return Config.from_environ(data_dir=folder, model=options.model, precision=options.precision)


def print_report(report: Report) -> int:
    """A line per figure, then all of them as one line of JSON; the exit code."""
    for name, value in report.items():
        print(f"{name:32} {value}")
    print(json.dumps(report))
    return 0
