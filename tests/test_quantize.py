"""Quantized models: a byte a weight, close to what they were, one arithmetic for every backend."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from studio.config import Config
from studio.engine import tensorrt_library
from studio.engine.export import OPSET, export_model
from studio.engine.layout import weight_files
from studio.engine.model import Model, load_model
from studio.engine.quantized import QuantizedLinear, is_quantized, read_quantization
from studio.engine.reference import distance
from studio.engine.tensorrt_builder import build
from studio.engine.tensorrt_library import target_elsewhere
from studio.errors import BadModel
from studio.shrinking import Extent, quantize
from tests.exported_models import exported
from tests.test_tensorrt import rows
from tests.tiny_models import HEIGHT, WIDTH

EXTENT = Extent(num_pictures=1, num_steps=2, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in INT8, as the command makes it."""
    out = tmp_path_factory.mktemp("int8") / "model"
    config = Config(model=exported("sdxl").folder, data_dir=out.parent / "data")
    figures = quantize(config, "int8", out, EXTENT)
    assert figures["num_layers"] > 50
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder, precision="float32")


def linear(form: str) -> tuple[torch.nn.Linear, QuantizedLinear]:
    torch.manual_seed(0)
    plain = torch.nn.Linear(32, 16)
    made = QuantizedLinear(form, 32, 16, has_bias=True)
    weight, bias = plain.weight.detach(), plain.bias.detach()
    made.fill(weight, bias, weight_peak=weight.abs().amax(1), input_peak=4.0)
    return plain, made


@torch.no_grad()
@pytest.mark.parametrize(("form", "bound"), [("int8", 0.02), ("fp8", 0.05)])
def test_a_layer_stays_close_to_what_it_was(form: str, bound: float) -> None:
    # Rounding to three bits of mantissa is off by 2**-4 / sqrt(3) = 3.6 % at most in the mean
    # square: 5.1 % for a product of two. INT8 is off by a step of 1/127 of the peak / sqrt(12).
    plain, made = linear(form)
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    assert distance(made(x)[None], plain(x)[None]) < bound


@torch.no_grad()
def test_smoothing_is_undone_by_the_weights() -> None:
    plain, made = linear("int8")
    factors = torch.linspace(0.5, 2, 32)
    weight = plain.weight.detach() / factors
    made.fill(
        weight,
        plain.bias.detach(),
        weight_peak=weight.abs().amax(1),
        input_peak=8.0,
        smoothing=factors,
    )
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    assert distance(made(x), plain(x)) < 0.05


def test_scales_and_weights_keep_their_types_whatever_the_precision() -> None:
    _, made = linear("fp8")
    made.to(torch.bfloat16)
    assert made.get_buffer("weight").dtype == torch.float8_e4m3fn
    assert made.get_buffer("weight_scale").dtype == torch.float32
    assert made.bias is not None
    assert made.bias.dtype == torch.bfloat16


def test_the_weights_are_smaller_by_what_is_quantized(folder: Path) -> None:
    def size(path: Path) -> int:
        return sum(file.stat().st_size for file in weight_files(path / "unet"))

    assert size(folder) < 0.5 * size(exported("sdxl").folder)


def test_a_quantized_model_says_that_it_is(model: Model) -> None:
    assert is_quantized(model.modules[0]) == "int8"


@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_a_trained_model_predicts_nearly_what_it_did(form: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    config = Config(data_dir=tmp_path / "data")
    figures = quantize(config, form, out, dataclasses.replace(EXTENT, num_steps=3))
    assert figures["pass_error_max"] < 0.05  # random weights, where nothing is learnt, lose more
    assert figures["bytes"] < 0.3 * 2 * figures["bytes_before"]  # these are half precision


def test_a_file_that_says_nothing_useful_is_refused(tmp_path: Path) -> None:
    (tmp_path / "quantization.json").write_text('{"form": "int3", "layers": []}')
    with pytest.raises(BadModel, match="quantize the model again"):
        read_quantization(tmp_path)


@pytest.fixture(scope="module")
def graph(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("graphs") / "graphs"
    skip = ["unet_control.onnx", "controlnet_canny.onnx", "decoder.onnx"]
    export_model(model, height=HEIGHT, width=WIDTH, out=out, skip=skip)
    return out / "unet.onnx"


def test_the_graph_says_quantize_and_dequantize_over_bytes(graph: Path) -> None:
    loaded = onnx.load(graph).graph
    kinds = [node.op_type for node in loaded.node]
    assert kinds.count("QuantizeLinear") > 50
    assert kinds.count("DequantizeLinear") > 2 * 50
    types = [tensor.data_type for tensor in loaded.initializer if len(tensor.dims) > 1]
    assert types.count(onnx.TensorProto.INT8) > 50


def test_a_runtime_computes_from_the_graph_what_torch_does(graph: Path, model: Model) -> None:
    batch = rows(3)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    inputs = {
        "sample": batch.latents,
        "timestep": batch.timestep,
        "encoder_hidden_states": batch.encoder_hidden_states,
        "text_embeds": batch.text_embeds,
        "time_ids": batch.time_ids,
    }
    (output,) = session.run(None, {name: np.asarray(value) for name, value in inputs.items()})
    assert distance(torch.from_numpy(output), model.denoiser.denoise(batch)) < 0.05


def test_tensorrt_takes_the_graph(graph: Path) -> None:
    library = tensorrt_library.load("tensorrt_rtx")
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    network = builder.create_network(0)  # each must outlive what is made of it
    parser = library.OnnxParser(network, logger)
    is_read = parser.parse_from_file(str(graph))
    assert is_read, [parser.get_error(index).desc() for index in range(parser.num_errors)]


@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_tensorrt_compiles_a_layer_in_half_precision(form: str, tmp_path: Path) -> None:
    _, made = linear(form)
    x = torch.randn(4, 32).half()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            made.half().eval(), (x,), dynamo=True, opset_version=OPSET, verbose=False
        )
    assert program is not None
    program.save(tmp_path / "layer.onnx")
    assert len(build(tmp_path / "layer.onnx", target_elsewhere("8.9"), ())) > 1000
