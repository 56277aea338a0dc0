"""LoRAs of a brief: named with a weight, refused at the door, and seen in the picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.api.schemas.brief import RequestOut
from studio.application import Studio
from studio.brief import Brief
from studio.cli import main
from studio.config import Config
from studio.engine.layout import check_folder
from studio.errors import BadBrief
from studio.loras import MAX_LORAS, as_text, chosen_loras
from studio.model_registry import Entry, Registry
from studio.request import Lora
from studio.weights import Family, Kind
from tests.conftest import WAIT_SECONDS
from tests.tiny_models import write_lora, write_sdxl

NAMES = frozenset({"linen", "cord"} | {f"look{number}" for number in range(MAX_LORAS + 1)})


def chosen(*loras: str) -> tuple[Lora, ...]:
    return chosen_loras(Brief(subject="mug", loras=loras), NAMES, "draft")


@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("linen", Lora(name="linen")),
        (" linen : 0.6 ", Lora(name="linen", weight=0.6)),
        ("linen:-1", Lora(name="linen", weight=-1.0)),
        ("linen:", Lora(name="linen")),
    ],
)
def test_a_lora_is_named_with_a_weight_or_at_its_own(text: str, lora: Lora) -> None:
    assert chosen(text) == (lora,)


def test_the_order_in_which_loras_are_named_makes_no_other_lane() -> None:
    assert chosen("linen:0.5", "cord") == chosen("cord", "linen:0.5")


def test_a_lora_of_no_weight_is_left_out() -> None:
    assert chosen("linen:0") == ()


def test_a_lora_is_written_as_it_is_named() -> None:
    assert [as_text(lora) for lora in chosen("linen:0.60", "cord")] == ["cord", "linen:0.6"]


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        (("matte",), "no LoRA 'matte': choose from cord, linen"),
        (("linen:heavy",), "must be a number from -2 to 2, not 'heavy'"),
        (("linen:nan",), "must be a number from -2 to 2"),
        (("linen:9",), "must be a number from -2 to 2"),
        (("linen", "linen:0.5"), "linen is named twice"),
        (tuple(f"look{number}" for number in range(MAX_LORAS + 1)), "at most 4"),
    ],
)
def test_what_cannot_be_used_is_refused(loras: tuple[str, ...], words: str) -> None:
    with pytest.raises(BadBrief, match=words) as refused:
        chosen(*loras)
    assert refused.value.field == "loras"


def test_a_model_without_any_says_how_to_add_one() -> None:
    with pytest.raises(BadBrief, match="nor any other: draw without it, or add one"):
        chosen_loras(Brief(subject="mug", loras=("linen",)), frozenset(), "draft")


def test_a_brief_keeps_its_loras_in_its_row() -> None:
    brief = Brief(subject="mug", loras=("linen:0.6",))
    assert Brief.from_dict(brief.to_dict()) == brief
    assert Brief.from_dict({"subject": "mug"}).loras == ()


def test_generate_refuses_an_unknown_lora_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path))
    arguments = ["generate", "--subject", "mug", "--lora", "linen", "--out", str(tmp_path / "out")]
    assert main(arguments) != 0
    assert "has no LoRA 'linen', nor any other" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_lora_that_was_added_is_drawn_with_at_the_weight_that_was_asked_for(
    tmp_path: Path,
) -> None:
    file = write_lora(tmp_path / "glossy.safetensors", "sdxl")
    folder = write_sdxl(tmp_path / "model")
    config = Config(
        data_dir=tmp_path / "data", model=folder, precision="float32", max_rows=4, backend="torch"
    )
    Registry(config.data_dir).add(
        Entry(name="glossy", kind=Kind.LORA, family=Family.SDXL, path=file)
    )
    card = dataclasses.replace(check_folder(folder), is_closed_world=True)
    with Studio.open(config, card=card) as studio:
        assert studio.lora_names == {"glossy"}  # before it is loaded
        studio.wait_until_ready(WAIT_SECONDS)
        assert studio.lora_names == {"glossy"}
        with pytest.raises(BadBrief, match="choose from glossy"):
            studio.submit(Brief(subject="mug", loras=("matte",)))
        plain, weak, strong = (
            _picture(studio, loras) for loras in ((), ("glossy:0.3",), ("glossy",))
        )
        request = studio.check(Brief(subject="mug", loras=("glossy:0.3",)))
    assert not np.array_equal(plain, weak)
    assert not np.array_equal(weak, strong)
    assert request.loras == (Lora(name="glossy", weight=0.3),)
    assert RequestOut.of(request).loras == ["glossy:0.3"]


def _picture(studio: Studio, loras: tuple[str, ...]) -> np.ndarray:
    job = studio.submit(Brief(subject="mug", seed=1, num_steps=3, loras=loras))
    view = studio.wait(job.id, WAIT_SECONDS)
    assert view.job.error is None
    _, path = studio.image(view.images[0].id)
    return np.asarray(Image.open(path))
