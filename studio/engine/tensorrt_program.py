"""`Program`: one TensorRT plan ready to run, its inputs and outputs at fixed addresses.

Buffers live as long as the program and hold as many rows as the plan takes; a pass over fewer uses
the first of them. There is one execution context for each profile, and all contexts that run on one
stream share one `Arena` of activation memory, as they run one after the other. Nothing here waits
for the card: copies and passes are put on the stream in the order they are asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from studio.errors import GenerationFailed

MAX_ALIGNMENT = 256
"""Of activation memory, in bytes."""


@dataclasses.dataclass(frozen=True)
class Card:
    """Where programs run: the library, a torch device, and the stream that work goes on to now.

    The library works on the thread's current card, whatever memory it is given: within `entered`
    that is this one.
    """

    library: Any
    device: torch.device
    stream: Callable[[], int]
    entered: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    @classmethod
    def of(cls, library: Any, device: str) -> Card:
        """A CUDA device, on whatever stream is torch's current one."""
        place = torch.device(device)
        return cls(
            library,
            place,
            lambda: int(torch.cuda.current_stream(place).cuda_stream),
            lambda: torch.cuda.device(place),
        )


class Arena:
    """Activation memory that contexts of one stream share; it only grows."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory = self._taken(0)
        self.version = 0

    @property
    def num_bytes(self) -> int:
        return self._memory.numel()

    @property
    def address(self) -> int:
        return self._memory.data_ptr()

    def reserve(self, num_bytes: int) -> None:
        """Hold at least so much; the address changes where it grows, and where that fails."""
        if num_bytes > self.num_bytes:
            size = -(-num_bytes // MAX_ALIGNMENT) * MAX_ALIGNMENT
            # The old memory goes first: both together might not fit.
            self._memory = self._taken(0)
            self.version += 1
            self._memory = self._taken(size)

    def _taken(self, num_bytes: int) -> torch.Tensor:
        return torch.empty(num_bytes, dtype=torch.uint8, device=self._device)


class Program:
    """The plan in the file `path`, on `card`. Called from one thread only."""

    def __init__(self, path: Path, card: Card, arena: Arena) -> None:
        self.name = path.stem
        self._card, self._arena = card, arena
        self._logger = card.library.Logger(card.library.Logger.ERROR)
        with card.entered():
            self._runtime = card.library.Runtime(self._logger)
            self.engine: Any = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self.engine is None:
            raise GenerationFailed(f"TensorRT cannot read the plan {path.name} on this card.")
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        modes = {name: self.engine.get_tensor_mode(name) for name in names}
        is_input = card.library.TensorIOMode.INPUT
        self.inputs = tuple(name for name in names if modes[name] == is_input)
        self.outputs = tuple(name for name in names if modes[name] != is_input)
        self._free = {name for name in names if self.engine.get_tensor_shape(name)[0] == -1}
        self.profiles = tuple(self._rows_of(k) for k in range(self._num_profiles()))
        self.max_rows = max((high for _, high in self.profiles), default=1)
        self.buffers = {name: self._buffer(name) for name in names}
        self._contexts: dict[int, Any] = {}
        self._arena_versions: dict[int, int] = {}

    @property
    def can_refit(self) -> bool:
        return bool(self.engine.refittable)

    def check_rows(self, num_rows: int) -> None:
        """See that a profile takes so many rows.

        Raises:
            GenerationFailed: none does.
        """
        self._profile_for(num_rows)

    def prepare(self) -> None:
        """Take the activation memory of a few rows, so that no pass fails for want of it."""
        self._arena.reserve(self._memory_bytes(0))

    def write(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Copy rows into the first places of the inputs named so; others are left out."""
        for name in self.inputs:
            if name in inputs:
                self.buffers[name][: len(inputs[name])].copy_(inputs[name], non_blocking=True)

    def run(self, num_rows: int) -> dict[str, torch.Tensor]:
        """One pass over the first `num_rows` rows; the outputs, which the next pass writes over.

        Raises:
            GenerationFailed: no profile takes so many rows, or the library refuses.
        """
        with self._card.entered():
            return self._run(num_rows)

    def _run(self, num_rows: int) -> dict[str, torch.Tensor]:
        context = self._context(self._profile_for(num_rows))
        for name in self.inputs:
            if name in self._free:
                shape = (num_rows, *self.buffers[name].shape[1:])
                if not context.set_input_shape(name, shape):
                    raise GenerationFailed(f"TensorRT refuses {name} of {shape} in {self.name}.")
        if missing := context.infer_shapes():
            raise GenerationFailed(f"TensorRT lacks {', '.join(missing)} for {self.name}.")
        if not context.execute_async_v3(self._card.stream()):
            raise GenerationFailed(f"TensorRT could not run {self.name}: see the log.")
        return {
            name: self.buffers[name][:num_rows] if name in self._free else self.buffers[name]
            for name in self.outputs
        }

    def refit(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Change weights by the names they have in the graph; from the next pass on.

        Raises:
            GenerationFailed: the plan was not built for that, or a weight does not fit.
        """
        with self._card.entered():
            self._refit(weights)

    def _refit(self, weights: Mapping[str, torch.Tensor]) -> None:
        library = self._card.library
        refitter = library.Refitter(self.engine, self._logger)
        kept = []  # alive until the library has read them
        for name, tensor in weights.items():
            wanted = refitter.get_weights_prototype(name)
            kept.append(tensor.to(self._card.device).contiguous())
            if wanted.dtype != data_type(library, tensor.dtype) or wanted.size != tensor.numel():
                raise GenerationFailed(f"The weight {name} does not fit the plan {self.name}.")
            given = library.Weights(wanted.dtype, kept[-1].data_ptr(), tensor.numel())
            if not refitter.set_named_weights(name, given, library.TensorLocation.DEVICE):
                raise GenerationFailed(f"TensorRT refuses the weight {name} of {self.name}.")
        if missing := refitter.get_missing_weights():
            raise GenerationFailed(f"TensorRT also wants {missing[0]} for {self.name}.")
        if not refitter.refit_cuda_engine_async(self._card.stream()):
            raise GenerationFailed(f"TensorRT could not change the weights of {self.name}.")
        if self._card.device.type == "cuda":  # `kept` is read by the stream; this is no step's path
            torch.cuda.current_stream(self._card.device).synchronize()

    def _memory_bytes(self, profile: int) -> int:
        return int(self.engine.get_device_memory_size_for_profile_v2(profile))

    def _num_profiles(self) -> int:
        return int(self.engine.num_optimization_profiles) if self._free else 0

    def _rows_of(self, profile: int) -> tuple[int, int]:
        name = next(name for name in self.inputs if name in self._free)
        low, _, high = map(tuple, self.engine.get_tensor_profile_shape(name, profile))
        return int(low[0]), int(high[0])

    def _profile_for(self, num_rows: int) -> int:
        if not self._free:
            return 0
        for index, (low, high) in enumerate(self.profiles):
            if low <= num_rows <= high:
                return index
        nearest = min(
            (bound for pair in self.profiles for bound in pair), key=lambda n: abs(n - num_rows)
        )
        raise GenerationFailed(
            f"No profile of {self.name} takes {num_rows} rows: the nearest that one takes is "
            f"{nearest}."
        )

    def _buffer(self, name: str) -> torch.Tensor:
        shape = tuple(self.engine.get_tensor_shape(name))
        rows = (self.max_rows, *shape[1:]) if name in self._free else shape
        dtype = torch_dtype(self._card.library, self.engine.get_tensor_dtype(name))
        return torch.zeros(rows, dtype=dtype, device=self._card.device)

    def _context(self, profile: int) -> Any:
        """The context of a profile, with its activation memory where the arena is now."""
        if profile not in self._contexts:
            self._contexts[profile] = self._new_context(profile)
        context = self._contexts[profile]
        self._arena.reserve(self._memory_bytes(profile))  # a growth that failed left none at all
        if self._arena_versions.get(profile) != self._arena.version:
            context.set_device_memory(self._arena.address, self._arena.num_bytes)
            self._arena_versions[profile] = self._arena.version
        return context

    def _new_context(self, profile: int) -> Any:
        library = self._card.library
        self._arena.reserve(self._memory_bytes(profile))
        context = self.engine.create_execution_context(
            library.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        if context is None:
            raise torch.OutOfMemoryError(f"There is no memory for a context of {self.name}.")
        if self._free and not context.set_optimization_profile_async(profile, self._card.stream()):
            raise GenerationFailed(f"TensorRT refuses profile {profile} of {self.name}.")
        for name, buffer in self.buffers.items():
            if not context.set_tensor_address(name, buffer.data_ptr()):
                raise GenerationFailed(f"TensorRT refuses the memory of {name} in {self.name}.")
        return context


def torch_dtype(library: Any, data_type: Any) -> torch.dtype:
    """torch's name of the library's type."""
    return {
        library.DataType.FLOAT: torch.float32,
        library.DataType.HALF: torch.float16,
        library.DataType.BF16: torch.bfloat16,
        library.DataType.INT64: torch.int64,
        library.DataType.INT32: torch.int32,
    }[data_type]


def data_type(library: Any, dtype: torch.dtype) -> Any:
    """The library's name of torch's type."""
    return {
        torch.float32: library.DataType.FLOAT,
        torch.float16: library.DataType.HALF,
        torch.bfloat16: library.DataType.BF16,
    }[dtype]
