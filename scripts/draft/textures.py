"""Tileable textures as plain arrays of SIZE x SIZE: noise, cells, grain, weaves.

Knows numpy and patterns; does not know colours, shaders or products. A multiplier darkens or
lightens a colour; a height is metric once it is scaled.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIZE = 256  # texels of a tile's side


def noise(seed: int, low: float, high: float, stretch: float = 1.0) -> Array:
    """Tileable band-passed noise [SIZE,SIZE], about -1..1; `stretch` > 1 draws it out along u."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(SIZE) * SIZE
    fu, fv = np.meshgrid(f * stretch, f)
    r = np.hypot(fu, fv)
    band = np.exp(-((r / high) ** 2)) * (1 - np.exp(-((r / max(low, 1e-3)) ** 2)))
    x = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * band).real
    return x / (2.2 * x.std() + 1e-9)


@lru_cache(maxsize=64)
def cells(seed: int, count: int) -> Array:
    """Distance to the nearest of some points on the torus [SIZE,SIZE], 0..1: a grain."""
    rng = np.random.default_rng(seed)
    side = round(count**0.5)
    g = (np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2) + 0.5) / side
    p = (g + rng.uniform(-0.42, 0.42, g.shape) / side) % 1
    x = (np.arange(SIZE) + 0.5) / SIZE
    best = np.full((SIZE, SIZE), 9.0)
    for px, py in p:
        dx, dy = np.abs(x - px), np.abs(x - py)
        dx, dy = np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy)
        best = np.minimum(best, dx[None, :] ** 2 + dy[:, None] ** 2)
    d = np.sqrt(best)
    return d / d.max()


@lru_cache(maxsize=64)
def wood(seed: int) -> Array:
    """Grain along u, 0.45..1.15 as a multiplier."""
    v = np.linspace(0, 1, SIZE, endpoint=False)[:, None]
    warp = 0.16 * noise(seed, 0.5, 4, 5.0) + 0.03 * noise(seed + 1, 2, 12, 8.0)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * v + 6 * warp))
    fibre = noise(seed + 2, 30, 110, 24.0)
    return np.clip(
        0.98 - 0.36 * rings**2 + 0.12 * fibre + 0.08 * noise(seed + 3, 0.5, 3), 0.4, 1.15
    )


@lru_cache(maxsize=64)
def weave(seed: int, count: int) -> tuple[Array, Array]:
    """(multiplier, height) of a coarse plain weave with `count` threads a side."""
    t = np.linspace(0, count * np.pi, SIZE, endpoint=False)
    x, y = np.meshgrid(t, t)
    over = np.sign(np.sin(x) * np.sin(y))
    height = np.where(over > 0, np.abs(np.sin(x)), np.abs(np.sin(y)))
    melange = 0.5 * noise(seed, 6, 60, 6.0) * (over > 0) + 0.5 * noise(seed, 6, 60, 6.0).T * (
        over <= 0
    )
    return np.clip(0.66 + 0.34 * height + 0.14 * melange + 0.10 * (over > 0), 0.35, 1.25), height


@lru_cache(maxsize=16)
def quilt(seed: int, count: int) -> tuple[Array, Array]:
    """(multiplier, height 0..1) of a hide quilted in `count` diamonds a side, pebbled between."""
    t = np.arange(SIZE) / SIZE
    x, y = np.meshgrid(t, t)
    # Two families of seams; each pad swells between them.
    a, b = (np.abs(np.sin(np.pi * count * (x + s * y))) for s in (1, -1))
    pad = np.minimum(a, b) ** 0.45
    grain = cells(seed, 576)
    stitched = (np.minimum(a, b) < 0.09) & (np.sin(2 * np.pi * count * 7 * x) > -0.3)
    multiplier = (0.62 + 0.38 * pad) * (1.06 - 0.3 * np.clip(grain - 0.35, 0, 1))
    return np.where(stitched, 1.25, multiplier), pad - 0.10 * grain


@lru_cache(maxsize=16)
def basket(seed: int, count: int) -> tuple[Array, Array]:
    """(multiplier, height 0..1) of canes over and under each other, `count` a side (even)."""
    t = np.arange(SIZE) / SIZE * count
    x, y = np.meshgrid(t, t)
    over = (np.floor(x) + np.floor(y)) % 2 == 0
    across, along = np.where(over, y % 1, x % 1), np.where(over, x % 1, y % 1)
    # A cane is three rods side by side, arched where it passes over.
    rods = np.abs(np.sin(3 * np.pi * across)) ** 0.6
    height = rods * np.sin(np.pi * np.clip(along, 0.02, 0.98)) ** 0.5
    streak = 0.5 * noise(seed, 8, 60, 5.0)
    return np.clip(0.2 + 0.85 * height + 0.09 * streak, 0.1, 1.2), height


@lru_cache(maxsize=16)
def speckles(seed: int, count: int) -> Array:
    """0..1, where the dark specks of a stoneware glaze lie."""
    rng = np.random.default_rng(seed)
    t = np.arange(SIZE)
    out = np.zeros((SIZE, SIZE))
    for x, y, r in zip(*rng.uniform(0, SIZE, (2, count)), rng.gamma(3.0, 0.75, count), strict=True):
        dx, dy = np.abs(t - x), np.abs(t - y)
        d = np.hypot(np.minimum(dx, SIZE - dx)[None, :], np.minimum(dy, SIZE - dy)[:, None])
        out = np.maximum(out, np.clip(r - d + 0.5, 0, 1))
    return out


@lru_cache(maxsize=4)
def ribs(count: int) -> Array:
    """Height 0..1 of round ribs across v, `count` a side."""
    t = np.arange(SIZE) / SIZE * count
    rib = np.abs(np.sin(np.pi * t)) ** 0.5
    return np.broadcast_to(rib[:, None], (SIZE, SIZE))
