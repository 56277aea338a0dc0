"""Handbag, shoe, watch and headphones, built from their shape parameters.

Knows how they are put together, facing -y; does not know materials' looks or the renderer.
"""

from __future__ import annotations

import numpy as np

from scripts.draft.parts import Part, Shape
from scripts.draft.shapes import Array, Mesh, bar, box, grid, join, lathe, rounded, torus, tube


def handbag(s: Shape, material: str) -> list[Part]:
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


def shoe(s: Shape, material: str) -> list[Part]:
    """A low shoe seen from its side, the toe towards -x."""
    # Stations lie closer at both ends, where toe and heel round off.
    length, x = s["length"], 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 72))
    half = s["width"] * np.interp(
        x,
        [0, 0.01, 0.04, 0.16, 0.34, 0.6, 0.85, 0.97, 0.99, 1],
        [0, 0.36, 0.64, 0.95, 1, 0.8, 0.78, 0.62, 0.4, 0],
    )
    toe, instep, heel = s["toe"], s["instep"], s["heel"]
    tall = np.interp(
        x,
        [0, 0.01, 0.04, 0.12, 0.28, s["opening"], 0.74, 0.9, 1],
        [0.05, toe * 0.45, toe * 0.75, toe, toe * 1.2, instep, instep * 0.86, heel, heel * 1.02],
    )
    wide = np.interp(x, [s["opening"] - 0.04, s["opening"] + 0.08, 0.9, 0.97], [0, 0.72, 0.74, 0.3])
    hole = half * wide
    kernel = np.hanning(9) / np.hanning(9).sum()
    half, tall, hole = (
        np.convolve(np.pad(v, 4, "edge"), kernel, "valid") for v in (half, tall, hole)
    )
    sole = s["sole"]
    phi = np.linspace(0, np.pi / 2, 12)[:, None]
    outer = np.stack(
        [hole + (half - hole) * np.cos(phi) ** 0.7, sole + tall * np.sin(phi) ** 0.8], -1
    )
    depth = np.minimum(hole * 3.5, tall - 0.05)
    t = np.linspace(0, 1, 8)[1:, None]
    inner = np.stack([hole * (1 - t**2), sole + tall - depth * np.sqrt(t)], -1)
    section = np.concatenate([outer, inner])  # [K, stations, (y, z)], from the ground to the inside
    upper = join([_loft(section, x * length, side) for side in (-1, 1)])
    ends = [_cap(section[:, i], x[i] * length) for i in (0, -1)]
    w = half + 0.03
    edge = np.array([(0.0, 0.0), (0.96, 0.0), (1.0, 0.25), (1.0, 0.8), (0.96, 1.0), (0.0, 1.0)])
    toe_lift = 0.05 * np.clip(1 - x / 0.2, 0, 1) ** 2
    slab = np.stack([edge[:, :1] * w, edge[:, 1:] * sole + toe_lift], -1)
    reach = (x - 0.5) * 1.03 * length + 0.5 * length
    under = join([_loft(slab, reach, side) for side in (-1, 1)])
    under = join([under, *(_cap(slab[:, i], reach[i]) for i in (0, -1))])
    laces = []
    for at in np.linspace(0.3, s["opening"] - 0.05, max(2, round(s["laces"]))):
        y = np.linspace(-1, 1, 14) * np.interp(at, x, half) * 0.62
        top = sole + np.interp(at, x, tall)
        z = top * (1 - 0.16 * (y / np.interp(at, x, half)) ** 2) + 0.012
        laces.append(tube(np.stack([at * length + 0 * y, y, z], -1), 0.022))
    return [
        Part("main", join([upper, *ends]).turned(s["turn"])),
        Part("rubber", join([under, *laces]).turned(s["turn"])),
    ]


def _loft(section: Array, stations: Array, side: int) -> Mesh:
    """One half of a body from its sections [K,N,(y,z)] at N places along x."""
    y, z = side * section[..., 0], section[..., 1]
    points = np.stack([np.broadcast_to(stations, y.shape), y, z], -1)
    around = np.cumsum(np.linalg.norm(np.diff(section, axis=0, prepend=section[:1]), axis=-1), 0)
    mesh = grid(points, np.stack([points[..., 0], around], -1))
    return mesh if side > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1], mesh.uvs)


def _cap(section: Array, x: float) -> Mesh:
    """A flat end across both halves of a section [K,(y,z)]."""
    y = section[:, 0]
    points = np.stack(
        [np.full((2, len(y)), x), np.stack([-y, y]), np.stack([section[:, 1]] * 2)], -1
    )
    return grid(points, points[..., 1:])


def watch(s: Shape, material: str) -> list[Part]:
    """A wristwatch standing on its closed strap, the dial towards -y and a little up."""
    r, thick = s["case"], s["thick"]
    t = np.linspace(-np.pi / 2, 1.5 * np.pi, 80)
    loop = np.stack([0 * t, s["depth"] * np.sin(t) + s["depth"], s["loop"] * 1.05 * np.cos(t)], -1)
    narrow = 0.034 * (1 - 0.2 * np.clip(np.sin(t), 0, 1))
    strap = tube(loop, narrow, 18, flat=s["strap"] / 0.034)
    rim = s["bezel"]
    case = rounded(
        [(0, 0), (r * 0.96, 0), (r, thick), (r - rim, thick + 0.02), (r - rim, thick - 0.03)], 0.035
    )
    dial = np.array([(0.0, thick - 0.03), (r - rim, thick - 0.03)])[::-1]
    face = thick - 0.02
    hands = []
    for hour, reach, width in ((s["hour"], 0.5, 0.024), (s["hour"] * 12 % 12, 0.74, 0.018)):
        a = hour / 12 * 2 * np.pi
        tip = [(r - rim) * reach * np.sin(a), (r - rim) * reach * np.cos(a), face]
        hands.append(bar([0, 0, face], tip, width, width * 0.7))
    for k in range(12):
        a, far = k / 6 * np.pi, (r - rim) * 0.88
        near = far * (0.86 if k % 3 else 0.76)
        ends = [[d * np.sin(a), d * np.cos(a), face] for d in (near, far)]
        hands.append(bar(*ends, 0.016, 0.016))
    crown = lathe(np.array([(0, 0), (0.06, 0), (0.06, 0.09), (0, 0.09)])).turned(90, "y")

    def to_front(mesh: Mesh) -> Mesh:
        return mesh.turned(90, "x").moved(0, thick * 0.35, 0)

    crown = crown.moved(r, 0, thick / 2)
    parts = [
        Part("main", join([strap, to_front(lathe(case)), to_front(crown)])),
        Part("face", to_front(lathe(dial))),
        Part("trim", to_front(join(hands))),
    ]
    return [Part(p.role, p.mesh.turned(-14, "x").turned(s["turn"])) for p in parts]


def headphones(s: Shape, material: str) -> list[Part]:
    """Over-ear headphones standing on their cups."""
    r, tall = s["radius"], s["tall"]
    a = np.linspace(0, np.pi, 40)
    arc = np.stack([r * np.cos(a), 0 * a, tall + (0.94 * r) * np.sin(a)], -1)
    down = np.stack(
        [np.full(8, r), np.zeros(8), np.linspace(tall * 0.55, tall, 8, endpoint=False)], -1
    )
    path = np.concatenate([down, arc, down[::-1] * [-1, 1, 1]])
    band = tube(path, s["band"] * s["flat"], 16, flat=1 / s["flat"])
    main, soft = [band], []
    cup, thick, ring = s["cup"], s["thick"], s["cushion"]
    shell = rounded([(0, thick), (cup, thick * 0.85), (cup, 0), (0, 0)], 0.05)
    pad = rounded(
        [(cup * 0.45, 0), (cup * 0.45, -ring), (cup * 0.95, -ring), (cup * 0.95, 0)], 0.05
    )
    for side in (-1, 1):
        for meshes, profile in ((main, shell), (soft, pad)):
            disc = lathe(profile).turned(side * 90, "y").bent(lambda v: v * [1, 1, 1.18])
            meshes.append(disc.turned(side * -6, "y").moved(side * r * 0.96, 0, tall * 0.5))
    t = np.linspace(0.15, np.pi - 0.15, 24)
    inner = np.stack([0.95 * r * np.cos(t), 0 * t, tall + 0.88 * r * np.sin(t)], -1)
    soft.append(tube(inner[7:-7], s["band"] * s["flat"] * 0.9, 12, flat=1 / s["flat"]))
    parts = [Part("main", join(main)), Part("rubber", join(soft))]
    return [Part(p.role, p.mesh.turned(s["turn"])) for p in parts]
