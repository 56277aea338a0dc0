"""The preset files: those that ship are sound, and broken ones say where."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from studio import cli
from studio.brief import Brief
from studio.errors import BadConfig
from studio.model_card import ModelCard
from studio.presets import FIELDS, Presets, SizePreset, Term, Vocabulary, load_presets
from studio.ui.snapshot import Chosen, look
from studio.ui.speech import Language, Say
from tests.conftest import OpenStudio


@pytest.fixture(scope="module")
def presets() -> Presets:
    return load_presets()


def terms_of(presets: Presets, field: str) -> tuple[Term, ...]:
    terms: tuple[Term, ...] = getattr(presets.vocabulary, field)
    return terms


def make_presets(*, sizes: tuple[SizePreset, ...] = ()) -> Presets:
    empty = Vocabulary(subject=(), material=(), color=(), scene=())
    return Presets(vocabulary=empty, negatives=(), sizes=sizes)


# What ships


def test_every_field_has_words_in_both_languages(presets: Presets) -> None:
    for field in FIELDS:
        assert len(terms_of(presets, field)) >= 4
        for term in terms_of(presets, field):
            assert term.en.isascii()
            assert not term.zh.isascii()


def test_every_scene_has_a_phrase(presets: Presets) -> None:
    assert all(term.phrase for term in presets.vocabulary.scene)


@pytest.mark.parametrize("field", FIELDS)
def test_every_name_of_a_term_leads_to_it(presets: Presets, field: str) -> None:
    for term in terms_of(presets, field):
        for name in (term.id, term.en, term.zh, term.phrase, *term.synonyms):
            if name:
                assert presets.vocabulary.match(field, name) == term, name


def test_preset_ids_are_each_used_once(presets: Presets) -> None:
    for listed in (presets.negatives, presets.sizes, *(terms_of(presets, f) for f in FIELDS)):
        ids = [preset.id for preset in listed]
        assert len(ids) == len(set(ids))


def test_full_and_quick_are_qualities_and_a_shop_may_add_its_own(tmp_path: Path) -> None:
    entry = '[[quality]]\nid = "fine"\nen = "Fine"\nzh = "细"\nnum_steps = 40\n'
    (tmp_path / "quality.toml").write_text(entry, encoding="utf-8")
    ids = [preset.id for preset in load_presets(tmp_path).qualities]
    assert ids == ["full", "quick", "fine"]


@pytest.mark.parametrize("line", ["num_steps = 0", 'num_steps = "6"', 'way = "slow"'])
def test_a_quality_has_whole_steps_and_a_known_way(tmp_path: Path, line: str) -> None:
    entry = f'[[quality]]\nid = "x"\nen = "x"\nzh = "x"\n{line}\n'
    (tmp_path / "quality.toml").write_text(entry)
    with pytest.raises(BadConfig, match=r"quality\.toml, line 1: in this quality"):
        load_presets(tmp_path)


def test_preset_texts_hold_nothing_invisible(presets: Presets) -> None:
    for preset in (*presets.negatives, *presets.sizes, *presets.qualities):
        for text in (preset.en, preset.zh):
            assert all(unicodedata.category(character)[0] != "C" for character in text)


def test_the_presets_that_are_promised_are_there(presets: Presets) -> None:
    assert {"no_text", "no_people", "clean_packshot", "no_clutter"} <= {
        preset.id for preset in presets.negatives
    }
    aspects = {preset.id: preset.aspect for preset in presets.sizes}
    promised = {
        "square": "1:1",
        "portrait": "4:5",
        "landscape": "5:4",
        "tall": "3:4",
        "wide": "4:3",
    }
    assert promised.items() <= aspects.items()


# Looking up

WORDS = """
[[subject]]
id = "sofa"
en = "sofa"
zh = "沙发"
synonyms = ["couch", "Ｓettee"]

[[subject]]
id = "couch_bed"
en = "couch"
zh = "沙发床"
"""


@pytest.mark.parametrize("text", ["Sofa", "  SOFA ", "沙发", "ｓｏｆａ", "settee"])
def test_a_word_is_known_in_any_case_width_and_language(tmp_path: Path, text: str) -> None:
    (tmp_path / "vocabulary.toml").write_text(WORDS, encoding="utf-8")
    term = load_presets(tmp_path).vocabulary.match("subject", text)
    assert term is not None
    assert term.id == "sofa"


def test_a_name_wins_over_anothers_synonym(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.toml").write_text(WORDS, encoding="utf-8")
    term = load_presets(tmp_path).vocabulary.match("subject", "couch")
    assert term is not None
    assert term.id == "couch_bed"


@pytest.mark.parametrize("text", ["", "  ", "hovercraft", "so fa"])
def test_other_words_are_unknown(presets: Presets, text: str) -> None:
    assert presets.vocabulary.match("subject", text) is None


def test_a_folder_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "negative.toml").write_text(
        '[[negative]]\nid = "no_text"\nen = "a"\nzh = "b"\nnegative_prompt = "words"\n'
        '[[negative]]\nid = "no_cats"\nen = "No cats"\nzh = "无猫"\nnegative_prompt = "cat"\n',
        encoding="utf-8",
    )
    shipped, presets = load_presets(), load_presets(tmp_path)
    assert len(presets.negatives) == len(shipped.negatives) + 1
    replaced = presets.negative("no_text")
    assert replaced is not None
    assert replaced.negative_prompt == "words"
    assert presets.sizes == shipped.sizes


def test_a_studio_offers_the_presets_of_its_house(open_studio: OpenStudio, tmp_path: Path) -> None:
    (tmp_path / "styles.toml").write_text(
        '[[shot]]\nid = "house"\nen = "House"\nzh = "本店"\nadds = "in the light of our house"\n',
        encoding="utf-8",
    )
    studio = open_studio(presets_dir=tmp_path)
    request = studio.check(Brief(subject="mug", shot="house"))
    assert request.prompt == "a mug, in the light of our house"


def test_a_word_of_the_house_is_said_in_the_persons_language(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    (tmp_path / "vocabulary.toml").write_text(
        '[[subject]]\nid = "samovar"\nen = "samovar"\nzh = "茶炊"\n', encoding="utf-8"
    )
    studio = open_studio(presets_dir=tmp_path)
    shown = look(studio, Chosen(), say=Say(Language.ZH))
    assert shown.say.term("subject", "samovar") == "茶炊"


@pytest.mark.parametrize(
    "command",
    [
        "generate --subject mug --out pictures",
        "evaluate",
        "evaluate prompts",
        "prune --ratio 0.2 --out model",
    ],
)
def test_every_command_that_draws_reads_the_presets_of_its_house(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VITRINE_PRESETS_DIR", str(tmp_path / "nowhere"))
    assert cli.main(command.split()) == BadConfig.exit_code
    assert "There is no folder of presets" in capsys.readouterr().err


def test_a_house_without_a_folder_is_told(open_studio: OpenStudio, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="There is no folder of presets"):
        open_studio(presets_dir=tmp_path / "nowhere")


# Sizes


def size(preset_id: str, aspect: str) -> SizePreset:
    return SizePreset(id=preset_id, en=preset_id, zh=preset_id, aspect=aspect)


def card(*sizes: tuple[int, int], default: tuple[int, int] | None = None) -> ModelCard:
    return ModelCard(name="test", sizes=sizes, default_size=default or sizes[0])


SHAPES = make_presets(sizes=(size("square", "1:1"), size("portrait", "4:5"), size("wide", "4:3")))


def test_only_shapes_the_model_knows_are_offered() -> None:
    offered = SHAPES.sizes_for(card((128, 128), (160, 128)))
    assert [(preset.id, height, width) for preset, height, width in offered] == [
        ("square", 128, 128),
        ("portrait", 160, 128),
    ]


def test_a_shape_within_three_percent_will_do() -> None:
    assert [preset.id for preset, *_ in SHAPES.sizes_for(card((1152, 896)))] == ["portrait"]
    assert SHAPES.sizes_for(card((1200, 896))) == []


def test_of_equal_shapes_the_default_comes_first_and_then_the_largest() -> None:
    def square(card: ModelCard) -> tuple[int, int]:
        ((_, height, width),) = SHAPES.sizes_for(card)
        return height, width

    assert square(card((128, 128), (512, 512), (256, 256), default=(256, 256))) == (256, 256)
    assert square(card((128, 128), (512, 512), (960, 980), default=(960, 980))) == (512, 512)


# Broken by hand

GOOD = '[[negative]]\nid = "a"\nen = "a"\nzh = "a"\nnegative_prompt = "a"\n'


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (GOOD + "[[negative]\n", 6, "not TOML"),
        (GOOD + 'id2 = "unclosed', 6, "not TOML"),
        (GOOD + '\n[[negative]]\nid = "b"\n', 7, "'en' is missing"),
        (GOOD + GOOD, 6, "the id 'a' is taken"),
        (GOOD.replace('zh = "a"', "zh = 3"), 1, "'zh' must be text"),
        (GOOD.replace('zh = "a"', 'zh = " "'), 1, "'zh' must be text"),
        (GOOD + 'colour = "red"\n', 1, "'colour' is not known"),
        ("negative = 3\n", 1, "two brackets"),
        ('# mine\n[negative]\nid = "a"\n', 2, "two brackets"),
        ("negative = [1, 2]\n", 1, "no table"),
    ],
)
def test_a_file_broken_by_hand_says_where_and_why(
    tmp_path: Path, text: str, line: int, why: str
) -> None:
    path = tmp_path / "negative.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig) as raised:
        load_presets(tmp_path)
    assert f"{path}, line {line}: " in str(raised.value)
    assert why in str(raised.value)


def test_a_file_in_another_encoding_says_where(tmp_path: Path) -> None:
    (tmp_path / "negative.toml").write_bytes(GOOD.encode() + "# 沙发".encode("gbk"))
    with pytest.raises(BadConfig, match=r"negative\.toml, line 6: not UTF-8"):
        load_presets(tmp_path)


@pytest.mark.parametrize("aspect", ["4x5", "0:5", "4:0", "1.5:1", "4:5:6"])
def test_an_aspect_is_two_whole_numbers(tmp_path: Path, aspect: str) -> None:
    (tmp_path / "sizes.toml").write_text(
        f'[[size]]\nid = "a"\nen = "a"\nzh = "a"\naspect = "{aspect}"\n'
    )
    with pytest.raises(BadConfig, match=r"sizes\.toml, line 1: .*4:5"):
        load_presets(tmp_path)


def test_synonyms_are_a_list_of_words(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.toml").write_text(
        '[[subject]]\nid = "a"\nen = "a"\nzh = "a"\nsynonyms = "b"\n'
    )
    with pytest.raises(BadConfig, match=r"vocabulary\.toml, line 1: .*'synonyms' must be a list"):
        load_presets(tmp_path)


def test_a_marketplaces_size_is_offered_in_the_nearest_shape(presets: Presets) -> None:
    card = ModelCard(name="m", sizes=((256, 256), (320, 256)), default_size=(256, 256))
    offered = {preset.id: (height, width) for preset, height, width in presets.sizes_for(card)}
    assert offered["amazon"] == (256, 256)
    assert offered["temu"] == (320, 256)
    assert offered["reel"] == (320, 256)
    assert "story" not in offered


def test_an_export_is_a_size_in_pixels(tmp_path: Path) -> None:
    entry = '[[size]]\nid = "x"\nen = "x"\nzh = "x"\naspect = "1:1"\nexport = "large"\n'
    (tmp_path / "sizes.toml").write_text(entry)
    with pytest.raises(BadConfig, match="'export' must be written like"):
        load_presets(tmp_path)


def test_categories_and_shots_add_few_words(presets: Presets) -> None:
    assert len(presets.categories) >= 4
    assert len(presets.shots) >= 4
    for preset in (*presets.categories, *presets.shots):
        assert preset.zh
        assert 1 <= len(preset.adds.split()) <= 9
    assert presets.style("shot", "packshot") in presets.shots
    assert presets.style("shot", "furniture") is None
    assert presets.style("category", ["x"]) is None
