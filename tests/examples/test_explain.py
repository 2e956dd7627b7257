"""Exactly k pixels are chosen, and they are those that f looks at."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

explain = load("explain")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.fixture(scope="module")
def data():
    """The digit is which of ten pixels is bright; all others are noise."""
    random = np.random.default_rng(0)
    y = random.integers(10, size=400)
    x = random.uniform(0.0, 0.5, size=(400, 64)).astype("float32")
    x[np.arange(400), 5 * y] = 1.0
    return explain.Data(x[:300], y[:300], x[300:], y[300:])


@pytest.fixture(scope="module")
def classifier(data):
    keras.utils.set_random_seed(0)
    f = explain.make_classifier(data, explain.parse(["--hidden=64"]))
    right = np.argmax(f.predict(data.x_test, verbose=0), -1) == data.y_test
    assert right.mean() > 0.9
    return f


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", explain.WAYS)
def test_the_bright_pixel_explains_the_answer(way, data, classifier):
    keras.utils.set_random_seed(1)
    options = ["--k=2", "--hidden=32", "--epochs=40", "--learning-rate=0.005"]
    chooser, reader = explain.explain(
        classifier, way, data, explain.parse(options)
    )
    z = chooser.predict(explain.inputs(classifier, data.x_test), verbose=0)
    np.testing.assert_array_equal(z.sum(axis=1), 2)
    assert set(np.unique(z)) == {0.0, 1.0}
    answers = np.argmax(classifier.predict(data.x_test, verbose=0), -1)
    share = explain.agreement(reader, data.x_test * z, answers)
    # In so few steps the relaxed top k has learned little.
    least = {"gradient": 0.6, "subset": 0.35}.get(way, 0.0)
    assert share >= least
    assert share < 0.3 or way != "random"


def test_slopes_are_those_of_finite_differences(data, classifier):
    x = data.x_test[:2]
    _, slope = explain.inputs(classifier, x)
    answer = np.argmax(classifier(x), axis=-1)
    for pixel in (0, 5, 33):
        moved = [x.copy(), x.copy()]
        moved[0][:, pixel] -= 0.01
        moved[1][:, pixel] += 0.01
        less, more = (
            np.log(np.array(classifier(m)))[[0, 1], answer] for m in moved
        )
        expected = np.abs(x[:, pixel] * (more - less) / 0.02)
        np.testing.assert_allclose(
            slope[:, pixel], expected, rtol=0.05, atol=2e-3
        )


@pytest.mark.exhaustive
def test_a_short_run(tmp_path, capsys):
    scores = explain.main(
        [f"--out={tmp_path}", "--epochs=2", "--ways", "subset", "random"]
    )
    assert list(scores) == ["subset", "random"]
    assert scores["subset"].reader > scores["random"].reader
    assert f"{scores['subset'].reader:.3f}" in capsys.readouterr().out
    assert (tmp_path / "explained.png").stat().st_size > 10_000
