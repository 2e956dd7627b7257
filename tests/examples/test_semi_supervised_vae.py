"""Labels are inferred, from as many known ones as asked for."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

semi_supervised_vae = load("semi_supervised_vae")
pytestmark = pytest.mark.usefixtures("without_xla")


def test_labels_are_even_over_classes_and_apart_from_the_rest():
    data = semi_supervised_vae.load_data(100, seed=1)
    np.testing.assert_array_equal(np.bincount(data.labels), [10] * 10)
    assert len(data.labelled) == 100 and len(data.test) == 300
    assert len(data.unlabelled) == 1797 - 400
    other = semi_supervised_vae.load_data(100, seed=2)
    np.testing.assert_array_equal(other.test, data.test)
    assert not np.array_equal(other.labelled, data.labelled)


@pytest.fixture
def parts():
    """A classifier, and a decoder that says nothing: each pixel is a coin."""
    keras.utils.set_random_seed(0)
    parts = semi_supervised_vae.Parts(hidden=8, latents=2)
    for model in (parts.encoder, parts.decoder):
        for weight in model.layers[-1].weights:
            weight.assign(np.zeros(weight.shape))
    return parts


@pytest.mark.parametrize("way", ["exact", "nvil", "gumbel_softmax"])
def test_cost_is_that_of_a_pair(way, parts):
    """64 coins, twice; the label known, and the entropy of the inferred."""
    random = np.random.default_rng(0)
    known, unknown = random.random((2, 5, 64), dtype="float32")
    labels = np.array([3, 1, 4, 1, 5], "int32")

    model = semi_supervised_vae.make_vae(parts, way, alpha=7.0)
    cost = model((known, labels, unknown), training=True)

    q = np.array(keras.ops.softmax(parts.classifier(known)))
    cross_entropy = -np.log(q[np.arange(5), labels])
    q = np.array(keras.ops.softmax(parts.classifier(unknown)))
    entropy = -np.sum(q * np.log(q), axis=1)
    one = 64 * np.log(2) + np.log(10)
    np.testing.assert_allclose(
        cost, 2 * one + 7.0 * cross_entropy - entropy, rtol=1e-5
    )


def test_bound_of_a_label_is_that_by_definition(parts):
    """With q(z|x, y) = N(μ, σ²) for all, and z unheard."""
    mean, log_variance = np.array([0.5, -1.0]), np.array([-1.0, 0.3])
    parts.encoder.layers[-1].bias.assign([*mean, *log_variance])
    logits = np.random.default_rng(1).normal(size=64)
    parts.decoder.layers[-1].bias.assign(logits)
    x = np.random.default_rng(2).integers(2, size=(3, 64)).astype("float32")

    found = parts.bound(np.eye(10, dtype="float32")[:3], x)

    p = 1 / (1 + np.exp(-logits))
    likelihood = np.where(x == 1, p, 1 - p).prod(axis=1)
    variance = np.exp(log_variance)
    kl = 0.5 * np.sum(mean**2 + variance - 1 - log_variance)
    expected = -np.log(likelihood) + kl + np.log(10)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_a_short_run_learns(tmp_path, capsys):
    found = semi_supervised_vae.main(
        [
            f"--out={tmp_path}",
            "--ways",
            "labels alone",
            "exact",
            "--labels=50",
            "--runs=1",
            "--epochs=10",
            "--hidden=64",
            "--latents=4",
        ]
    )
    assert list(found) == ["labels alone", "exact"]
    assert 0.6 < found["labels alone"] < found["exact"]
    printed = capsys.readouterr().out
    assert all(f"{value:.3f}" in printed for value in found.values())
    assert (tmp_path / "styles.png").stat().st_size > 10_000
