"""Places made for the picture, and the open air: white studio, pastel podium, garden.

Knows what stands there; does not know the product, the camera or the renderer.
"""

from __future__ import annotations

import random

import numpy as np

from scripts.draft import materials as m
from scripts.draft.places import Place, Thing, sky
from scripts.draft.shapes import Mesh, bar, box, grid, join, lathe, rounded, sheet


def studio(subject: str, rng: random.Random) -> Place:
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
        sky((1.0, 1.0, 1.0), (0.95, 0.95, 0.96), (0.7, 0.7, 0.7), 2.5),
        0.75,
        1.08,
    )


def garden(subject: str, rng: random.Random) -> Place:
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
    return Place(things, sky((0.45, 0.62, 0.95), (0.95, 0.97, 1.0), (0.3, 0.35, 0.22)), 2.1, 1.1)


def podium(subject: str, rng: random.Random) -> Place:
    """A round podium before an arch, in two or three pastel tones."""
    pairs = [
        ((0.93, 0.80, 0.76), (0.97, 0.91, 0.86), (0.86, 0.62, 0.58)),
        ((0.76, 0.85, 0.82), (0.93, 0.94, 0.90), (0.55, 0.70, 0.68)),
        ((0.80, 0.80, 0.92), (0.94, 0.93, 0.97), (0.62, 0.62, 0.82)),
        ((0.95, 0.88, 0.72), (0.97, 0.94, 0.87), (0.90, 0.74, 0.48)),
        ((0.74, 0.85, 0.94), (0.92, 0.95, 0.97), (0.50, 0.68, 0.82)),
    ]
    wall, top, accent = rng.choice(pairs)
    side = rng.choice([-1, 1])
    r, h = rng.uniform(1.12, 1.25), rng.uniform(0.24, 0.4)
    back = rng.uniform(1.5, 1.8)
    drum = rounded([(0, -h), (r, -h), (r, 0), (0, 0)], 0.03)
    step = rounded([(0, -h), (0.55, -h), (0.55, 0.25), (0, 0.25)], 0.03)
    a = np.linspace(0, np.pi, 40)
    width, spring = rng.uniform(0.85, 1.1), rng.uniform(0.9, 1.3)
    edge = np.concatenate(
        [
            [(width, -h)],
            np.stack([width * np.cos(a), spring + width * np.sin(a)], -1),
            [(-width, -h)],
        ]
    )
    panel = _slab(edge, 0.14).moved(side * rng.uniform(0.0, 0.35), back - 0.2, 0)
    t = np.linspace(0, np.pi, 20)
    ball_r = rng.uniform(0.16, 0.26)
    ball = lathe(np.stack([ball_r * np.sin(t), -ball_r * np.cos(t)], -1), 32)
    things = [
        Thing(sheet(20, 20).moved(0, 0, -h), m.plain(wall, 0.9)),
        Thing(box(20, 0.2, 12, 0.03).moved(0, back + 0.1, 4), m.plain(wall, 0.9)),
        Thing(lathe(drum, 72), m.plain(top, 0.6)),
        Thing(panel, m.plain(accent, 0.8)),
        Thing(lathe(step).moved(-side * 1.35, back - 0.75, 0), m.plain(accent, 0.6)),
        Thing(ball.moved(-side * 1.35, back - 0.75, 0.25 + ball_r), m.plain(top, 0.35, coat=0.4)),
    ]
    return Place(
        things, sky((0.95, 0.94, 0.94), (0.80, 0.79, 0.80), (0.5, 0.5, 0.5), 2.5, -side), 0.85, 1.05
    )


def _slab(edge: np.ndarray, depth: float) -> Mesh:
    """An upright panel of an outline [N,(x,z)] symmetrical in x, its face towards -y."""
    n = len(edge)
    rows = np.stack([edge, edge[::-1]])[:, : (n + 1) // 2]
    # The face stands off a little: vertices it shared with the rim would share their normals too.
    face = np.stack([rows[..., 0], np.full(rows.shape[:2], -depth / 2 - 0.002), rows[..., 1]], -1)
    rim = np.stack(
        [np.stack([edge[:, 0], np.full(n, y), edge[:, 1]], -1) for y in (-depth / 2, depth / 2)]
    )
    return join([grid(face, face[..., [0, 2]]), grid(rim, rim[..., [1, 2]])])
