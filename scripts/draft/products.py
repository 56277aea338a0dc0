"""The eight products, built from their shape parameters.

Knows how a sofa or a mug is put together; does not know materials or the renderer.
A product is a list of parts; a part is a mesh and the role of its surface: `main`
takes the brief's material and colour, `legs` and `trim` take quiet ones of their own.
The product stands on z=0 and looks towards -y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.draft.shapes import Mesh, bar, box, join, lathe, rounded, smooth, torus, tube

Shape = dict[str, float]


@dataclass(frozen=True)
class Part:
    role: str
    mesh: Mesh


def build(subject: str, shape: Shape, material: str) -> list[Part]:
    """The parts of a product, scaled so that its longest side is about 1.6 units."""
    parts = _BUILDERS[subject](shape, material)
    points = np.concatenate([p.mesh.vertices for p in parts])
    low, high = points.min(0), points.max(0)
    scale = 1.6 / float((high - low).max())
    centre = (low + high) / 2
    return [
        Part(p.role, p.mesh.moved(-centre[0], -centre[1], -low[2]).scaled(scale)) for p in parts
    ]


def _seat(s: Shape, material: str) -> list[Part]:
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


def _stool(s: Shape, material: str) -> list[Part]:
    r, h, t = s["radius"], s["height"], s["seat"]
    soft = material in ("leather", "fabric")
    t = max(t, 0.14) if soft else min(t, 0.13)
    dome = s["dome"] + (0.03 if soft else 0.0)
    edge = rounded([(0, h - t), (r, h - t), (r, h), (0.0, h + 0.001)], t * (0.48 if soft else 0.3))
    edge[:, 1] += dome * (1 - (edge[:, 0] / r) ** 2) * (edge[:, 1] > h - t / 2)
    parts = [Part("main", lathe(edge))]
    role = "main" if material in ("wood", "metal") else "legs"
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


def _lamp(s: Shape, material: str) -> list[Part]:
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


def _vase(s: Shape, material: str) -> list[Part]:
    h, lip = s["height"], s["neck"] + s["lip"]
    outer = smooth(
        [
            (s["foot"], 0.0),
            (s["foot"] * 1.02, 0.03),
            (s["belly"], h * s["at"]),
            (s["neck"] * 1.15, h * s["neck_at"]),
            (s["neck"], h * (s["neck_at"] + 1) / 2),
            (lip, h),
        ],
        10,
    )
    inner = outer[::-1][:22] - np.array([0.03, 0.0])
    rim = np.array([(lip - 0.006, h + 0.014), (lip - 0.022, h + 0.014)])
    return [Part("main", lathe(np.concatenate([[(0, 0)], outer, rim, inner])))]


def _mug(s: Shape, material: str) -> list[Part]:
    r, h, wall = s["radius"], s["height"], s["wall"]
    low, high = r - s["taper"], r + s["taper"]
    z = np.linspace(0, 1, 12)
    side = np.stack(
        [low + (high - low) * z + s["belly"] * np.sin(np.pi * z), 0.03 + (h - 0.03) * z], -1
    )
    bottom = rounded([(0, 0), (low - 0.02, 0), tuple(side[0]), tuple(side[1])], s["foot"])
    rim = np.array(
        [
            (high - wall * 0.15, h + wall * 0.35),
            (high - wall * 0.5, h + wall * 0.5),
            (high - wall * 0.85, h + wall * 0.35),
        ]
    )
    inner = side[::-1] - np.array([wall, 0.0])
    inner[:, 1] = np.maximum(inner[:, 1], 0.1)
    cup = lathe(np.concatenate([bottom[:-1], side[1:], rim, inner, [(0, 0.09)]]))
    t = np.linspace(-0.5, 0.5, 26) * np.pi * 1.12
    reach, tall = s["handle"], h * 0.33
    x = r + s["belly"] * 0.7 - 0.03 + reach * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.75
    path = np.stack([x, 0 * t, h * 0.52 + tall * np.sin(t)], -1)
    handle = tube(path, s["grip"], flat=0.85).turned(s["turn"])
    return [Part("main", join([cup, handle]))]


def _bottle(s: Shape, material: str) -> list[Part]:
    r, body, n = s["radius"], s["body"], s["neck"]
    top = body + s["shoulder"]
    base = rounded([(0, 0), (r, 0), (r, body * 0.6)], s["soft"])
    shoulder = smooth(
        [
            (r, body * 0.6),
            (r, body),
            (r * 0.72 + n * 0.28, body + s["shoulder"] * 0.6),
            (n, top),
            (n, top + s["neck_height"]),
        ]
    )
    z0 = top + s["neck_height"]
    c, ch = n * 1.25, s["cap"]
    cap = rounded([(0, z0 - 0.02), (c, z0 - 0.02), (c, z0 + ch), (0, z0 + ch)], 0.03)
    return [Part("main", lathe(np.concatenate([base[:-1], shoulder]))), Part("trim", lathe(cap))]


def _handbag(s: Shape, material: str) -> list[Part]:
    w, h, d, taper = s["width"], s["height"], s["depth"], s["taper"]

    def lean(v: np.ndarray) -> np.ndarray:
        t = v[:, 2] / h + 0.5
        v[:, 0] *= 1 + (taper - 1) * t
        v[:, 1] *= 1 + (0.55 - 1) * t
        v[:, 2] -= 0.06 * h * (t**2) * (1 - (2 * v[:, 0] / w) ** 2)
        return v

    parts = [Part("main", box(w, d, h, s["round"], 0.03).bent(lean).moved(z=h / 2))]
    t = np.linspace(0, 1, 24) * np.pi
    for side in (-1, 1):
        x = np.cos(t) * w * 0.26
        z = h * 0.8 + (s["handle"] + h * 0.16) * np.sin(t) ** 0.7
        y = side * (d * 0.3 + 0.02 - 0.05 * np.sin(t))
        parts.append(Part("main", tube(np.stack([x, y, z], -1), s["strap"], flat=0.6)))
        for end in (-1, 1):
            ring = torus(0.045, 0.014, 0.0).turned(90, "x")
            parts.append(
                Part("trim", ring.moved(end * w * 0.26, side * (d * 0.33 + 0.03), h * 0.78))
            )
    if s["flap"] > 0.45:
        fw, fh = w * taper * 0.96, h * 0.42
        flap = box(fw, 0.035, fh, 0.017).turned(-6, "x")
        parts.append(Part("main", flap.moved(0, -d * 0.39, h * 0.72)))
        parts.append(Part("trim", box(0.11, 0.04, 0.09, 0.015).moved(0, -d * 0.46, h * 0.54)))
    return parts


_BUILDERS = {
    "sofa": _seat,
    "armchair": _seat,
    "stool": _stool,
    "lamp": _lamp,
    "vase": _vase,
    "mug": _mug,
    "bottle": _bottle,
    "handbag": _handbag,
}
