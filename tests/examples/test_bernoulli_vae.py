"""The Bernoulli VAE trains through the sample and past it."""

import keras
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
    certain = keras.Sequential([keras.layers.Lambda(lambda x: 50.0 * x)])
    told = bernoulli_vae.information(certain, np.eye(2, dtype="float32"))
    np.testing.assert_allclose(told, 0.5 * np.log(2), rtol=1e-5)


@pytest.mark.parametrize("name", ["gumbel_softmax", "nvil", "disarm"])
def test_cost_and_divergence_are_the_bound(name):
    """Of a decoder to which all codes are one."""
    keras.utils.set_random_seed(0)
    encoder = bernoulli_vae.make_encoder(hidden=8, bits=5)
    decoder = bernoulli_vae.make_decoder(bits=5)
    logits = np.random.default_rng(0).normal(size=64)
    decoder.layers[-1].set_weights([np.zeros((5, 64)), logits])
    x = np.random.default_rng(1).integers(2, size=(3, 64)).astype("float32")

    model = bernoulli_vae.make_vae(encoder, decoder, name)
    cost = model(x, training=True)

    p = 1 / (1 + np.exp(-logits))
    likelihood = np.where(x == 1, p, 1 - p).prod(axis=1)
    np.testing.assert_allclose(cost, -np.log(likelihood), rtol=1e-5)
    q = 1 / (1 + np.exp(-np.array(encoder(x), "float64")))
    divergence = q * np.log(2 * q) + (1 - q) * np.log(2 * (1 - q))
    (added,) = model.losses
    np.testing.assert_allclose(added, divergence.sum(axis=1).mean(), rtol=1e-5)
