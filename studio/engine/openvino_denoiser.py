"""`OpenVinoDenoiser` and `OpenVinoDecoder`: exported graphs run by OpenVINO, on a processor.

A graph compiled for a fixed number of rows is about a sixth faster than one for any number (its
element-wise work is fused), so each is compiled for a few numbers, and a batch goes through in
parts of these: on a processor the time of a pass is in proportion to its rows anyway.

Of OpenVINO only the runtime is used, never its model converter, and so none of its telemetry.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from studio.engine.decoder import to_picture
from studio.engine.denoiser import ControlRows, Rows
from studio.engine.export import WEIGHTS
from studio.engine.graphs import DECODER, UNET, UNET_CONTROL, controlnet_file
from studio.engine.threads import leave_threads
from studio.errors import GenerationFailed
from studio.events import Pixels

# `import openvino` brings in its converter, and that its telemetry; without it, it is content.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # type: ignore[import-untyped]  # noqa: E402

Array = npt.NDArray[np.float32]

HINTS: Mapping[str, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""torch's names of precisions → OpenVINO's."""

CAPABILITIES: Mapping[str, str] = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}

ROW_COUNTS = ((1,), (1, 2), (1, 2, 8), (1, 2, 4, 8))
"""The numbers of rows to compile for, when there is memory for so many copies of the weights."""

MAX_WEIGHT_BYTES = 2**30
"""Of the copies of one graph's weights; a large model is compiled once, for one row."""


def precisions() -> tuple[str, ...]:
    """What this processor computes in natively, float32 first; torch's names."""
    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name, capability in CAPABILITIES.items() if capability in found)


def processor() -> str:
    """The processor's name and abilities, as far as they decide what is compiled for it."""
    core = openvino.Core()
    abilities = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return " ".join([core.get_property("CPU", "FULL_DEVICE_NAME").strip(), *abilities])


def library() -> str:
    """The version of the runtime."""
    return f"openvino {openvino.__version__}"


def control_kinds(folder: Path) -> frozenset[str]:
    """The kinds of control image the graphs in `folder` can follow."""
    prefix, suffix = controlnet_file("*").split("*")
    files = (path.name for path in folder.glob(controlnet_file("*")))
    return frozenset(file.removeprefix(prefix).removesuffix(suffix) for file in files)


class OpenVinoDenoiser:
    """Runs the graphs in `folders`, by latent `(h, w)`, each written by `export.export_model`.

    Of `precision`, a torch dtype's name, with `num_threads` threads. Called from one thread only.
    A graph is compiled when it is first needed, or by `compile`.
    """

    def __init__(
        self, folders: Mapping[tuple[int, int], Path], *, precision: str, num_threads: int
    ) -> None:
        self._graphs = {
            size: _Graphs(folder, precision, num_threads) for size, folder in folders.items()
        }

    def compile(self, size: tuple[int, int]) -> None:
        """Compile all that latents of `size` may need; a second or so for each graph."""
        self._graphs[size].compile()

    def denoise(self, rows: Rows) -> torch.Tensor:
        """See `Denoiser`.

        Raises:
            GenerationFailed: adapters are asked for, another size than there are graphs for, or an
                image of a kind there is no ControlNet for.
        """
        if rows.loras:
            raise GenerationFailed("A compiled graph takes no adapters: draw with PyTorch instead.")
        graphs = self._graphs.get((rows.latents.shape[2], rows.latents.shape[3]))
        if graphs is None:
            raise GenerationFailed("There is no compiled graph for pictures of this size.")
        leave_threads()
        inputs = _inputs(rows)
        residuals = self._residuals(graphs, inputs, rows.controls) if rows.controls else {}
        unet = graphs.unet_control if residuals else graphs.unet
        (output,) = unet.run(inputs | residuals)
        return torch.from_numpy(output)

    def _residuals(
        self, graphs: _Graphs, inputs: Mapping[str, Array], controls: Sequence[ControlRows]
    ) -> dict[str, Array]:
        """The sum over kinds, spread over all rows; by name."""
        num_rows = len(inputs["sample"])
        total: dict[str, Array] = {}
        for control in controls:
            indices = control.indices.numpy()
            follow = {name: values[indices] for name, values in inputs.items()}
            follow["controlnet_cond"] = _array(control.images)
            follow["conditioning_scale"] = _array(control.scales)
            controlnet = graphs.controlnet(control.kind)
            for name, values in zip(controlnet.outputs, controlnet.run(follow), strict=True):
                if name not in total:
                    total[name] = np.zeros((num_rows, *values.shape[1:]), np.float32)
                total[name][indices] += values
        return total


class OpenVinoDecoder:
    """Runs `decoder.onnx` of the graphs in `folders`, by latent `(h, w)`. See `Decoder`."""

    def __init__(
        self, folders: Mapping[tuple[int, int], Path], *, precision: str, num_threads: int
    ) -> None:
        self._graphs = {
            size: _Graph(folder / DECODER, _config(precision, num_threads), (1,))
            for size, folder in folders.items()
        }

    def image(self, latents: torch.Tensor) -> torch.Tensor:
        """`[3, H, W]` in [-1, 1], more or less, of the scaled latents `[C, h, w]`.

        Raises:
            GenerationFailed: there is no graph for this size.
        """
        graph = self._graphs.get((latents.shape[1], latents.shape[2]))
        if graph is None:
            raise GenerationFailed("There is no compiled graph for pictures of this size.")
        leave_threads()
        (image,) = graph.run({"latents": _array(latents[None])})
        return torch.from_numpy(image[0])

    def decode(self, latents: torch.Tensor) -> Pixels:
        return to_picture(self.image(latents))


class _Graphs:
    """The graphs of one size; each is read when it is first asked for."""

    def __init__(self, folder: Path, precision: str, num_threads: int) -> None:
        self._folder = folder
        self._config = _config(precision, num_threads)
        copies = MAX_WEIGHT_BYTES // (folder / WEIGHTS).stat().st_size
        self._row_counts = ROW_COUNTS[min(max(copies, 1), len(ROW_COUNTS)) - 1]
        self._read: dict[str, _Graph] = {}

    @property
    def unet(self) -> _Graph:
        return self._graph(UNET)

    @property
    def unet_control(self) -> _Graph:
        return self._graph(UNET_CONTROL)

    def controlnet(self, kind: str) -> _Graph:
        if not (self._folder / controlnet_file(kind)).exists():
            raise GenerationFailed(f"The model has no ControlNet for {kind} images.")
        return self._graph(controlnet_file(kind))

    def compile(self) -> None:
        for path in sorted(self._folder.glob("*.onnx")):
            if path.name != DECODER:
                self._graph(path.name).compile()

    def _graph(self, file: str) -> _Graph:
        if file not in self._read:
            self._read[file] = _Graph(self._folder / file, self._config, self._row_counts)
        return self._read[file]


class _Graph:
    """One ONNX file, compiled for each of a few numbers of rows when it is first needed."""

    def __init__(self, path: Path, config: Mapping[str, Any], row_counts: tuple[int, ...]) -> None:
        self.row_counts = row_counts
        self._core = openvino.Core()
        self._model = self._core.read_model(path)
        self._config = dict(config)
        self.outputs = tuple(port.get_any_name() for port in self._model.outputs)
        self._angles = _Angles(self._core, self._model)
        self._inputs = tuple(port.get_any_name() for port in self._model.inputs)
        self._requests: dict[int, Any] = {}

    def compile(self) -> None:
        """Compile for every number of rows at once."""
        for num_rows in self.row_counts:
            self._request(num_rows)

    def run(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """The outputs over all rows, in order; `inputs` by name, others than its own left out."""
        num_rows = len(next(iter(inputs.values())))
        parts: list[tuple[Array, ...]] = []
        start = 0
        while start < num_rows:
            size = max(count for count in self.row_counts if count <= num_rows - start)
            chunk = {name: values[start : start + size] for name, values in inputs.items()}
            chunk |= self._angles.of(chunk)
            request = self._request(size)
            request.infer(
                {name: chunk[name] for name in self._inputs}, share_inputs=True, share_outputs=True
            )
            # The request's own memory: its next run writes over it.
            parts.append(tuple(tensor.data.copy() for tensor in request.output_tensors))
            start += size
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    def _request(self, num_rows: int) -> Any:
        if num_rows not in self._requests:
            model = self._model.clone()  # which shares the weights as they were read
            angles = self._angles.shapes(num_rows)
            model.reshape(
                {
                    name: angles.get(name, [num_rows, *list(port.get_partial_shape())[1:]])
                    for name, port in zip(self._inputs, model.inputs, strict=True)
                }
            )
            compiled = self._core.compile_model(model, "CPU", self._config)
            self._requests[num_rows] = compiled.create_infer_request()
        return self._requests[num_rows]


class _Angles:
    """The sines and cosines of a graph's timesteps and sizes, taken out of it to stay float32.

    OpenVINO would round the angles to the precision of the rest: timestep 999 is 1000 in bfloat16,
    and the whole picture is off by four times what the arithmetic alone costs. torch's networks
    compute them in float32 as well.
    """

    def __init__(self, core: Any, model: Any) -> None:
        """Cut them out of `model`, which from then on takes them as inputs."""
        source = model.clone()
        waves = _waves(source)
        self._request: Any = None
        self._names = tuple(f"angles_{index}" for index in range(len(waves)))
        if not waves:
            return
        wanted = [port for port in source.get_parameters() if _feeds_angles(port)]
        self._inputs = tuple(port.get_friendly_name() for port in wanted)
        self._widths = tuple(port.get_partial_shape()[1:] for port in wanted)
        outputs = [wave.output(0) for wave in waves]
        apart = openvino.Model(outputs, wanted, "angles")
        self._request = core.compile_model(
            apart, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        ).create_infer_request()
        for name, wave in zip(self._names, _waves(model), strict=True):
            shape = wave.output(0).get_partial_shape()
            parameter = openvino.opset13.parameter(shape, np.float32, name=name)
            parameter.output(0).set_names({name})
            wave.output(0).replace(parameter.output(0))
            model.add_parameters([parameter])
        for parameter in model.get_parameters():
            if not parameter.output(0).get_target_inputs():
                model.remove_parameter(parameter)
        model.validate_nodes_and_infer_types()

    def of(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The angles of these rows, by the names the graph now takes them under."""
        if self._request is None:
            return {}
        self._request.infer([inputs[name] for name in self._inputs], share_inputs=True)
        outputs = (tensor.data.copy() for tensor in self._request.output_tensors)
        return dict(zip(self._names, outputs, strict=True))

    def shapes(self, num_rows: int) -> dict[str, list[int]]:
        """The shapes of `of` for so many rows."""
        if self._request is None:
            return {}
        zeros = {
            name: np.zeros((num_rows, *(length.get_length() for length in width)), np.float32)
            for name, width in zip(self._inputs, self._widths, strict=True)
        }
        return {name: list(values.shape) for name, values in self.of(zeros).items()}


def _waves(model: Any) -> list[Any]:
    """In the same order for a clone as for its original, as that of all nodes is not."""
    waves = (node for node in model.get_ops() if node.get_type_name() in ("Sin", "Cos"))
    return sorted(waves, key=lambda node: str(node.get_friendly_name()))


def _feeds_angles(parameter: Any) -> bool:
    return parameter.get_friendly_name() in ("timestep", "time_ids")


def _inputs(rows: Rows) -> dict[str, Array]:
    return {
        "sample": _array(rows.latents),
        "timestep": _array(rows.timestep),
        "encoder_hidden_states": _array(rows.encoder_hidden_states),
        "text_embeds": _array(rows.text_embeds),
        "time_ids": _array(rows.time_ids),
    }


def _array(tensor: torch.Tensor) -> Array:
    """The same memory where it lies in order already, as the runtime wants it."""
    array: Array = tensor.float().contiguous().numpy()
    return array


def _config(precision: str, num_threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": num_threads,
    }
