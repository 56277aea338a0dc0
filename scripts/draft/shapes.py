"""Meshes from a few plain recipes: turned profiles, rounded boxes, swept tubes.

Knows numpy and geometry; does not know products, materials or the renderer. Texture
coordinates are metric (one unit of u is one unit of length), so that a weave has the
same size on every part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Mesh:
    """Vertices [V,3], triangles [F,3], texture coordinates [V,2]."""

    vertices: Array
    faces: NDArray[np.int64]
    uvs: Array

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        return Mesh(self.vertices + np.array([x, y, z]), self.faces, self.uvs)

    def turned(self, degrees: float, axis: str = "z") -> Mesh:
        a = np.deg2rad(degrees)
        c, s = np.cos(a), np.sin(a)
        i, j = {"z": (0, 1), "x": (1, 2), "y": (2, 0)}[axis]
        m = np.eye(3)
        m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
        return Mesh(self.vertices @ m.T, self.faces, self.uvs)

    def scaled(self, factor: float) -> Mesh:
        return Mesh(self.vertices * factor, self.faces, self.uvs * factor)

    def bent(self, move: Callable[[Array], Array]) -> Mesh:
        return Mesh(move(self.vertices.copy()), self.faces, self.uvs)

    def normals(self) -> Array:
        """Smooth normals [V,3], shared between vertices that lie at the same place."""
        v, f = self.vertices, self.faces
        n = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
        keys = np.round(v * 1e5).astype(np.int64)
        _, place = np.unique(keys, axis=0, return_inverse=True)
        place = place.reshape(-1)
        total = np.zeros((place.max() + 1, 3))
        for corner in range(3):
            np.add.at(total, place[f[:, corner]], n)
        total /= np.linalg.norm(total, axis=1, keepdims=True) + 1e-12
        return total[place]


def join(meshes: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)]),
        np.concatenate([m.uvs for m in meshes]),
    )


def grid(points: Array, uvs: Array) -> Mesh:
    """Points [A,B,3] as a sheet of triangles."""
    a, b = points.shape[:2]
    i = np.arange(a * b).reshape(a, b)
    quads = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Mesh(points.reshape(-1, 3), faces, uvs.reshape(-1, 2))


def smooth(points: Sequence[tuple[float, float]], per_span: int = 8) -> Array:
    """A centripetal-like Catmull-Rom curve through the points [N,2]."""
    p = np.array(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, per_span, endpoint=False)[:, None]
    out = []
    for p0, p1, p2, p3 in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        out.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * t
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
        )
    return np.concatenate([*out, p[-2:-1]])


def rounded(points: Sequence[tuple[float, float]], radius: float, steps: int = 5) -> Array:
    """The polyline with each inner corner replaced by an arc-like curve."""
    p = np.array(points, float)
    out = [p[:1]]
    for a, b, c in zip(p[:-2], p[1:-1], p[2:], strict=True):
        ab, bc = np.linalg.norm(b - a), np.linalg.norm(c - b)
        r = min(radius, 0.49 * ab, 0.49 * bc)
        start, end = b + (a - b) / ab * r, b + (c - b) / bc * r
        t = np.linspace(0, 1, steps)[:, None]
        out.append((1 - t) ** 2 * start + 2 * t * (1 - t) * b + t**2 * end)
    out.append(p[-1:])
    return np.concatenate(out)


def lathe(profile: Array, around: int = 64) -> Mesh:
    """A profile of (radius, height) [N,2], from the bottom up, turned about z."""
    theta = np.linspace(0, 2 * np.pi, around + 1)
    r, z = np.maximum(profile[:, 0], 0.0), profile[:, 1]
    points = np.stack(
        [
            r * np.cos(theta)[:, None],
            r * np.sin(theta)[:, None],
            np.broadcast_to(z, (around + 1, len(z))),
        ],
        -1,
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    u = theta[:, None] * r.max() + 0 * z
    v = np.broadcast_to(length, u.shape)
    return grid(points, np.stack([v, -u], -1))


def box(sx: float, sy: float, sz: float, radius: float = 0.05, puff: float = 0.0) -> Mesh:
    """A rounded box about the origin; `puff` swells its broad faces like a cushion."""
    half = np.array([sx, sy, sz]) / 2
    radius = float(min(radius, half.min() * 0.98))
    arc = np.tan(np.linspace(0, 1, 5) * np.pi / 4)

    def ticks(h: float) -> Array:
        corner = h - radius + radius * arc
        inner = np.linspace(-(h - radius), h - radius, 9)[1:-1]
        return np.concatenate([-corner[::-1], inner, corner])

    sheets = []
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        ga, gb = np.meshgrid(ticks(half[a]), ticks(half[b]), indexing="ij")
        for sign in (1, -1):
            p = np.empty((*ga.shape, 3))
            p[..., a], p[..., b], p[..., axis] = ga, gb, sign * half[axis]
            inner = np.clip(p, -(half - radius), half - radius)
            d = p - inner
            p = inner + radius * d / (np.linalg.norm(d, axis=-1, keepdims=True) + 1e-12)
            # The longer side carries u, so that grain runs along the part.
            long_a = bool(half[a] >= half[b])
            hand = 1 if long_a == (sign > 0) else -1  # right-handed, as bump maps need
            uv = np.stack([ga, hand * gb] if long_a else [gb, hand * ga], -1)
            sheet = grid(p, uv)
            sheets.append(
                sheet if sign > 0 else Mesh(p.reshape(-1, 3), sheet.faces[:, ::-1], sheet.uvs)
            )
    mesh = join(sheets)
    if puff:
        axis = int(np.argmin(half))
        a, b = (axis + 1) % 3, (axis + 2) % 3

        def swell(v: Array) -> Array:
            w = (1 - (v[:, a] / half[a]) ** 4) * (1 - (v[:, b] / half[b]) ** 4)
            v[:, axis] += (
                np.sign(v[:, axis])
                * puff
                * np.clip(w, 0, 1)
                * np.minimum(1, np.abs(v[:, axis]) / half[axis])
            )
            return v

        mesh = mesh.bent(swell)
    return mesh


def tube(path: Array, radius: Array | float, around: int = 14, flat: float = 1.0) -> Mesh:
    """A round bar along a path [N,3]; `flat` < 1 squeezes it to a strap."""
    r = np.broadcast_to(np.asarray(radius, float), (len(path),))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent[0], [0.0, 1.0, 0.0])
    if np.linalg.norm(side) < 1e-3:
        side = np.cross(tangent[0], [1.0, 0.0, 0.0])
    sides = []
    for t in tangent:  # parallel transport keeps the bar from twisting
        side = side - t * (side @ t)
        side /= np.linalg.norm(side)
        sides.append(side)
    s = np.array(sides)
    b = np.cross(tangent, s)
    # Round ends: the first and last rings close on the axis.
    ends = np.array([0.0, 0.6, 0.9])
    path = np.concatenate(
        [
            path[:1] - np.outer(1 - ends, tangent[0]) * r[0],
            path[1:-1],
            path[-1:] + np.outer((1 - ends)[::-1], tangent[-1]) * r[-1],
        ]
    )
    r = np.concatenate([ends * r[0], r[1:-1], ends[::-1] * r[-1]])
    s = np.concatenate([np.repeat(s[:1], 3, 0), s[1:-1], np.repeat(s[-1:], 3, 0)])
    b = np.concatenate([np.repeat(b[:1], 3, 0), b[1:-1], np.repeat(b[-1:], 3, 0)])
    theta = np.linspace(0, 2 * np.pi, around + 1)
    ring = np.cos(theta)[:, None, None] * s * flat + np.sin(theta)[:, None, None] * b
    points = path + ring * r[:, None]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    u = np.broadcast_to(length, (around + 1, len(length)))
    v = np.broadcast_to(-theta[:, None] * r.max(), u.shape)
    return grid(points, np.stack([u, v], -1))


def bar(start: Sequence[float], end: Sequence[float], r0: float, r1: float) -> Mesh:
    """A straight tapered leg."""
    t = np.linspace(0, 1, 6)[:, None]
    path = (1 - t) * np.array(start, float) + t * np.array(end, float)
    return tube(path, np.linspace(r0, r1, 6))


def torus(radius: float, thickness: float, z: float) -> Mesh:
    theta = np.linspace(0, 2 * np.pi, 49)
    phi = np.linspace(0, 2 * np.pi, 13)
    ring = radius + thickness * np.cos(phi)
    points = np.stack(
        [
            ring * np.cos(theta)[:, None],
            ring * np.sin(theta)[:, None],
            np.broadcast_to(z + thickness * np.sin(phi), (49, 13)),
        ],
        -1,
    )
    return grid(points, np.stack(np.meshgrid(theta * radius, phi * thickness, indexing="ij"), -1))


def sheet(width: float, depth: float, n: int = 2) -> Mesh:
    """A flat rectangle in the plane z=0, facing up."""
    x, y = np.meshgrid(
        np.linspace(-width / 2, width / 2, n), np.linspace(-depth / 2, depth / 2, n), indexing="ij"
    )
    p = np.stack([x, y, 0 * x], -1)
    return grid(p, p[..., :2])
