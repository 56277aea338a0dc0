"""Places on a table top: wooden table, marble counter.

Knows what stands there; does not know the product, the camera or the renderer.
"""

from __future__ import annotations

import random

import numpy as np

from scripts.draft import materials as m
from scripts.draft.places import Place, Thing, books, moved, plant, sky
from scripts.draft.shapes import box, lathe, sheet, smooth


def wooden_table(subject: str, rng: random.Random) -> Place:
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
    things += moved(books(rng), side * rng.uniform(0.95, 1.3), rng.uniform(1.0, 1.35), 0.0)
    things += moved(
        plant(rng, rng.uniform(0.7, 0.95), rng.choice([(0.86, 0.84, 0.8), (0.68, 0.42, 0.30)])),
        -side * rng.uniform(1.0, 1.4),
        rng.uniform(1.05, 1.4),
        0.0,
    )
    return Place(
        things,
        sky((0.65, 0.64, 0.63), (0.70, 0.69, 0.68), (0.3, 0.27, 0.24), 4.5, -side),
        1.1,
        1.35,
    )


def marble_counter(subject: str, rng: random.Random) -> Place:
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
        things, sky((0.78, 0.79, 0.80), (0.74, 0.75, 0.77), (0.45, 0.45, 0.45), 4.0, -side), 0.85
    )
