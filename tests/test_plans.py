"""Plans: found again by what decides them, never served damaged, and only after a trial."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest
import torch

from studio.engine.denoiser import Rows
from studio.engine.model import Model
from studio.engine.openvino_denoiser import OpenVinoDecoder, OpenVinoDenoiser, library, processor
from studio.engine.openvino_plans import build_openvino
from studio.engine.planner import Planner
from studio.engine.plans import Plan, PlanCache, PlanRejected
from studio.engine.reference import (
    Reference,
    complaint,
    distance,
    errors,
    make_reference,
    read_reference,
    write_reference,
)
from studio.engine.trial import MAX_ERROR, choose, gain
from tests.exported_models import LATENT, exported
from tests.tiny_models import HEIGHT, WIDTH

BOUNDS = {"rows": MAX_ERROR, "image": MAX_ERROR}


def plan(**changes: object) -> Plan:
    """The plan of the tiny model on this machine."""
    facts: dict[str, object] = {
        "digest": exported("sdxl").model.digest,
        "family": "sdxl",
        "height": HEIGHT,
        "width": WIDTH,
        "backend": "openvino",
        "precision": "auto",
        "torch_precision": "float32",
        "library": library(),
        "processor": processor(),
    }
    return Plan(**(facts | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(exported("sdxl").model, HEIGHT, WIDTH)


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    """With the tiny model's graphs in it, and no plan."""
    cache = PlanCache(tmp_path / "cache")
    shutil.copytree(exported("sdxl").graphs, cache.graphs(plan()))
    return cache


@pytest.fixture
def kept(cache: PlanCache, reference: Reference) -> PlanCache:
    """With a plan that passed."""
    path = cache.folder.parent / "reference.safetensors"
    write_reference(reference, path)
    cache.save(plan(), {"precision": "float32", "bounds": BOUNDS}, path)
    return cache


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "0"},
        {"width": 2 * WIDTH},
        {"precision": "float32"},
        {"torch_precision": "bfloat16"},
        {"library": "openvino 1"},
        {"processor": "abacus"},
        {"controlnets": (("canny", "0"),)},
        {"driver": "13000"},
        {"profiles": ((1, 2, 4),)},
        {"loras": (("0", 0.5),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_decides_a_plan_changes_its_key(changes: dict[str, object]) -> None:
    assert plan(**changes).key != plan().key


def test_graphs_are_shared_where_only_the_processor_differs() -> None:
    assert plan(processor="abacus", precision="float32").graphs_key == plan().graphs_key


def test_a_plan_that_passed_is_found_again(kept: PlanCache) -> None:
    entry = PlanCache(kept.folder).load(plan())
    assert entry is not None
    assert entry.bounds == BOUNDS


@pytest.mark.parametrize("file", ["plan.json", "reference.safetensors", "weights.bin", "unet.onnx"])
def test_a_damaged_plan_is_never_served(kept: PlanCache, file: str) -> None:
    (path,) = kept.folder.glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert kept.load(plan()) is None
    assert not path.exists()


def test_the_oldest_go_when_there_is_too_much(kept: PlanCache) -> None:
    kept.prune([], max_bytes=0)
    assert not list(kept.folder.iterdir())


def test_what_is_wanted_now_is_never_pruned(kept: PlanCache) -> None:
    kept.prune([plan()], max_bytes=0)
    assert kept.load(plan()) is not None


def test_what_a_killed_studio_left_behind_goes_after_a_day(cache: PlanCache) -> None:
    old, new = cache.folder / ".trial-old", cache.folder / ".trial-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    cache.prune([])
    assert new.exists()
    assert not old.exists()


def test_a_reference_is_read_as_it_was_written(reference: Reference, tmp_path: Path) -> None:
    write_reference(reference, tmp_path / "file")
    read = read_reference(tmp_path / "file")
    assert torch.equal(read.following, reference.following)
    assert torch.equal(read.controls[0].images, reference.controls[0].images)
    assert torch.equal(read.rows.timestep, reference.rows.timestep)


def compiled() -> tuple[OpenVinoDenoiser, OpenVinoDecoder]:
    folders = {LATENT: exported("sdxl").graphs}
    return (
        OpenVinoDenoiser(folders, precision="float32", num_threads=1),
        OpenVinoDecoder(folders, precision="float32", num_threads=1),
    )


def test_graphs_that_agree_with_torch_raise_no_complaint(reference: Reference) -> None:
    assert not complaint(*compiled(), reference, BOUNDS)


@pytest.mark.parametrize("part", ["plain", "following", "image"])
def test_a_small_difference_anywhere_is_a_complaint(reference: Reference, part: str) -> None:
    answer = getattr(reference, part)
    other = dataclasses.replace(reference, **{part: answer * (1 + 2 * MAX_ERROR)})
    assert "differ from PyTorch" in complaint(*compiled(), other, BOUNDS)


def test_one_wrong_row_counts_whole(reference: Reference) -> None:
    output = reference.plain.clone()
    output[3] = output[4]
    assert distance(output, reference.plain) > 0.1


def test_not_a_number_is_infinitely_far(reference: Reference) -> None:
    output = reference.plain.clone()
    output[0, 0, 0, 0] = float("nan")
    assert distance(output, reference.plain) == float("inf")


class Instant:
    """Answers the reference's rows without computing."""

    def __init__(self, answers: torch.Tensor) -> None:
        self._answers = answers

    def denoise(self, rows: Rows) -> torch.Tensor:
        return self._answers[: len(rows.latents)]


def test_what_is_not_faster_than_torch_is_rejected(reference: Reference) -> None:
    tiny = exported("sdxl")
    model = dataclasses.replace(tiny.model, denoiser=Instant(reference.plain))
    with pytest.raises(PlanRejected, match="not clearly faster"):
        choose(plan(), ["float32"], {"float32": model}, reference, tiny.graphs)


def test_time_saved_by_some_rows_counts_unless_others_take_longer() -> None:
    assert gain({2: 1.0, 8: 4.0}, {2: 0.7, 8: 3.8}) == pytest.approx((0.3 + 0.05) / 2)
    assert gain({2: 1.0, 8: 4.0}, {2: 0.5, 8: 4.4}) == pytest.approx(-0.1)


def test_graphs_of_other_weights_are_rejected(reference: Reference) -> None:
    tiny = exported("sdxl")
    other = dataclasses.replace(reference, plain=reference.plain.roll(1, 0))
    with pytest.raises(PlanRejected, match="differ from PyTorch"):
        choose(plan(), ["float32"], {"float32": tiny.model}, other, tiny.graphs)


def build(model: Model, cache: PlanCache, **options: object) -> Model:
    return build_openvino(
        model,
        folder=exported("sdxl").folder,
        cache_dir=cache.folder,
        sizes=[(HEIGHT, WIDTH)],
        **options,  # type: ignore[arg-type]
    )


def test_a_model_built_draws_as_torch_does(cache: PlanCache, reference: Reference) -> None:
    model = exported("sdxl").model
    said: list[str] = []
    built = build(model, cache, report=said.append, precision="float32")
    assert (built.backend, built.precision) == ("openvino", "float32")
    assert built.plan_sizes == {(HEIGHT, WIDTH)}
    assert not built.takes_loras
    assert distance(built.denoiser.denoise(reference.rows_following), reference.following) < 1e-4
    assert said[-1] == "compiling"
    assert not list(cache.folder.glob(".*"))
    again: list[str] = []
    build(model, cache, report=again.append, precision="float32")
    assert again == ["compiling"]


def test_a_plan_computes_in_the_precision_that_was_asked_for(
    kept: PlanCache, reference: Reference
) -> None:
    model = exported("sdxl").model
    card = dataclasses.replace(model.card, sizes=((HEIGHT, WIDTH),), default_size=(HEIGHT, WIDTH))
    loose = {"rows": 1.0, "image": 1.0}
    for asked, chosen in (("auto", "bfloat16"), ("float32", "float32")):
        path = kept.folder.parent / "reference.safetensors"
        write_reference(reference, path)
        kept.save(plan(precision=asked), {"precision": chosen, "bounds": loose}, path)
        planner = Planner(
            dataclasses.replace(model, card=card),
            folder=exported("sdxl").folder,
            cache_dir=kept.folder,
            controlnets={},
            on_offer=lambda: None,
            precision=asked,
        )
        assert planner.build().precision == chosen


def test_a_backend_in_half_precision_does_not_stand_in_for_float32() -> None:
    pytest.importorskip("tensorrt_rtx")
    model = dataclasses.replace(exported("sdxl").model, device="cuda")
    assert not Planner.serves_in(model, "float32")
    assert Planner.serves_in(model, "auto")
    assert Planner.serves_in(exported("sdxl").model, "float32")


def test_plans_of_other_sizes_are_kept_while_one_is_tried(
    kept: PlanCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("studio.engine.plans.MAX_CACHE_BYTES", 0)  # graphs of gigabytes each
    with pytest.raises(PlanRejected):
        build_openvino(
            exported("sdxl").model,
            folder=tmp_path / "gone",
            cache_dir=kept.folder,
            sizes=[(HEIGHT, WIDTH), (HEIGHT, 2 * WIDTH)],
        )
    assert kept.load(plan()) is not None


def test_giving_it_up_stops_the_work_at_once(cache: PlanCache) -> None:
    started = time.monotonic()
    with pytest.raises(PlanRejected, match="closing"):
        build(exported("sdxl").model, cache, is_cancelled=lambda: True)
    assert time.monotonic() - started < 5
    assert not list(cache.folder.glob(".*"))


def test_a_model_that_cannot_be_read_again_is_a_rejection(cache: PlanCache, tmp_path: Path) -> None:
    with pytest.raises(PlanRejected, match="could not be made"):
        build_openvino(
            exported("sdxl").model,
            folder=tmp_path / "nowhere",
            cache_dir=cache.folder,
            sizes=[(HEIGHT, WIDTH)],
        )


def test_a_controlnet_that_is_not_among_the_graphs_is_refused(kept: PlanCache) -> None:
    model = dataclasses.replace(
        exported("sdxl").model, control_kinds=frozenset({"canny", "dreams"})
    )
    with pytest.raises(PlanRejected, match="dreams"):
        build(model, kept)


def test_another_device_is_refused(cache: PlanCache) -> None:
    with pytest.raises(PlanRejected, match="processors only"):
        build(dataclasses.replace(exported("sdxl").model, device="cuda"), cache)


def test_errors_are_told_by_part(reference: Reference) -> None:
    assert errors(*compiled(), reference).keys() == BOUNDS.keys()
