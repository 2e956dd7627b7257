"""The retina sees what it looks at, and readers learn."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

recurrent_attention = load("recurrent_attention")
pytestmark = pytest.mark.usefixtures("without_xla")


def test_digits_lie_anywhere_and_whole():
    images = np.ones((200, 8, 8), "float32")
    fields = recurrent_attention.place(images, 12, np.random.default_rng(0))
    np.testing.assert_array_equal(fields.sum(axis=(1, 2)), 64)
    rows, columns = (fields.max(axis).argmax(-1) for axis in (2, 1))
    assert set(rows) == set(columns) == set(range(5))
    assert len(set(zip(rows, columns, strict=True))) == 25


def test_a_sharp_patch_is_a_cut_and_a_blurred_one_a_mean():
    field = np.random.default_rng(0).random((1, 24, 24)).astype("float32")
    row, column = 10, 7
    point = np.array([[2 * row / 23 - 1, 2 * column / 23 - 1]], "float32")
    patches = np.array(recurrent_attention.Retina(5)(field, point))[0]
    sharp, blurred = patches.reshape(2, 5, 5)
    expected = field[0, row - 2 : row + 3, column - 2 : column + 3]
    np.testing.assert_allclose(sharp, expected, atol=1e-5)
    weights = np.maximum(0, 1 - np.abs(np.arange(-6, 7)) / 6) / 6
    around = field[0, row - 6 : row + 7, column - 6 : column + 7]
    np.testing.assert_allclose(
        blurred[2, 2], weights @ around @ weights, rtol=1e-4
    )


def test_outside_of_the_field_nothing_is_seen():
    field = np.ones((1, 24, 24), "float32")
    corner = np.array([[-1.0, -1.0]], "float32")
    sharp = np.array(recurrent_attention.Retina(5)(field, corner))[0, :25]
    expected = np.zeros((5, 5))
    expected[2:, 2:] = 1.0
    np.testing.assert_allclose(sharp.reshape(5, 5), expected, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", ["fixed", "random"])
def test_points_of_those_that_do_not_see(name):
    keras.utils.set_random_seed(0)
    args = recurrent_attention.parse(["--hidden=8", "--glimpses=2"])
    _, paths = recurrent_attention.make_reader(name, args)
    fields = np.random.default_rng(0).random((300, 32, 32), dtype="float32")
    points = paths.predict(fields, verbose=0)
    assert points.shape == (300, 2, 2)
    spread = points.std(axis=0)
    if name == "fixed":
        np.testing.assert_allclose(spread, 0.0, atol=1e-6)
    else:
        assert spread.min() > 0.35 and spread.max() < 0.6
        assert np.abs(points.mean(axis=0)).max() < 0.15


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["reinforce", "pathwise"])
def test_points_are_learned(name):
    keras.utils.set_random_seed(0)
    options = ["--hidden=8", "--glimpses=2", "--epochs=1"]
    args = recurrent_attention.parse(options)
    images = np.ones((100, 8, 8), "float32")
    labels = np.arange(100) % 2
    data = recurrent_attention.Data(images, labels, images, labels)
    reader, paths = recurrent_attention.make_reader(name, args)
    fields = recurrent_attention.place(images, 32, np.random.default_rng(1))
    np.testing.assert_allclose(paths.predict(fields, verbose=0), 0.0, atol=1e-6)
    recurrent_attention.fit(reader, data, args)
    assert np.ptp(paths.predict(fields, verbose=0), axis=0)[1].min() > 1e-5


@pytest.mark.exhaustive
def test_a_short_run(tmp_path, capsys):
    found = recurrent_attention.main(
        [
            f"--out={tmp_path}",
            "--epochs=1",
            "--hidden=16",
            "--readers",
            "reinforce",
        ]
    )
    assert list(found) == ["reinforce"]
    assert f"{found['reinforce']:.3f}" in capsys.readouterr().out
    assert (tmp_path / "glimpses.png").stat().st_size > 10_000
