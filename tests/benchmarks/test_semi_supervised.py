import math

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import semi_supervised
from tests.benchmarks.runs import run, run_on_images


def test_marginal_bound_is_the_mean_over_labels():
    model = semi_supervised.Model(3, style=2, widths=(2, 2, 2))
    images = tf.constant(np.random.default_rng(1).random((2, 784)), tf.float32)
    logits = model.label_logits(images)[:, 0]
    q = tf.nn.softmax(logits).numpy()
    seed = tf.constant([1, 2], tf.int64)
    found = model.bound(
        semi_supervised.make_estimator("exact", 3), images, seed
    )
    styles = semi_supervised.random.split(seed, 2)[1]
    labels = tf.repeat(tf.eye(3), 2, axis=0)  # Row 2 y + i is image i.
    costs = tf.reshape(model.cost(images, labels, styles), [3, 2]).numpy()
    expected = np.sum(q.T * (costs + np.log(q.T)), axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_labelled_images_are_ten_of_each_class():
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    rows = semi_supervised.choose_labelled(labels)
    assert len(set(rows)) == 100
    assert np.all(np.bincount(labels[rows]) == 10)


def test_temperature_of_a_run_falls_to_a_half():
    model = semi_supervised.Model(3, style=2, widths=(2, 2, 2))
    estimator = semi_supervised.make_estimator("st_gumbel", 3)
    annealing = semi_supervised.schedules.ExponentialAnnealing(
        0.5, 1.0, minimum=0.5
    )
    loss = semi_supervised.make_loss(model, estimator, 0, annealing)
    images = tf.zeros([2, 784], tf.uint8)
    loss([images, tf.constant([0, 1]), images], tf.constant(0, tf.int64))
    assert float(estimator.temperature) == 0.5


@pytest.mark.exhaustive
def test_training_and_timing_share_a_file(tmp_path):
    small = ["--batch", "10", "--widths", "2", "2", "2"]
    how = ["--steps", "2", "--every", "1", "--temperature", "0.5", *small]
    names = ["--estimators", "exact", "st_gumbel"]
    sizes = {"train": 300, "test": 500}
    made = semi_supervised, tmp_path
    found = run_on_images(*made, "train", *how, *names, **sizes)
    entry = found["train/st_gumbel/seed 0/temperature 0.5"]
    assert "--temperature 0.5" in entry["command"]
    results = entry["results"]
    assert results["test"] == pytest.approx(784 * math.log(2), 0.1)
    assert 0.0 <= results["accuracy"] <= 1.0
    timing = ["timing", "--classes", "5", "--repeats", "1"]
    found = run(*made, *timing, *small)["runs"]
    times = found["timing/5 classes"]["times"]
    assert set(times) == {"exact", "gumbel_softmax", "st_gumbel"}
    assert "train/exact/seed 0" in found
