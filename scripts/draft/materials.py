"""Surfaces: tileable textures and the numbers of a principled shader.

Knows how leather, wood, fabric, ceramic and metal differ by more than colour, and the
materials of the surroundings. Knows no geometry and no renderer. Colours come in as
sRGB and leave as linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIZE = 256  # texels of a tile's side


@dataclass(frozen=True)
class Surface:
    """`base` [H,W,3] linear, `bump` [H,W] heights; `tile` is the metric side of one tile."""

    base: Array
    bump: Array
    tile: float
    bump_scale: float = 0.0
    roughness: float = 0.5
    metallic: float = 0.0
    specular: float = 0.5
    clearcoat: float = 0.0
    sheen: float = 0.0


def to_linear(rgb: tuple[float, float, float] | Array) -> Array:
    x = np.asarray(rgb, float)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


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
def _cells(seed: int, count: int) -> Array:
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
def _wood(seed: int) -> Array:
    """Grain along u, 0.45..1.15 as a multiplier."""
    v = np.linspace(0, 1, SIZE, endpoint=False)[:, None]
    warp = 0.16 * noise(seed, 0.5, 4, 5.0) + 0.03 * noise(seed + 1, 2, 12, 8.0)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * v + 6 * warp))
    fibre = noise(seed + 2, 30, 110, 24.0)
    return np.clip(
        0.98 - 0.36 * rings**2 + 0.12 * fibre + 0.08 * noise(seed + 3, 0.5, 3), 0.4, 1.15
    )


@lru_cache(maxsize=64)
def _weave(seed: int, count: int) -> tuple[Array, Array]:
    """(multiplier, height) of a coarse plain weave with `count` threads a side."""
    t = np.linspace(0, count * np.pi, SIZE, endpoint=False)
    x, y = np.meshgrid(t, t)
    over = np.sign(np.sin(x) * np.sin(y))
    height = np.where(over > 0, np.abs(np.sin(x)), np.abs(np.sin(y)))
    melange = 0.5 * noise(seed, 6, 60, 6.0) * (over > 0) + 0.5 * noise(seed, 6, 60, 6.0).T * (
        over <= 0
    )
    return np.clip(0.66 + 0.34 * height + 0.14 * melange + 0.10 * (over > 0), 0.35, 1.25), height


def _flat(rgb: Array) -> Array:
    return np.broadcast_to(rgb, (SIZE, SIZE, 3))


def product(material: str, rgb: tuple[float, float, float], seed: int) -> Surface:
    """The brief's material in the brief's colour."""
    colour, k = to_linear(rgb), seed % 5 * 10
    if material == "leather":
        cells, blotch = _cells(k, 484), noise(k, 0.8, 5)
        # Creases darken and the pigment is uneven, as on a real hide.
        m = np.clip(1.0 - 0.42 * np.clip(cells - 0.4, 0, 1) + 0.07 * blotch, 0.4, 1.25)
        return Surface(colour * m[..., None] * 0.95, -cells, 0.62, 0.004, 0.36, 0, 0.65, 0.2)
    if material == "wood":
        m = _wood(k)
        tint = colour * m[..., None] ** 1.35
        # Stain lets a little of the timber's own warmth through.
        tint = 0.86 * tint + 0.14 * m[..., None] * to_linear((0.62, 0.42, 0.25))
        return Surface(tint, m, 0.62, 0.004, 0.42, 0, 0.4, 0.1)
    if material == "fabric":
        m, height = _weave(k, 24)
        return Surface(colour * m[..., None] * 1.05, height, 0.72, 0.012, 0.95, 0, 0.1, 0, 0.6)
    if material == "ceramic":
        m = 1 + 0.03 * noise(k, 0.5, 3)
        return Surface(colour * m[..., None], _flat(colour)[..., 0], 1.0, 0, 0.12, 0, 0.65, 1.0)
    if material == "metal":
        m = np.clip(1 + 0.10 * noise(k, 40, 120, 40.0), 0.6, 1.2)
        bright = 0.10 + 0.88 * colour if colour.max() < 0.1 else 0.03 + 0.95 * colour
        return Surface(bright * m[..., None], m, 0.7, 0.0006, 0.24, 1.0, 0.6)
    raise KeyError(material)


def quiet(role: str, product_material: str, seed: int) -> Surface:
    """Legs and trim: timber, dark metal or brass."""
    rng = np.random.default_rng(seed)
    pick = rng.random()
    if role == "legs" and pick < 0.6:
        tone = [(0.62, 0.43, 0.26), (0.36, 0.22, 0.13), (0.78, 0.62, 0.43)][int(rng.integers(3))]
        m = _wood(seed % 3)
        return Surface(to_linear(tone) * m[..., None], m, 0.5, 0, 0.45)
    tone = (
        (0.10, 0.10, 0.11)
        if pick < 0.8
        else (0.84, 0.68, 0.40)
        if rng.random() < 0.6
        else (0.8, 0.8, 0.8)
    )
    return Surface(_flat(to_linear(tone)), np.zeros((SIZE, SIZE)), 1.0, 0, 0.28, 1.0, 0.6)


def plain(rgb: tuple[float, float, float], roughness: float = 0.7, *, coat: float = 0.0) -> Surface:
    base = _flat(to_linear(rgb))
    return Surface(base, np.zeros((SIZE, SIZE)), 1.0, 0, roughness, 0, 0.3, coat)


def timber(rgb: tuple[float, float, float], seed: int, planks: int, tile: float) -> Surface:
    """A floor or table top of `planks` boards a tile, running along u."""
    rows = SIZE // planks
    out, bump = np.empty((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    rng = np.random.default_rng(seed)
    for i in range(planks):
        grain = 0.45 + 0.55 * np.roll(
            _wood(seed % 4 * 7 + i % 3), rng.integers(SIZE, size=2), (0, 1)
        )
        rows_here = slice(i * rows, (i + 1) * rows if i < planks - 1 else SIZE)
        out[rows_here] = grain[rows_here] * rng.uniform(0.85, 1.1)
        out[i * rows : i * rows + 2] *= 0.6
    return Surface(to_linear(rgb) * out[..., None], bump, tile, 0, 0.38, 0, 0.4, 0.15)


def marble(rgb: tuple[float, float, float], seed: int) -> Surface:
    v = np.linspace(0, 2 * np.pi, SIZE, endpoint=False)
    x, y = np.meshgrid(v, v)
    warp = 1.7 * noise(seed, 0.5, 4) + 0.5 * noise(seed + 1, 4, 20)
    veins = 1 - np.abs(np.sin(x + y + 1.6 * warp)) ** 0.35
    fine = (1 - np.abs(np.sin(2 * x - y + 2.2 * noise(seed + 2, 1, 8))) ** 0.3) * 0.5
    m = np.clip(
        1 - 0.62 * np.clip(veins + 0.6 * fine - 0.12, 0, 1) + 0.03 * noise(seed + 3, 0.5, 4),
        0.25,
        1.03,
    )
    return Surface(to_linear(rgb) * m[..., None], m, 1.9, 0, 0.12, 0, 0.5, 0.6)


def tiles(rgb: tuple[float, float, float], grout: tuple[float, float, float]) -> Surface:
    """Brick-laid wall tiles, four courses a tile of texture."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    course = y // 64
    gap = (y % 64 < 3) | ((x + course % 2 * 64) % 128 < 3)
    base = np.where(gap[..., None], to_linear(grout), to_linear(rgb))
    return Surface(base, 1.0 - gap, 1.0, 0.004, 0.2, 0, 0.5, 0.3)


def grass(seed: int) -> Surface:
    m = 0.5 + 0.5 * np.clip(noise(seed, 20, 100) * 0.8 + 0.4 * noise(seed + 1, 1, 6), -1, 1)
    base = (1 - m[..., None]) * to_linear((0.22, 0.36, 0.10)) + m[..., None] * to_linear(
        (0.56, 0.72, 0.28)
    )
    return Surface(base, m, 1.2, 0.05, 0.9, 0, 0.1)


def leaves(seed: int) -> Surface:
    cells = _cells(seed % 3 + 50, 400)
    m = np.clip(1.15 - 1.2 * cells + 0.35 * noise(seed, 2, 12), 0, 1)
    base = (1 - m[..., None]) * to_linear((0.10, 0.22, 0.08)) + m[..., None] * to_linear(
        (0.46, 0.64, 0.28)
    )
    return Surface(base, m, 1.6, 0.05, 0.8, 0, 0.1)


def slabs(rgb: tuple[float, float, float], seed: int) -> Surface:
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    gap = (x % 128 < 4) | (y % 128 < 4)
    m = 0.92 + 0.09 * noise(seed, 3, 60) + 0.06 * noise(seed + 1, 0.5, 3)
    base = np.where(gap[..., None], to_linear((0.44, 0.45, 0.38)), to_linear(rgb) * m[..., None])
    return Surface(base, 1.0 - gap, 1.9, 0.01, 0.85, 0, 0.2)


def picture(seed: int) -> Surface:
    """An abstract picture for the wall: soft bands in two muted tones."""
    rng = np.random.default_rng(seed)
    tones = [
        (0.86, 0.82, 0.74),
        (0.35, 0.44, 0.50),
        (0.72, 0.52, 0.40),
        (0.25, 0.30, 0.30),
        (0.62, 0.66, 0.60),
    ]
    a, b, c = (to_linear(tones[i]) for i in rng.permutation(5)[:3])
    n1, n2 = noise(seed, 0.5, 2.2), noise(seed + 1, 0.5, 2.2)
    base = np.where((n1 > 0.25)[..., None], b, np.where((n2 > 0.3)[..., None], c, a))
    return Surface(base, n1, 1.0, 0, 0.6)
