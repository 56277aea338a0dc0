"""The model a studio draws with, as it was named or left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.config import draft_model_dir
from studio.errors import BadModel
from studio.model_choice import additions, configured, registry_of
from studio.model_registry import Entry
from studio.weights import Family, Kind


def add(data_dir: Path, name: str, kind: Kind = Kind.MODEL) -> Path:
    """Enter a folder with nothing in it into the registry; the folder."""
    folder = data_dir / f"folder of {name}"
    folder.mkdir(parents=True)
    registry = registry_of(configured({}, data_dir=data_dir))
    registry.add(
        Entry(
            name=name,
            kind=kind,
            family=Family.SDXL,
            path=folder,
            control_kind="canny" if kind is Kind.CONTROLNET else None,
        )
    )
    return folder


def test_without_a_word_it_is_the_draft_model_until_another_is_put_to_use(tmp_path: Path) -> None:
    assert configured({}, data_dir=tmp_path).model == draft_model_dir()
    folder = add(tmp_path, "large")
    assert configured({}, data_dir=tmp_path).model == draft_model_dir()
    registry_of(configured({}, data_dir=tmp_path)).use("large")
    assert configured({}, data_dir=tmp_path).model == folder
    assert configured({}, data_dir=tmp_path, model="draft").model == draft_model_dir()


def test_a_model_can_be_named_by_flag_or_variable(tmp_path: Path) -> None:
    folder = add(tmp_path, "large")
    assert configured({}, data_dir=tmp_path, model="large").model == folder
    environ = {"VITRINE_DATA_DIR": str(tmp_path), "VITRINE_MODEL": "large"}
    assert configured(environ).model == folder


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    registry_of(configured({}, data_dir=tmp_path))
    assert configured({}, data_dir=tmp_path, model="/some/where").model == Path("/some/where")


@pytest.mark.parametrize(
    ("name", "sentence"), [("huge", "no model named 'huge'"), ("edges", "is a ControlNet")]
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    add(tmp_path, "edges", Kind.CONTROLNET)
    with pytest.raises(BadModel, match=sentence):
        configured({}, data_dir=tmp_path, model=name)


def test_names_may_be_kept_elsewhere_than_pictures(tmp_path: Path) -> None:
    folder = add(tmp_path / "names", "large")
    config = configured(
        {}, data_dir=tmp_path / "data", models_dir=tmp_path / "names", model="large"
    )
    assert config.model == folder


def test_what_does_not_fit_the_model_is_not_loaded_with_it(tmp_path: Path) -> None:
    add(tmp_path, "edges", Kind.CONTROLNET)
    config = configured({}, data_dir=tmp_path)
    assert additions(config, "sdxl") == ({}, {})
