"""What is in a picture, as plain values drawn from one integer seed.

Knows names and ranges: subject, material, colour, scene, shape, camera, light.
Knows no geometry, no textures and no renderer; importing it costs nothing, and a
seed describes the same scene for ever.
"""

from __future__ import annotations

import colorsys
import hashlib
import itertools
import random
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from scripts.draft.vocabulary import FIELDS, words

VERSION = 2
HELD_OUT_PERCENT = 8
HELD_OUT_SEEDS = 900_000  # seeds from here on show held-out combinations, for measuring

# sRGB anchors, jittered a little per picture.
COLORS = {
    "black": (0.085, 0.085, 0.09),
    "white": (0.93, 0.92, 0.90),
    "grey": (0.50, 0.51, 0.52),
    "red": (0.76, 0.07, 0.08),
    "orange": (0.93, 0.45, 0.07),
    "yellow": (0.95, 0.79, 0.13),
    "green": (0.12, 0.48, 0.22),
    "blue": (0.08, 0.25, 0.70),
    "pink": (0.95, 0.56, 0.68),
    "brown": (0.38, 0.22, 0.12),
    "purple": (0.42, 0.20, 0.62),
    "beige": (0.85, 0.76, 0.61),
}

# Shape parameters of each subject: name -> (low, high), in the subject's own units.
SHAPES: dict[str, dict[str, tuple[float, float]]] = {
    "sofa": {
        "width": (1.9, 2.5),
        "depth": (0.85, 1.0),
        "back": (0.42, 0.62),
        "arm": (0.12, 0.24),
        "arm_height": (0.18, 0.34),
        "leg": (0.09, 0.2),
        "cushions": (1.5, 3.5),
        "round": (0.035, 0.09),
        "puff": (0.03, 0.1),
        "splay": (0.0, 0.2),
    },
    "armchair": {
        "width": (0.95, 1.2),
        "depth": (0.85, 1.0),
        "back": (0.4, 0.62),
        "arm": (0.11, 0.2),
        "arm_height": (0.2, 0.36),
        "leg": (0.14, 0.3),
        "cushions": (1.0, 1.0),
        "round": (0.04, 0.1),
        "puff": (0.04, 0.12),
        "splay": (0.05, 0.35),
    },
    "stool": {
        "radius": (0.36, 0.48),
        "height": (0.75, 1.25),
        "seat": (0.07, 0.22),
        "legs": (2.6, 4.4),
        "splay": (0.0, 0.2),
        "leg": (0.028, 0.05),
        "ring": (0.2, 0.45),
        "dome": (0.0, 0.06),
    },
    "lamp": {
        "shade_top": (0.22, 0.4),
        "shade_bottom": (0.42, 0.62),
        "shade": (0.42, 0.62),
        "base": (0.16, 0.34),
        "body": (0.5, 0.75),
        "style": (0.0, 3.0),
        "stem": (0.1, 0.2),
    },
    "vase": {
        "height": (1.0, 1.6),
        "foot": (0.16, 0.3),
        "belly": (0.34, 0.56),
        "at": (0.28, 0.62),
        "neck": (0.1, 0.24),
        "neck_at": (0.76, 0.88),
        "lip": (0.02, 0.14),
    },
    "mug": {
        "radius": (0.38, 0.5),
        "height": (0.82, 1.1),
        "taper": (-0.07, 0.09),
        "wall": (0.035, 0.06),
        "belly": (-0.02, 0.06),
        "handle": (0.24, 0.34),
        "grip": (0.05, 0.075),
        "turn": (-60, 25),
        "foot": (0.03, 0.1),
    },
    "bottle": {
        "radius": (0.24, 0.36),
        "body": (0.75, 1.05),
        "shoulder": (0.14, 0.4),
        "neck": (0.08, 0.13),
        "neck_height": (0.16, 0.42),
        "cap": (0.1, 0.2),
        "soft": (0.03, 0.1),
    },
    "handbag": {
        "width": (1.0, 1.35),
        "height": (0.66, 0.95),
        "depth": (0.32, 0.48),
        "taper": (0.72, 0.95),
        "handle": (0.26, 0.5),
        "strap": (0.03, 0.05),
        "flap": (0.0, 1.0),
        "round": (0.05, 0.11),
    },
    "teapot": {
        "belly": (0.5, 0.66),
        "height": (0.72, 0.95),
        "at": (0.38, 0.55),
        "mouth": (0.22, 0.3),
        "foot": (0.28, 0.38),
        "knob": (0.06, 0.1),
        "spout": (0.42, 0.55),
        "handle": (0.3, 0.42),
        "turn": (-25, 25),
    },
    "shoe": {
        "length": (1.5, 1.7),
        "toe": (0.2, 0.27),
        "instep": (0.42, 0.56),
        "heel": (0.46, 0.66),
        "width": (0.24, 0.3),
        "sole": (0.08, 0.16),
        "opening": (0.5, 0.56),
        "laces": (2.5, 5.5),
        "turn": (-30, 25),
    },
    "watch": {
        "case": (0.36, 0.46),
        "thick": (0.12, 0.18),
        "strap": (0.22, 0.3),
        "loop": (0.62, 0.78),
        "depth": (0.34, 0.42),
        "bezel": (0.04, 0.08),
        "hour": (0.0, 12.0),
        "turn": (-28, 28),
    },
    "headphones": {
        "radius": (0.56, 0.66),
        "tall": (0.75, 0.95),
        "band": (0.035, 0.055),
        "flat": (2.2, 3.6),
        "cup": (0.3, 0.38),
        "thick": (0.14, 0.2),
        "cushion": (0.1, 0.15),
        "turn": (15, 50),
    },
}

# Where the wall behind matters more than the ground, the camera stays low.
LOW_SCENES = ("living_room", "garden", "shelf", "night")

# Portrait and landscape sizes are learnt too; (height, width) of the render.
SIZES = {(256, 256): 0.7, (320, 256): 0.15, (256, 320): 0.15}


@dataclass(frozen=True)
class Camera:
    """Degrees; `fill` is the share of the frame the product's box takes."""

    azimuth: float
    elevation: float
    fov: float
    fill: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Light:
    """Key light: degrees from the camera's axis, degrees up, relative size and strength."""

    azimuth: float
    elevation: float
    size: float
    strength: float
    warmth: float


@dataclass(frozen=True)
class World:
    """One picture of one product."""

    seed: int
    subject: str
    material: str
    color: str
    scene: str
    rgb: tuple[float, float, float]  # sRGB of the product
    shape: dict[str, float]
    camera: Camera
    light: Light
    height: int
    width: int
    props_seed: int

    def as_json(self) -> dict[str, Any]:
        ids = (self.subject, self.material, self.color, self.scene)
        return asdict(self) | {"held_out": is_held_out(*ids)}


def is_held_out(subject: str, material: str, color: str, scene: str) -> bool:
    """Whether this combination is kept out of training, by a hash of its names."""
    digest = hashlib.sha256("|".join((subject, material, color, scene)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def combinations(*, held_out: bool) -> list[tuple[str, str, str, str]]:
    """Every (subject, material, color, scene) that is, or is not, held out; in a fixed order."""
    ids = [[entry.id for entry in words(field)] for field in FIELDS]
    return [
        (s, m, c, sc)
        for s, m, c, sc in itertools.product(*ids)
        if is_held_out(s, m, c, sc) is held_out
    ]


@cache
def _shuffled(held_out: bool) -> list[tuple[str, str, str, str]]:
    every = combinations(held_out=held_out)
    random.Random(f"vitrine-draft-{VERSION}").shuffle(every)
    return every


def combination_of(seed: int) -> tuple[str, str, str, str]:
    """What a seed shows: every combination comes once before any comes twice.

    Seeds from HELD_OUT_SEEDS on show combinations that are held out, all others never do.
    """
    order = _shuffled(seed >= HELD_OUT_SEEDS)
    return order[seed % HELD_OUT_SEEDS % len(order)]


def describe(seed: int, combination: tuple[str, str, str, str] | None = None) -> World:
    """The world of a seed, with the combination that seed shows unless another is given."""
    rng = random.Random(f"vitrine-draft-{VERSION}:{seed}")
    subject, material, color, scene = combination or combination_of(seed)
    height, width = rng.choices(list(SIZES), weights=list(SIZES.values()))[0]
    return World(
        seed=seed,
        subject=subject,
        material=material,
        color=color,
        scene=scene,
        rgb=_jitter(COLORS[color], rng),
        shape={name: rng.uniform(*bounds) for name, bounds in SHAPES[subject].items()},
        camera=Camera(
            azimuth=rng.triangular(-40, 40, 0),
            elevation=rng.uniform(6, 18) if scene in LOW_SCENES else rng.uniform(9, 27),
            fov=rng.uniform(26, 38),
            fill=rng.uniform(0.60, 0.74),
            shift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03)),
        ),
        light=Light(
            azimuth=rng.choice((-1, 1)) * rng.uniform(25, 75),
            elevation=rng.uniform(35, 62),
            size=rng.uniform(0.8, 1.3),
            strength=rng.uniform(0.85, 1.15),
            warmth=rng.uniform(0.0, 1.0),
        ),
        height=height,
        width=width,
        props_seed=rng.randrange(1 << 30),
    )


def _jitter(rgb: tuple[float, float, float], rng: random.Random) -> tuple[float, float, float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    hue = (hue + rng.uniform(-0.012, 0.012)) % 1
    saturation = min(1.0, saturation * rng.uniform(0.9, 1.08))
    value = min(0.96, value * rng.uniform(0.9, 1.1))
    return colorsys.hsv_to_rgb(hue, saturation, value)
