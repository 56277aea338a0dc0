"""What a picture may be called: the canonical caption and the many looser ones.

Knows the vocabulary and a little English; does not know tokens or pictures. The
canonical form is the one the studio's `compose` writes, so it comes most often.
"""

from __future__ import annotations

import random

from scripts.draft.vocabulary import FIELDS, word

EMPTY_SHARE = 0.1  # captions left out, for classifier-free guidance
_OPENINGS = (
    "photo of",
    "a photo of",
    "product photo of",
    "picture of",
    "studio shot of",
    "an image of",
)
_NOISE = (
    "high quality",
    "professional product photography",
    "soft light",
    "sharp focus",
    "detailed",
    "new collection",
    "best seller",
    "minimal",
    "elegant",
    "for the catalogue",
    "spring sale",
    "photorealistic",
    "8k",
    "natural shadows",
    "for the shop window",
    "premium",
    "centered",
)
_JUNK = "qwertyuiopasdfghjklzxcvbnm0123456789"


# Words that briefs and negative prompts hold besides the vocabulary. They stand alone in some of
# the captions left out, so that a negative prompt made of them means "anything", as it should.
GENERAL = """
no people text logo watermark blurry low quality deformed hand hands person letters cropped
out of frame noise grain dark bright large small round square tall short wide narrow old new
vintage rustic luxury cosy warm cold light natural window sunlight evening morning shadow
close up front side view from above isolated background foreground with without and the very
style design classic contemporary scandinavian industrial plain striped dotted pattern
texture smooth matte glossy shiny soft hard handle leg legs cushion seat shade base strap
cap lid price catalogue picture photograph render realistic camera lens focus depth bokeh
product shop store
""".split()  # noqa: SIM905


def canonical(subject: str, material: str, color: str, scene: str) -> str:
    """`a leather black sofa in a modern living room`, from the four ids."""
    m, c, s = word("material", material).en, word("color", color).en, word("subject", subject).en
    return f"a {m} {c} {s} {word('scene', scene).phrase}"


def caption(subject: str, material: str, color: str, scene: str, rng: random.Random) -> str:
    """One way of saying it: canonical, reordered, in synonyms, with fields or all left out."""
    if rng.random() < EMPTY_SHARE:
        words = rng.sample(GENERAL, rng.randint(1, 8)) if rng.random() < 0.35 else []
        return rng.choice((" ", ", ")).join(words)
    if rng.random() < 0.4:
        return canonical(subject, material, color, scene)
    ids = dict(zip(FIELDS, (subject, material, color, scene), strict=True))
    said = {field: _say(field, id, rng) for field, id in ids.items()}
    place = said.pop("scene")
    if rng.random() < 0.65:
        place = word("scene", scene).phrase
    elif rng.random() < 0.6:
        place = rng.choice(("in a", "on a", "at the", "in the")) + " " + place
    for field, share in (("material", 0.12), ("color", 0.12), ("scene", 0.12), ("subject", 0.03)):
        if rng.random() < share:
            if field == "scene":
                place = ""
            else:
                said[field] = ""
    adjectives = [said["material"], said["color"]]
    if rng.random() < 0.45:
        adjectives.reverse()
    thing = " ".join(x for x in (*adjectives, said["subject"]) if x)
    style = rng.random()
    if style < 0.55:
        article = rng.choice(("a ", "a ", "", "the ")) if thing else ""
        text = f"{article}{thing} {place}"
    elif style < 0.7:
        text = f"{place}, a {thing}" if place else thing
    elif style < 0.85:
        parts = [x for x in (said["subject"], *adjectives, place) if x]
        rng.shuffle(parts)
        text = ", ".join(parts)
    else:
        made = f" made of {said['material']}" if said["material"] else ""
        text = f"a {said['color']} {said['subject']}{made} {place}"
    if rng.random() < 0.25:
        text = f"{rng.choice(_OPENINGS)} {text}"
    if rng.random() < 0.25:
        text = f"{text}, {rng.choice(_NOISE)}"
    if rng.random() < 0.08:
        text = f"{text}, {''.join(rng.choices(_JUNK, k=rng.randint(3, 9)))}"
    if rng.random() < 0.1:
        text = text[:1].upper() + text[1:] + "."
    return " ".join(text.split())


def _say(field: str, id: str, rng: random.Random) -> str:
    entry = word(field, id)
    if entry.english_synonyms and rng.random() < 0.22:
        return rng.choice(entry.english_synonyms)
    return entry.en
