"""Colour difference as people see it: sRGB to CIELAB, and CIEDE2000 between two colours.

Formulas with the names of their papers, over arrays whose last axis is the colour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# IEC 61966-2-1: linear sRGB to XYZ, and its white point D65.
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)
_DELTA = 6 / 29


def lab_of(srgb: npt.NDArray[np.generic]) -> Array:
    """CIELAB (D65) of sRGB `[..., 3]`: bytes, or floats from 0 to 1."""
    scale = 255 if np.issubdtype(srgb.dtype, np.integer) else 1
    encoded = np.asarray(srgb, float) / scale
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(_f(linear @ _RGB_TO_XYZ.T / _WHITE), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(one: Array, other: Array) -> Array:
    """ΔE₀₀ between CIELAB colours `[..., 3]`; broadcasts.

    Sharma, Wu, Dalal 2005, “The CIEDE2000 Color-Difference Formula”, equations 2 to 22, with all
    weights k = 1.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(one, float), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(other, float), -1, 0)
    # 1. C′ and h′
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    # 2. ΔL′, ΔC′, ΔH′; a grey has no hue
    is_grey = c1 * c2 == 0
    dh = h2 - h1
    dh = np.where(dh > 180, dh - 360, np.where(dh < -180, dh + 360, dh))
    dh = np.where(is_grey, 0.0, dh)
    dl, dc = l2 - l1, c2 - c1
    dh_term = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    # 3. the means, the hue's on the circle
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    total = h1 + h2
    around = np.where(total < 360, total + 360, total - 360) / 2
    h_mean = np.where(np.abs(h1 - h2) > 180, around, total / 2)
    h_mean = np.where(is_grey, total, h_mean)
    t = (
        1
        - 0.17 * _cos(h_mean - 30)
        + 0.24 * _cos(2 * h_mean)
        + 0.32 * _cos(3 * h_mean + 6)
        - 0.20 * _cos(4 * h_mean - 63)
    )
    # 4. weights and the rotation in the blue
    away = (l_mean - 50) ** 2
    s_l = 1 + 0.015 * away / np.sqrt(20 + away)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    theta = 30 * np.exp(-(((h_mean - 275) / 25) ** 2))
    r_c = 2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    r_t = -np.sin(np.radians(2 * theta)) * r_c
    l_part, c_part, h_part = dl / s_l, dc / s_c, dh_term / s_h
    difference: Array = np.sqrt(l_part**2 + c_part**2 + h_part**2 + r_t * c_part * h_part)
    return difference


def _f(t: Array) -> Array:
    return np.where(t > _DELTA**3, np.cbrt(t), t / (3 * _DELTA**2) + 4 / 29)


def _cos(degrees: Array) -> Array:
    cosine: Array = np.cos(np.radians(degrees))
    return cosine
