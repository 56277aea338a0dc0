"""The bench of the queue, on a short one: it measures what it says, and draws nothing."""

from __future__ import annotations

import argparse
import json

import pytest

from studio.bench import queue
from studio.config import draft_model_dir


def test_the_queue_bench_ends_in_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = argparse.Namespace(
        num_jobs=120, model=str(draft_model_dir()), precision=None, backend=None
    )
    assert queue.run(options) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["num_jobs"] == 120
    assert report["num_dispatched"] >= 72
    for name in ("submit", "page", "active", "view", "estimate", "dispatch_one"):
        assert 0 < report[f"{name}_ms"] <= report[f"{name}_p99_ms"]
