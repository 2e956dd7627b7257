"""The example trains by each estimator, and its bound is the right one."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

example = load("importance_weighted")
pytestmark = pytest.mark.usefixtures("without_xla")

TINY = ["--latents=3", "--hidden", "16", "--samples=4", "--test-images=50"]


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    bounds = example.main(
        [
            f"--out={tmp_path}",
            "--epochs=8",
            "--learning-rate=0.01",
            *("--runs", "vae", "dreg"),
            *("--test-samples", "1", "50"),
            *TINY,
        ]
    )
    assert list(bounds) == ["vae", "dreg"]
    for one, many in bounds.values():
        # Pixels of one half everywhere would have -44.4 nats.
        assert one.value < many.value and -36 < many.value < -15
    printed = capsys.readouterr().out
    assert all(f"{many.value:.2f}" in printed for _, many in bounds.values())
    assert (tmp_path / "bounds.png").stat().st_size > 10_000


@pytest.mark.full
@pytest.mark.parametrize("samples", [1, 30])
def test_the_bound_is_the_likelihood_where_z_says_nothing(samples):
    """q is the prior, and all codes are one to the decoder."""
    keras.utils.set_random_seed(0)
    vae = example.VAE(example.parse(TINY), 64, "dreg")
    for weight in vae.model.weights:
        weight.assign(np.zeros(weight.shape))
    logits = np.random.default_rng(0).normal(size=64).astype("float32")
    vae.joint.decoder.layers[-1].bias.assign(logits)
    x = np.random.default_rng(1).binomial(1, 0.5, (120, 64)).astype("float32")

    found = vae.bound(x, samples)

    exact = (x * logits - np.log1p(np.exp(logits))).sum(axis=1)
    assert found.value == pytest.approx(exact.mean(), rel=1e-5)
    error = exact.std(ddof=1) / np.sqrt(len(x))
    assert found.error == pytest.approx(error, rel=1e-4)
