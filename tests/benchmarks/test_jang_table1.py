import argparse
import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import _networks, jang_table1
from tests.benchmarks.runs import run_on_images

TASKS = ("vae-bernoulli", "vae-categorical")
ESTIMATORS = ("muprop", "annealed_st", "disarm")


def run(folder, *arguments):
    few = ["--batch", "5", "--every", "2", "--samples", "7", "--no-xla"]
    return run_on_images(jang_table1, folder, *few, *arguments)


@pytest.mark.slow
def test_a_run_is_recorded_and_its_figure_is_of_the_test_images(
    tmp_path, capsys
):
    arguments = ["--tasks", "sbn-bernoulli", "--estimators", "sf"]
    arguments += ["--steps", "3", "--test-images"]
    runs = run(tmp_path, *arguments, "4")
    entry = runs["sbn-bernoulli/sf/sgd 0.001/seed 0"]
    assert entry["results"]["test_images"] == 4
    # Nothing learned yet: 392 pixels of noise at probability one half.
    assert entry["results"]["test"] == pytest.approx(392 * math.log(2), 0.2)
    assert entry["evaluations"] == 1
    assert "min left" in capsys.readouterr().out
    more = run(tmp_path, *arguments, "6").popitem()[1]
    assert more["results"]["test_images"] == 6
    assert more["curve"] == entry["curve"]


@pytest.mark.exhaustive
def test_all_estimators_of_a_task(tmp_path):
    found = run(
        tmp_path,
        *["--tasks", *TASKS, "--estimators", *ESTIMATORS],
        *["--steps", "2", "--test-images", "2", "--optimizer", "adam"],
    )
    cells = {(r["task"], r["estimator"]) for r in found.values()}
    assert cells == set(itertools.product(TASKS, ESTIMATORS))


def test_halves_of_the_images():
    images = np.arange(2 * 784).reshape(2, 784)
    halves, tasks = jang_table1.halves, jang_table1.TASKS
    above, below = halves(tasks["sbn-bernoulli"], images)
    np.testing.assert_array_equal(np.hstack([above, below]), images)
    assert above.shape == (2, 392)
    same, again = halves(tasks["vae-bernoulli"], images)
    assert same is images and again is images


def test_the_last_steps_are_done_at_a_tenth_of_the_rate():
    options = argparse.Namespace(
        optimizer="sgd", learning_rate=0.03, steps=10, finish=2
    )
    optimizer = jang_table1.optimizer(options)
    rates = []
    for step in range(options.steps):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.03] * 8 + [0.003] * 2)


def test_temperature_follows_the_paper():
    annealing = jang_table1.schedule("gumbel_softmax", "vae", 1e-4)
    assert float(annealing(0)) == 1.0
    assert float(annealing(1499)) == pytest.approx(math.exp(-0.1))
    assert float(annealing(10_000)) == 0.5
    assert jang_table1.schedule("gumbel_softmax", "sbn", 1e-4) is None
    assert jang_table1.schedule("annealed_st", "sbn", 1e-4) is not None
    assert isinstance(
        annealing, keras.optimizers.schedules.LearningRateSchedule
    )


@pytest.mark.parametrize(
    ("label", "slope", "temperature"),
    [("annealed_st", 2.0, 1.0), ("annealed_st_backward", 1.0, 0.5)],
)
def test_annealed_st_is_steeper_in_the_sample_too(label, slope, temperature):
    network = _networks.Network(4, [(2,), (2,)], 4, "bernoulli")
    nodes = jang_table1.make_nodes(label, network)
    anneal = jang_table1.make_annealing(label, "sbn", 1e-4, network, nodes)
    anneal(tf.constant(10_000, tf.int64))
    assert float(network.slope) == pytest.approx(slope)
    for node in nodes:
        assert float(node.temperature) == pytest.approx(temperature)
    assert jang_table1.make_annealing("st", "vae", 1e-4, network, nodes) is None


@pytest.mark.full
def test_another_annealing_is_another_run(tmp_path):
    found = run(
        tmp_path,
        *["--tasks", "sbn-bernoulli", "--estimators", "st", "annealed_st"],
        *["--steps", "1", "--test-images", "0", "--annealing", "1e-5"],
    )
    assert found.keys() == {
        "sbn-bernoulli/annealed_st/sgd 0.001/annealed by 1e-05/seed 0",
        "sbn-bernoulli/st/sgd 0.001/seed 0",
    }
    assert all("--annealing 1e-05" in run["command"] for run in found.values())
