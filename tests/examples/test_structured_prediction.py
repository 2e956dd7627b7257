"""Halves are predicted, by a bound that agrees with a plain mean."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

structured_prediction = load("structured_prediction")
pytestmark = pytest.mark.usefixtures("without_xla")


def test_bound_is_the_log_of_a_mean_of_likelihoods():
    random = np.random.default_rng(0)
    lower = random.integers(2, size=(3, 32)).astype("float32")
    logits = random.normal(size=(3, 4, 32)).astype("float32")

    on = 1 / (1 + np.exp(-logits.astype("float64")))
    p = np.where(lower[:, None] == 1, on, 1 - on).prod(axis=-1)

    np.testing.assert_allclose(
        structured_prediction.bound(lower, logits),
        -np.log(p.mean(axis=1)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("training", [True, False])
def test_bits_make_the_answers_differ(training):
    """One bit, two answers; no bits, one."""
    keras.utils.set_random_seed(0)
    upper = np.random.default_rng(0).integers(2, size=(3, 32))
    for bits, answers in ((1, 2), (0, 1)):
        network = structured_prediction.Network(bits, 32, "reinmax")
        several = network.model(40)(upper.astype("float32"), training=training)
        for image in np.round(np.array(several), 5):
            assert len(np.unique(image, axis=0)) == answers


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    found = structured_prediction.main(
        [
            f"--out={tmp_path}",
            "--epochs=6",
            "--hidden=32",
            "--bits=8",
            "--samples=5",
            "--test-samples=20",
        ]
    )
    assert list(found) == ["no bits", "1 sample", "5 samples"]
    # 32 fair coins have 22.2 nats.
    assert all(value < 14 for value in found.values())
    assert found["5 samples"] < found["1 sample"]
    printed = capsys.readouterr().out
    assert all(f"{value:.2f}" in printed for value in found.values())
    assert (tmp_path / "halves.png").stat().st_size > 10_000
