"""`Part`: a mesh of a product and the role of its surface.

Roles: `main` takes the brief's material and colour; `legs`, `trim`, `face` and `rubber` take
quiet ones of their own (`materials.quiet`).
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.draft.shapes import Mesh

Shape = dict[str, float]


@dataclass(frozen=True)
class Part:
    role: str
    mesh: Mesh
