"""`studio plans`: what is refused before it costs an hour, and what is left in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio import cli
from studio.engine.plan_use import InUse
from tests.exported_models import exported

Told = pytest.CaptureFixture[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With two folders in it."""
    monkeypatch.setenv("VITRINE_CACHE_DIR", str(tmp_path))
    for name in ("plan-one", "graphs-two"):
        (tmp_path / "plans" / name).mkdir(parents=True)
        (tmp_path / "plans" / name / "file").write_bytes(b"0" * 1000)
    return tmp_path / "plans"


def test_a_size_the_model_has_not_is_refused(cache: Path, capsys: Told) -> None:
    model = str(exported("sdxl").folder)
    arguments = ["plans", "build", "--model", model, "--capability", "8.9", "--size", "512x512"]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert "has no pictures of 512x512" in said
    assert "choose of 64x64, 64x96" in said


def test_pruning_leaves_what_a_running_studio_serves_from(cache: Path, capsys: Told) -> None:
    held = InUse([cache / "plan-one"])
    assert cli.main(["plans", "prune"]) == 0
    assert [path.name for path in cache.iterdir()] == ["plan-one"]
    assert "a running studio serves from them" in capsys.readouterr().out
    held.end()
    assert cli.main(["plans", "prune"]) == 0
    assert list(cache.iterdir()) == []
    assert cli.main(["plans", "prune"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing to remove."
