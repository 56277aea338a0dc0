"""Graphs in half precision: what enters and leaves, and that TensorRT's own parser takes them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from studio.engine import tensorrt_library
from tests.exported_models import exported_half

FILES = ("unet_control.onnx", "controlnet_canny.onnx", "decoder.onnx")


@pytest.fixture(scope="module")
def graphs() -> Path:
    return exported_half()


def types(graph: Path) -> dict[str, str]:
    ports = onnx.load(graph, load_external_data=False).graph
    name = onnx.TensorProto.DataType.Name
    return {
        port.name: name(port.type.tensor_type.elem_type) for port in (*ports.input, *ports.output)
    }


def test_only_residuals_are_half_precision_outside(graphs: Path) -> None:
    halves = {
        name for name, kind in types(graphs / "unet_control.onnx").items() if kind == "FLOAT16"
    }
    assert halves
    assert all(name == "mid" or name.startswith("down_") for name in halves)
    given = {
        name for name, kind in types(graphs / "controlnet_canny.onnx").items() if kind == "FLOAT16"
    }
    assert given == halves


def test_a_graph_that_is_left_out_is_not_written(graphs: Path) -> None:
    assert {path.name for path in graphs.glob("*.onnx")} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_the_parser_takes_the_graph_strongly_typed(graphs: Path, file: str) -> None:
    library = tensorrt_library.load("tensorrt_rtx")
    logger = library.Logger(library.Logger.ERROR)
    network = library.Builder(logger).create_network(0)
    parser = library.OnnxParser(network, logger)
    assert parser.parse_from_file(str(graphs / file)), parser.get_error(0).desc()
