"""Surfaces: textures in a colour, and the numbers of a principled shader.

Knows how the eight materials of the brief differ by more than colour, and the materials of the
surroundings. Knows no geometry and no renderer. Colours come in as sRGB and leave as linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.draft.textures import (
    SIZE,
    Array,
    basket,
    cells,
    noise,
    quilt,
    ribs,
    speckles,
    weave,
    wood,
)


@dataclass(frozen=True)
class Surface:
    """`base` [H,W,3] linear, `bump` [H,W] heights; `tile` is the metric side of one tile.

    `clear` is the share of the light that a thin wall lets through; 0 is opaque.
    """

    base: Array
    bump: Array
    tile: float
    bump_scale: float = 0.0
    roughness: float = 0.5
    metallic: float = 0.0
    specular: float = 0.5
    clearcoat: float = 0.0
    sheen: float = 0.0
    clear: float = 0.0


def to_linear(rgb: tuple[float, float, float] | Array) -> Array:
    x = np.asarray(rgb, float)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _flat(rgb: Array) -> Array:
    return np.broadcast_to(rgb, (SIZE, SIZE, 3))


def product(material: str, rgb: tuple[float, float, float], seed: int) -> Surface:
    """The brief's material in the brief's colour."""
    colour, k = to_linear(rgb), seed % 5 * 10
    none = np.zeros((SIZE, SIZE))
    if material == "leather":
        m, height = quilt(k, 3)
        return Surface(colour * m[..., None], height, 0.95, 0.035, 0.34, 0, 0.65, 0.25)
    if material == "wood":
        m = wood(k)
        # Stain lets a little of the timber's own warmth through.
        tint = colour * np.clip(1.25 * m - 0.2, 0.12, 1.2)[..., None] ** 1.5
        tint = 0.84 * tint + 0.16 * m[..., None] * to_linear((0.62, 0.42, 0.25))
        return Surface(tint, m, 0.85, 0.006, 0.45, 0, 0.4, 0.1)
    if material == "fabric":
        m, height = weave(k, 14)
        return Surface(colour * m[..., None] * 1.08, height, 0.8, 0.022, 0.95, 0, 0.1, 0, 0.7)
    if material == "ceramic":
        # A speckled glaze: dark specks on light pots, light ones on dark.
        other = to_linear((0.16, 0.12, 0.09)) if colour.mean() > 0.09 else np.full(3, 0.42)
        share = 0.75 * speckles(k, 130)[..., None]
        base = colour * (1 - share) + other * share
        return Surface(base, none, 0.9, 0, 0.1, 0, 0.65, 1.0)
    if material == "metal":
        m = np.clip(1 + 0.16 * noise(k, 40, 120, 40.0), 0.5, 1.25)
        bright = 0.10 + 0.88 * colour if colour.max() < 0.1 else 0.03 + 0.95 * colour
        return Surface(bright * m[..., None], m, 0.7, 0.0008, 0.22, 1.0, 0.6)
    if material == "glass":
        # A thin wall is crossed four times, so each tints but a little.
        return Surface(_flat(0.22 + 0.78 * colour**0.45), none, 1.0, 0, 0.02, clear=0.95)
    if material == "plastic":
        return Surface(_flat(colour), ribs(8), 0.8, 0.016, 0.3, 0, 0.5)
    if material == "rattan":
        m, height = basket(k, 6)
        warm = 0.88 * colour + 0.12 * to_linear((0.70, 0.52, 0.32))
        return Surface(warm * m[..., None], height, 0.75, 0.03, 0.6, 0, 0.35)
    raise KeyError(material)


def quiet(role: str, product_material: str, seed: int) -> Surface:
    """What is not the brief's: timber legs, dark metal or brass, a dial, rubber soles and pads."""
    rng = np.random.default_rng(seed)
    pick = rng.random()
    if role == "legs" and pick < 0.6:
        tone = [(0.62, 0.43, 0.26), (0.36, 0.22, 0.13), (0.78, 0.62, 0.43)][int(rng.integers(3))]
        m = wood(seed % 3)
        return Surface(to_linear(tone) * m[..., None], m, 0.5, 0, 0.45)
    if role == "face":
        return plain((0.95, 0.94, 0.91), 0.3, coat=0.3)
    if role == "rubber":
        return plain((0.13, 0.13, 0.14) if pick < 0.35 else (0.90, 0.89, 0.86), 0.6)
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
            wood(seed % 4 * 7 + i % 3), rng.integers(SIZE, size=2), (0, 1)
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
    spots = cells(seed % 3 + 50, 400)
    m = np.clip(1.15 - 1.2 * spots + 0.35 * noise(seed, 2, 12), 0, 1)
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
