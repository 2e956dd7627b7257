"""Both forms of the bound agree, and it is the likelihood where z is idle."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

example = load("hierarchical_vae")
pytestmark = pytest.mark.usefixtures("without_xla")

TINY = ["--variables", "2", "3", "--hidden", "8"]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 2, (4, 64)).astype("float32")
DATA = example.Data(IMAGES, np.array([0, 3, 3, 9]))


def built(name):
    keras.utils.set_random_seed(0)
    vae = example.VAE(example.parse(TINY), name)
    vae(tuple(DATA))
    return vae


@pytest.mark.full
@pytest.mark.parametrize("name", example.RUNS)
def test_divergences_in_closed_form_are_those_of_samples(name):
    """E log w is the ELBO that is trained on; free bits aside."""
    vae = built(name)
    vae.kl_upper.free_bits = 0.0
    for weight in vae.weights:
        if "seed" not in weight.path and "embeddings" not in weight.path:
            weight.assign(RANDOM.normal(0, 0.2, weight.shape))
    vae.p_upper.set_weights([RANDOM.normal(0, 0.5, (10, 4))])
    x, y = (np.repeat(part, 5000, axis=0) for part in DATA)

    logits = vae((x, y))
    closed = example.cross_entropy(x, logits) + sum(vae.losses)
    sampled = vae.negative_log_weight(x, y)

    spread = np.std(closed) + np.std(sampled)
    error = spread / np.sqrt(len(x))
    assert abs(np.mean(closed) - np.mean(sampled)) < 5 * error
    assert error < 0.01 * np.mean(closed)


@pytest.mark.full
@pytest.mark.parametrize("name", example.RUNS)
def test_the_bound_is_the_likelihood_where_z_says_nothing(name):
    vae = built(name)
    for weight in vae.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    logits = RANDOM.normal(size=64).astype("float32")
    vae.p_pixels.layers[-1].bias.assign(logits)

    score = example.evaluate(vae, DATA, 20)

    exact = (IMAGES * logits - np.log1p(np.exp(logits))).sum(axis=1)
    assert score.bound == pytest.approx(exact.mean(), rel=1e-5)
    assert score.upper == score.lower == 0.0


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    scores = example.main(
        [
            f"--out={tmp_path}",
            "--epochs=8",
            "--learning-rate=0.01",
            "--test-samples=50",
            *("--runs", "hierarchy", "free_bits"),
            *("--hidden", "32"),
        ]
    )
    assert list(scores) == ["hierarchy", "free_bits"]
    # Pixels of one half everywhere would have -44.4 nats.
    assert all(-30 < score.bound < -13 for score in scores.values())
    # Four variables with half a nat each for free.
    assert scores["free_bits"].upper > 1.5 > scores["hierarchy"].upper
    printed = capsys.readouterr().out
    assert all(f"{score.bound:.2f}" in printed for score in scores.values())
    assert (tmp_path / "hierarchy.png").stat().st_size > 10_000
