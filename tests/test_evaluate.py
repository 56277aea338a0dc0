"""`studio evaluate` as a whole, on a world of sixteen combinations and on tiny models.

The classifier is trained once for the module: a few seconds on one core.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio import cli
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadInput, GenerationFailed
from studio.evaluate.briefs import Settings, Task, brief_of, choose, tasks_of
from studio.evaluate.classifier import Classifier, load_classifier
from studio.evaluate.command import shipped_classifier
from studio.evaluate.ground import Ground
from studio.evaluate.match import confusion, match, worst
from studio.evaluate.measure import Extent, compare, draw_briefs, draw_tasks, evaluate
from studio.evaluate.network import MASK_SIDE
from studio.evaluate.painter import Painter
from studio.evaluate.prompts import experiment
from studio.evaluate.readings import Readings, mask_overlap
from studio.evaluate.reference import Reference
from studio.evaluate.renders import Labels, read_renders, split, words_of
from studio.evaluate.training import Passes, train
from studio.presets import FIELDS, load_presets
from studio.request import Request
from tests.small_world import HELD_OUT, WORDS, combinations, paint, write_renders
from tests.tiny_models import write_sdxl

PRESETS = load_presets()
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_renders(folder / "training", 140, held_out=False)
    write_renders(folder / "held", 24, held_out=True)
    return folder


@pytest.fixture(scope="module")
def classifier_file(world: Path) -> Path:
    trained = train(
        read_renders(world / "training"),
        read_renders(world / "held"),
        Passes(num_epochs=8, batch_size=14),
    )
    trained.save(world / "attributes.safetensors")
    return world / "attributes.safetensors"


@pytest.fixture(scope="module")
def classifier(classifier_file: Path) -> Classifier:
    return load_classifier(classifier_file)


@pytest.fixture(scope="module")
def ground(world: Path, classifier_file: Path) -> Ground:
    return Ground.prepare(
        classifier_file, presets=PRESETS, renders=world / "held", training=world / "training"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("models") / "tiny", controlnet=True)


def config(folder: Path) -> Config:
    return Config(
        data_dir=folder.parent / "data", cache_dir=folder.parent / "cache", model=folder,
        precision="float32",
    )  # fmt: skip


def reference(ground: Ground) -> Reference:
    assert ground.classifier.reference is not None
    return ground.classifier.reference


# Renders


def test_words_are_found_in_the_descriptions(world: Path) -> None:
    renders = read_renders(world)
    assert words_of([one.labels for one in renders]) == WORDS
    learned, held_out = split(renders)
    assert {one.labels for one in held_out} == set(HELD_OUT)
    assert not {one.labels for one in learned} & set(HELD_OUT)
    mask = learned[0].mask()
    assert mask is not None
    assert mask.sum() == paint(learned[0].labels, 0)[1].sum()


def test_a_render_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    write_renders(tmp_path, 3, held_out=False, with_masks=False)
    (tmp_path / "000002.png").unlink()
    (tmp_path / "000001.png").write_bytes(b"")
    found = read_renders(tmp_path)
    assert [one.path.name for one in found] == ["000000.png"]
    assert found[0].mask() is None


def test_renders_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There are no renders in"):
        read_renders(tmp_path)
    write_renders(tmp_path, 1, held_out=False)
    (tmp_path / "000000.json").write_text('{"subject": "mug"}')
    with pytest.raises(BadInput, match=r"000000\.json cannot be read"):
        read_renders(tmp_path)


# The classifier


def test_the_classifier_reads_renders_that_it_never_saw_and_says_how_often(
    ground: Ground, classifier: Classifier
) -> None:
    ceiling = reference(ground).ceiling
    assert ceiling["color"].value > 0.95
    assert ceiling["all"].value > 0.8
    assert ceiling["all"].num == 24
    pixels, mask = paint(HELD_OUT[0], 77)
    readings = classifier.read([pixels])
    assert readings.labels[0].color == HELD_OUT[0].color
    assert readings.features.shape == (1, 192)
    small = np.asarray(
        Image.fromarray(mask).resize((MASK_SIDE, MASK_SIDE), Image.Resampling.NEAREST)
    )
    assert mask_overlap(readings.masks[0], small) > 0.7


def test_a_saved_classifier_reads_as_it_did_and_keeps_its_reference(
    ground: Ground, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "again.safetensors")
    again = load_classifier(tmp_path / "again.safetensors")
    pictures = [paint(labels, 5)[0] for labels in combinations()]
    one, other = classifier.read(pictures), again.read(pictures)
    assert one.labels == other.labels
    assert again.classes == WORDS
    assert again.reference is not None
    assert again.reference.to_dict() == reference(ground).to_dict()
    assert (tmp_path / "again.safetensors").stat().st_size < 4 * 2**20


def test_a_world_of_fewer_words_is_not_asked_about_others(classifier: Classifier) -> None:
    pictures = [paint(labels, 5)[0] for labels in combinations()]
    only_red = dataclasses.replace(classifier, among=WORDS | {"color": ("red",)})
    assert {one.color for one in classifier.read(pictures).labels} == {"blue", "red"}
    assert {one.color for one in only_red.read(pictures).labels} == {"red"}


def test_the_classifier_that_ships_is_small_and_asks_for_words_of_the_page() -> None:
    shipped = load_classifier(shipped_classifier())
    assert shipped_classifier().stat().st_size < 4 * 2**20
    assert shipped.reference is not None
    assert shipped.reference.num > 100
    for labels in shipped.reference.combinations:
        assert brief_of(labels, PRESETS, 1)
    assert all(0 < one.value <= 1 for one in shipped.reference.ceiling.values())


def test_a_file_that_is_no_classifier_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no classifier at"):
        load_classifier(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="cannot be read"):
        load_classifier(tmp_path / "bad.safetensors")


def test_held_out_words_that_training_never_showed_are_refused(world: Path) -> None:
    renders = read_renders(world / "training")
    one_subject = [one for one in renders if one.labels.subject == "mug"]
    with pytest.raises(BadInput, match="the subject 'sofa', which no training render shows"):
        train(one_subject, read_renders(world / "held"), Passes(num_epochs=1))


# Briefs and matches


def test_every_word_is_asked_about_as_often_as_its_fellows() -> None:
    chosen = choose(combinations(), 8, seed=3)
    assert len(set(chosen)) == 8
    for index in range(len(FIELDS)):
        counts = [sum(one[index] == id for one in chosen) for id in WORDS[FIELDS[index]]]
        assert max(counts) - min(counts) <= 2
    assert choose(combinations(), 8, seed=3) == chosen
    assert sorted(choose(combinations(), 32, seed=0)) == sorted(combinations() * 2)


def test_a_brief_is_composed_as_on_the_page_and_words_unknown_to_it_are_refused() -> None:
    card = gaussian_model().card
    (task,) = tasks_of([HELD_OUT[0]], PRESETS, card, seed=2, settings=Settings(num_steps=3))
    assert task.request.prompt == "a wood red mug on a white studio sweep"
    assert task.request.num_steps == 3
    assert task.request.guidance_scale == card.default_guidance_scale
    quick = Settings(quality="quick")
    (other,) = tasks_of([HELD_OUT[0]], PRESETS, card, seed=2, settings=quick)
    fewer = other.request.num_steps
    assert fewer < card.default_num_steps
    assert dataclasses.replace(task.request, num_steps=fewer) == other.request
    with pytest.raises(BadInput, match="the subject 'zeppelin', which the vocabulary does not"):
        brief_of(Labels("zeppelin", "wood", "red", "studio"), PRESETS, 1)


def readings_of(*labels: Labels) -> Readings:
    return Readings(
        labels, np.zeros((len(labels), 3), np.float32), np.zeros((len(labels), 4, 4), bool)
    )


def test_a_match_is_counted_by_field_and_in_all_and_held_against_the_ceiling(
    ground: Ground,
) -> None:
    wanted = [HELD_OUT[0]] * 4
    wrong = HELD_OUT[0]._replace(color="blue")
    seen = readings_of(wanted[0], wanted[1], wrong, wrong._replace(subject="sofa"))
    ceiling = dict(ground.reference.ceiling)
    ceiling["color"] = dataclasses.replace(ceiling["color"], value=0.8)
    found = match(seen, wanted, ceiling)
    assert [found.shares[name].value for name in (*FIELDS, "all")] == [0.75, 1, 0.5, 1, 0.5]
    assert found.of_ceiling("color").value == pytest.approx(0.625)
    assert confusion(seen, wanted)["color"] == {"red": {"red": 2, "blue": 2}}
    assert worst(seen, wanted, 5) == [3, 2]
    assert seen.part([2]).labels == (wrong,)


# Drawing and measuring


def test_a_painter_draws_what_is_asked_in_its_order() -> None:
    model = gaussian_model()
    requests = [
        Request(
            prompt=f"picture {index}", height=64, width=64, num_steps=3, guidance_scale=1.0,
            seed=index, model="gaussian",
        )
        for index in range(40)
    ]  # fmt: skip
    told: list[int] = []
    with Painter.open(Config(), card=model.card, load=lambda *_: model) as painter:
        pictures = painter.draw(requests, told.append)
        again = painter.draw(requests[7:9])
        with pytest.raises(GenerationFailed):
            painter.draw([dataclasses.replace(requests[0], prompt="word " * 100)])
        assert not painter.reads("word " * 100)
    assert sum(told) == 40
    assert (again[0] == pictures[7]).all()
    assert (again[1] == pictures[8]).all()
    assert painter.maker is not None
    assert painter.maker.backend == "closed-form"


def test_a_model_that_draws_what_it_is_asked_gets_full_marks(ground: Ground) -> None:
    """A stand-in for the engine: what the tasks ask for, painted."""

    class Perfect:
        def draw(self, requests: list[Request], tell: object) -> list[np.ndarray]:
            return [paint(labels, 31 + index)[0] for index, labels in enumerate(wanted)]

    wanted = choose(HELD_OUT, 12, 0)
    tasks = tasks_of(wanted, PRESETS, gaussian_model().card, seed=0)
    drawn = draw_tasks(Perfect(), ground, tasks, bars=_silent, label="")  # type: ignore[arg-type]
    found = match(drawn.readings, drawn.wanted, ground.reference.ceiling)
    assert found.shares["all"].value >= 0.75
    swapped = [Task(one.labels._replace(color="blue"), one.request) for one in tasks]
    drawn = dataclasses.replace(drawn, tasks=tuple(swapped))
    assert match(drawn.readings, drawn.wanted, ground.reference.ceiling).shares["color"].value < 0.7


def _silent(label: str, total: int) -> object:
    from studio.evaluate.ground import no_bars

    return no_bars(label, total)


def test_everything_is_measured_of_a_model_with_a_controlnet(ground: Ground, folder: Path) -> None:
    extent = Extent(num_briefs=6, num_sketches=4, seed=1, settings=Settings(num_steps=2))
    with Painter.open(config(folder)) as painter:
        found = evaluate(painter, ground, extent)
        again = draw_briefs(painter, ground, extent)
    figures = found.figures
    assert figures["model"]["name"] == "tiny-sdxl"
    assert figures["model"]["num_steps"] == 2
    assert figures["match"]["all"]["num"] == 6
    assert figures["distance"]["name"] == "FID on Vitrine attribute features"
    assert figures["distance"]["value"] > figures["distance"]["renders"]
    assert figures["memorizing"]["features"]["num_drawn"] == 6
    assert figures["memorizing"]["pixels"]["num_held_out"] == 24
    assert figures["sketches"]["renders"]["f1"]["num"] == 4
    assert figures["sketches"]["hand"]["f1"]["num"] == 4
    assert len(found.sketched) == 8
    assert any((one.with_control != one.without).any() for one in found.sketched)
    assert {pair.by for pair in found.pairs} == {"features", "pixels"}
    assert json.loads(json.dumps(figures)) == figures
    differences = compare(found.drawn, again)
    assert all(one["value"] == one["low"] == one["high"] == 0 for one in differences.values())


def test_what_cannot_be_measured_is_said_instead_of_a_number(
    classifier_file: Path, tmp_path: Path
) -> None:
    folder = write_sdxl(tmp_path / "plain")
    ground = Ground.prepare(classifier_file, presets=PRESETS)
    extent = Extent(num_briefs=3, settings=Settings(num_steps=1))
    with Painter.open(config(folder)) as painter:
        figures = evaluate(painter, ground, extent).figures
    assert figures["sketches"] == {"note": "no ControlNet"}
    assert "not measured" in figures["memorizing"]["note"]
    assert figures["distance"]["renders"] is None
    assert figures["num_combinations"] == len(HELD_OUT)


def test_the_command_prints_a_table_and_json_and_writes_the_report(
    world: Path,
    classifier_file: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VITRINE_CACHE_DIR", str(tmp_path / "cache"))
    out = tmp_path / "out"
    arguments = ["evaluate", "--model", str(folder), "--classifier", str(classifier_file)]
    arguments += ["--precision", "float32", "--renders", str(world / "held"), "--num-briefs", "4"]
    arguments += ["--training", str(world / "training"), "--num-sketches", "4", "--steps", "2"]
    arguments += ["--against-quality", "quick", "--against-steps", "3", "--out", str(out)]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures["comparison"]["model"]["num_steps"] == 3
    assert figures["comparison"]["time"]["ratio"]["num"] == 4
    assert any(line.startswith("seconds of one picture, ours over theirs") for line in lines)
    assert any(line.startswith("all four right") for line in lines)
    assert any("sketch F1 within 3 px, hand" in line for line in lines)
    assert json.loads((out / "figures.json").read_text()) == figures
    with Image.open(out / "report.png") as sheet:
        assert sheet.width == 1200
        assert sheet.height > 1200
    assert len(list((out / "pictures").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--num-briefs", "many"], "--num-briefs must be a whole number"),
        (["--num-briefs", "1"], "--num-briefs must be a whole number from 2"),
        (["--seed", "-1"], "--seed must be a whole number"),
        (["--guidance-scale", "x"], "--guidance-scale must be a number"),
        (["--against-quality", "finest"], "There is no quality 'finest'"),
        (["--classifier", "/nowhere"], "There is no classifier at /nowhere"),
        (["prompts", "--seed", "x"], "--seed must be a whole number"),
        (["classifier", "--training", "/nowhere"], "There are no renders in /nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.splitlines()) == 1


DOCS = [Path("docs/evaluate.md"), Path("assets/evaluate/README.md")]
COMMANDS = [
    line
    for path in DOCS
    for block in re.findall(r"```console\n(.*?)```", (ROOT / path).read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_is_understood(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "studio"
    assert callable(cli.build_parser().parse_args(arguments).run)


def test_options_may_stand_before_the_name_of_a_command() -> None:
    parsed = cli.build_parser().parse_args(["evaluate", "--seed", "4", "prompts", "--steps", "9"])
    assert (parsed.seed, parsed.steps, parsed.num_briefs) == ("4", "9", "100")


# The experiment


def test_the_experiment_draws_the_same_seeds_from_both_kinds_of_prompts(
    ground: Ground, folder: Path
) -> None:
    extent = Extent(num_briefs=6, seed=2, settings=Settings(num_steps=1))
    with Painter.open(config(folder)) as painter:
        found = experiment(painter, ground, extent)
    pairs = list(zip(found.fields.tasks, found.free.tasks, strict=True))
    assert len(pairs) == found.figures["num_briefs"] == 6 - found.figures["num_too_long"]
    for (one, other), text in zip(pairs, found.texts, strict=True):
        assert one.labels == other.labels == text.labels
        assert other.request.prompt == text.text != one.request.prompt
        assert dataclasses.replace(other.request, prompt=one.request.prompt) == one.request
    assert found.figures["difference"]["all"]["num"] == len(pairs)
