"""Plans run by TensorRT agree with torch; the library is a stand-in that keeps the contract."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.export import networks_of, read_manifest
from studio.engine.graphs import UNET, example_inputs
from studio.engine.lora import Adapters
from studio.engine.model import Model, load_model
from studio.engine.plan_process import Sources
from studio.engine.plans import PlanCache, PlanRejected
from studio.engine.reference import Reference, distance, make_reference
from studio.engine.tensorrt_denoiser import TensorRtDecoder, TensorRtDenoiser
from studio.engine.tensorrt_library import Target
from studio.engine.tensorrt_plans import build_all, build_tensorrt, plan_for, refusal
from studio.engine.tensorrt_program import Arena
from studio.errors import GenerationFailed
from studio.request import Lora
from tests import tensorrt_stand_in
from tests.exported_models import LATENT, exported
from tests.tensorrt_stand_in import BYTES_PER_ROW, Stream, write_plan
from tests.tiny_models import HEIGHT, WIDTH, write_lora, write_sdxl

CPU = torch.device("cpu")
TARGET = Target("tensorrt_rtx", "0", "8.9")


@dataclasses.dataclass
class Bench:
    """A denoiser over stand-in plans, and what it runs on."""

    denoiser: TensorRtDenoiser
    stream: Stream
    arena: Arena


def plans(folder: Path, *, refittable: bool = False, skip: tuple[str, ...] = (UNET,)) -> Path:
    """Stand-in plans of the tiny model's graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    for graph in exported("sdxl").graphs.glob("*.onnx"):
        if graph.name not in skip:
            write_plan(graph, folder / f"{graph.stem}.plan", refittable=refittable)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plans(tmp_path_factory.mktemp("plans"))


def bench(folder: Path, *, eager: bool = True, adapters: Adapters | None = None) -> Bench:
    stream, arena = Stream(eager=eager), Arena(CPU)
    manifest = read_manifest(exported("sdxl").graphs)
    assert manifest is not None
    known = manifest["parameters"]["unet_control.onnx"].items()
    denoiser = TensorRtDenoiser(
        {LATENT: folder},
        card=tensorrt_stand_in.card(stream),
        arena=arena,
        adapters=adapters,
        parameters={name: (parameter, transposed) for name, (parameter, transposed) in known},
    )
    return Bench(denoiser, stream, arena)


@pytest.fixture(scope="module")
def ready(folder: Path) -> Bench:
    return bench(folder)


def rows(num_rows: int, model: Model | None = None) -> Rows:
    model = model or exported("sdxl").model
    inputs = example_inputs(networks_of(model), model.latent_shape(HEIGHT, WIDTH), num_rows=33)
    return Rows(
        latents=inputs["sample"],
        timestep=inputs["timestep"],
        encoder_hidden_states=inputs["encoder_hidden_states"],
        text_embeds=inputs["text_embeds"],
        time_ids=inputs["time_ids"],
    ).part(0, num_rows)


def following(batch: Rows, indices: list[int]) -> Rows:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((len(indices), 3, HEIGHT, WIDTH), generator=generator)
    scales = torch.linspace(0.3, 1, len(indices))
    control = ControlRows("canny", torch.tensor(indices), images, scales)
    return dataclasses.replace(batch, controls=(control,))


def wanted(batch: Rows) -> torch.Tensor:
    return exported("sdxl").model.denoiser.denoise(batch)


@pytest.mark.parametrize("num_rows", [1, 4, 5, 17])
def test_any_number_of_rows_agrees_with_torch(ready: Bench, num_rows: int) -> None:
    assert distance(ready.denoiser.denoise(rows(num_rows)), wanted(rows(num_rows))) < 1e-3


def test_rows_that_follow_an_image_agree_with_torch(ready: Bench) -> None:
    batch = following(rows(6), [4, 0, 5])
    assert distance(ready.denoiser.denoise(batch), wanted(batch)) < 1e-3


def test_nothing_of_a_control_image_stays_for_the_next_pass(ready: Bench) -> None:
    plain = ready.denoiser.denoise(rows(3))
    ready.denoiser.denoise(following(rows(8), [0, 1, 2, 7]))
    assert torch.equal(ready.denoiser.denoise(rows(3)), plain)


def test_an_output_is_not_written_over_by_the_next_pass(ready: Bench) -> None:
    first = ready.denoiser.denoise(rows(2))
    kept = first.clone()
    ready.denoiser.denoise(rows(4).part(2, 4))
    assert torch.equal(first, kept)


def test_a_step_waits_for_nothing(folder: Path) -> None:
    lazy = bench(folder, eager=False)
    lazy.denoiser.denoise(rows(2))
    assert lazy.stream.num_runs == 0
    lazy.stream.synchronize()
    assert lazy.stream.num_runs == 1


def test_all_contexts_share_one_activation_memory(folder: Path) -> None:
    one = bench(folder)
    for num_rows in (1, 20, 2):
        one.denoiser.denoise(following(rows(num_rows), [0]))
    assert one.arena.num_bytes == 32 * BYTES_PER_ROW


class Scarce(Arena):
    """Where there is no memory for more than 16 rows."""

    def _taken(self, num_bytes: int) -> torch.Tensor:
        if num_bytes > 16 * BYTES_PER_ROW:
            raise torch.OutOfMemoryError("no memory")
        return super()._taken(num_bytes)


def test_memory_that_did_not_grow_is_taken_again_by_a_smaller_pass(folder: Path) -> None:
    stream, arena = Stream(), Scarce(CPU)
    card = tensorrt_stand_in.card(stream)
    denoiser = TensorRtDenoiser({LATENT: folder}, card=card, arena=arena)
    before = denoiser.denoise(rows(2))
    with pytest.raises(torch.OutOfMemoryError):
        denoiser.denoise(rows(20))
    assert torch.equal(denoiser.denoise(rows(2)), before)
    assert arena.num_bytes == 4 * BYTES_PER_ROW


def test_plans_of_a_size_are_read_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    broken = plans(tmp_path / "plans")
    (broken / "controlnet_canny.plan").write_text("{")
    one = bench(broken)
    with pytest.raises(GenerationFailed, match="cannot read the plan controlnet_canny"):
        one.denoiser.load(LATENT)
    assert not one.denoiser._programs[LATENT]._read


def test_the_library_is_asked_on_the_card_that_serves(folder: Path) -> None:
    """It works on the thread's current card, whatever addresses it is given."""
    stream = Stream()
    entered, asked = 0, []

    @contextlib.contextmanager
    def enter() -> Iterator[None]:
        nonlocal entered
        entered += 1
        yield
        entered -= 1

    class Watching:
        """Notes whether each call of the library comes on the card."""

        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            value = getattr(self._inner, name)
            if name in ("Runtime", "Refitter", "deserialize_cuda_engine", "execute_async_v3"):
                asked.append((name, entered > 0))
            if name in ("Runtime", "deserialize_cuda_engine", "create_execution_context"):
                return lambda *given: Watching(value(*given))
            return value

    plain = tensorrt_stand_in.card(stream)
    card = dataclasses.replace(plain, library=Watching(plain.library), entered=enter)
    denoiser = TensorRtDenoiser({LATENT: folder}, card=card, arena=Arena(CPU))
    denoiser.denoise(following(rows(2), [1]))
    assert {name for name, _ in asked} == {
        "Runtime",
        "deserialize_cuda_engine",
        "execute_async_v3",
    }
    assert all(is_on_card for _, is_on_card in asked)


def test_more_rows_than_a_profile_takes_are_refused_with_the_nearest(ready: Bench) -> None:
    with pytest.raises(GenerationFailed, match="33 rows: the nearest that one takes is 32"):
        ready.denoiser.denoise(rows(33))


def test_a_size_without_a_plan_is_refused_with_the_nearest(ready: Bench) -> None:
    wide = dataclasses.replace(rows(1), latents=torch.zeros(1, 4, 8, 16))
    with pytest.raises(GenerationFailed, match="the nearest that has one is 8 × 8"):
        ready.denoiser.denoise(wide)


def test_a_size_is_refused_at_the_door_in_pixels() -> None:
    assert refusal((64, 64), [(64, 64)]) == ""
    assert "the nearest size that it serves is 64 × 96" in refusal((64, 90), [(64, 64), (64, 96)])


def test_the_decoder_agrees_with_torch(folder: Path) -> None:
    latents = torch.randn((4, *LATENT), generator=torch.Generator().manual_seed(2))
    card = tensorrt_stand_in.card(Stream())
    decoder = TensorRtDecoder({LATENT: folder}, card=card, arena=Arena(CPU))
    torchs = exported("sdxl").model.decoder.decode(latents).astype(int)
    assert abs(decoder.decode(latents).astype(int) - torchs).max() <= 1


def test_adapters_are_refused_where_weights_cannot_be_changed(ready: Bench) -> None:
    with pytest.raises(GenerationFailed, match="draw with PyTorch"):
        ready.denoiser.denoise(dataclasses.replace(rows(1), loras=(Lora(name="glossy"),)))


def test_a_refit_draws_as_torch_does_with_the_adapter(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "glossy.safetensors", "sdxl")
    model = load_model(exported("sdxl").folder, precision="float32", loras={"glossy": file})
    torchs = model.denoiser
    refitted = bench(plans(tmp_path / "plans", refittable=True), adapters=torchs.adapters)  # type: ignore[attr-defined]
    assert refitted.denoiser.can_refit(LATENT)
    for loras in ((Lora(name="glossy", weight=0.7),), (), (Lora(name="glossy", weight=-0.3),)):
        batch = dataclasses.replace(following(rows(3), [1]), loras=loras)
        assert distance(refitted.denoiser.denoise(batch), torchs.denoise(batch)) < 1e-3
    with_it = refitted.denoiser.denoise(dataclasses.replace(rows(2), loras=(Lora(name="glossy"),)))
    assert distance(with_it, wanted(rows(2))) > 1e-2


def build(cache: Path, stream: Stream, model: Model | None = None) -> Model:
    tiny = exported("sdxl")
    return build_tensorrt(
        model or tiny.model,
        folder=tiny.folder,
        cache_dir=cache,
        sizes=[(HEIGHT, WIDTH)],
        target=TARGET,
        card=tensorrt_stand_in.card(stream),
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache with plans of the tiny model in it."""
    cache = PlanCache(tmp_path / "cache")
    tiny = exported("sdxl")
    plan = plan_for(
        digest=tiny.model.digest,
        family="sdxl",
        size=(HEIGHT, WIDTH),
        target=TARGET,
        precision="float16",
    )
    made = plans(tmp_path / "made")
    facts = {"precision": "float16", "parameters": {}, "seconds": {}}
    cache.save(plan, facts, *sorted(made.iterdir()))
    return cache.folder


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(exported("sdxl").model, HEIGHT, WIDTH)


def test_a_model_whose_plans_are_kept_serves_at_once(kept: Path, reference: Reference) -> None:
    built = build(kept, Stream())
    assert (built.backend, built.precision) == ("tensorrt", "float16")
    assert built.plan_sizes == {(HEIGHT, WIDTH)}
    assert built.most_rows == 32
    assert not built.takes_loras
    assert distance(built.denoiser.denoise(reference.rows_following), reference.following) < 1e-3


def test_plans_that_serve_are_not_pruned(kept: Path) -> None:
    built = build(kept, Stream())
    assert PlanCache(kept).prune([], max_bytes=0) == []
    del built
    assert len(PlanCache(kept).prune([], max_bytes=0)) == 1


def test_plans_of_other_weights_never_serve(kept: Path, tmp_path: Path) -> None:
    other = load_model(write_sdxl(tmp_path / "other", True, seed=9), precision="float32")
    with pytest.raises(PlanRejected, match="differ from PyTorch"):
        build(kept, Stream(), dataclasses.replace(other, digest=exported("sdxl").model.digest))


@pytest.mark.parametrize("makes_room", [False, True])
def test_only_a_studio_that_serves_makes_room_for_its_plans(
    makes_room: bool, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.engine.plans.MAX_CACHE_BYTES", 0)  # plans of gigabytes each
    cache = PlanCache(kept)
    (old,) = [entry.plan for entry in cache.entries()]
    new = dataclasses.replace(old, processor="sm120")
    with pytest.raises(PlanRejected, match="could not be made"):
        build_all([new], Sources(tmp_path / "gone"), cache, makes_room=makes_room)
    assert (cache.load(old) is None) == makes_room
