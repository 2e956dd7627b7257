"""Numbers are what their images show, and their order is learned."""

import numpy as np
import pytest

from tests.examples.loading import load

sort_digits = load("sort_digits")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def digits():
    """Images in which every pixel is a tenth of the digit."""
    labels = np.arange(10)
    pixels = np.tile(labels[:, None, None] / 10.0, (1, 8, 8))
    return sort_digits.Digits(pixels.astype("float32"), labels)


def test_numbers_are_read_from_left_to_right(digits):
    x, values = sort_digits.draw_numbers(digits, 20, np.random.default_rng(0))
    assert x.shape == (20, 8, 32, 1)
    shown = np.round(10 * x[:, 3, 4::8, 0]).astype(int)
    read = ["".join(map(str, row)) for row in shown]
    assert [int(text) for text in read] == list(values)


def test_costs_of_the_right_order_and_of_a_wrong_one():
    right = sort_digits.matrix(np.array([[7, 9, 8]]))
    np.testing.assert_array_equal(np.argmax(right[0], -1), [1, 2, 0])
    wrong = sort_digits.matrix(np.array([[8, 9, 7]]))
    for cost in (sort_digits.cross_entropy, sort_digits.misplaced):
        np.testing.assert_allclose(cost(right, right), [0.0], atol=1e-6)
    np.testing.assert_allclose(sort_digits.misplaced(right, wrong), [2 / 3])
    uniform = np.full((1, 3, 3), 1 / 3, "float32")
    loss = sort_digits.cross_entropy(right, uniform)
    np.testing.assert_allclose(loss, [np.log(3)], rtol=1e-5)


def test_an_example_is_in_order_without_a_mistake_alone():
    values = np.array([1, 2, 3, 4, 4, 5, 9, 8, 7, 0])
    scores = np.array([0.1, 0.2, 0.3, 0.5, 0.4, 0.6, 9, 7, 8, 0])
    assert sort_digits.in_order(scores, values, 3) == 2 / 3


@pytest.mark.full
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=[pytest.mark.exhaustive] * (place > 0))
        for place, way in enumerate(sort_digits.WAYS)
    ],
)
def test_a_few_steps_learn_to_order_bright_images(way, digits):
    args = sort_digits.parse(["--steps=40", "--hidden=8", "--n=3"])
    scorer = sort_digits.make_scorer((8, 32, 1), args.hidden)
    sort_digits.fit(scorer, way, digits, args)
    x, values = sort_digits.draw_numbers(digits, 600, np.random.default_rng(1))
    scores = scorer.predict(x, verbose=0)[:, 0]
    assert sort_digits.in_order(scores, values, 3) > 0.3  # 1/6 by chance


@pytest.mark.exhaustive
def test_a_short_run(tmp_path, capsys):
    found = sort_digits.main(
        [f"--out={tmp_path}", "--steps=60", "--ways", "soft_sort"]
    )
    assert list(found) == ["soft_sort"]
    assert found["soft_sort"][0] > 0.3
    assert f"{found['soft_sort'][0]:.3f}" in capsys.readouterr().out
    assert (tmp_path / "sorted.png").stat().st_size > 10_000
