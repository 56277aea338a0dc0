"""Row buckets: a pass is filled up to one of a few numbers of rows, for code compiled for each.

torch.compile makes code for exact shapes, and a CUDA graph is one shape only; a few of them are
enough, as a row more than needed costs less than code that takes any number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from studio.engine.denoiser import ControlRows, Rows

ROW_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32)

MAX_GRAPH_ROWS = 4
"""Up to here a card waits for the host between kernels, and a CUDA graph pays; beyond, not."""


def bucket(num_rows: int, buckets: Sequence[int] = ROW_BUCKETS) -> int:
    """The smallest bucket for so many rows; their own number beyond the largest."""
    return next((size for size in buckets if size >= num_rows), num_rows)


def buckets_up_to(num_rows: int, buckets: Sequence[int] = ROW_BUCKETS) -> tuple[int, ...]:
    """All that passes of 1 to `num_rows` rows are filled up to."""
    most = bucket(num_rows, buckets)
    return tuple(size for size in buckets if size <= most)


def filled(rows: Rows, buckets: Sequence[int] = ROW_BUCKETS) -> Rows:
    """`rows` with the last repeated up to a bucket, and the rows of each control likewise.

    Those repeated follow their image with a scale of zero, which adds nothing to anybody.
    """
    num_rows = len(rows.latents)
    size = bucket(num_rows, buckets)
    if size == num_rows:
        whole = rows
    else:
        places = _places(num_rows, size, rows.latents.device)
        whole = dataclasses.replace(
            rows,
            latents=rows.latents[places],
            timestep=rows.timestep[places],
            encoder_hidden_states=rows.encoder_hidden_states[places],
            text_embeds=rows.text_embeds[places],
            time_ids=rows.time_ids[places],
        )
    return dataclasses.replace(
        whole, controls=tuple(_filled(control, buckets) for control in rows.controls)
    )


def _filled(control: ControlRows, buckets: Sequence[int]) -> ControlRows:
    num_rows = len(control.indices)
    size = bucket(num_rows, buckets)
    if size == num_rows:
        return control
    places = _places(num_rows, size, control.indices.device)
    return ControlRows(
        kind=control.kind,
        indices=control.indices[places],
        images=control.images[places],
        scales=torch.nn.functional.pad(control.scales, (0, size - num_rows)),
    )


def _places(num_rows: int, size: int, device: torch.device) -> torch.Tensor:
    return torch.arange(size, device=device).clamp(max=num_rows - 1)
