"""A stand-in for TensorRT's runtime that runs on a processor and holds callers to the contract.

`library()` is a module-like object with the part of the Python API that `tensorrt_program` uses.
What it calls a plan is a JSON file that names an ONNX graph, the profiles, and whether it can be
refitted; passes are computed by ONNX Runtime on the memory whose addresses were given, so answers
are real.

As on a card, nothing is computed when it is asked for: passes wait on their stream until the stream
is waited for (`Stream.synchronize`), which `eager` does at once. Broken rules raise
`ContractBroken`: an address or a shape that was not given, inputs of unlike rows, activation memory
that is missing, unaligned or too small, a context used on two streams. A shape outside the profile
is refused.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

ALIGNMENT = 64
"""Of activation memory; what a processor's allocator keeps to."""

BYTES_PER_ROW = 1024
"""Of activation memory, as this library reckons."""


class ContractBroken(AssertionError):
    """Something a card would answer with a wrong picture or a crash."""


class DataType(enum.Enum):
    FLOAT, HALF, BF16, INT32, INT64 = range(5)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


TYPES = {
    onnx.TensorProto.FLOAT: DataType.FLOAT,
    onnx.TensorProto.FLOAT16: DataType.HALF,
}
DTYPES: dict[DataType, Any] = {DataType.FLOAT: np.float32, DataType.HALF: np.float16}


class Stream:
    """A stream of a card; `handle` is what callers pass on. `eager` never lets work wait."""

    def __init__(self, *, eager: bool = True) -> None:
        self.handle = id(self)
        self.num_runs = 0
        self._eager = eager
        self._work: list[Callable[[], None]] = []

    def put(self, work: Callable[[], None]) -> None:
        self._work.append(work)
        if self._eager:
            self.synchronize()

    def synchronize(self) -> None:
        work, self._work = self._work, []
        for one in work:
            one()
            self.num_runs += 1


def write_plan(
    graph: Path,
    path: Path,
    *,
    profiles: tuple[tuple[int, int, int], ...] = ((1, 2, 4), (5, 8, 16), (17, 24, 32)),
    refittable: bool = False,
) -> Path:
    """A plan of `graph` in the file `path`; `path` itself."""
    values = {"graph": str(graph), "profiles": profiles, "refittable": refittable}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def library(*streams: Stream) -> Any:
    """The library, on a card with these streams."""
    by_handle = {stream.handle: stream for stream in streams}

    class Runtime:
        def __init__(self, logger: object) -> None:
            assert logger is not None

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            try:
                return Engine(json.loads(plan), by_handle)
            except ValueError:
                return None

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None:
            self.severity = severity

    return types.SimpleNamespace(
        __version__="0",
        DataType=DataType,
        ExecutionContextAllocationStrategy=ExecutionContextAllocationStrategy,
        Logger=Logger,
        Refitter=Refitter,
        Runtime=Runtime,
        TensorIOMode=TensorIOMode,
        TensorLocation=TensorLocation,
        Weights=Weights,
    )


class Engine:
    def __init__(self, plan: dict[str, Any], streams: dict[int, Stream]) -> None:
        self.graph = Path(plan["graph"])
        self.refittable = bool(plan["refittable"])
        self.streams = streams
        self.model = onnx.load(self.graph)
        ports = [*self.model.graph.input, *self.model.graph.output]
        self.ports = {port.name: port.type.tensor_type for port in ports}
        self.inputs = {port.name for port in self.model.graph.input}
        self._names = list(self.ports)
        free = any(shape[0] == -1 for shape in map(self.get_tensor_shape, self._names))
        self.profiles = plan["profiles"] if free else [[1, 1, 1]]
        self.num_io_tensors = len(self._names)
        self.num_optimization_profiles = len(self.profiles)
        self.load()

    def load(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        dims = self.ports[name].shape.dim
        return tuple(-1 if dim.dim_param else dim.dim_value for dim in dims)

    def get_tensor_dtype(self, name: str) -> DataType:
        return TYPES[self.ports[name].elem_type]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        rest = self.get_tensor_shape(name)[1:]
        return [(rows, *rest) for rows in self.profiles[profile]]

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        return BYTES_PER_ROW * int(self.profiles[profile][2])

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy
    ) -> ExecutionContext:
        return ExecutionContext(self, strategy)


class ExecutionContext:
    def __init__(self, engine: Engine, strategy: ExecutionContextAllocationStrategy) -> None:
        self._engine = engine
        self._owns_memory = strategy is not ExecutionContextAllocationStrategy.USER_MANAGED
        self._memory_bytes = 0
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._profile: int | None = None if engine.num_optimization_profiles > 1 else 0
        self._stream: int | None = None

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self._check_stream(stream)
        self._profile = profile
        self._shapes.clear()
        return 0 <= profile < self._engine.num_optimization_profiles

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return address != 0 and name in self._engine.ports

    def set_device_memory(self, address: int, num_bytes: int) -> None:
        if not address or address % ALIGNMENT:
            raise ContractBroken("activation memory is not aligned")
        self._memory_bytes = num_bytes

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self._profile is None:
            raise ContractBroken("a shape was set before a profile was")
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        self._shapes[name] = shape
        return all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.inputs if -1 in self._shape(name)]

    def execute_async_v3(self, stream: int) -> bool:
        engine = self._engine
        self._check_stream(stream)
        if self._profile is None:
            raise ContractBroken("no profile was set")
        if missing := engine.ports.keys() - self._addresses.keys():
            raise ContractBroken(f"no address for {sorted(missing)}")
        if missing_shapes := self.infer_shapes():
            raise ContractBroken(f"no shape for {missing_shapes}")
        need = engine.get_device_memory_size_for_profile_v2(self._profile)
        if not self._owns_memory and self._memory_bytes < need:
            raise ContractBroken(f"{self._memory_bytes} bytes of activation memory, {need} needed")
        free = [name for name in engine.inputs if engine.get_tensor_shape(name)[0] == -1]
        rows = {self._shape(name)[0] for name in free}
        if len(rows) > 1:
            raise ContractBroken(f"inputs of {sorted(rows)} rows in one pass")
        num_rows = next(iter(rows), 1)
        addresses, shapes = dict(self._addresses), {n: self._shape(n) for n in engine.ports}

        def run() -> None:
            feeds = {
                name: _memory(addresses[name], shapes[name], engine.get_tensor_dtype(name)).copy()
                for name in engine.inputs
            }
            outputs = [name for name in engine.ports if name not in engine.inputs]
            results = engine.session.run(outputs, feeds)
            for name, values in zip(outputs, results, strict=True):
                shape = (num_rows, *shapes[name][1:]) if shapes[name][0] == -1 else shapes[name]
                _memory(addresses[name], shape, engine.get_tensor_dtype(name))[...] = values

        engine.streams[stream].put(run)
        return True

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._shapes.get(name, self._engine.get_tensor_shape(name))

    def _check_stream(self, stream: int) -> None:
        if stream not in self._engine.streams:
            raise ContractBroken("there is no such stream")
        if self._stream not in (None, stream):
            raise ContractBroken("one context on two streams")
        self._stream = stream


@dataclasses.dataclass
class Weights:
    dtype: DataType
    address: int
    size: int


class Refitter:
    def __init__(self, engine: Engine, logger: object) -> None:
        if not engine.refittable:
            raise ContractBroken("this plan cannot be refitted")
        self._engine = engine
        self._weights = {tensor.name: tensor for tensor in engine.model.graph.initializer}
        self._new: dict[str, Weights] = {}

    def get_weights_prototype(self, name: str) -> Weights:
        tensor = self._weights[name]
        return Weights(TYPES[tensor.data_type], 0, int(np.prod(tensor.dims)))

    def set_named_weights(self, name: str, weights: Weights, location: TensorLocation) -> bool:
        self._new[name] = weights
        return name in self._weights and location is TensorLocation.DEVICE

    def get_missing_weights(self) -> list[str]:
        return []

    def refit_cuda_engine_async(self, stream: int) -> bool:
        def refit() -> None:
            for name, weights in self._new.items():
                tensor = self._weights[name]
                array = _memory(weights.address, tuple(tensor.dims), weights.dtype).copy()
                tensor.CopyFrom(numpy_helper.from_array(array, name))
            self._engine.load()

        self._engine.streams[stream].put(refit)
        return True


def _memory(address: int, shape: tuple[int, ...], dtype: DataType) -> np.ndarray[Any, Any]:
    """The array that lies at an address."""
    kind = np.dtype(DTYPES[dtype])
    num_bytes = int(np.prod(shape)) * kind.itemsize
    buffer = (ctypes.c_byte * num_bytes).from_address(address)
    return np.frombuffer(buffer, dtype=kind).reshape(shape)


def card(stream: Stream, device: str = "cpu") -> Any:
    """The `Card` that programs of the stand-in run on."""
    from studio.engine.tensorrt_program import Card

    return Card(library(stream), torch.device(device), lambda: stream.handle)
