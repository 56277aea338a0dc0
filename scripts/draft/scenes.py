"""The eight places a product is shown in, by the scene's id.

Knows which file builds what. The product occupies about 1.6 units around the z axis, on z=0.
"""

from __future__ import annotations

import random

from scripts.draft import rooms, sets, tops
from scripts.draft.places import Place, Thing

__all__ = ["Place", "Thing", "build"]


def build(scene: str, subject: str, seed: int) -> Place:
    """The surroundings of a scene; some are laid out by whether the subject is furniture."""
    return _BUILDERS[scene](subject, random.Random(seed))


_BUILDERS = {
    "living_room": rooms.living_room,
    "studio": sets.studio,
    "wooden_table": tops.wooden_table,
    "marble_counter": tops.marble_counter,
    "garden": sets.garden,
    "shelf": rooms.shelf,
    "night": rooms.night,
    "podium": sets.podium,
}
