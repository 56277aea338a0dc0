"""Export: graphs of rows, written whole, for whatever compiles them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
import pytest

from studio.engine.export import export_model, read_manifest
from tests.exported_models import exported
from tests.tiny_models import HEIGHT, WIDTH


@pytest.fixture
def graphs() -> Path:
    return exported("sdxl").graphs


def inputs(path: Path) -> dict[str, tuple[str | int, ...]]:
    """Shapes by name; a free dimension by its own."""
    graph = onnx.load(path, load_external_data=False).graph
    return {
        port.name: tuple(d.dim_param or d.dim_value for d in port.type.tensor_type.shape.dim)
        for port in graph.input
    }


def test_the_unet_takes_rows_in_diffusers_names(graphs: Path) -> None:
    assert inputs(graphs / "unet.onnx") == {
        "sample": ("rows", 4, HEIGHT // 8, WIDTH // 8),
        "timestep": ("rows",),
        "encoder_hidden_states": ("rows", 77, 64),
        "text_embeds": ("rows", 32),
        "time_ids": ("rows", 6),
    }


def test_every_input_is_float32(graphs: Path) -> None:
    types = {
        port.type.tensor_type.elem_type
        for path in graphs.glob("*.onnx")
        for port in onnx.load(path, load_external_data=False).graph.input
    }
    assert types == {onnx.TensorProto.FLOAT}


def test_what_a_controlnet_gives_is_what_the_unet_takes(graphs: Path) -> None:
    (controlnet,) = graphs.glob("controlnet_*.onnx")
    given = {port.name for port in onnx.load(controlnet, load_external_data=False).graph.output}
    taken = inputs(graphs / "unet_control.onnx").keys() - inputs(graphs / "unet.onnx").keys()
    assert given == taken
    assert "mid" in taken


def test_the_graphs_share_one_file_of_weights(graphs: Path) -> None:
    unet = load_sizes(graphs / "unet.onnx")
    both = load_sizes(graphs / "unet_control.onnx")
    assert unet
    assert unet == both


def load_sizes(path: Path) -> set[tuple[str, str, str]]:
    """Where the large weights of a graph are: file, offset, length."""
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    places = ({entry.key: entry.value for entry in t.external_data} for t in tensors)
    return {(place["location"], place["offset"], place["length"]) for place in places if place}


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(graphs: Path) -> None:
    here = os.fsencode(Path(__file__).resolve().parent.parent)
    assert not any(here in path.read_bytes() for path in graphs.iterdir())


def test_what_is_written_is_whole(graphs: Path) -> None:
    manifest = read_manifest(graphs)
    assert manifest is not None
    assert manifest["files"].keys() == {path.name for path in graphs.iterdir()} - {"manifest.json"}


def test_an_export_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(
            exported("sdxl").model, height=HEIGHT, width=WIDTH, out=tmp_path / "out", report=stop
        )
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        export_model(exported("sdxl").model, height=HEIGHT, width=WIDTH, out=tmp_path)


def test_a_network_without_size_conditions_has_no_such_inputs() -> None:
    names = inputs(exported("sd15").graphs / "unet.onnx").keys()
    assert names == {"sample", "timestep", "encoder_hidden_states"}


def test_a_damaged_file_is_noticed(graphs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(graphs, tmp_path / "copy"))
    weights = bytearray((copy / "weights.bin").read_bytes())
    weights[100] ^= 1
    (copy / "weights.bin").write_bytes(weights)
    assert read_manifest(copy) is None
