"""`studio reproduce` over the closed-form model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.engine.gaussian import gaussian_model
from studio.errors import GenerationFailed, NotFound
from studio.reproduce_command import reproduce
from tests.conftest import WAIT_SECONDS


def again(studio: Studio, image_id: str, out: Path | None = None) -> None:
    model = gaussian_model()
    reproduce(studio.config, image_id, out, card=model.card, load=lambda precision, report: model)


def test_the_same_bytes_come_out_beside_a_running_studio(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = studio.submit(Brief(subject="mug", color="red", num_images=2, seed=5))
    image = studio.wait(job.id, WAIT_SECONDS).images[1]
    out = tmp_path / "again.png"
    again(studio, image.id, out)
    assert out.read_bytes() == studio.image(image.id)[1].read_bytes()
    line = json.loads(capsys.readouterr().out)
    assert line == {"id": image.id, "digest": image.digest, "is_same": True}


def test_other_bytes_are_an_error(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug", seed=5))
    image = studio.wait(job.id, WAIT_SECONDS).images[0]
    studio._store._write(
        lambda db: db.execute("UPDATE images SET digest = ? WHERE id = ?", ["0" * 64, image.id])
    )
    with pytest.raises(GenerationFailed, match="differs from the one that was kept"):
        again(studio, image.id)


def test_a_picture_that_is_not_there_is_not_found(studio: Studio) -> None:
    with pytest.raises(NotFound):
        again(studio, "0" * 18)
