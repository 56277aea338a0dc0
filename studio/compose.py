"""`compose`: a `Brief` checked and turned into a `Request`; the only way from one to the other.

    "a leather black sofa in a modern living room, soft morning light"
     │ │       │     │    │                        └ notes, then what category and shot add
     │ │       │     │    └ scene: a known one's phrase, or "in " and what was typed
     │ └ material, colour, subject; known words, Chinese ones too, in their English form
     └ a or an

This file knows the form and the presets; it knows nothing of jobs, models or faces. Each refusal
names its field and says what would be accepted.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence

from studio.brief import Brief
from studio.errors import BadBrief, UnknownPreset
from studio.model_card import ModelCard, Way
from studio.presets import FIELDS, Named, Presets, QualityPreset
from studio.request import MAX_SEED, Request

MAX_FIELD_CHARS = 80
MAX_NOTES_CHARS = 200

_LIMITS = dict.fromkeys(FIELDS, MAX_FIELD_CHARS) | {"notes": MAX_NOTES_CHARS}
_LABELS = {
    "color": "colour",
    "notes": "text of the notes",
    "num_images": "number of pictures",
    "num_steps": "number of steps",
}

_PREPOSITIONS = (
    "above against amid among around at atop before behind below beneath beside between by from in "
    "inside near next on onto outside over through under underneath upon with within without"
)
_STARTS_WITH_PREPOSITION = re.compile(rf"(?:{'|'.join(_PREPOSITIONS.split())})\b|在", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the) (?=\S)", re.IGNORECASE)
# Words spelt with a vowel and spoken with a consonant ("a unique", "a European", "a one-piece"),
# and the other way about ("an hour", "an 18th", "an LED").
_SPOKEN_CONSONANT = re.compile(
    r"uni(?![dmn])|us[aeu]|ut[ei]|ur[ae]|u[-\s]|u$|eu|ewe|on(?:c?e)\b|usb|uv\b", re.IGNORECASE
)
_SPOKEN_VOWEL = re.compile(
    r"[aeiou]|hour|honest|honou?r|heir|8|1[18](?!\d)|(?-i:LED|LCD|MDF|HDMI|RGB|SSD|NFC|FM|X-)",
    re.IGNORECASE,
)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_PLAIN_SPACE = frozenset("\t\n\v\f\r")


def compose(
    brief: Brief, presets: Presets, card: ModelCard, *, max_num_images: int = 16
) -> Request:
    """The request `brief` asks of the model described by `card`.

    Without a seed a random one is drawn; everything else follows from the arguments alone.

    Raises:
        BadBrief: a field cannot be used.
        UnknownPreset: a negative preset is not on the list.
    """
    words = {field: _clean(field, getattr(brief, field)) for field in _LIMITS}
    if not words["subject"]:
        raise BadBrief("subject", "The subject is empty: say what the picture shows, as in “sofa”.")
    height, width = _size(brief.size, presets, card)
    seed = _whole("seed", brief.seed, 0, MAX_SEED, "leave it empty for a random one")
    num_images = _whole("num_images", brief.num_images, 1, max_num_images)
    num_steps = _whole("num_steps", brief.num_steps, 1, card.max_num_steps)
    way = _way(quality_preset(brief.quality, presets), card)
    negative_prompt = _negative_prompt(brief.negative_presets, presets)
    return Request(
        prompt=_prompt(words, presets, _styles(brief, presets)),
        negative_prompt=negative_prompt if way.keeps_out else "",
        height=height,
        width=width,
        num_steps=way.num_steps if num_steps is None else num_steps,
        guidance_scale=way.guidance_scale,
        seed=secrets.randbelow(MAX_SEED + 1) if seed is None else seed,
        num_images=1 if num_images is None else num_images,
        sampler=way.sampler or card.default_sampler,
        model=card.name,
        crops_coords_top_left=way.crop,
    )


def compose_prompt(brief: Brief, presets: Presets) -> str:
    """The prompt as `compose` would write it, for a form that is still being filled in.

    Never raises: "…" stands where the subject is missing, and what `compose` would refuse is left
    out or cut short.
    """
    words = {field: _clean(field, getattr(brief, field), is_strict=False) for field in _LIMITS}
    if not any(words.values()):
        return ""
    styles = _styles(brief, presets, is_strict=False)
    return _prompt(words | {"subject": words["subject"] or "…"}, presets, styles)


def unknown_words(brief: Brief, presets: Presets) -> dict[str, str]:
    """What was typed into the four fields and is no word of the vocabulary, by field."""
    found = {}
    for field in FIELDS:
        text = _ARTICLE.sub("", _clean(field, getattr(brief, field), is_strict=False))
        if text and presets.vocabulary.match(field, text) is None:
            found[field] = text
    return found


def is_foreign(text: str) -> bool:
    """Whether `text` holds letters of a script that models trained on English do not read."""
    return any(
        character.isalpha() and not unicodedata.name(character, "").startswith("LATIN")
        for character in text
    )


def _styles(brief: Brief, presets: Presets, *, is_strict: bool = True) -> list[str]:
    """What category and shot add to the prompt."""
    added = []
    for field in ("category", "shot"):
        preset_id = getattr(brief, field)
        if preset_id is None or preset_id == "":
            continue
        preset = presets.style(field, preset_id)
        if preset is not None:
            added.append(preset.adds)
        elif is_strict:
            known = presets.categories if field == "category" else presets.shots
            raise _no_such(field, preset_id, known)
    return added


def _no_such(field: str, preset_id: object, known: Sequence[Named]) -> BadBrief:
    return BadBrief(
        field,
        f"There is no {field} {_shown(preset_id)}: choose one of "
        f"{', '.join(each.id for each in known)}.",
    )


def _prompt(words: dict[str, str], presets: Presets, styles: list[str]) -> str:
    # Where "a mug" was typed, the article belongs before the material.
    typed = {field: _ARTICLE.sub("", words[field]) for field in FIELDS if field != "scene"}
    known = {field: presets.vocabulary.match(field, text) for field, text in typed.items()}
    english = {field: term.en if term else typed[field] for field, term in known.items()}
    place = presets.vocabulary.match("scene", words["scene"])
    scene = (place.phrase or place.en) if place else words["scene"]
    if scene and not _STARTS_WITH_PREPOSITION.match(scene):
        scene = f"in {scene}"
    thing = " ".join(filter(None, (english[field] for field in ("material", "color", "subject"))))
    prompt = " ".join(filter(None, (_article(thing), thing, scene)))
    return ", ".join(filter(None, (prompt, words["notes"], *styles)))


def _article(thing: str) -> str:
    if _SPOKEN_CONSONANT.match(thing):
        return "a"
    return "an" if _SPOKEN_VOWEL.match(thing) else "a"


def _clean(field: str, value: object, *, is_strict: bool = True) -> str:
    """The text of a field in Unicode form NFKC, every run of whitespace one space.

    Control and invisible characters are refused, or left out where not `is_strict`: they would
    hide from the eye what the model is told.
    """
    label, limit = _LABELS.get(field, field), _LIMITS[field]
    if value is None:
        return ""
    if not isinstance(value, str):
        if is_strict:
            raise BadBrief(field, f"The {label} must be text: write it in words.")
        return ""
    # Long text is refused before it is worked on; only spaces can make it shorter than it looks.
    if len(value) > 10 * limit:
        if is_strict:
            raise _too_long(field, len(value))
        value = value[: 10 * limit]
    text = " ".join(_without_invisible(field, value, is_strict).split())
    # Once more, as normalising must not bring in what was just kept out, nor undo the spacing.
    text = unicodedata.normalize("NFKC", text)
    text = " ".join(_without_invisible(field, text, is_strict).split())
    if len(text) > limit:
        if is_strict:
            raise _too_long(field, len(text))
        text = text[:limit].rstrip()
    return text


def _without_invisible(field: str, text: str, is_strict: bool) -> str:
    invisible = {
        character
        for character in set(text) - _PLAIN_SPACE
        if unicodedata.category(character) in ("Cc", "Cf", "Cs")
    }
    if invisible and is_strict:
        code = ord(min(invisible))
        raise BadBrief(
            field,
            f"The {_LABELS.get(field, field)} holds a character that cannot be seen "
            f"(U+{code:04X}): delete the text and type it instead of pasting it.",
        )
    return "".join(character for character in text if character not in invisible)


def _too_long(field: str, num_chars: int) -> BadBrief:
    return BadBrief(
        field,
        f"The {_LABELS.get(field, field)} is {num_chars:,} characters long: shorten it to "
        f"{_LIMITS[field]} or fewer.",
    )


def _whole(field: str, value: object, lowest: int, highest: int, hint: str = "") -> int | None:
    """A whole number, as a number or in digits; `None` where nothing was filled in."""
    number: int | None = None
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value[:100]).strip()
        if not text and len(value) <= 100:
            return None
        number = int(text) if _WHOLE_NUMBER.fullmatch(text) else None
    elif value is None:
        return None
    elif isinstance(value, float) and value.is_integer():
        number = int(value)  # JSON and form widgets write 3 as 3.0
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None or not lowest <= number <= highest:
        label = _LABELS.get(field, field)
        raise BadBrief(
            field,
            f"The {label} must be a whole number from {lowest} to {highest}, not {_shown(value)}"
            + (f": {hint}." if hint else f": write one such as {lowest}."),
        )
    return number


def _size(wanted: object, presets: Presets, card: ModelCard) -> tuple[int, int]:
    """(height, width): the card's default, a preset's, or one that the card lists."""
    if wanted is None or (isinstance(wanted, str) and not wanted.strip()):
        return card.default_size
    offered = {preset.id: (height, width) for preset, height, width in presets.sizes_for(card)}
    listed = {f"{width}x{height}": (height, width) for height, width in card.sizes}
    if isinstance(wanted, str) and len(wanted) <= 100:
        name = "".join(unicodedata.normalize("NFKC", wanted).casefold().split()).replace("×", "x")
        for sizes in (offered, listed):
            if name in sizes:
                return sizes[name]
    shapes = [preset.id for preset, _, _ in presets.sizes_for(card) if not preset.export]
    allowed = ", ".join([*shapes, *listed])
    raise BadBrief("size", f"The size {_shown(wanted)} is not offered: choose one of {allowed}.")


def keeps_out(brief: Brief, presets: Presets, card: ModelCard) -> bool:
    """Whether a negative prompt counts for anything at the quality asked for. Never raises."""
    return _way(presets.quality(brief.quality), card).keeps_out


def quality_preset(wanted: object, presets: Presets) -> QualityPreset | None:
    """The preset asked for, by its id; `None` where nothing was chosen."""
    if wanted is None or (isinstance(wanted, str) and not wanted.strip()):
        return None
    preset = presets.quality(wanted)
    if preset is None:
        raise _no_such("quality", wanted, presets.qualities)
    return preset


def _way(preset: QualityPreset | None, card: ModelCard) -> Way:
    """How the model is to be asked: its quick way, or its own with other steps, or as it is."""
    num_steps = card.default_num_steps
    if preset is not None and preset.way == "quick":
        if card.quick is not None:
            return card.quick
        num_steps = min(num_steps, preset.num_steps or num_steps)
    elif preset is not None:
        num_steps = min(preset.num_steps or num_steps, card.max_num_steps)
    return Way(num_steps=num_steps, guidance_scale=card.default_guidance_scale)


def _negative_prompt(ids: object, presets: Presets) -> str:
    """The presets' words in the order chosen, each phrase once."""
    phrases: dict[str, None] = {}
    if ids is None:
        return ""
    for preset_id in ids if isinstance(ids, tuple | list) else (ids,):
        preset = presets.negative(preset_id) if isinstance(preset_id, str) else None
        if preset is None:
            known = ", ".join(preset.id for preset in presets.negatives)
            raise UnknownPreset(
                f"There is no negative preset {_shown(preset_id)}: choose from {known}."
            )
        phrases |= dict.fromkeys(phrase.strip() for phrase in preset.negative_prompt.split(","))
    return ", ".join(phrases)


def _shown(value: object) -> str:
    """A value as it may stand in a message: short, and with nothing invisible in it."""
    if isinstance(value, str):
        text = repr(value[:41])
        return text if len(text) <= 42 else f"{text[:40]}…"
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**20):
        return str(value)
    return "a number as large as that" if isinstance(value, int) else f"a {type(value).__name__}"
