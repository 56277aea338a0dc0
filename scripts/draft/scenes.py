"""The five places a product is shown in: surroundings, sky and key light.

Knows what stands behind and below the product; does not know the product, the camera
or the renderer. The product occupies about 1.6 units around the z axis, on z=0.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.draft import materials as m
from scripts.draft.shapes import Mesh, bar, box, grid, join, lathe, rounded, sheet, smooth, tube

FURNITURE = {"sofa", "armchair", "stool"}


@dataclass(frozen=True)
class Thing:
    mesh: Mesh
    surface: m.Surface


@dataclass(frozen=True)
class Place:
    """`sky` [H,W,3] linear radiance over the sphere, row 0 up; key light strength as a factor."""

    things: list[Thing]
    sky: NDArray[np.float64]
    key: float
    exposure: float = 1.0


def build(scene: str, subject: str, seed: int) -> Place:
    return _BUILDERS[scene](subject, random.Random(seed))


def _sky(
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
    sky = np.broadcast_to(hor * (1 - a - b) + up_ * a + low * b, (32, 64, 3)).copy()
    if window:
        # Columns run round the z axis; the camera's side is dimmed, or metal has nothing to show.
        turn = np.cos(np.linspace(0, 2 * np.pi, 64, endpoint=False) - np.pi)[None, :, None]
        sky *= 1 - 0.55 * np.clip(turn, 0, 1)
        centre = 48 if side < 0 else 16
        sky[6:15, centre - 5 : centre + 5] += window
    return sky


def _plant(rng: random.Random, size: float, pot: tuple[float, float, float]) -> list[Thing]:
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


def _moved(things: list[Thing], x: float, y: float, z: float) -> list[Thing]:
    return [Thing(t.mesh.moved(x, y, z), t.surface) for t in things]


def _books(rng: random.Random) -> list[Thing]:
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


def _living_room(subject: str, rng: random.Random) -> Place:
    small = subject not in FURNITURE
    floor = -1.15 if small else 0.0
    wall_y = rng.uniform(1.7, 2.3) if not small else rng.uniform(2.2, 2.9)
    wall = rng.choice(
        [
            (0.86, 0.84, 0.80),
            (0.78, 0.80, 0.77),
            (0.82, 0.77, 0.70),
            (0.70, 0.75, 0.78),
            (0.88, 0.87, 0.85),
        ]
    )
    wood = rng.choice([(0.66, 0.50, 0.34), (0.56, 0.40, 0.26), (0.76, 0.62, 0.45)])
    side = rng.choice([-1, 1])
    things = [
        Thing(sheet(16, 14).moved(0, 0, floor), m.timber(wood, rng.randrange(99), 5, 1.5)),
        Thing(box(16, 0.2, 9, 0.05).moved(0, wall_y + 0.1, floor + 4), m.plain(wall, 0.9)),
        Thing(
            box(16, 0.05, 0.16, 0.02).moved(0, wall_y - 0.02, floor + 0.08),
            m.plain((0.9, 0.9, 0.88)),
        ),
    ]
    w, h = rng.uniform(0.55, 0.95), rng.uniform(0.6, 0.85)
    x = -side * rng.uniform(0.5, 1.3)
    z = rng.uniform(1.2, 1.45) if not small else rng.uniform(0.7, 1.1)
    frame = m.plain(rng.choice([(0.12, 0.12, 0.12), (0.75, 0.6, 0.42), (0.93, 0.93, 0.92)]), 0.4)
    art = m.picture(rng.randrange(40))
    things += [
        Thing(box(w, 0.06, h, 0.025).moved(x, wall_y - 0.03, z), frame),
        Thing(
            sheet(w - 0.09, h - 0.09).turned(90, "x").moved(x, wall_y - 0.062, z),
            m.plain((0.93, 0.92, 0.9), 0.8),
        ),
        Thing(sheet(w - 0.3, h - 0.3).turned(90, "x").moved(x, wall_y - 0.064, z), art),
    ]
    plant = _plant(
        rng,
        rng.uniform(1.1, 1.5),
        rng.choice([(0.85, 0.83, 0.8), (0.35, 0.33, 0.32), (0.70, 0.45, 0.32)]),
    )
    things += _moved(plant, side * rng.uniform(1.2, 1.6), wall_y - rng.uniform(0.45, 0.6), floor)
    if small:
        top = rng.choice([(0.60, 0.44, 0.29), (0.42, 0.29, 0.20), (0.88, 0.87, 0.85)])
        disc = rounded([(0, -0.09), (1.25, -0.09), (1.3, 0), (0, 0)], 0.03)
        surface = m.timber(top, rng.randrange(99), 3, 1.6) if top[0] < 0.8 else m.plain(top, 0.3)
        things.append(Thing(lathe(disc), surface))
    else:
        tone = rng.choice([(0.84, 0.81, 0.75), (0.62, 0.63, 0.62), (0.74, 0.68, 0.60)])
        rug = m.Surface(m.product("fabric", tone, 3).base, np.zeros((m.SIZE, m.SIZE)), 0.9, 0, 0.95)
        things.append(
            Thing(
                box(rng.uniform(2.6, 3.4), rng.uniform(1.6, 2.2), 0.02, 0.009).moved(0, -0.25, 0.0),
                rug,
            )
        )
        things = [Thing(t.mesh.moved(z=-0.01), t.surface) for t in things]
    return Place(
        things,
        _sky((0.75, 0.74, 0.72), (0.72, 0.72, 0.74), (0.4, 0.36, 0.32), 4.0, -side),
        0.95,
        1.1,
    )


def _studio(subject: str, rng: random.Random) -> Place:
    y = np.concatenate([[-9.0, 1.2], 1.2 + 1.6 * np.sin(np.linspace(0.1, np.pi / 2, 12)), [2.8]])
    z = np.concatenate([[0.0, 0.0], 1.6 - 1.6 * np.cos(np.linspace(0.1, np.pi / 2, 12)), [9.0]])
    x = np.array([-14.0, 14.0])
    points = np.stack(
        [
            np.broadcast_to(x[:, None], (2, len(y))),
            np.broadcast_to(y, (2, len(y))),
            np.broadcast_to(z, (2, len(z))),
        ],
        -1,
    )
    n = len(y)
    a = np.arange(n - 1)
    faces = np.concatenate(
        [np.stack([a, n + a, n + a + 1], -1), np.stack([a, n + a + 1, a + 1], -1)]
    )
    uvs = np.stack([points[..., 0], points[..., 1] + points[..., 2]], -1).reshape(-1, 2)
    sweep = Mesh(points.reshape(-1, 3), faces, uvs)
    return Place(
        [Thing(sweep, m.plain((0.965, 0.965, 0.965), 0.9))],
        _sky((1.0, 1.0, 1.0), (0.95, 0.95, 0.96), (0.7, 0.7, 0.7), 2.5),
        0.75,
        1.08,
    )


def _wooden_table(subject: str, rng: random.Random) -> Place:
    tone = rng.choice(
        [(0.62, 0.42, 0.25), (0.50, 0.32, 0.19), (0.72, 0.54, 0.35), (0.42, 0.26, 0.16)]
    )
    wall = rng.choice(
        [(0.72, 0.70, 0.66), (0.56, 0.60, 0.60), (0.80, 0.76, 0.70), (0.44, 0.48, 0.46)]
    )
    side = rng.choice([-1, 1])
    things = [
        Thing(
            box(7, 3.6, 0.2, 0.03).moved(0, 0.0, -0.1), m.timber(tone, rng.randrange(99), 4, 1.7)
        ),
        Thing(sheet(20, 20).moved(0, 0, -2.2), m.plain((0.4, 0.36, 0.32), 0.8)),
        Thing(box(20, 0.2, 12, 0.05).moved(0, 4.2, 2), m.plain(wall, 0.9)),
    ]
    things += _moved(_books(rng), side * rng.uniform(0.95, 1.3), rng.uniform(1.0, 1.35), 0.0)
    things += _moved(
        _plant(rng, rng.uniform(0.7, 0.95), rng.choice([(0.86, 0.84, 0.8), (0.68, 0.42, 0.30)])),
        -side * rng.uniform(1.0, 1.4),
        rng.uniform(1.05, 1.4),
        0.0,
    )
    return Place(
        things,
        _sky((0.65, 0.64, 0.63), (0.70, 0.69, 0.68), (0.3, 0.27, 0.24), 4.5, -side),
        1.1,
        1.35,
    )


def _marble_counter(subject: str, rng: random.Random) -> Place:
    side = rng.choice([-1, 1])
    wall = rng.choice(
        [(0.90, 0.91, 0.91), (0.80, 0.85, 0.84), (0.72, 0.79, 0.80), (0.88, 0.86, 0.82)]
    )
    back = rng.uniform(1.25, 1.6)
    things = [
        Thing(
            box(9, 5.0, 0.16, 0.02).moved(0, back - 2.5, -0.08),
            m.marble((0.93, 0.93, 0.93), rng.randrange(12)),
        ),
        Thing(box(9, 0.2, 6, 0.05).moved(0, back + 0.1, 2.9), m.tiles(wall, (0.66, 0.66, 0.65))),
    ]
    board = box(0.62, 0.05, rng.uniform(0.9, 1.15), 0.024)
    wood = m.timber(rng.choice([(0.66, 0.46, 0.28), (0.48, 0.31, 0.19)]), rng.randrange(99), 2, 0.9)
    things.append(
        Thing(board.turned(-9, "x").moved(-side * rng.uniform(0.85, 1.2), back - 0.14, 0.5), wood)
    )
    x, y = side * rng.uniform(1.0, 1.25), back - rng.uniform(0.4, 0.55)
    bowl = smooth([(0.1, 0.0), (0.2, 0.03), (0.33, 0.16), (0.36, 0.24)])
    shell = np.concatenate([[(0, 0)], bowl, bowl[::-1] - np.array([0.02, -0.012]), [(0, 0.05)]])
    things.append(Thing(lathe(shell).moved(x, y, 0), m.plain((0.92, 0.91, 0.88), 0.25, coat=0.5)))
    fruit = rng.choice([(0.90, 0.74, 0.18), (0.50, 0.62, 0.20), (0.86, 0.45, 0.12)])
    t = np.linspace(0, np.pi, 14)
    for k in range(4):
        r = rng.uniform(0.115, 0.135)
        ball = lathe(np.stack([r * np.sin(t), -r * np.cos(t) * 1.08], -1), 24).turned(
            rng.uniform(0, 90), "x"
        )
        a = k * 2.1 + rng.uniform(0, 0.5)
        d = 0.14 if k < 3 else 0.0
        things.append(
            Thing(
                ball.moved(x + d * np.cos(a), y + d * np.sin(a), 0.24 if k < 3 else 0.38),
                m.plain(fruit, 0.4),
            )
        )
    return Place(
        things, _sky((0.78, 0.79, 0.80), (0.74, 0.75, 0.77), (0.45, 0.45, 0.45), 4.0, -side), 0.85
    )


def _garden(subject: str, rng: random.Random) -> Place:
    back = rng.uniform(2.6, 3.6)
    grass = m.grass(rng.randrange(12))
    n = 90
    u, v = np.meshgrid(np.linspace(-7, 7, n * 2), np.linspace(0, 2.2, n // 2), indexing="ij")
    bumps = np.random.default_rng(rng.randrange(1 << 30))
    phase = bumps.uniform(0, 6.28, (14, 2))
    freq = bumps.uniform(-6, 6, (14, 2))
    lump = sum(
        np.sin(freq[i, 0] * u + phase[i, 0]) * np.sin(freq[i, 1] * v + phase[i, 1])
        for i in range(14)
    )
    top = rng.uniform(1.5, 2.4)
    points = np.stack(
        [
            u,
            back + 0.07 * lump + bumps.normal(0, 0.035, u.shape) + 0.5 * np.clip(v - 1.8, 0, 1),
            v / 2.2 * (top + 0.012 * lump),
        ],
        -1,
    )
    hedge_uv = np.stack([u, v], -1)
    hedge = grid(points, hedge_uv)
    stone = rng.choice([(0.70, 0.68, 0.63), (0.60, 0.59, 0.57), (0.74, 0.67, 0.57)])
    things = [
        Thing(sheet(40, 40).moved(0, 0, -0.03), grass),
        Thing(box(4.2, 2.7, 0.1, 0.02).moved(0, -0.1, -0.05), m.slabs(stone, rng.randrange(20))),
        Thing(hedge.moved(0, 0, -0.03), m.leaves(rng.randrange(20))),
    ]
    tone = rng.choice(
        [(0.90, 0.88, 0.84), (0.86, 0.62, 0.68), (0.90, 0.78, 0.30), (0.62, 0.50, 0.78)]
    )
    t = np.linspace(0, np.pi, 8)
    blooms, stems = [], []
    for _ in range(46):
        x, y, h = rng.uniform(-3.6, 3.6), back - rng.uniform(0.15, 0.6), rng.uniform(0.2, 0.55)
        r = rng.uniform(0.04, 0.075)
        blooms.append(lathe(np.stack([r * np.sin(t), -0.7 * r * np.cos(t)], -1), 10).moved(x, y, h))
        stems.append(bar([x, y, -0.03], [x, y, h], 0.012, 0.01))
    things.append(Thing(join(blooms), m.plain(tone, 0.7)))
    things.append(Thing(join(stems), m.plain((0.22, 0.40, 0.14), 0.8)))
    return Place(things, _sky((0.45, 0.62, 0.95), (0.95, 0.97, 1.0), (0.3, 0.35, 0.22)), 2.1, 1.1)


_BUILDERS = {
    "living_room": _living_room,
    "studio": _studio,
    "wooden_table": _wooden_table,
    "marble_counter": _marble_counter,
    "garden": _garden,
}
