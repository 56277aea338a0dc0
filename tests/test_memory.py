"""What a pass takes is known before it is taken; what can never fit is refused at the door."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config, draft_model_dir
from studio.engine.denoiser import ControlRows, Rows
from studio.engine.dry_run import weights_bytes
from studio.engine.gaussian import gaussian_model
from studio.engine.layout import check_folder
from studio.engine.live_bytes import LiveBytes
from studio.engine.manager import LoadModel
from studio.engine.memory import (
    SCRATCH,
    check_fits,
    estimate,
    free_memory,
    is_out_of_memory,
    most_rows,
    release,
    total_memory,
)
from studio.engine.model import Model, load_model
from studio.errors import BadInput
from studio.model_card import ModelCard
from studio.request import Control, Request
from tests.conftest import WAIT_SECONDS
from tests.tiny_models import Family, write_model

TOLERANCE = 0.20
NUM_ROWS = 3

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(scope="module")
def draft() -> Model:
    return load_model(draft_model_dir(), precision="float32")


@pytest.fixture(scope="module", params=["sdxl", "sd15"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    family: Family = request.param
    folder = write_model(tmp_path_factory.mktemp(family), family, controlnet=True)
    return load_model(folder, precision="float32")


def rows(model: Model, num_rows: int, size: tuple[int, int], controlled: bool = False) -> Rows:
    height, width = size
    embedding = model.encoder.encode("a red mug")
    controls = ControlRows(
        kind="canny",
        indices=torch.arange(num_rows, device=model.device),
        images=torch.zeros((num_rows, 3, height, width), device=model.device),
        scales=torch.ones(num_rows, device=model.device),
    )
    return Rows(
        latents=torch.zeros((num_rows, *model.latent_shape(height, width)), device=model.device),
        timestep=torch.full((num_rows,), 500.0, device=model.device),
        encoder_hidden_states=embedding.hidden_states.expand(num_rows, -1, -1).clone(),
        text_embeds=embedding.pooled.expand(num_rows, -1).clone(),
        time_ids=torch.zeros((num_rows, 6), device=model.device),
        controls=(controls,) if controlled else (),
    )


def counted_pass(model: Model, num_rows: int, size: tuple[int, int], controlled: bool) -> int:
    """The peak on real tensors, inputs included."""
    with LiveBytes() as live:
        model.denoiser.denoise(rows(model, num_rows, size, controlled))
    return live.peak_bytes


def request(model: Model, size: tuple[int, int], control: Control | None = None) -> Request:
    return Request(
        prompt="a red mug",
        height=size[0],
        width=size[1],
        num_steps=2,
        guidance_scale=2.0,
        seed=0,
        model=model.card.name,
        control=control,
    )


def test_a_pass_of_the_draft_model_is_estimated_as_it_is_counted(draft: Model) -> None:
    for size in draft.card.sizes:
        expected = counted_pass(draft, NUM_ROWS, size, False)
        assert estimate(draft, *size, num_rows=NUM_ROWS).denoise_bytes == pytest.approx(
            expected, rel=TOLERANCE
        )


def test_decoding_of_the_draft_model_is_estimated_as_it_is_counted(draft: Model) -> None:
    size = draft.card.default_size
    with LiveBytes() as live:
        draft.decoder.decode(torch.zeros(draft.latent_shape(*size)))
    decode_bytes = estimate(draft, *size, num_rows=1).decode_bytes
    assert decode_bytes == pytest.approx(live.peak_bytes, rel=TOLERANCE)


@pytest.mark.parametrize("controlled", [False, True], ids=["plain", "controlled"])
def test_a_pass_of_either_family_is_estimated_as_it_is_counted(
    tiny: Model, controlled: bool
) -> None:
    expected = counted_pass(tiny, NUM_ROWS, (64, 96), controlled)
    control_rows = NUM_ROWS if controlled else 0
    ours = estimate(tiny, 64, 96, num_rows=NUM_ROWS, num_control_rows=control_rows)
    assert ours.denoise_bytes == pytest.approx(expected, rel=TOLERANCE)


def test_a_control_image_costs_memory(tiny: Model) -> None:
    plain = estimate(tiny, 64, 64, num_rows=2)
    controlled = estimate(tiny, 64, 64, num_rows=2, num_control_rows=1)
    assert controlled.denoise_bytes > plain.denoise_bytes
    assert controlled.state_bytes > plain.state_bytes


def test_less_precision_takes_less_memory(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path, "sdxl"), precision="float32")
    precise = estimate(model, 64, 64, num_rows=2)
    coarse = estimate(model.in_precision("bfloat16"), 64, 64, num_rows=2)
    assert coarse.denoise_bytes < precise.denoise_bytes
    assert coarse.decode_bytes < precise.decode_bytes
    assert coarse.weights_bytes < precise.weights_bytes


def test_an_estimate_neither_runs_nor_changes_the_networks(draft: Model) -> None:
    unet = draft.modules[0]
    places = {name: tensor.data_ptr() for name, tensor in unet.state_dict().items()}
    called: list[object] = []
    with unet.register_forward_pre_hook(lambda *_: called.append(1)):
        estimate(draft, 192, 64, num_rows=2)
    assert {name: tensor.data_ptr() for name, tensor in unet.state_dict().items()} == places
    assert not called


def test_an_estimate_takes_none_of_what_it_counts(draft: Model) -> None:
    with LiveBytes() as live:
        estimate(draft, 8 * 128, 8 * 128, num_rows=2)
    on_the_processor = 100 * 2**20
    assert live.live_bytes < on_the_processor


def test_a_size_is_counted_once(draft: Model) -> None:
    estimate(draft, 64, 192, num_rows=2)
    started = time.perf_counter()
    for num_rows in range(1, 50):
        estimate(draft, 64, 192, num_rows=num_rows)
        most_rows(draft, 64, 192, 10**9)
    assert time.perf_counter() - started < 1.0


def test_the_most_rows_fit_with_scratch_space_and_one_more_does_not(draft: Model) -> None:
    size, budget = draft.card.default_size, 100 * 2**20
    num_rows = most_rows(draft, *size, budget)
    fitting, beyond = (estimate(draft, *size, num_rows=num_rows + more) for more in (0, 1))
    assert SCRATCH * (fitting.denoise_bytes + fitting.state_bytes) <= budget
    assert SCRATCH * (beyond.denoise_bytes + beyond.state_bytes) > budget


def test_no_row_fits_into_nothing(draft: Model) -> None:
    assert most_rows(draft, *draft.card.default_size, 0) == 0


def test_a_model_without_networks_has_estimates_too() -> None:
    model = gaussian_model()
    assert estimate(model, 64, 64, num_rows=4).weights_bytes == 0
    assert most_rows(model, 64, 64, 10**9) > 4


def test_weights_are_counted_with_the_text_encoders_and_controlnets(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path, "sdxl", controlnet=True), precision="float32")
    on_disk = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    assert weights_bytes(model) == pytest.approx(on_disk, rel=0.05)


def test_a_request_that_fits_is_let_in(draft: Model) -> None:
    check_fits(draft, request(draft, draft.card.default_size))


def test_a_request_that_can_never_fit_is_refused_with_a_size_that_can(draft: Model) -> None:
    default = estimate(draft, *draft.card.default_size, num_rows=1)
    total = default.weights_bytes + default.working_bytes
    with pytest.raises(BadInput, match=r"1024 × 1024 needs .* GB .* choose 256 × 256 or smaller"):
        check_fits(draft, request(draft, (1024, 1024)), total_bytes=total)


def test_where_nothing_fits_a_larger_device_is_asked_for(draft: Model) -> None:
    with pytest.raises(BadInput, match="a device with more memory"):
        check_fits(draft, request(draft, draft.card.default_size), total_bytes=10**6)


def test_a_control_image_counts_at_the_door(tiny: Model) -> None:
    plain = estimate(tiny, 64, 64, num_rows=1)
    total = plain.weights_bytes + plain.working_bytes
    check_fits(tiny, request(tiny, (64, 64)), total_bytes=total)
    with pytest.raises(BadInput):
        check_fits(tiny, request(tiny, (64, 64), Control(image_digest="0")), total_bytes=total)


def test_a_studio_refuses_at_its_door_what_can_never_fit(tmp_path: Path) -> None:
    huge = 2**17
    folder = write_model(tmp_path / "model", "sdxl")
    card = dataclasses.replace(
        check_folder(folder), is_closed_world=True, sizes=((64, 64), (huge, huge))
    )
    config = Config(data_dir=tmp_path / "data", model=folder, precision="float32", max_rows=2)
    with Studio.open(config, card=card, load=_loader_of(folder, card)) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        with pytest.raises(BadInput, match="choose 64 × 64 or smaller"):
            studio.submit(Brief(subject="mug", size=f"{huge}x{huge}"))
        assert studio.num_active() == 0


def _loader_of(folder: Path, card: ModelCard) -> LoadModel:
    def load(precision: str, report: Callable[[str], None]) -> Model:
        return dataclasses.replace(load_model(folder, precision=precision), card=card)

    return load


def test_the_processor_has_memory_and_less_of_it_is_free() -> None:
    assert 0 < free_memory("cpu") <= total_memory("cpu")


def test_an_allocation_the_processor_refuses_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Exception from src/inference/src/cpp/core.cpp: std::bad_alloc"),
    ],
)
def test_out_of_memory_has_several_names(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("not enough memory")])
def test_other_errors_are_not_out_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_live_bytes_forget_what_is_gone_and_views_are_free() -> None:
    with LiveBytes() as live:
        first = torch.zeros(100)
        second = first + 1
        view = second.view(10, 10).T
        assert live.live_bytes == 800
        del first
        assert live.live_bytes == 400
        del second
        assert live.live_bytes == 400
        del view
    assert (live.live_bytes, live.peak_bytes) == (0, 800)


def test_releasing_is_harmless_without_a_device() -> None:
    release("cpu")


@needs_cuda
def test_a_pass_on_a_cuda_device_takes_what_was_estimated() -> None:
    model = load_model(draft_model_dir(), precision="float16", device="cuda")
    inputs = dataclasses.replace(rows(model, 8, (256, 256)))
    model.denoiser.denoise(inputs)  # libraries take their scratch space the first time
    release(model.device)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    model.denoiser.denoise(inputs)
    taken = torch.cuda.max_memory_allocated() - before
    given = sum(
        tensor.nbytes for tensor in vars(inputs).values() if isinstance(tensor, torch.Tensor)
    )
    expected = estimate(model, 256, 256, num_rows=8).denoise_bytes - given
    assert taken == pytest.approx(expected, rel=TOLERANCE)


@needs_cuda
def test_memory_torch_keeps_for_itself_counts_as_free() -> None:
    tensor = torch.zeros(2**28, dtype=torch.uint8, device="cuda")
    taken = free_memory("cuda")
    del tensor
    assert free_memory("cuda") - taken >= 2**27
