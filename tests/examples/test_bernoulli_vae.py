"""The Bernoulli VAE trains through the sample and past it."""

import numpy as np
import pytest

from tests.examples.loading import load

bernoulli_vae = load("bernoulli_vae")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    scores = bernoulli_vae.main(
        [
            f"--out={tmp_path}",
            "--estimators",
            "gumbel_softmax",
            "disarm",
            "--epochs=4",
            "--bits=40",
            "--hidden=64",
            "--samples=2",
        ]
    )
    assert list(scores) == ["gumbel_softmax", "disarm"]
    # 64 fair coins have 44.4 nats.
    assert all(score.bound < 38 for score in scores.values())
    assert all(0 < score.active <= 40 for score in scores.values())
    printed = capsys.readouterr().out
    assert all(f"{score.bound:.2f}" in printed for score in scores.values())
    assert (tmp_path / "bits.png").stat().st_size > 10_000


def test_information_is_the_divergence_of_each_bit():
    certain = bernoulli_vae.keras.Sequential(
        [bernoulli_vae.keras.layers.Lambda(lambda x: 50.0 * x)]
    )
    told = bernoulli_vae.information(certain, np.eye(2, dtype="float32"))
    np.testing.assert_allclose(told, 0.5 * np.log(2), rtol=1e-5)
