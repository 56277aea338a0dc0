"""Networks read alone: what exports and compiles a model reads no more than it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio.engine.export import export_networks
from studio.engine.graphs import DECODER
from studio.engine.layout import weight_files
from studio.engine.networks import load_networks
from studio.errors import BadModel
from tests.tiny_models import HEIGHT, WIDTH, write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", "sdxl", controlnet=True)


def test_text_encoders_are_not_read(folder: Path) -> None:
    for name in ("text_encoder", "text_encoder_2"):
        weight_files(folder / name)[0].write_bytes(b"nothing")
    networks = load_networks(folder, precision="float16")
    assert networks.unet.dtype == torch.float16
    assert networks.latent_shape(HEIGHT, WIDTH) == (4, HEIGHT // 8, WIDTH // 8)


def test_a_network_that_is_not_asked_for_has_no_weights(folder: Path) -> None:
    networks = load_networks(folder, precision="float16", parts=["unet"])
    assert not any(tensor.is_meta for tensor in networks.unet.parameters())
    assert all(tensor.is_meta for tensor in networks.vae.parameters())
    assert all(tensor.is_meta for tensor in networks.controlnets["canny"].parameters())
    assert networks.controlnets["canny"].dtype == torch.float16


def test_a_graph_is_exported_with_the_weights_of_its_own_network_only(
    folder: Path, tmp_path: Path
) -> None:
    networks = load_networks(folder, precision="float32", parts=["vae"])
    skip = ["unet.onnx", "unet_control.onnx", "controlnet_canny.onnx"]
    export_networks(
        networks,
        digest="0",
        precision="float32",
        size=(HEIGHT, WIDTH),
        out=tmp_path / "graphs",
        skip=skip,
    )
    assert [path.name for path in (tmp_path / "graphs").glob("*.onnx")] == [DECODER]


def test_weights_that_cannot_be_read_are_a_bad_model(folder: Path) -> None:
    weight_files(folder / "vae")[0].write_bytes(b"nothing")
    with pytest.raises(BadModel, match="cannot be loaded"):
        load_networks(folder, precision="float32")
