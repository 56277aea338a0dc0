"""Vase, mug, bottle and teapot, built from their shape parameters.

Knows how they are put together, facing -y; does not know materials' looks or the renderer.
"""

from __future__ import annotations

import numpy as np

from scripts.draft.parts import Part, Shape
from scripts.draft.shapes import join, lathe, rounded, smooth, tube


def vase(s: Shape, material: str) -> list[Part]:
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


def mug(s: Shape, material: str) -> list[Part]:
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


def bottle(s: Shape, material: str) -> list[Part]:
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


def teapot(s: Shape, material: str) -> list[Part]:
    r, h, mouth = s["belly"], s["height"], s["mouth"]
    body = smooth(
        [
            (s["foot"], 0.0),
            (s["foot"] * 1.03, 0.025),
            (r * 0.9, h * s["at"] * 0.55),
            (r, h * s["at"]),
            (r * 0.86, h * 0.78),
            (mouth, h),
        ],
        10,
    )
    lid = smooth(
        [(mouth * 1.08, h), (mouth * 1.05, h + 0.03), (mouth * 0.6, h + 0.1), (0, h + 0.13)]
    )
    t = np.linspace(0.05, np.pi - 0.02, 14)
    k = s["knob"]
    knob = np.stack([k * np.sin(t), h + 0.12 + k - k * np.cos(t)], -1)
    pot = join([lathe(np.concatenate([[(0, 0)], body])), lathe(lid), lathe(knob)])
    # The spout leaves the belly low, rises in an S and narrows.
    u = np.linspace(0, 1, 24)
    reach, mid = s["spout"], h * s["at"]
    x = r * 0.82 + reach * (u + 0.12 * np.sin(2 * np.pi * u))
    z = mid * 0.8 + (h * 0.98 - mid * 0.8) * (0.45 * u + 0.55 * u**2)
    spout = tube(np.stack([x, 0 * u, z], -1), np.interp(u, [0, 0.3, 1], [0.15, 0.1, 0.055]))
    a = np.linspace(-0.5, 0.5, 26) * np.pi * 1.08
    grip = s["handle"]
    hx = -(r * 0.86 + grip * np.sign(np.cos(a)) * np.abs(np.cos(a)) ** 0.8)
    path = np.stack([hx, 0 * a, h * 0.55 + h * 0.3 * np.sin(a)], -1)
    whole = join([pot, spout, tube(path, 0.05, flat=0.8)])
    return [Part("main", whole.turned(s["turn"]))]
