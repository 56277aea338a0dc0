"""The measures of `studio evaluate` as mathematics: pictures and numbers with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from studio.evaluate.adherence import adherence, widened
from studio.evaluate.ciede2000 import ciede2000, lab_of
from studio.evaluate.color_error import eroded, errors, masked_color, named_colors
from studio.evaluate.distribution import distance
from studio.evaluate.frechet import Gaussian, fit, frechet_distance
from studio.evaluate.intervals import (
    binomial_tail,
    mean,
    median,
    paired_difference,
    share,
    wilson,
)
from studio.evaluate.memorizing import nearest, nearest_test, thumbnails

# Sharma, Wu, Dalal 2005, table 1: L*, a*, b* of two colours, and their difference.
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_ciede2000_gives_the_differences_that_sharma_published() -> None:
    table = np.array([line.split() for line in SHARMA.split("\n") if line], float)
    assert len(table) == 34
    found = ciede2000(table[:, :3], table[:, 3:6])
    assert np.abs(found - table[:, 6]).max() < 5.1e-5


def test_ciede2000_does_not_mind_the_order() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.uniform([0, -60, -60], [100, 60, 60], (2, 200, 3))
    assert np.allclose(ciede2000(one, other), ciede2000(other, one))
    assert not ciede2000(one, one).any()


def test_white_black_and_red_have_their_published_lab_values() -> None:
    colors = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    assert np.allclose(lab_of(colors), expected, atol=0.02)
    assert np.allclose(lab_of(colors / 255), lab_of(colors))


def test_the_frechet_distance_of_gaussians_without_correlations_has_a_closed_form() -> None:
    generator = np.random.default_rng(1)
    (m1, m2), (s1, s2) = generator.normal(size=(2, 6)), generator.uniform(0.5, 2, (2, 6))
    one, other = Gaussian(m1, np.diag(s1**2), 10), Gaussian(m2, np.diag(s2**2), 10)
    expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    assert math.isclose(frechet_distance(one, other), expected, rel_tol=1e-9)


def test_the_frechet_distance_is_that_of_the_root_of_the_product_of_covariances() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=(2, 40, 4)) @ generator.normal(size=(4, 4))
    one, other = fit(a), fit(b + 1)
    eigenvalues = np.linalg.eigvals(one.covariance @ other.covariance)
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    expected = ((one.mean - other.mean) ** 2).sum() + traces - 2 * np.sqrt(eigenvalues).real.sum()
    assert math.isclose(frechet_distance(one, other), expected, rel_tol=1e-6)


def test_a_cloud_is_at_no_distance_from_itself_even_where_its_covariance_is_singular() -> None:
    flat = np.zeros((10, 5))
    flat[:, 0] = np.arange(10)
    assert frechet_distance(fit(flat), fit(flat)) < 1e-9


def test_as_many_held_out_renders_as_pictures_say_what_no_difference_reads_as() -> None:
    generator = np.random.default_rng(3)
    renders = generator.normal(size=(300, 4))
    same, other = generator.normal(size=(60, 4)), generator.normal(2.0, 1.0, size=(60, 4))
    near, far = (distance(drawn, fit(renders), renders, 0) for drawn in (same, other))
    assert near.renders == far.renders
    assert near.renders is not None
    assert abs(near.value - near.renders) < 0.5
    assert far.value > 10
    assert distance(other, fit(renders), None, 0).renders is None
    few = distance(other, fit(renders), renders[:80], 0)
    assert (few.num_drawn, few.num_reference, few.is_enough) == (40, 40, True)
    assert not distance(other[:4], fit(renders), renders, 0).is_enough


def test_a_line_within_three_pixels_is_followed_and_one_beyond_is_not() -> None:
    sketch = np.zeros((40, 40), bool)
    sketch[10] = True
    for off, expected in ((0, 1.0), (3, 1.0), (4, 0.0)):
        assert adherence(np.roll(sketch, off, axis=0), sketch).f1 == expected


def test_half_a_sketch_is_half_recalled_and_clutter_costs_precision() -> None:
    sketch = np.zeros((60, 60), bool)
    sketch[20] = True
    half = sketch.copy()
    half[:, 30:] = False
    found = adherence(half, sketch)
    assert found.precision == 1.0
    assert found.recall == pytest.approx(33 / 60)
    cluttered = sketch.copy()
    cluttered[50] = True
    found = adherence(cluttered, sketch)
    assert (found.precision, found.recall) == (0.5, 1.0)
    assert found.f1 == pytest.approx(2 / 3)


def test_a_picture_without_edges_follows_nothing() -> None:
    nothing, sketch = np.zeros((9, 9), bool), np.eye(9, dtype=bool)
    assert adherence(nothing, sketch).f1 == 0
    assert adherence(sketch, nothing).f1 == 0


def test_widening_is_by_a_disc() -> None:
    point = np.zeros((11, 11), bool)
    point[5, 5] = True
    wide = widened(point, 3)
    assert wide[5, 8]
    assert wide[7, 7]
    assert not wide[8, 8]
    assert wide.sum() == 29


def test_wilson_gives_its_textbook_intervals() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert share([True, False, True, True]).value == 0.75


def test_pairs_that_are_equal_differ_by_nothing_and_pairs_that_lean_one_way_do_so_surely() -> None:
    one = np.array([True, False] * 50)
    same = paired_difference(one, one)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = one.copy()
    better[1:41:2] = True
    found = paired_difference(better, one)
    assert found.value == pytest.approx(0.2)
    assert 0.1 < found.low < 0.2 < found.high < 0.3
    with pytest.raises(ValueError, match="as many"):
        paired_difference(one, one[:3])


def test_a_bootstrap_interval_is_that_of_the_normal_law_where_values_are_many() -> None:
    values = np.random.default_rng(4).normal(3, 2, 2000)
    found = mean(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
    assert median(values).value == np.median(values)
    assert math.isnan(mean([]).value)


def test_the_binomial_tail_is_exact() -> None:
    assert binomial_tail(0, 10, 0.01) == 1
    assert binomial_tail(1, 10, 0.01) == pytest.approx(1 - 0.99**10)
    assert binomial_tail(10, 10, 0.5) == pytest.approx(2**-10)


def test_a_model_that_copies_is_found_out_and_one_that_draws_is_not() -> None:
    generator = np.random.default_rng(5)
    training, strangers, drawn = (generator.normal(size=(300, 8)) for _ in range(3))
    held_out = nearest(strangers, training)
    honest = nearest_test(nearest(drawn, training), held_out)
    assert honest.is_passed
    copies = drawn.copy()
    copies[:20] = training[:20] + 1e-4
    found = nearest(copies, training)
    copied = nearest_test(found, held_out)
    assert not copied.is_passed
    assert copied.num_below >= 20
    assert copied.closest_drawn < 1e-3
    assert found.indices[:20].tolist() == list(range(20))


def test_thumbnails_are_means_over_areas() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::2] = 255
    (small,) = thumbnails([pixels])
    assert small.shape == (32 * 32 * 3,)
    assert np.allclose(small, 0.5, atol=0.01)


def test_the_colour_of_a_product_is_read_within_its_mask() -> None:
    pixels = np.full((128, 128, 3), 255, np.uint8)
    pixels[32:96, 32:96] = (200, 30, 30)
    mask = np.zeros((64, 64), bool)
    mask[15:49, 15:49] = True  # a little more than the product
    found = masked_color(pixels, mask)
    assert found is not None
    assert np.allclose(found, lab_of(np.array([200, 30, 30], np.uint8)))
    assert masked_color(pixels, np.zeros((64, 64), bool)) is None
    assert eroded(mask).sum() == 32 * 32


def test_a_named_colour_is_held_against_its_swatch_and_its_look() -> None:
    red, dark = lab_of(np.array([[200, 30, 30], [150, 20, 20]], np.uint8))
    named = named_colors(["red"], [dark], [(200 / 255, 30 / 255, 30 / 255)])
    found = errors(["red", "red", "teal"], [red, None, red], named)
    assert found["swatch"] == [pytest.approx(0.0, abs=1e-6)]
    assert found["rendered"] == [pytest.approx(float(ciede2000(red, dark)))]
