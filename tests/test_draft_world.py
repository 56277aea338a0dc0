"""The rendered world as plain values: seeds, held-out combinations, words, meshes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from scripts.draft import materials, products, scenes
from scripts.draft.captions import GENERAL, canonical, caption
from scripts.draft.vocabulary import FIELDS, word, words
from scripts.draft.world import COLORS, SHAPES, combinations, describe, is_held_out


def ids(field: str) -> list[str]:
    return [entry.id for entry in words(field)]


def test_a_seed_describes_the_same_scene_twice() -> None:
    assert describe(4711) == describe(4711)
    assert describe(4711) != describe(4712)


def test_held_out_combinations_never_appear_in_the_training_seeds() -> None:
    for seed in range(400):
        world = describe(seed)
        assert not is_held_out(world.subject, world.material, world.color, world.scene)


def test_every_combination_is_either_trained_on_or_held_out() -> None:
    trained, held = combinations(held_out=False), combinations(held_out=True)
    assert not set(trained) & set(held)
    assert len(trained) + len(held) == np.prod([len(words(field)) for field in FIELDS])
    assert 0.05 < len(held) / (len(held) + len(trained)) < 0.11


def test_every_word_of_every_field_is_held_out_in_some_combination_and_trained_in_others() -> None:
    for sample in (combinations(held_out=False), combinations(held_out=True)):
        for i, field in enumerate(FIELDS):
            assert {combination[i] for combination in sample} == set(ids(field))


def test_vocabulary_ids_are_unique_and_every_entry_has_chinese() -> None:
    for field in FIELDS:
        assert len(set(ids(field))) == len(ids(field))
        for entry in words(field):
            assert any("一" <= letter <= "鿿" for letter in entry.zh), entry.id


def test_no_word_of_a_field_means_two_things() -> None:
    for field in FIELDS:
        said = [w.lower() for e in words(field) for w in {e.id, e.en, e.zh, *e.synonyms}]
        assert len(said) == len(set(said)), field


def test_every_scene_has_a_phrase() -> None:
    assert all(entry.phrase.split()[0] in ("in", "on") for entry in words("scene"))


def test_the_world_knows_every_subject_and_colour_of_the_vocabulary() -> None:
    assert set(SHAPES) == set(ids("subject"))
    assert set(COLORS) == set(ids("color"))


def test_the_canonical_caption_contains_the_four_fields_in_order() -> None:
    text = canonical("sofa", "leather", "black", "living_room")
    assert text == "a leather black sofa in a modern living room"


def test_captions_contain_each_field_most_of_the_time() -> None:
    combination = ("mug", "ceramic", "red", "garden")
    rng = random.Random(0)
    captions = [caption(*combination, rng).lower() for _ in range(1000)]
    for field, id in zip(FIELDS, combination, strict=True):
        entry = word(field, id)
        said = {entry.en, *entry.english_synonyms}
        share = sum(any(w in text for w in said) for text in captions) / len(captions)
        assert 0.75 < share < 0.97, (field, share)


def test_a_tenth_of_the_captions_say_nothing_of_the_picture() -> None:
    rng = random.Random(1)
    captions = [caption("lamp", "metal", "blue", "studio", rng) for _ in range(2000)]
    silent = [c for c in captions if set(c.replace(",", "").split()) <= set(GENERAL)]
    assert 0.07 < len(silent) / len(captions) < 0.13
    assert "" in silent


@pytest.mark.parametrize("subject", ids("subject"))
def test_a_product_stands_on_the_ground_and_fits_its_size(subject: str) -> None:
    rng = random.Random(subject)
    for material in ids("material"):
        shape = {name: rng.uniform(*bounds) for name, bounds in SHAPES[subject].items()}
        parts = products.build(subject, shape, material)
        points = np.concatenate([part.mesh.vertices for part in parts])
        assert np.isfinite(points).all()
        assert abs(points[:, 2].min()) < 1e-6
        assert np.isclose((points.max(0) - points.min(0)).max(), 1.6)
        assert any(part.role == "main" for part in parts)


@pytest.mark.parametrize("subject", ids("subject"))
def test_the_normals_of_a_product_have_length_one(subject: str) -> None:
    shape = {name: (low + high) / 2 for name, (low, high) in SHAPES[subject].items()}
    for part in products.build(subject, shape, "wood"):
        lengths = np.linalg.norm(part.mesh.normals(), axis=1)
        assert np.allclose(lengths[part.mesh.faces], 1, atol=1e-3)


@pytest.mark.parametrize("scene", ids("scene"))
def test_a_scene_of_a_seed_is_the_same_twice_and_leaves_room_for_the_product(scene: str) -> None:
    one, two = (scenes.build(scene, "mug", 5) for _ in range(2))
    assert all(
        np.array_equal(a.mesh.vertices, b.mesh.vertices)
        for a, b in zip(one.things, two.things, strict=True)
    )
    assert len(one.things) <= 11  # the stage has 14 places, a product takes up to three


def test_materials_differ_by_more_than_colour() -> None:
    made = [materials.product(id, (0.5, 0.5, 0.5), 0) for id in ids("material")]
    looks = {
        (s.roughness, s.metallic, s.clearcoat, s.sheen, round(float(s.base.std()), 3)) for s in made
    }
    assert len(looks) == len(made)
