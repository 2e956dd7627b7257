import argparse
import math

import keras
import numpy as np
import pytest

from benchmarks import jang_table1
from tests.benchmarks import mnist


def run(folder, *arguments):
    return jang_table1.main(
        ["--mnist", mnist.write(folder), "--out", str(folder / "out.json")]
        + ["--state", str(folder / "state"), "--batch", "5", "--every", "2"]
        + ["--samples", "7", "--no-xla", *arguments]
    )


@pytest.mark.slow
def test_a_run_is_recorded_and_its_figure_is_of_the_test_images(
    tmp_path, capsys
):
    arguments = ["--tasks", "sbn-bernoulli", "--estimators", "sf"]
    arguments += ["--steps", "3", "--test-images"]
    entry = run(tmp_path, *arguments, "4")["runs"][
        "sbn-bernoulli/sf/sgd 0.001/seed 0"
    ]
    assert entry["results"]["test_images"] == 4
    # Nothing learned yet: 392 pixels of noise at probability one half.
    assert entry["results"]["test"] == pytest.approx(392 * math.log(2), 0.2)
    assert entry["evaluations"] == 1
    assert "min left" in capsys.readouterr().out
    more = run(tmp_path, *arguments, "6")["runs"].popitem()[1]
    assert more["results"]["test_images"] == 6
    assert more["curve"] == entry["curve"]


@pytest.mark.exhaustive
def test_all_estimators_of_a_task(tmp_path):
    found = run(
        tmp_path,
        *["--tasks", "vae-bernoulli", "vae-categorical"],
        *["--estimators", "muprop", "annealed_st", "disarm"],
        *["--steps", "2", "--test-images", "2", "--optimizer", "adam"],
    )
    cells = {(r["task"], r["estimator"]) for r in found["runs"].values()}
    assert cells == {
        ("vae-bernoulli", "muprop"),
        ("vae-bernoulli", "annealed_st"),
        ("vae-bernoulli", "disarm"),
        ("vae-categorical", "muprop"),
        ("vae-categorical", "annealed_st"),
    }


def test_halves_of_the_images():
    images = np.arange(2 * 784).reshape(2, 784)
    above, below = jang_table1.halves(
        jang_table1.TASKS["sbn-bernoulli"], images
    )
    np.testing.assert_array_equal(np.hstack([above, below]), images)
    assert above.shape == (2, 392)
    same, again = jang_table1.halves(jang_table1.TASKS["vae-bernoulli"], images)
    assert same is images and again is images


def test_the_last_steps_are_done_at_a_tenth_of_the_rate():
    options = argparse.Namespace(optimizer="sgd", steps=10, finish=2)
    optimizer = jang_table1.optimizer(options, 0.03)
    rates = []
    for step in range(options.steps):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.03] * 8 + [0.003] * 2)


def test_temperature_follows_the_paper():
    annealing = jang_table1.schedule("gumbel_softmax", "vae")
    assert float(annealing(0)) == 1.0
    assert float(annealing(1499)) == pytest.approx(math.exp(-0.1))
    assert float(annealing(10_000)) == 0.5
    assert jang_table1.schedule("gumbel_softmax", "sbn") is None
    assert jang_table1.schedule("annealed_st", "sbn") is not None
    assert isinstance(
        annealing, keras.optimizers.schedules.LearningRateSchedule
    )
