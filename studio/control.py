"""`SketchControl`: the sketch of a brief, checked, and made into the `Control` of a request.

Everything that can be wrong with it is told here, before it costs anybody a turn: numbers out of
range, a canvas with nothing on it, a model that follows no outlines. How outlines are found is
`sketch`'s.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from studio.brief import Brief
from studio.control_images import ControlImages
from studio.errors import BadBrief, NotFound
from studio.request import Control
from studio.sketch import HIGH, LOW, MAX_THRESHOLD, is_blank, outlines
from studio.sketches import Sketches

KIND = "canny"
"""The kind of control image that is made of a sketch."""

STRENGTH, MAX_STRENGTH = 0.8, 2.0
"""Below 1 leaves the model room: at full strength lines are copied more than understood."""

START, END = 0.0, 0.9
"""Control lets go before the last steps, which draw what is fine."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """How a sketch is read and followed."""

    strength: float
    start: float
    end: float
    low: float
    high: float


def control_settings(brief: Brief) -> ControlSettings:
    """The numbers beside the sketch of `brief`; what is not filled in has its default.

    Raises:
        BadBrief: one of them cannot be used, or two do not fit together.
    """
    settings = ControlSettings(
        strength=_number(brief, "control_strength", MAX_STRENGTH, STRENGTH),
        start=_number(brief, "control_start", 1.0, START),
        end=_number(brief, "control_end", 1.0, END),
        low=_number(brief, "canny_low", MAX_THRESHOLD, LOW),
        high=_number(brief, "canny_high", MAX_THRESHOLD, HIGH),
    )
    if settings.start >= settings.end:
        raise BadBrief(
            "control_end",
            f"The sketch is followed from {settings.start:g} to {settings.end:g} of the steps, "
            "which is never: let it end after it starts.",
        )
    if settings.low > settings.high:
        raise BadBrief(
            "canny_low",
            f"The lower threshold ({settings.low:g}) is above the upper one ({settings.high:g}): "
            "lower the one or raise the other.",
        )
    return settings


class SketchControl:
    """Makes controls. `kinds` says which kinds of control image the model follows."""

    def __init__(
        self, sketches: Sketches, controls: ControlImages, kinds: Callable[[], frozenset[str]]
    ) -> None:
        self._sketches = sketches
        self._controls = controls
        self._kinds = kinds

    def of(
        self,
        brief: Brief,
        owner: str,
        size: tuple[int, int],
        model: str,
        *,
        is_draft: bool = False,
    ) -> Control | None:
        """The control of a picture of `size` (height, width); `None` where no sketch is followed.

        Its image is kept when this returns; on disk, unless it is for a draft.

        Raises:
            BadBrief: the sketch or a number beside it cannot be used, or the model follows none.
            StorageFull, BadDataFolder: the control image cannot be written.
        """
        if brief.sketch is None:
            return None
        settings = control_settings(brief)
        check_kinds(self._kinds(), model)
        if not brief.sketch:
            raise _nothing_drawn()
        try:
            picture = self._sketches.load(owner, str(brief.sketch))
        except NotFound as error:
            raise BadBrief("sketch", str(error)) from error
        if is_blank(picture):
            raise _nothing_drawn()
        image = outlines(picture, *size, low=settings.low, high=settings.high)
        if not image.any():
            raise BadBrief(
                "sketch", "No outline is found in the picture: lower both thresholds a little."
            )
        return Control(
            image_digest=self._controls.save(image, is_durable=not is_draft),
            kind=KIND,
            conditioning_scale=settings.strength,
            guidance_start=settings.start,
            guidance_end=settings.end,
        )


def check_kinds(kinds: frozenset[str], model: str) -> None:
    """See that a model which follows `kinds` of control image can follow a sketch.

    Raises:
        BadBrief: it cannot.
    """
    if KIND in kinds:
        return
    found = f"only ControlNets for {', '.join(sorted(kinds))}" if kinds else "no ControlNet"
    raise BadBrief(
        "sketch",
        f"The model {model} has {found}, so it cannot follow a sketch: draw without one, or add a "
        f"ControlNet for {KIND} with `studio models add`.",
    )


def _nothing_drawn() -> BadBrief:
    return BadBrief(
        "sketch",
        "Nothing is drawn yet: draw something, drop a picture, or do not follow the sketch.",
    )


def _number(brief: Brief, field: str, highest: float, default: float) -> float:
    """A number from 0 to `highest`, as a number or in digits; `default` where it is left out."""
    value = getattr(brief, field)
    if value is None or value == "":
        return default
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(str(value)[:40])
        except ValueError:
            number = math.nan
    if not 0 <= number <= highest:
        raise BadBrief(
            field,
            f"The {_LABELS[field]} must be a number from 0 to {highest:g}, not "
            f"{str(value)[:40]}: {default:g} suits most.",
        )
    return number


_LABELS = {
    "control_strength": "strength of the sketch",
    "control_start": "start of the sketch",
    "control_end": "end of the sketch",
    "canny_low": "lower threshold",
    "canny_high": "upper threshold",
}
