"""`LiveBytes`: counts the bytes of tensors alive at once while some torch code runs.

It sees every operation, notes each new storage, and is told when the storage goes. On the meta
device nothing is allocated and the count is the same, so the peak of a forward pass is known before
any of it is taken. What a library takes for itself inside one operation is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """`with LiveBytes() as live: …`, then `live.peak_bytes`. What was there before is not counted.

    One thread, and no other's tensors.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes: int = 0
        self.peak_bytes: int = 0
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}

    def __enter__(self) -> LiveBytes:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = {_key(storage) for storage in _storages((args, kwargs))}
        output = func(*args, **kwargs)
        for storage in _storages(output):
            # A view of what was given is nothing new, and may be of something older than we.
            if (key := _key(storage)) not in self._known and key not in given:
                self._add(key, storage)
        return output

    def _add(self, key: int, storage: torch.UntypedStorage) -> None:
        num_bytes = storage.nbytes()
        self._known[key] = (weakref.ref(storage, lambda _: self._forget(key)), num_bytes)
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _forget(self, key: int) -> None:
        _, num_bytes = self._known.pop(key)
        self.live_bytes -= num_bytes


class FusedAttention(TorchFunctionMode):
    """Attention as devices run it, in blocks: the matrix of all scores never exists.

    torch would spell it out on the meta device, which has no fused kernel.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, _, value = args if len(args) == 3 else (kwargs[name] for name in _QKV)
        batch, heads, length, _ = query.shape
        # The kernels write it with the heads innermost, so that joining them takes no copy.
        return query.new_empty((batch, length, heads, value.shape[-1])).transpose(1, 2)


_QKV = ("query", "key", "value")


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [
        value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)
    ]


def _key(storage: torch.UntypedStorage) -> int:
    return int(storage._cdata)
