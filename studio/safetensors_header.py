"""`Header`: what a safetensors file says of itself before its weights: names and shapes of tensors.

Read without the weights, and checked against the file's length. What the tensors are for is told by
`weights`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import BadModel

ACCEPTED = (
    "the studio takes SDXL and Stable Diffusion 1.5 models, as a folder in diffusers' layout or as "
    "one .safetensors file, and their ControlNets, LoRAs and preview decoders (TAESD)"
)
"""What a refusal offers instead."""

MAX_HEADER_BYTES = 100 * 2**20
"""The limit of the safetensors format itself."""


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of a safetensors file: shapes by tensor name, and its free-form metadata."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]

    def has(self, prefix: str) -> bool:
        """Whether a tensor's name starts with `prefix`."""
        return any(name.startswith(prefix) for name in self.shapes)

    def mentions(self, *parts: str) -> bool:
        """Whether any of `parts` is anywhere in a tensor's name."""
        return any(part in name for name in self.shapes for part in parts)

    def last_sizes(self, *ends: str) -> set[int]:
        """The last size of every tensor whose name ends with one of `ends`."""
        return {shape[-1] for name, shape in self.shapes.items() if shape and name.endswith(ends)}


def read_header(path: Path) -> Header:
    """The header of a safetensors file, checked against the file's length.

    Raises:
        BadModel: it is no safetensors file, is cut short, or cannot be read.
    """
    try:
        num_bytes = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
            _refuse_pickle(path, start)
            length = int.from_bytes(start[:8], "little")
            if not start.endswith(b"{") or not 2 <= length <= MAX_HEADER_BYTES:
                raise _no_safetensors(path)
            text = b"{" + file.read(length - 1)
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(text) < length:
        raise _cut_short(path, num_bytes)
    try:
        header, end = _parse_header(path, json.loads(text))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise _no_safetensors(path) from error
    if not header.shapes:
        raise BadModel(f"{path} holds no weights: {ACCEPTED}.")
    if 8 + length + end != num_bytes:
        raise _cut_short(path, num_bytes, 8 + length + end)
    return header


def _parse_header(path: Path, values: dict[str, Any]) -> tuple[Header, int]:
    """The header, and how many bytes of weights follow it."""
    metadata = values.pop("__metadata__", {})
    shapes = {name: tuple(int(size) for size in at["shape"]) for name, at in values.items()}
    end = max((int(at["data_offsets"][1]) for at in values.values()), default=0)
    return Header(path, shapes, dict(metadata)), end


def _refuse_pickle(path: Path, start: bytes) -> None:
    if start.startswith((b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise BadModel(
            f"{path} is a pickle, which can run code when it is opened: the studio loads "
            "safetensors only, so take the file from its maker in that form."
        )


def _no_safetensors(path: Path) -> BadModel:
    return BadModel(f"{path} is no safetensors file: {ACCEPTED}.")


def _cut_short(path: Path, num_bytes: int, expected: int | None = None) -> BadModel:
    wanted = "" if expected is None else f" where its header says {expected:,}"
    return BadModel(
        f"{path} is damaged: it is {num_bytes:,} bytes long{wanted}; copy or download it again."
    )
