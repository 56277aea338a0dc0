"""Sofa, armchair, stool and lamp, built from their shape parameters.

Knows how they are put together, facing -y; does not know materials' looks or the renderer.
"""

from __future__ import annotations

import numpy as np

from scripts.draft.parts import Part, Shape
from scripts.draft.shapes import bar, box, lathe, rounded, smooth, torus


def seat(s: Shape, material: str) -> list[Part]:
    w, d, arm, leg, r = s["width"], s["depth"], s["arm"], s["leg"], s["round"]
    base_h, cushion_h = 0.18, 0.17
    seat_top = leg + base_h + cushion_h
    parts = [Part("main", box(w - arm, d - 0.06, base_h, r * 0.6).moved(z=leg + base_h / 2))]
    arm_h = base_h + cushion_h + s["arm_height"] - 0.06
    for side in (-1, 1):
        parts.append(
            Part(
                "main",
                box(arm, d, arm_h, min(r * 1.2, arm * 0.36)).moved(
                    side * (w / 2 - arm / 2), 0, leg + arm_h / 2
                ),
            )
        )
    back_h = base_h + cushion_h + s["back"]
    back = box(w - 2 * arm + 0.06, 0.17, back_h, r).turned(-7, "x")
    parts.append(Part("main", back.moved(0, d / 2 - 0.1, leg + back_h / 2)))
    n = max(1, round(s["cushions"]))
    inner = w - 2 * arm
    each = inner / n
    for i in range(n):
        x = -inner / 2 + each * (i + 0.5)
        depth = d - 0.2
        parts.append(
            Part(
                "main",
                box(each - 0.012, depth, cushion_h, min(r, 0.08), s["puff"] * 0.6).moved(
                    x, -0.1, leg + base_h + cushion_h / 2
                ),
            )
        )
        pillow = box(each - 0.02, 0.16, s["back"] * 0.92, 0.075, s["puff"]).turned(-12, "x")
        parts.append(Part("main", pillow.moved(x, d / 2 - 0.27, seat_top + s["back"] * 0.44)))
    x, y, out = w / 2 - 0.12, d / 2 - 0.12, leg * s["splay"]
    for sx in (-1, 1):
        for sy in (-1, 1):
            leg_mesh = bar(
                [sx * (x + out), sy * (y + out), 0.0], [sx * x, sy * y, leg + 0.03], 0.022, 0.034
            )
            parts.append(Part("legs", leg_mesh))
    return parts


def stool(s: Shape, material: str) -> list[Part]:
    r, h, t = s["radius"], s["height"], s["seat"]
    soft = material in ("leather", "fabric")
    t = max(t, 0.14) if soft else min(t, 0.13)
    dome = s["dome"] + (0.03 if soft else 0.0)
    edge = rounded([(0, h - t), (r, h - t), (r, h), (0.0, h + 0.001)], t * (0.48 if soft else 0.3))
    edge[:, 1] += dome * (1 - (edge[:, 0] / r) ** 2) * (edge[:, 1] > h - t / 2)
    parts = [Part("main", lathe(edge))]
    role = "main" if material in ("wood", "metal", "plastic", "rattan") else "legs"
    n = 3 if s["legs"] < 3.3 else 4
    for k in range(n):
        a = 2 * np.pi * (k + 0.5) / n + (np.pi / 6 if n == 3 else 0)
        top, foot = r * 0.68, r * 0.68 + h * s["splay"]
        parts.append(
            Part(
                role,
                bar(
                    [foot * np.cos(a), foot * np.sin(a), 0.0],
                    [top * np.cos(a), top * np.sin(a), h - t + 0.02],
                    s["leg"] * 0.8,
                    s["leg"],
                ),
            )
        )
    z = h * s["ring"]
    ring = r * 0.68 + h * s["splay"] * (1 - z / (h - t))
    parts.append(Part(role, torus(ring, s["leg"] * 0.55, z)))
    return parts


def lamp(s: Shape, material: str) -> list[Part]:
    b, h = s["base"], s["body"]
    if s["style"] < 1:  # a gourd
        body = smooth(
            [
                (b * 0.75, 0.0),
                (b * 0.85, 0.05),
                (b * 1.05, h * 0.3),
                (b * 0.7, h * 0.62),
                (b * 0.28, h * 0.85),
                (0.05, h),
            ]
        )
    elif s["style"] < 2:  # a turned column
        body = rounded(
            [
                (b, 0.0),
                (b, 0.06),
                (b * 0.42, 0.1),
                (b * 0.3, h * 0.5),
                (b * 0.42, h * 0.9),
                (0.05, h),
            ],
            0.05,
        )
    else:  # a ball on a foot
        t = np.linspace(0.12, np.pi - 0.2, 24)
        ball = np.stack([b * 1.1 * np.sin(t), h * 0.52 - h * 0.46 * np.cos(t)], -1)
        body = np.concatenate([[(b * 0.7, 0.0), (b * 0.7, 0.05)], ball, [(0.05, h)]])
    body = np.concatenate([[(0.0, 0.0)], body])
    z0, z1 = h + s["stem"], h + s["stem"] + s["shade"]
    top, bottom, wall = s["shade_top"], s["shade_bottom"], 0.015
    shade = np.array(
        [(bottom - wall, z0), (bottom, z0), (top, z1), (top - wall, z1), (bottom - wall, z0)]
    )
    shade = np.repeat(shade, 2, 0)
    return [
        Part("main", lathe(body)),
        Part("main", lathe(shade)),
        Part("trim", bar([0, 0, h - 0.05], [0, 0, z1 - 0.05], 0.025, 0.025)),
        Part("trim", bar([0, 0, z1 - 0.06], [0, 0, z1 + 0.07], 0.02, 0.03)),
    ]
