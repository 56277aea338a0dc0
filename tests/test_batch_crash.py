"""`kill -9` twice in the middle of a batch: every good row is drawn once, the bad are named."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from studio.application import Studio
from studio.batch import BatchStatus, RowState
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS

BAD = [
    ",mug,,,,,,,,",
    "B-1,,,,,,,,,",
    "B-2,mug,,,,,,huge,,",
    "B-3,mug,,,,,,,x,",
    "../B,mug,,,,,,,,",
]

WORKER = """
import sys, time
from pathlib import Path
from studio.application import Studio
from studio.config import Config
from studio.engine.gaussian import gaussian_model
model = gaussian_model(step_seconds=0.0005)
config = Config(data_dir=Path(sys.argv[1]), precision="float32", max_rows=2, watch_seconds=0)
with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
    time.sleep(600)
"""


def _config(folder: Path) -> Config:
    return Config(data_dir=folder, precision="float32", max_rows=2)


def _num_pictures(folder: Path) -> int:
    return sum(1 for _ in (folder / "pictures").glob("*.png"))


def _kill_after(folder: Path, num_more: int) -> None:
    """Run a studio over the folder until some more pictures are done, then `kill -9` it."""
    wanted = _num_pictures(folder) + num_more
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(folder)])
    try:
        deadline = time.monotonic() + 4 * WAIT_SECONDS
        while _num_pictures(folder) < wanted:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A batch of 500 rows, 5 of them bad, whose studio was killed twice."""
    folder = tmp_path_factory.mktemp("killed")
    model = gaussian_model(step_seconds=0.05)
    lines = good_lines(495)
    for place, bad in zip((3, 90, 200, 310, 499), BAD, strict=True):
        lines.insert(place, bad)
    with Studio.open(_config(folder), card=model.card, load=lambda *_: model) as studio:
        batch_id = studio.batches.check("catalogue.csv", table(*lines)).batch.id
        studio.batches.start(batch_id)
    _kill_after(folder, 100)
    _kill_after(folder, 100)
    assert _num_pictures(folder) < 495
    quick = gaussian_model()
    with Studio.open(_config(folder), card=quick.card, load=lambda *_: quick) as studio:
        wait_for_batch(studio, batch_id, BatchStatus.FINISHED)
    return folder, batch_id


def test_every_good_row_is_drawn_once_and_every_bad_one_is_named(
    finished: tuple[Path, str],
) -> None:
    folder, batch_id = finished
    model = gaussian_model()
    with Studio.open(_config(folder), card=model.card, load=lambda *_: model) as studio:
        view = studio.batches.view(batch_id)
        assert view.rows == {RowState.SUCCEEDED: 495, RowState.BAD: 5}
        bad = studio.batches.lines(batch_id, states=[RowState.BAD])
        assert [row.line for row in bad] == [5, 92, 202, 312, 501]
        assert all(row.error for row in bad)
        assert studio._store.count_images() == 495
        jobs = studio._store._rows("SELECT request FROM jobs")
        assert len(jobs) == 495
        content = io.BytesIO(b"".join(studio.batches.zipped(batch_id)))
    assert _num_pictures(folder) == 495
    with zipfile.ZipFile(content) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        text = archive.read("pictures.csv").decode("utf-8-sig")
    assert sorted(names) == [f"SKU-{number:04}.png" for number in range(495)]
    made = list(csv.DictReader(io.StringIO(text)))
    assert Counter(row["status"] for row in made) == {"released": 495, "bad": 5}
    by_sku = {row["sku"]: row["seed"] for row in made if row["status"] == "released"}
    assert by_sku == {f"SKU-{number:04}": str(number) for number in range(495)}
