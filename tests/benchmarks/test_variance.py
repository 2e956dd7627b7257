import numpy as np
import pytest
import tensorflow as tf

from benchmarks import variance
from tests.benchmarks.runs import run_on_images
from tfgumbel import estimators, random


def run(folder, *arguments):
    few = ["--steps", "4", "--every", "2", "--hidden", "8", "--variables", "6"]
    few += ["--batch", "10", "--draws", "3", "--images", "20", "--no-xla"]
    return run_on_images(variance, folder, *few, *arguments, train=120)


@pytest.mark.parametrize("name", variance.ESTIMATORS)
def test_an_estimator_makes_as_many_evaluations_as_it_says(name):
    for evaluations in (2, 3, 4):
        made = variance.make(name, evaluations)
        if made is None:
            assert name in ("disarm", "arms", "unordered_set")
        else:
            assert made.evaluations == evaluations and made.unbiased


@pytest.mark.full
def test_the_variance_is_that_of_the_gradient():
    vae = variance.Vae([8], 6)
    reinforce = estimators.get("reinforce", distribution="bernoulli")
    images = tf.constant(np.eye(3, 784, dtype="float32"))
    found = variance.variance(vae, reinforce, images, 4000, xla=False)()
    # f times the score, with samples of our own.
    logits = tf.tile(vae.encoder(images), [4000, 1])
    z = random.bernoulli(logits, [5, 6])
    cost = vae.cost_fn(tf.tile(images, [4000, 1]), logits)(z)
    gradient = cost[:, None] * (z - tf.sigmoid(logits))
    each = np.reshape(gradient, [4000, 3, 6]).var(axis=0, ddof=1)
    np.testing.assert_allclose(found, each.sum() / 3, rtol=0.05)


def test_the_cost_is_the_negative_bound_at_a_sample():
    vae = variance.Vae([8], 2)
    images = tf.constant(np.eye(1, 784, dtype="float32"))
    logits = vae.encoder(images)
    z = tf.constant([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    cost = vae.cost_fn(images, logits)(z)
    p = tf.sigmoid(logits)
    q = tf.reduce_prod(z * p + (1.0 - z) * (1.0 - p), axis=1)
    pixels = tf.sigmoid(vae.decoder(z))
    likelihood = tf.math.log(images * pixels + (1.0 - images) * (1.0 - pixels))
    joint = tf.reduce_sum(likelihood, axis=1) + np.log(0.25)
    np.testing.assert_allclose(cost, tf.math.log(q) - joint, rtol=1e-4)


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(tmp_path):
    choice = ["--estimators", "double_cv", "--evaluations", "2"]
    found = run(tmp_path, *choice)
    (entry,) = found.values()
    assert entry["curve"]["step"] == [2, 4]
    assert entry["results"]["variance"] > 0
    assert 300 < entry["results"]["test"] < 700
    assert "mnist.npz" not in entry["command"]
    assert run(tmp_path, *choice) == found
