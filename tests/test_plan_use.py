"""What a studio serves from is not thrown away by another process, and is free when that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.engine.plan_use import InUse, remove_unused
from studio.engine.plans import PlanRejected, hold

HOLD = """
import sys
from pathlib import Path
from studio.engine.plan_use import InUse
held = InUse([Path(sys.argv[1])])
print("held", flush=True)
sys.stdin.read()
"""


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    folder.mkdir()
    first, second = InUse([folder]), InUse([folder])
    first.end()
    assert not remove_unused(folder)
    second.end()
    assert remove_unused(folder)
    assert not folder.exists()


def test_another_process_holds_a_folder_until_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not remove_unused(folder)
        process.kill()
    assert remove_unused(folder)


def test_what_is_gone_already_is_not_removed_again(tmp_path: Path) -> None:
    assert not remove_unused(tmp_path / "nothing")


def test_a_plan_that_went_in_that_moment_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(PlanRejected, match="removed while it was being read"):
        hold([tmp_path / "one", tmp_path / "two"])
    assert remove_unused(tmp_path / "one")
