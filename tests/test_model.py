"""Loading: a folder that looks right but is broken is refused; its digest names its contents."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from studio.config import draft_model_dir
from studio.engine.decoder import fit_preview, load_preview
from studio.engine.gaussian import GaussianDecoder
from studio.engine.layout import folder_digest
from studio.engine.model import load_model
from studio.errors import BadModel, GenerationFailed


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(draft_model_dir(), tmp_path / "model"))


def test_weights_cut_short_are_refused_in_one_sentence(copy: Path) -> None:
    (weights,) = (copy / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadModel, match="cannot be loaded"):
        load_model(copy, precision="float32")


def test_the_digest_changes_with_a_byte_of_the_weights(copy: Path) -> None:
    before = folder_digest(copy)
    (weights,) = (copy / "vae").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert folder_digest(copy) != before


def test_the_digest_does_not_depend_on_where_the_folder_is(copy: Path) -> None:
    assert folder_digest(copy) == folder_digest(draft_model_dir())


def test_a_prompt_longer_than_the_encoders_read_is_refused() -> None:
    model = load_model(draft_model_dir(), precision="float32")
    with pytest.raises(GenerationFailed, match="tokens"):
        model.encoder.encode("mug " * 100)


def test_a_prompt_is_encoded_once() -> None:
    model = load_model(draft_model_dir(), precision="float32")
    assert model.encoder.encode("a red mug") is model.encoder.encode("a red mug")


def test_a_preview_is_fitted_where_the_folder_brings_none(tmp_path: Path) -> None:
    preview = load_preview(tmp_path, 3, GaussianDecoder())
    latents = torch.tensor([0.5, -0.5, 0.0]).view(3, 1, 1).expand(3, 8, 8)
    assert preview.decode(latents)[0, 0].tolist() == pytest.approx([191, 64, 128], abs=8)


def test_a_fitted_preview_has_the_decoders_colours() -> None:
    decoder = GaussianDecoder()
    latents = torch.rand((3, 4, 4), generator=torch.Generator().manual_seed(1)) - 0.5
    fitted = fit_preview(decoder, 3).decode(latents).astype(int)
    assert abs(fitted - decoder.decode(latents)[::8, ::8].astype(int)).max() <= 16


def test_a_preview_map_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "preview.json").write_text('{"weight": [[1, 2, 3]], "bias": [0, 0, 0]}')
    with pytest.raises(BadModel, match=r"preview\.json"):
        load_preview(tmp_path, 3, GaussianDecoder())
