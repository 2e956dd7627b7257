"""`check_layer` finds what is wrong, and accuses nobody falsely."""

import random
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.testing import faulty
from tests.testing.faulty import FAULTS, RIGHT
from tfgumbel.testing import _measure
from tfgumbel.testing._run import Finding


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_is_found_and_named(fault):
    report = tg.testing.check_layer(
        fault.make, fault.inputs, only=[fault.check], **fault.kwargs
    )
    outcome = report[fault.check]
    assert outcome.status == "fail", outcome
    assert re.search(fault.says, outcome.detail), outcome
    assert outcome.times >= fault.times, outcome
    assert outcome.advice and outcome.link.startswith("guides/own-layer/#")


# Much like others of the right ones, or rows of the table.
LIKE_OTHERS = (
    "GaussianNoise",
    "GumbelSoftmax",
    "draws-by-default",
    "hand-written",
    "kinks",
    "mixed",
    "tfp",
)


@pytest.mark.full
@pytest.mark.parametrize(
    "seed",
    [
        0,
        pytest.param(1, marks=pytest.mark.slow),
        *(pytest.param(s, marks=pytest.mark.exhaustive) for s in range(2, 5)),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.exhaustive] * (name in LIKE_OTHERS)
        )
        for name in RIGHT
    ],
)
def test_the_right_ones_pass(name, seed):
    tg.testing.check_layer(
        RIGHT[name], faulty.LOGITS, seed=seed, **faulty.OPTIONS.get(name, {})
    ).raise_if_failed()


PROBABILITIES = np.exp(faulty.LOGITS)
PROBABILITIES /= PROBABILITIES.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("layer", "inputs", "options", "passed"),
    [
        (
            faulty.Encoder,
            np.arange(6)[None].repeat(4, axis=0),
            {"only": ["training", "gradient", "graph"]},
            3,
        ),
        (
            faulty.Encoder,
            np.arange(6)[None].repeat(4, axis=0),
            {"only": ["extremes", "NaN", "gradient of the sample"]},
            0,
        ),
        (
            faulty.OfDict,
            {"logits": faulty.LOGITS},
            {"only": ["extremes", "NaN", "frequencies"]},
            3,
        ),
        (
            faulty.OfProbabilities,
            PROBABILITIES,
            {"only": ["extremes", "NaN", "frequencies"]},
            2,
        ),
        (
            faulty.OtherAxis,
            faulty.LOGITS,
            {"only": ["training", "inference", "frequencies"]},
            3,
        ),
        (
            faulty.LogisticNormal,
            faulty.LOGITS,
            {"only": ["extremes", "frequencies"], "distribution": False},
            1,
        ),
        (
            lambda: tg.ReinforceSampler("binomial", return_log_prob=True),
            None,  # counts that no check makes -30 or NaN
            {"only": ["extremes", "NaN", "gradient"]},
            3,
        ),
        (
            lambda: tg.SubsetSampler(k=None),
            (np.full(faulty.LOGITS.shape[:2], 2), faulty.LOGITS),
            {"only": ["variables", "gradient"]},
            2,
        ),
        (faulty.Nested, faulty.LOGITS, {"only": ["half precision"]}, 1),
        (faulty.Poisson, faulty.LOGITS, {"only": ["NaN"]}, 0),
        (
            faulty.Seldom,
            faulty.LOGITS,
            {"only": ["gradient"], "per_example": False},
            1,
        ),
        (
            lambda: faulty.HardForAll(hard=True),
            faulty.LOGITS,
            {"only": ["gradient of the sample"], "per_example": False},
            0,
        ),
        (
            lambda: faulty.Right(hard=True),
            np.zeros([2, 20, 20, 3], "float32"),
            {"only": ["gradient of the sample"]},
            1,
        ),
        (
            lambda: keras.layers.ConvLSTM1D(2, 2, dropout=0.3),
            np.ones([2, 3, 4, 2], "float32"),
            {"only": ["masks"]},
            0,
        ),
        (
            lambda: keras.layers.RNN(faulty.NoisyCell()),
            np.ones([2, 3, 8], "float32"),
            {"only": ["half precision"]},
            1,
        ),
        (
            keras.layers.RNN(faulty.NoisyCell()),
            np.ones([2, 3, 8], "float32"),
            {"only": ["half precision"]},
            1,
        ),
        (
            lambda: faulty.OfFunction(tf.random.normal),
            faulty.LOGITS,
            {"only": ["seeds"]},
            0,
        ),
    ],
)
def test_other_inputs_and_outputs(layer, inputs, options, passed):
    report = tg.testing.check_layer(layer, inputs, **options)
    report.raise_if_failed()
    assert sum(outcome.status == "pass" for outcome in report) == passed


def test_large_examples_are_fewer():
    rows = []

    class Seen(keras.layers.Dropout):
        def call(self, inputs, training=False):
            rows.append(inputs.shape[0] or 0)
            return super().call(inputs, training=training)

    image = np.ones([1, 64, 64, 3], "float32")
    tg.testing.check_layer(
        lambda: Seen(0.5), image, only=["calls", "examples", "layers"]
    ).raise_if_failed()
    assert 256 <= max(rows) < 1024


def test_chance_makes_the_largest_of_many_entries():
    """Of 2^17 equal ones the largest is beyond five standard errors."""
    one, other = np.random.default_rng(4).normal(size=(2, 64, 2**17))
    error = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / 64)
    assert np.max(np.abs(one.mean(0) - other.mean(0)) / error) > 5.0
    assert _measure.between_means(one, other) < 4.0
    other[:, 0] += 3.0
    assert _measure.between_means(one, other) > 10.0


def test_parameters_by_name_are_refused():
    class Sampling(keras.layers.Layer):
        def call(self, mean, log_variance):
            noise = tf.random.normal(tf.shape(mean))
            return mean + tf.exp(0.5 * log_variance) * noise

    with pytest.raises(ValueError, match="mean, scale, and there are 1"):
        tg.testing.check_layer(
            Sampling,
            faulty.LOGITS,
            arguments={"log_variance": faulty.LOGITS},
            distribution="gaussian",
        )


def test_inputs_that_hide_the_noise_are_refused():
    zeros = np.zeros([4, 5], "float32")
    with pytest.raises(ValueError, match="as zeros do under dropout"):
        tg.testing.check_layer(lambda: keras.layers.Dropout(0.5), zeros)


def test_lists_of_numbers_are_an_array():
    def make():
        return keras.layers.Dropout(0.5)

    report = tg.testing.check_layer(make, [[0.1, 0.2], [1, 2]], only="training")
    assert "shape (4, 2)" in report.raise_if_failed()["training"].detail
    with pytest.raises(ValueError, match="a batch of examples"):
        tg.testing.check_layer(make, 0.3)


def test_the_axis_of_categories_is_said():
    report = tg.testing.check_layer(
        faulty.OtherAxis, faulty.LOGITS, only="training"
    )
    assert "categories on axis 1" in report["training"].detail


def test_the_length_of_a_surrogate_gradient_is_said():
    """Its direction alone is judged."""

    class Long(faulty.Right):
        def straight_through(self, soft):
            soft *= 10.0
            return soft + tf.stop_gradient(self.harden(soft) - soft)

    (outcome,) = tg.testing.check_layer(
        lambda: Long(hard=True), faulty.LOGITS, only="gradient of the sample"
    )
    lengths = re.search(r"is (\S+) times as long", outcome.detail)
    assert 7.0 < float(lengths[1]) < 15.0, outcome


def test_keras_errors_are_plain():
    class Broken(faulty.Right):
        def noise(self, logits):
            if tf.executing_eagerly() and len(logits) > 100:
                raise ValueError("broken")
            return super().noise(logits)

    (outcome,) = tg.testing.check_layer(Broken, faulty.LOGITS, only="calls")
    assert outcome.status == "fail" and "\x1b" not in outcome.detail


def test_where_examples_mix_only_that_is_said():
    report = tg.testing.check_layer(
        faulty.Mixed, faulty.LOGITS, only=["NaN", "gradient of the sample"]
    )
    assert [o.check for o in report.failures] == ["NaN"]
    assert "per_example=False" in report["NaN"].advice


def test_what_draws_by_default_is_said():
    report = tg.testing.check_layer(
        faulty.DrawsByDefault, faulty.LOGITS, only=["inference"]
    )
    assert "without `training` it draws" in report["inference"].detail


@pytest.mark.parametrize("check", ["layer", "distribution", "estimator"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 0.5}, "`seed` must be a whole number"),
        ({"seed": -3}, "`seed` must be a whole number"),
        ({"inputs": np.zeros([0, 5], "float32")}, "must not be empty"),
        ({"inputs": np.full([4, 5], np.nan, "float32")}, "finite numbers"),
    ],
)
def test_bad_arguments_are_refused(check, arguments, message):
    subjects = {
        "layer": faulty.Right,
        "distribution": "bernoulli",
        "estimator": "rloo",
    }
    with pytest.raises(ValueError, match=message):
        getattr(tg.testing, f"check_{check}")(subjects[check], **arguments)


def with_noise(*arguments, **options):
    dense = keras.layers.Dense(*arguments, **options)
    return keras.Sequential([dense, keras.layers.GaussianNoise(0.5)])


def test_weights_follow_the_seed():
    one, other = (
        tg.testing.check_layer(
            lambda: with_noise(3), faulty.LOGITS, only="half precision"
        )
        for _ in range(2)
    )
    assert one.outcomes == other.outcomes


def test_checks_give_the_state_of_generators_back():
    states = [random.getstate(), np.random.get_state()[1].tolist()]
    tg.testing.check_layer(
        lambda: with_noise(3), faulty.LOGITS, only="training"
    ).raise_if_failed()
    assert states == [random.getstate(), np.random.get_state()[1].tolist()]


def test_a_figure_that_is_no_number_passes_no_bound():
    assert not Finding("", float("nan"), 1.0).passes
    assert Finding("", 1.0, 1.0).passes and Finding("").passes


def test_a_unit_that_is_dead_for_one_example_is_no_fault():
    tg.testing.check_layer(
        lambda: with_noise(1, "relu", kernel_initializer="ones"),
        [[-9.0, -8.0], [9.0, 8.0]],
        only=["gradient", "gradient of the sample"],
    ).raise_if_failed()


def test_one_check_by_its_name():
    report = tg.testing.check_layer(faulty.Right, only="calls")
    assert len(report) == 1
