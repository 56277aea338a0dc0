"""`Place`: what surrounds a product, and the small things that several places share.

Knows plants, books, skies; does not know the product, the camera or the renderer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.draft import materials as m
from scripts.draft.shapes import Mesh, box, join, lathe, rounded, tube

FURNITURE = {"sofa", "armchair", "stool"}


@dataclass(frozen=True)
class Thing:
    mesh: Mesh
    surface: m.Surface


@dataclass(frozen=True)
class Place:
    """`sky` [H,W,3] linear radiance over the sphere, row 0 up; key light strength as a factor.

    `lit` is a mesh that shines by itself (a lampshade), if there is one. A `lamp` sends the key
    light from the side it stands on, in the warmth of a bulb.
    """

    things: list[Thing]
    sky: NDArray[np.float64]
    key: float
    exposure: float = 1.0
    lit: Mesh | None = None
    lamp: float = 0.0


def sky(
    up: tuple[float, ...],
    horizon: tuple[float, ...],
    down: tuple[float, ...],
    window: float = 0.0,
    side: int = -1,
) -> NDArray[np.float64]:
    """A vertical gradient, with a bright window at one side and a dim front to reflect."""
    rows = np.linspace(1, -1, 32)[:, None, None]
    up_, hor, low = (np.array(c)[None, None] for c in (up, horizon, down))
    a = np.clip(rows, 0, 1) ** 0.6
    b = np.clip(-rows, 0, 1) ** 0.5
    light = np.broadcast_to(hor * (1 - a - b) + up_ * a + low * b, (32, 64, 3)).copy()
    if window:
        # Columns run round the z axis; the camera's side is dimmed, or metal has nothing to show.
        turn = np.cos(np.linspace(0, 2 * np.pi, 64, endpoint=False) - np.pi)[None, :, None]
        light *= 1 - 0.55 * np.clip(turn, 0, 1)
        centre = 48 if side < 0 else 16
        light[6:15, centre - 5 : centre + 5] += window
    return light


def plant(rng: random.Random, size: float, pot: tuple[float, float, float]) -> list[Thing]:
    """Arching leaves from a pot standing on z=0."""
    r = 0.16 * size
    profile = rounded(
        [
            (0, 0),
            (r * 0.75, 0),
            (r, 0.30 * size),
            (r * 0.88, 0.30 * size),
            (r * 0.8, 0.2 * size),
            (0, 0.2 * size),
        ],
        0.03,
    )
    leaves = []
    for _ in range(rng.randint(14, 20)):
        a, lean, tall = (
            rng.uniform(0, 6.283),
            rng.uniform(0.15, 0.6) * size,
            rng.uniform(0.5, 0.95) * size,
        )
        t = np.linspace(0, 1, 10)
        reach = lean * t**1.5
        path = np.stack(
            [
                reach * np.cos(a),
                reach * np.sin(a),
                0.22 * size + tall * (t - 0.28 * t**3 * lean / 0.5),
            ],
            -1,
        )
        width = 0.075 * size * np.sin(np.pi * np.clip(t * 0.9 + 0.08, 0, 1)) ** 0.8 + 0.004
        leaves.append(tube(path, width, 8, flat=0.15))
    green = m.plain((rng.uniform(0.16, 0.26), rng.uniform(0.36, 0.46), 0.18), 0.5, coat=0.2)
    return [Thing(lathe(profile, 32), m.plain(pot, 0.6)), Thing(join(leaves), green)]


def moved(things: list[Thing], x: float, y: float, z: float) -> list[Thing]:
    return [Thing(t.mesh.moved(x, y, z), t.surface) for t in things]


def books(rng: random.Random) -> list[Thing]:
    out, z = [], 0.0
    tones = [(0.33, 0.38, 0.42), (0.80, 0.75, 0.66), (0.55, 0.33, 0.26), (0.24, 0.32, 0.30)]
    for _ in range(rng.randint(2, 4)):
        h = rng.uniform(0.07, 0.12)
        book = box(rng.uniform(0.6, 0.75), rng.uniform(0.42, 0.5), h, 0.025).turned(
            rng.uniform(-14, 14)
        )
        out.append(Thing(book.moved(0, 0, z + h / 2), m.plain(rng.choice(tones), 0.6)))
        z += h
    return out
