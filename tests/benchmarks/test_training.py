"""Runs go on where they stopped, and see all data."""

import argparse
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import _mnist
from benchmarks._training import Trainer, train
from tfgumbel import estimators
from tfgumbel.diagnostics.estimates import step_seed

pytestmark = pytest.mark.full


def make_trainer():
    """Nvil on a quadratic: weights, optimizer state and running statistics."""
    keras.utils.set_random_seed(4)
    logits = keras.Variable(np.zeros([1, 3], "float32"))
    nvil = estimators.get("nvil", distribution="bernoulli")
    with tf.init_scope():
        nvil.build((4, 3), (4, 3))

    def loss(batch, step):
        rows = tf.repeat(logits[:], 4, axis=0)
        cost = nvil(
            lambda z: tf.reduce_sum((z - batch) ** 2, axis=1),
            rows,
            step_seed(1, step),
        )
        return tf.reduce_mean(cost)

    data = np.random.default_rng(2).random((8, 3)).astype("float32")
    feed = _mnist.feed([data], 4, seed=3)
    groups = [
        (keras.optimizers.Adam(0.1), [logits]),
        (keras.optimizers.Adam(0.1), nvil.trainable_variables),
    ]
    others = nvil.non_trainable_variables
    return Trainer(loss, lambda i: feed(i)[0], groups, others, xla=False)


def run(folder, steps, final=lambda curve: {"figure": 1.0}):
    options = argparse.Namespace(steps=steps, every=2, state=folder / "state")
    options.out = folder / "out.json"
    options.command = "python -m benchmarks.example"
    return train(
        make_trainer(),
        "a run",
        {"seed": 1},
        options,
        lambda: {"validation": 2.0},
        final,
    )


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Runs of 4 + 3 steps and of 7 steps, and their folders."""
    two, one = (tmp_path_factory.mktemp(name) for name in ("two", "one"))
    run(two, 4)
    return run(two, 7), run(one, 7), two


def test_an_interrupted_run_is_the_uninterrupted_one(interrupted):
    resumed, whole, _ = interrupted
    assert resumed["curve"] == whole["curve"]
    assert whole["curve"]["step"] == [2, 4, 6, 7]
    assert len(set(whole["curve"]["train"])) == 4


def test_a_finished_run_is_not_done_again(interrupted, capsys):
    _, _, folder = interrupted
    written = (folder / "out.json").read_text()
    run(folder, 7, final=None)
    assert capsys.readouterr().out == ""
    assert (folder / "out.json").read_text() == written


def test_record_says_what_it_was_made_with(interrupted):
    _, _, folder = interrupted
    entry = json.loads((folder / "out.json").read_text())["runs"]["a run"]
    assert entry["command"] == "python -m benchmarks.example"
    assert entry["steps"] == 7 and entry["seed"] == 1
    assert entry["results"] == {"figure": 1.0}
    assert entry["environment"]["cpu"]
    assert entry["environment"]["versions"]["tensorflow"] == tf.__version__
    assert entry["timed_steps"] > 0


def test_a_run_that_moved_says_where_it_began(tmp_path):
    run(tmp_path, 3)
    path = tmp_path / "out.json"
    report = json.loads(path.read_text())
    report["runs"]["a run"]["environment"]["cpu"] = "another"
    path.write_text(json.dumps(report))
    entry = run(tmp_path, 5)
    (earlier,) = entry["earlier"]
    assert earlier["steps"] == 3
    assert earlier["environment"]["cpu"] == "another"
    assert "earlier" not in run(tmp_path / "other", 5)


def test_an_epoch_takes_every_row_once_in_another_order():
    rows = _mnist.batches(12, 4, seed=5)
    taken = [rows(tf.constant(i, tf.int64)).numpy() for i in range(6)]
    first, second = np.concatenate(taken[:3]), np.concatenate(taken[3:])
    np.testing.assert_array_equal(np.sort(first), np.arange(12))
    np.testing.assert_array_equal(np.sort(second), np.arange(12))
    assert not np.array_equal(first, second)


def test_binarised_pixels_follow_their_grey_levels():
    levels = np.array([0, 64, 128, 255], "uint8")
    images = np.tile(levels, (40_000, 1))
    pixels = _mnist.binarize(images)
    rate = levels / 255.0
    error = np.sqrt(rate * (1 - rate) / len(images))
    assert np.all(np.abs(pixels.mean(axis=0) - rate) <= 5 * error)
    np.testing.assert_array_equal(pixels, _mnist.binarize(images))
    assert np.any(pixels != _mnist.binarize(images, seed=2))
