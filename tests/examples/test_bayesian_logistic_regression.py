"""The logistic regression trains, and its bound is the right one."""

import csv
import re

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.examples.loading import load
from tests.helpers.statistics import assert_mean

example = load("bayesian_logistic_regression")

MEAN = np.random.default_rng(1).normal(0.0, 0.3, 31)
LOG_VARIANCE = np.random.default_rng(2).normal(-2.0, 0.3, 31)


@pytest.mark.slow
def test_example(tmp_path, capsys):
    returned = example.main(
        ["--steps=100", "--samples=4", "--learning-rate=0.1"]
        + ["--every=50", "--draws=10", f"--out={tmp_path}"]
    )

    printed = capsys.readouterr().out
    best = float(re.search(r"optimum +(\S+)", printed)[1])
    for name, evaluations in (
        ("pathwise", 4),
        ("measure_valued", 4 * (1 + 4 * 31)),
        ("rloo", 4),
    ):
        found = re.search(rf"{name} +(\d+) +(\S+) +(\S+)%", printed)
        assert int(found[1]) == evaluations
        assert float(found[2]) == pytest.approx(returned[name], abs=0.01)
        assert returned[name] < best
        assert float(found[3]) > 90.0
    # From -1010; the score function learns more slowly.
    for name in ("pathwise", "measure_valued"):
        assert max(best - 40.0, returned["rloo"]) < returned[name]
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == 3 * [0, 50, 100]
    assert all(float(row["elbo"]) > -1100 for row in rows)
    assert all(float(row["variance_mean"]) > 0 for row in rows)
    assert (tmp_path / "training.png").stat().st_size


@pytest.fixture(scope="module")
def few():
    """The first 40 tumours."""
    train, _ = example.load_data()
    return example.Data(train.x[:40], train.y[:40])


def test_bound_by_quadrature_is_that_by_sampling(few):
    bound = example.exact_elbo(
        tf.constant(MEAN), tf.constant(LOG_VARIANCE), few
    )
    stddev = np.exp(LOG_VARIANCE / 2)
    noise = np.random.default_rng(3).normal(size=(100_000, 31))
    samples = MEAN + stddev * noise
    cost = example.make_cost(*few, 40)
    # log p(y|w) + log p(w) - log q(w): no closed form of the KL divergence.
    log_ratio = -0.5 * samples**2 + 0.5 * noise**2 + np.log(stddev)
    values = log_ratio.sum(axis=1) - cost(tf.constant(samples, tf.float32))
    assert_mean(values, float(bound), 0.01 * abs(float(bound)))


@pytest.mark.parametrize(
    ("name", "draws"),
    [("pathwise", 400), ("measure_valued", 400), ("rloo", 10_000)],
)
def test_gradients_average_to_that_of_the_bound(name, draws, few):
    posterior = [tf.constant(part, tf.float32) for part in (MEAN, LOG_VARIANCE)]
    with tf.GradientTape() as tape:
        tape.watch(posterior)
        kl = example.kl_to_prior(*posterior)
        expected_cost = -example.exact_elbo(*posterior, few) - kl
    exact = tape.gradient(expected_cost, posterior)
    rows = tuple(tf.repeat(part[None], draws, axis=0) for part in posterior)
    estimator = tg.estimators.get(name, distribution="gaussian", samples=8)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        cost = estimator(example.make_cost(*few, 40), rows, [1, 2])
    found = tape.gradient(cost, rows)
    # Gradients in log σ² are small, 5 standard errors a good part of them.
    for gradient, expected, share in zip(found, exact, (0.1, 0.6), strict=True):
        assert_mean(gradient, expected, share * np.abs(expected).max())
