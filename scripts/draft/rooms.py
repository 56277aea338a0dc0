"""Places with a wall behind: living room, wall shelf, bedroom at night.

Knows what stands there; does not know the product, the camera or the renderer.
"""

from __future__ import annotations

import random

import numpy as np

from scripts.draft import materials as m
from scripts.draft.places import FURNITURE, Place, Thing, moved, plant, sky
from scripts.draft.shapes import bar, box, join, lathe, rounded, sheet, smooth


def living_room(subject: str, rng: random.Random) -> Place:
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
    green = plant(
        rng,
        rng.uniform(1.1, 1.5),
        rng.choice([(0.85, 0.83, 0.8), (0.35, 0.33, 0.32), (0.70, 0.45, 0.32)]),
    )
    things += moved(green, side * rng.uniform(1.2, 1.6), wall_y - rng.uniform(0.45, 0.6), floor)
    cabinet = box(1.5, 0.42, 0.5, 0.02).moved(z=0.37)
    feet = [bar([x_, 0, 0], [x_, 0, 0.14], 0.025, 0.03) for x_ in (-0.6, 0.6)]
    doors = [box(0.7, 0.03, 0.4, 0.012).moved(d, -0.21, 0.37) for d in (-0.365, 0.365)]
    sideboard = join([cabinet, *feet, *doors]).moved(
        -side * rng.uniform(0.9, 1.7), wall_y - 0.28, floor
    )
    timber = rng.choice([(0.50, 0.34, 0.21), (0.66, 0.50, 0.34), (0.85, 0.84, 0.82)])
    things.append(Thing(sideboard, m.timber(timber, rng.randrange(99), 2, 1.1)))
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
        sky((0.75, 0.74, 0.72), (0.72, 0.72, 0.74), (0.4, 0.36, 0.32), 4.0, -side),
        0.95,
        1.1,
    )


def shelf(subject: str, rng: random.Random) -> Place:
    back = rng.uniform(0.72, 0.85)
    wall = rng.choice(
        [(0.86, 0.83, 0.78), (0.62, 0.68, 0.66), (0.78, 0.70, 0.62), (0.52, 0.57, 0.62)]
    )
    wood = rng.choice([(0.62, 0.44, 0.28), (0.45, 0.30, 0.19), (0.88, 0.87, 0.85)])
    board = m.plain(wood, 0.4) if wood[0] > 0.8 else m.timber(wood, rng.randrange(99), 2, 1.3)
    side = rng.choice([-1, 1])
    levels = [
        box(9, back + 0.62, 0.12, 0.015).moved(0, (back - 0.62) / 2, z) for z in (-0.06, 2.06)
    ]
    brackets = [box(0.05, 0.05, 2.0, 0.01).moved(x, back - 0.03, 1.0) for x in (-1.9, 1.9)]
    things = [
        Thing(box(12, 0.2, 9, 0.03).moved(0, back + 0.1, 0), m.plain(wall, 0.9)),
        Thing(join(levels), board),
        Thing(join(brackets), m.plain((0.1, 0.1, 0.1), 0.4)),
    ]
    # Books stand in a row at one side, in three tones.
    rows: list[list] = [[], [], []]
    x = side * rng.uniform(0.82, 0.95)
    for _ in range(rng.randint(6, 9)):
        thick, tall = rng.uniform(0.06, 0.13), rng.uniform(0.55, 0.82)
        book = box(thick, rng.uniform(0.4, 0.5), tall, 0.012)
        rows[rng.randrange(3)].append(book.moved(x + side * thick / 2, back - 0.32, tall / 2))
        x += side * (thick + 0.006)
    tones = [(0.55, 0.26, 0.20), (0.22, 0.33, 0.38), (0.82, 0.75, 0.62), (0.36, 0.40, 0.28)]
    for row, tone in zip(rows, rng.sample(tones, 3), strict=True):
        if row:
            things.append(Thing(join(row), m.plain(tone, 0.65)))
    pot = rng.choice([(0.86, 0.84, 0.8), (0.68, 0.42, 0.30), (0.3, 0.32, 0.34)])
    things += moved(
        plant(rng, rng.uniform(0.6, 0.8), pot), -side * rng.uniform(0.95, 1.15), back - 0.3, 0.0
    )
    # Something stands on the upper shelf, mostly out of the picture.
    things.append(
        Thing(
            box(0.7, 0.4, 0.3, 0.03).moved(-side * 0.8, back - 0.35, 2.27),
            m.product("rattan", (0.66, 0.52, 0.36), 1),
        )
    )
    return Place(
        things,
        sky((0.85, 0.84, 0.82), (0.74, 0.73, 0.72), (0.45, 0.42, 0.4), 4.0, -side),
        0.95,
        1.35,
    )


def night(subject: str, rng: random.Random) -> Place:
    small = subject not in FURNITURE
    floor = -1.0 if small else 0.0
    back = rng.uniform(1.5, 1.9)
    side = rng.choice([-1, 1])
    wall = rng.choice([(0.25, 0.31, 0.44), (0.33, 0.37, 0.40), (0.40, 0.31, 0.36)])
    head = rng.choice([(0.30, 0.31, 0.36), (0.36, 0.28, 0.24), (0.22, 0.27, 0.27)])
    sheets = rng.choice([(0.80, 0.79, 0.77), (0.60, 0.62, 0.68)])
    wood = rng.choice([(0.38, 0.25, 0.16), (0.28, 0.19, 0.13)])
    things = [
        Thing(sheet(16, 14).moved(0, 0, floor - 0.01), m.timber(wood, rng.randrange(99), 5, 1.5)),
        Thing(box(16, 0.2, 9, 0.05).moved(0, back + 0.1, floor + 4), m.plain(wall, 0.9)),
    ]
    # A bed's end with its headboard at the side away from the lamp.
    x = -side * rng.uniform(1.6, 1.9)
    bed = box(2.0, 1.5, 0.34, 0.06, 0.03).moved(x, back - 0.9, floor + 0.42)
    pillow = box(0.8, 0.22, 0.5, 0.1, 0.06).turned(-20, "x")
    pillows = [pillow.moved(x + d, back - 0.42, floor + 0.86) for d in (-0.45, 0.45)]
    board = join(
        [
            box(0.34, 0.14, 1.3, 0.06).moved(x + i * 0.35, back - 0.1, floor + 0.65)
            for i in range(-3, 4)
        ]
    )
    things += [
        Thing(join([bed, *pillows]), m.plain(sheets, 0.9)),
        Thing(board, m.product("fabric", head, 2)),
    ]
    # The lamp stands behind the product on a small table of its own.
    lx, ly = side * rng.uniform(0.95, 1.2), back - rng.uniform(0.45, 0.6)
    stand = rng.uniform(0.0, 0.15) if small else rng.uniform(0.5, 0.65)
    table = box(0.75, 0.6, stand - floor, 0.03).moved(lx, ly, (stand + floor) / 2)
    foot = lathe(
        smooth([(0.0, 0.0), (0.14, 0.005), (0.13, 0.03), (0.035, 0.08), (0.03, 0.46), (0.0, 0.47)])
    )
    things += [
        Thing(table, m.timber(wood, rng.randrange(99), 2, 1.0)),
        Thing(foot.moved(lx, ly, stand), m.plain((0.55, 0.42, 0.26), 0.3, coat=0.5)),
    ]
    low, high = rng.uniform(0.26, 0.32), rng.uniform(0.17, 0.24)
    wall_of_it = np.array([(low, 0.0), (high, 0.38), (high - 0.004, 0.38), (low - 0.004, 0.0)])
    shade = lathe(wall_of_it, 32).moved(lx, ly, stand + 0.4)
    # Moonlight behind a curtain at the other side.
    pane = box(0.7, 0.04, 1.1, 0.01).moved(-side * rng.uniform(0.5, 0.8), back - 0.01, floor + 2.2)
    things.append(Thing(pane, m.plain((0.30, 0.42, 0.66), 0.3)))
    if small:
        disc = rounded([(0, -0.09), (1.15, -0.09), (1.2, 0), (0, 0)], 0.03)
        things.append(Thing(lathe(disc), m.timber((0.40, 0.27, 0.17), rng.randrange(99), 3, 1.6)))
    else:
        rug = m.product("fabric", (0.46, 0.44, 0.48), 3)
        things.append(Thing(box(3.0, 1.9, 0.02, 0.009).moved(0, -0.25, -0.005), rug))
    dim = sky((0.20, 0.23, 0.34), (0.19, 0.21, 0.30), (0.07, 0.07, 0.09), 0.8, -side)
    return Place(things, dim, 0.62, 1.7, shade, float(side))
