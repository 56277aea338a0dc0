"""Products of bytes are those of the rounded values, by a card's rules, on any shape."""

from __future__ import annotations

import pytest
import torch

from studio.engine import ceiling
from studio.engine.one_byte import (
    Product,
    fp8_product,
    fp8_product_by_rows,
    int8_product,
    product_for,
    products,
    proof_error,
    proven,
)
from studio.engine.quantized import QuantizedLinear, multiply_bytes
from studio.engine.reference import distance
from tests.card_rules import CardRules

PRODUCTS: list[tuple[str, Product]] = [
    ("int8", int8_product),
    ("fp8", fp8_product),
    ("fp8", fp8_product_by_rows),
]
SHAPES = {
    "SDXL's self-attention": ((2, 1024, 640), 640),
    "SDXL's feed-forward": ((1, 256, 1280), 10240),
    "SDXL's text": ((2, 77, 2048), 1280),
    "fewer rows than a product takes": ((3, 64), 32),
    "one row": ((1, 64), 32),
    "odd sides": ((2, 21, 52), 44),
    "pruned": ((40, 264), 72),
}


def layer(form: str, num_in: int, num_out: int, *, has_bias: bool = True) -> QuantizedLinear:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(num_out, num_in, generator=generator) / num_in**0.5
    made = QuantizedLinear(form, num_in, num_out, has_bias=has_bias)
    smoothing = torch.linspace(0.5, 2, num_in)
    made.fill(
        weight,
        torch.randn(num_out, generator=generator) if has_bias else None,
        weight_peak=weight.abs().amax(1),
        input_peak=6.0,
        smoothing=smoothing if form == "int8" else None,
    )
    return made


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("form", "product"), PRODUCTS)
def test_a_layer_that_multiplies_bytes_gives_what_rounded_values_give(
    form: str, product: Product, shape: str
) -> None:
    size, num_out = SHAPES[shape]
    made = layer(form, size[-1], num_out)
    x = torch.randn(size, generator=torch.Generator().manual_seed(1))
    wanted = made(x)
    made.product = product
    with CardRules() as rules:
        found = made(x)
    assert rules.num_calls == 1
    assert found.shape == wanted.shape
    assert distance(found.reshape(1, -1), wanted.reshape(1, -1)) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("form", "product"), PRODUCTS)
def test_half_precision_goes_in_and_comes_out(
    form: str, product: Product, dtype: torch.dtype
) -> None:
    made = layer(form, 640, 320).to(dtype)
    x = torch.randn(64, 640, generator=torch.Generator().manual_seed(1)).to(dtype)
    wanted = layer(form, 640, 320)(x.float())
    made.product = product
    with CardRules():
        found = made(x)
    assert found.dtype == dtype
    # What a half-precision factor of smoothing moves over to the next whole number.
    assert distance(found[None].float(), wanted[None]) < 0.01


@torch.no_grad()
@pytest.mark.parametrize(("form", "product"), PRODUCTS)
def test_a_layer_without_bias_multiplies_bytes_too(form: str, product: Product) -> None:
    made = layer(form, 64, 32, has_bias=False)
    x = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    wanted = made(x)
    made.product = product
    assert distance(made(x)[None], wanted[None]) < 1e-4


@pytest.mark.parametrize(
    ("form", "capability", "wanted"),
    [
        ("int8", (7, 0), ()),
        ("int8", (7, 5), (int8_product,)),
        ("int8", (9, 0), (int8_product,)),
        ("fp8", (8, 6), ()),
        ("fp8", (8, 9), (fp8_product_by_rows, fp8_product)),
        ("fp8", (12, 0), (fp8_product_by_rows, fp8_product)),
    ],
)
def test_the_compute_capability_decides(
    form: str, capability: tuple[int, int], wanted: tuple[Product, ...]
) -> None:
    assert products(form, capability) == wanted


@pytest.mark.parametrize(("form", "product"), PRODUCTS)
def test_a_right_product_is_proven(form: str, product: Product) -> None:
    assert proof_error(product, form, "cpu", torch.bfloat16) < 0.005
    assert proven([product], form, "cpu", torch.float32) is product


def test_what_fails_or_is_wrong_gives_way_to_the_next() -> None:
    def failing(*_: object) -> torch.Tensor:
        raise RuntimeError("no kernel for this card")

    def wrong(*values: torch.Tensor | torch.dtype | None) -> torch.Tensor:
        return 2 * int8_product(*values)  # type: ignore[arg-type]

    candidates = [failing, wrong, int8_product]
    assert proven(candidates, "int8", "cpu", torch.float32) is int8_product
    assert proven(candidates[:2], "int8", "cpu", torch.float32) is None


def test_a_processor_computes_with_rounded_values() -> None:
    assert product_for("int8", "cpu", torch.float32) is None
    made = torch.nn.Sequential(layer("int8", 32, 16))
    multiply_bytes(made, "cpu", torch.float32)
    assert made[0].product is None


@torch.no_grad()
def test_operations_of_products_of_bytes_are_counted() -> None:
    made = layer("int8", 64, 32)
    made.product = int8_product
    with ceiling.counting() as counter:
        made(torch.randn(40, 64))
    assert counter.get_total_flops() == 2 * 40 * 64 * 32
