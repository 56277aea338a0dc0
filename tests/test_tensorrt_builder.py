"""The real TensorRT-RTX compiles graphs strongly typed, for cards that are not here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from studio.engine import tensorrt_library
from studio.engine.plans import PlanRejected
from studio.engine.tensorrt_builder import PROFILES, build
from studio.engine.tensorrt_library import CAPABILITIES, Target, target_elsewhere
from studio.errors import SetupError


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer in half precision over rows, its input and output float32, as we export them."""
    weight = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["sample"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "weight"], ["product"]),
        helper.make_node("Relu", ["product"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["out_sample"], to=TensorProto.FLOAT),
    ]
    made = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("sample", TensorProto.FLOAT, ["rows", 16])],
        [helper.make_tensor_value_info("out_sample", TensorProto.FLOAT, ["rows", 8])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path_factory.mktemp("graph") / "layer.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


@pytest.fixture(scope="module")
def target() -> Target:
    return target_elsewhere("8.9")


def test_a_plan_is_built_without_a_card_and_tells_how_far_it_is(
    graph: Path, target: Target, tmp_path: Path
) -> None:
    said: list[str] = []
    plan = build(
        graph, target, PROFILES, timing_cache=tmp_path / "timing.cache", report=said.append
    )
    assert len(plan) > 1000
    assert said[0] == "compiling layer"


@pytest.mark.parametrize("capability", ["8.6", "12.0"])
def test_cards_of_other_generations_are_built_for(graph: Path, capability: str) -> None:
    assert len(build(graph, target_elsewhere(capability), PROFILES[:1])) > 1000


def test_a_build_that_is_given_up_is_a_rejection(graph: Path, target: Target) -> None:
    with pytest.raises(PlanRejected, match="closing"):
        build(graph, target, PROFILES, is_cancelled=lambda: True)


def test_a_file_that_is_no_graph_is_a_rejection(target: Target, tmp_path: Path) -> None:
    (tmp_path / "wrong.onnx").write_bytes(b"nothing")
    with pytest.raises(PlanRejected, match=r"cannot read wrong\.onnx"):
        build(tmp_path / "wrong.onnx", target, ())


def test_every_number_of_rows_lies_in_one_profile() -> None:
    places = [n for low, _, high in PROFILES for n in range(low, high + 1)]
    assert places == list(range(1, 33))
    assert all(low <= best <= high for low, best, high in PROFILES)


def test_every_capability_offered_is_one_the_library_knows() -> None:
    known = tensorrt_library.load("tensorrt_rtx").ComputeCapability
    assert all(hasattr(known, Target("", "", one).processor.upper()) for one in CAPABILITIES)


@pytest.mark.parametrize(
    ("capability", "flavour", "said"),
    [("9.0", "tensorrt_rtx", "choose one of"), ("8.9", "tensorrt", "only on the card")],
)
def test_what_cannot_be_built_elsewhere_is_said(capability: str, flavour: str, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        target_elsewhere(capability, flavour)
