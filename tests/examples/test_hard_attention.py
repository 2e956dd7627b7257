"""Readers learn where to look, and the windows are what they claim to be."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

hard_attention = load("hard_attention")
pytestmark = pytest.mark.usefixtures("without_xla")


def test_windows_are_squares_at_every_place():
    windows = hard_attention.make_windows(2).reshape(-1, 8, 8)
    assert windows.shape == (49, 8, 8)
    assert set(windows.sum(axis=(1, 2))) == {4.0}
    assert len({window.tobytes() for window in windows}) == 49
    np.testing.assert_array_equal(
        np.argwhere(windows[8]), [[1, 1], [1, 2], [2, 1], [2, 2]]
    )


def test_pixels_are_seen_in_the_windows_alone():
    pixels = np.arange(64, dtype="float32")[None] + 1.0
    mask = hard_attention.make_windows(2)[[8]]
    state = np.array(hard_attention.with_mask(pixels, mask))
    np.testing.assert_array_equal(state[:, :64] != 0, mask == 1)
    np.testing.assert_array_equal(state[:, 64:], mask)


@pytest.mark.parametrize("look", ["reinforce", "straight-through", "fixed"])
def test_one_window_is_looked_at_in_training_and_after(look):
    """By the fixed reader at the same places in every image."""
    keras.utils.set_random_seed(0)
    args = hard_attention.parse(["--glimpses=2", "--hidden=16"])
    _, glances = hard_attention.make_reader(look, args)
    images = np.random.default_rng(0).random((64, 8, 8), dtype="float32")
    # A `ReinforceSampler` is trained by `fit` alone.
    for training in (look != "reinforce", False):
        places = np.array(glances(9.0 * images, training=training))
        assert places.shape == (64, 2, 49)
        np.testing.assert_allclose(np.max(places, axis=-1), 1, rtol=1e-5)
        np.testing.assert_allclose(np.sum(places, axis=-1), 1, rtol=1e-5)
    assert (hard_attention.routes(places) == 1) == (look == "fixed")


@pytest.mark.slow
def test_a_short_run_learns_to_read(tmp_path, capsys):
    found = hard_attention.main(
        [
            f"--out={tmp_path}",
            "--readers",
            "straight-through",
            "random",
            "--glimpses=2",
            "--epochs=5",
            "--hidden=64",
            "--passes=2",
        ]
    )
    assert list(found) == ["straight-through", "random"]
    printed = capsys.readouterr().out
    assert all(f"{value:.3f}" in printed for value in found.values())
    assert found["random"] > 0.15
    assert found["straight-through"] > found["random"] + 0.05
    assert (tmp_path / "attention.png").stat().st_size > 10_000


@pytest.mark.exhaustive
def test_reinforce_moves_policy_and_classifier():
    args = hard_attention.parse(["--glimpses=2", "--hidden=8", "--epochs=1"])
    digits = hard_attention.Digits(
        np.ones((50, 8, 8), "float32"), np.zeros(50, "int32")
    )
    reader, glances = hard_attention.make_reader("reinforce", args)
    for name in ("policy", "classifier"):
        bias = reader.get_layer(name).layers[-1].bias
        assert not np.any(bias)
    hard_attention.fit(reader, digits, args)
    for name in ("policy", "classifier"):
        bias = reader.get_layer(name).layers[-1].bias
        assert np.all(bias)
    assert glances(digits.images).shape == (50, 2, 49)
