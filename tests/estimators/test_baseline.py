import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import assert_close
from tfgumbel import estimators

BATCHES = np.array([[1.0, 3.0], [8.0, 4.0], [-2.0, 0.0]], np.float32)
CONTEXT = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
COST = np.array([5.0, -1.0], np.float32)


def linear_baseline(**arguments):
    network = keras.layers.Dense(1, kernel_initializer="ones")
    return tg.estimators.Baseline(network, **arguments)


def moving_mean(signals, decay):
    """The bias-corrected moving average, written as a weighted mean."""
    weights = decay ** np.arange(len(signals))[::-1]
    return np.sum(weights * signals) / np.sum(weights)


def test_centre_is_the_bias_corrected_mean_of_past_batches(compiled):
    """Zero before the first: a batch never sees its own costs."""
    baseline = tg.estimators.Baseline(decay=0.8)

    @compiled
    def step(signal):
        centre = baseline.centre()
        baseline.observe(signal)
        return centre

    centres = [step(tf.constant(batch)) for batch in BATCHES]
    means = BATCHES.mean(1)
    expected = [0.0, means[0], moving_mean(means[:2], 0.8)]
    assert_close(tf.stack(centres), expected)
    assert_close(baseline.centre(), moving_mean(means, 0.8))


def test_batch_is_averaged_with_its_weights():
    baseline = tg.estimators.Baseline(decay=0.8)
    baseline.observe(tf.constant([1.0, 5.0]), weights=[3.0, 1.0])
    assert_close(baseline.centre(), 2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_costs_that_are_not_finite_are_left_out(bad, compiled):
    baseline = tg.estimators.Baseline(decay=0.8, normalize=True)
    observe = compiled(baseline.observe)
    observe(tf.constant([bad, 3.0]))
    assert_close(baseline.centre(), 3.0)
    before = [v.numpy() for v in baseline.variables]
    observe(tf.constant([bad, bad]))
    for variable, value in zip(baseline.variables, before, strict=True):
        assert variable.numpy() == value


def test_batch_of_weight_zero_changes_nothing():
    baseline = tg.estimators.Baseline(decay=0.8)
    baseline.observe(tf.constant([3.0]))
    baseline.observe(tf.constant([9.0]), weights=[0.0])
    assert_close(baseline.centre(), 3.0)


def test_statistics_of_a_frozen_layer_rest():
    layer = tg.ScoreFunctionCost(baseline="moving_average")
    layer(COST, np.zeros(2, np.float32), training=True)
    assert_close(layer.baseline.centre(), 2.0)
    layer.trainable = False
    layer(3 * COST, np.zeros(2, np.float32), training=True)
    assert_close(layer.baseline.centre(), 2.0)


def test_scale_is_the_running_standard_deviation_but_at_least_one():
    baseline = tg.estimators.Baseline(decay=0.8, normalize=True)
    assert_close(baseline.scale(), 1.0)
    baseline.observe(tf.constant([0.1, 0.2]))
    assert_close(baseline.scale(), 1.0)
    baseline = tg.estimators.Baseline(decay=0.8, normalize=True)
    baseline.observe(tf.constant([10.0, 2.0, 6.0, 6.0]))
    assert_close(baseline.scale(), np.sqrt(8.0))


def test_the_signal_is_divided_by_the_scale_of_before():
    baseline = tg.estimators.Baseline(normalize=True)
    baseline.observe(tf.constant([10.0, 2.0, 6.0, 6.0]))
    log_prob = tf.zeros([2])
    with tf.GradientTape() as tape:
        tape.watch(log_prob)
        value = baseline.attach(tf.constant(COST), log_prob, tf.zeros([2]))
    assert_close(tape.gradient(value, log_prob), COST / np.sqrt(8.0))


def test_without_statistics_nothing_is_kept():
    baseline = linear_baseline()
    baseline.observe(tf.constant([3.0]))
    assert_close(baseline.centre(), 0.0)
    assert_close(baseline.scale(), 1.0)


def test_value_is_that_of_the_network(compiled):
    baseline = linear_baseline()
    baseline.build((None, 2))
    value = compiled(baseline)(CONTEXT)
    assert value.shape == (2,) and value.dtype == tf.float32
    assert_close(value, [3.0, 2.0])
    assert_close(tg.estimators.Baseline(decay=0.5)(CONTEXT), [0.0, 0.0])


def estimate_gradients(baseline, targets):
    """Gradients of the mean estimate through the score-function cost."""
    context, log_prob = tf.constant(CONTEXT), tf.constant([-1.0, -2.0])
    cost = tf.constant(COST)
    sources = [context, log_prob, cost, *targets]
    with tf.GradientTape() as tape:
        tape.watch(sources[:3])
        b = baseline(context) + baseline.centre()
        estimate = tg.ops.score_function_cost(cost, log_prob, baseline=b)
        total = tf.reduce_mean(estimate)
    return tape.gradient(total, sources)


def test_network_learns_by_least_squares_and_nothing_leaks(compiled):
    """It descends mean (f - c - network)²; cost and log q see none of it."""
    baseline = linear_baseline(decay=0.8)
    baseline.build((None, 2))
    baseline.observe(tf.constant([0.5]))
    kernel = baseline.network.kernel.value
    context, log_prob, cost, actual = compiled(
        lambda: estimate_gradients(baseline, [kernel])
    )()
    assert context is None
    residual = COST - [3.5, 2.5]
    assert_close(log_prob, residual / 2)
    assert_close(cost, [0.5, 0.5])
    assert_close(actual, -2 * CONTEXT.T @ residual[:, None] / 2)


def test_statistics_are_not_trained():
    baseline = linear_baseline(decay=0.8, normalize=True)
    baseline.build((None, 2))
    assert len(baseline.trainable_variables) == 2
    assert len(baseline.non_trainable_variables) == 3


def test_half_precision_context_is_taken_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    baseline = estimators.get_baseline("nvil")
    value = baseline(tf.constant(CONTEXT, tf.float16))
    assert value.dtype == tf.float32
    assert {v.dtype for v in baseline.variables} == {"float32"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.estimators.Baseline(),
        lambda: tg.estimators.Baseline(decay=0.7, normalize=True),
        lambda: linear_baseline(decay=0.3),
        lambda: tg.estimators.Baseline(leave_one_out=True),
        lambda: estimators.get_baseline("nvil"),
    ],
    ids=["empty", "statistics", "linear", "leave_one_out", "nvil"],
)
def test_config_round_trip(make):
    baseline = make()
    again = estimators.get_baseline(
        keras.saving.serialize_keras_object(baseline)
    )
    assert type(again) is tg.estimators.Baseline
    assert again.get_config() == baseline.get_config()
    for name in ("decay", "normalize", "leave_one_out"):
        assert getattr(again, name) == getattr(baseline, name)
    baseline(CONTEXT), again(CONTEXT)
    baseline.observe(tf.constant(COST))
    again.set_weights(baseline.get_weights())
    assert_close(again(CONTEXT), baseline(CONTEXT))
    assert_close(again.centre(), baseline.centre())


@pytest.mark.parametrize(
    ("identifier", "decay", "learned"),
    [
        ("moving_average", 0.9, False),
        ("nvil", 0.8, True),
        ("leave_one_out", None, False),
    ],
)
def test_get_knows_names(identifier, decay, learned):
    baseline = estimators.get_baseline(identifier)
    assert baseline.decay == decay
    assert (baseline.network is not None) == learned
    assert not baseline.normalize
    assert estimators.get_baseline(identifier, normalize=True).normalize


def test_nvil_sees_all_of_the_context_with_a_hundred_units():
    baseline = estimators.get_baseline("nvil")
    assert baseline(tf.ones([4, 2, 3])).shape == (4,)
    assert baseline.network.count_params() == (6 + 1) * 100 + 100 + 1


def test_get_passes_layers_through():
    assert estimators.get_baseline(None) is None
    assert estimators.get_baseline(None, normalize=True).normalize
    network = keras.layers.Dense(1)
    baseline = estimators.get_baseline(network)
    assert baseline.network is network and baseline.decay is None
    assert estimators.get_baseline(network, normalize=True).normalize
    assert estimators.get_baseline(baseline) is baseline


def test_unknown_name_is_an_error():
    message = "None, 'moving_average', 'nvil', 'leave_one_out'. Rec.*'rloo'"
    with pytest.raises(ValueError, match=message):
        estimators.get_baseline("rloo")
    with pytest.raises(TypeError, match="Received: baseline=0.5"):
        estimators.get_baseline(0.5)
    with pytest.raises(ValueError, match="normalize=True with a Baseline"):
        estimators.get_baseline(estimators.Baseline(), normalize=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"network": lambda x: x}, TypeError),
        ({"decay": 1.0}, ValueError),
        ({"decay": -0.1}, ValueError),
        ({"decay": "slow"}, TypeError),
    ],
)
def test_bad_arguments_are_an_error(arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=f"`{name}` .*Received: {name}="):
        tg.estimators.Baseline(**arguments)


def test_two_ways_to_centre_are_an_error():
    with pytest.raises(ValueError, match="decay=0.5 with leave_one_out=True"):
        tg.estimators.Baseline(decay=0.5, leave_one_out=True)


@pytest.mark.parametrize("make", [tg.ReinforceSampler, tg.ScoreFunctionCost])
def test_a_layer_normalizes_by_its_baseline(make):
    layer = make(baseline="moving_average", normalize=True)
    for one in (layer, make.from_config(layer.get_config())):
        assert one.normalize and one.baseline.normalize


def test_network_of_two_outputs_is_an_error():
    baseline = tg.estimators.Baseline(keras.layers.Dense(2))
    with pytest.raises(ValueError, match=r"one value per example.*\(2, 2\)"):
        baseline(CONTEXT)


def test_the_scale_is_a_standard_deviation_without_centring_too():
    baseline = estimators.Baseline(normalize=True)
    baseline.observe(tf.constant([100.0, 104.0, 96.0, 100.0]))
    assert float(baseline.centre()) == 0.0
    assert float(baseline.scale()) == pytest.approx(8.0**0.5, rel=1e-2)


def test_no_decay_keeps_the_last_batch_alone():
    baseline = estimators.Baseline(decay=0.0)
    baseline.observe(tf.constant([5.0, 7.0]))
    baseline.observe(tf.constant([1.0, 3.0]))
    assert float(baseline.centre()) == pytest.approx(2.0)


def test_the_centre_is_the_mean_of_what_the_network_leaves():
    network = keras.layers.Dense(1, kernel_initializer="ones")
    baseline = estimators.Baseline(network, decay=0.5)
    context = tf.constant([[1.0], [2.0], [6.0]])
    cost = tf.constant([4.0, 5.0, 3.0])
    baseline.attach(cost, tf.zeros(3), baseline(context))
    assert float(baseline.centre()) == pytest.approx(np.mean([3, 3, -3]))


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 4.0]])
def test_leave_one_out_is_the_mean_of_the_other_finite_costs(weights, compiled):
    """Its own cost is in no row's baseline: that would be a bias."""
    baseline = estimators.Baseline(leave_one_out=True)
    cost, log_prob = tf.constant([5.0, -1.0, 3.0, np.inf]), tf.zeros([4])

    @compiled
    def advantages(cost, log_prob, weights):
        with tf.GradientTape() as tape:
            tape.watch([cost, log_prob])
            learned = tf.zeros(tf.shape(cost))
            value = baseline.attach(cost, log_prob, learned, weights)
            total = tf.reduce_sum(value)
        wrt_cost, wrt_log_prob = tape.gradient(total, [cost, log_prob])
        tf.debugging.assert_equal(wrt_cost, 1.0)  # Nothing by the baseline.
        return wrt_log_prob

    w = np.ones(4) if weights is None else np.array(weights)
    expected = [
        cost[i]
        - np.average(np.delete(cost[:3], i), weights=np.delete(w[:3], i))
        for i in range(3)
    ]
    assert_close(advantages(cost, log_prob, weights)[:3], expected, rtol=1e-5)
    alone = [None if weights is None else weights[:1]]
    assert_close(advantages(cost[:1], log_prob[:1], *alone), [5.0])
