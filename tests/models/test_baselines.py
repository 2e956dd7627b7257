"""What baselines do in `fit`: less variance, and nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.models import problem

LARGE_TARGETS = problem.TARGETS * 4.0  # the cost depends on the input


def variance_late_in_training(baseline, steps=150, tail=60, **options):
    network = problem.model(baseline, **options)
    network.compile(keras.optimizers.SGD(problem.LEARNING_RATE), loss="mse")
    gradients = problem.fit_gradients(
        network, steps, batch=256, y=LARGE_TARGETS
    )
    return problem.gradient_variance([gradients[0][-tail:]])


@pytest.mark.full
def test_nvil_reduces_the_variance_threefold():
    without = variance_late_in_training(None)
    assert variance_late_in_training("nvil") < without / 3


def one_step(rate):
    """Weights after one step, with a baseline that learns at `rate`."""
    network = problem.model(ScaledGradient(rate), seed=11)
    network.compile(keras.optimizers.SGD(0.1), loss="mse")
    network.train_on_batch(problem.INPUTS, problem.TARGETS)
    baseline = network.layers[2].baseline.network
    weights = [v.numpy() for v in problem.main_weights(network)]
    return weights, baseline.kernel.numpy()


class ScaledGradient(keras.layers.Layer):
    """A linear baseline whose weights learn `rate` times as fast."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 1))
        self.kernel.assign(np.full((shape[-1], 1), 0.5))

    def call(self, context):
        fast = self.rate * self.kernel
        slow = keras.ops.stop_gradient((1.0 - self.rate) * self.kernel)
        return keras.ops.matmul(context, fast + slow)


@pytest.mark.full
def test_the_baseline_and_the_model_do_not_leak_into_each_other():
    slow, slow_kernel = one_step(rate=1.0)
    fast, fast_kernel = one_step(rate=5.0)
    for a, b in zip(slow, fast, strict=True):
        np.testing.assert_array_equal(a, b)
    learned = (fast_kernel - 0.5) / (slow_kernel - 0.5)
    np.testing.assert_allclose(learned, 5.0, rtol=1e-3)


def test_the_context_receives_no_gradient():
    x = keras.Input((2,))
    context = keras.layers.Dense(3, name="context")(x)
    z = tg.ReinforceSampler(baseline="nvil")(problem.encoder()(x), context)
    network = tg.StochasticModel(x, problem.decoder()(z))
    network.compile("sgd", loss="mse")
    before = network.get_layer("context").kernel.numpy()
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        network.train_on_batch(problem.INPUTS, problem.TARGETS)
    after = network.get_layer("context").kernel.numpy()
    np.testing.assert_array_equal(before, after)


def test_the_baseline_learns_the_cost_in_the_units_of_the_loss():
    """With logits that always draw one category the cost is a constant."""
    x = keras.Input((1,))
    logits = keras.layers.Lambda(
        lambda t: keras.ops.concatenate([t + 50.0, t - 50.0], axis=-1)
    )(x)
    sampler = tg.ReinforceSampler(baseline="moving_average")
    y = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="zeros", trainable=False
    )(sampler(logits))
    network = tg.StochasticModel(x, y)
    network.compile("sgd", loss="mse")
    x, y = np.zeros([8, 1]), np.full([8, 1], 3.0)
    network.fit(
        x, y, sample_weight=np.linspace(0, 2, 8), batch_size=3, verbose=0
    )
    assert float(sampler.baseline.centre()) == pytest.approx(9.0)


def test_a_nan_cost_does_not_reach_the_statistics():
    network = problem.model("moving_average")
    network.compile(keras.optimizers.SGD(0.0), loss="mse")
    network.train_on_batch(problem.INPUTS, problem.TARGETS)
    baseline = network.layers[2].baseline
    bad = problem.TARGETS.copy()
    bad[1] = np.nan
    network.train_on_batch(problem.INPUTS, bad)
    assert np.isfinite(float(baseline.centre()))


@pytest.mark.full
@pytest.mark.parametrize("baseline", ["moving_average", "leave_one_out"])
def test_a_baseline_without_a_network_needs_no_sizes(baseline):
    """Sequences of unknown length, as padded ones have."""
    x = keras.Input((None, 1))
    z = tg.ReinforceSampler(baseline=baseline)(keras.layers.Dense(3)(x))
    network = tg.StochasticModel(x, keras.layers.Dense(1)(z))
    network.compile("sgd", "mse")
    data = np.ones((4, 2, 1), "float32")
    assert np.isfinite(network.fit(data, data, verbose=0).history["loss"][0])


def test_a_context_with_a_mask_is_taken_in_silence(recwarn):
    """As that of an RNN over padded steps."""
    x = keras.Input((5,), dtype="int32")
    h = keras.layers.Embedding(7, 4, mask_zero=True)(x)
    z = tg.ReinforceSampler(baseline="nvil")(keras.layers.Dense(3)(h), h)
    model = tg.StochasticModel(x, keras.layers.Dense(1)(z))
    model.compile("adam", "mse")
    model.fit(np.array([[1, 2, 0, 0, 0]]), np.zeros((1, 5, 1)), verbose=0)
    assert not [w for w in recwarn if "mask" in str(w.message)]


def test_a_cost_that_is_scored_twice():
    """As that of two samplers: the second baseline does not know it."""
    layer = tg.ScoreFunctionCost(baseline="moving_average")
    layer.baseline.observe([1.0])

    @tf.function
    def gradients(first, second):
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            cost = tf.constant([5.0, 8.0])
            for log_prob in (first, second):
                cost = layer(cost, log_prob, training=True)
            total = tf.reduce_sum(cost)
        return tape.gradient(total, [first, second])

    for centre in (1.0, (0.1 * 1.0 * 0.81 + 0.19 * 6.5) / 0.271):
        for found in gradients(tf.zeros([2]), tf.zeros([2])):
            expected = [5.0 - centre, 8.0 - centre]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_draws_that_are_joined_with_a_cost_by_hand():
    sampler = tg.ReinforceSampler(baseline="moving_average", seed=1)
    with tf.GradientTape() as tape:
        with tg.layers.CostCollector() as collector:
            for _ in range(2):
                sampler(tf.zeros([2, 3]), training=True)
        log_probs = [draw.log_prob for draw in collector.draws]
        tape.watch(log_probs)
        cost = tf.constant([5.0, 8.0])
        for draw in collector.draws:
            cost = draw.surrogate(cost, tf.ones([2]))
        total = tf.reduce_sum(cost)
    for found in tape.gradient(total, log_probs):
        np.testing.assert_allclose(found, [5.0, 8.0], rtol=1e-6)


def test_the_baseline_of_a_draw_observes_by_weight():
    """In a training loop of one's own."""
    sampler = tg.ReinforceSampler(baseline="moving_average", seed=1)
    with tg.layers.CostCollector() as collector:
        sampler(tf.zeros([2, 3]), training=True)
    (draw,) = collector.draws
    draw.surrogate(tf.constant([1.0, 100.0]), tf.constant([1.0, 0.0]))
    assert float(sampler.baseline.centre()) == pytest.approx(1.0)


@pytest.mark.parametrize("last", [1.0, -1.0])
def test_sample_weights_weigh_the_running_mean(last):
    """A weight below zero is one of the cost turned round."""
    x = keras.Input((3,))
    z = tg.ReinforceSampler(baseline="moving_average", name="sampler")(x)
    y = keras.layers.Dense(1, kernel_initializer="zeros")(z)
    model = tg.StochasticModel(x, y)
    model.compile("sgd", "mse")
    targets, weights = np.array([[1.0], [2.0]]), np.array([3.0, last])
    model.train_on_batch(np.zeros((2, 3)), targets, weights)
    centre = float(model.get_layer("sampler").baseline.centre())
    assert centre == pytest.approx((3.0 * 1.0 + last * 4.0) / 4.0)


class OfLayers(keras.layers.Layer):
    """A baseline as many write one: with layers, and no `build` of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        if isinstance(inputs, list):  # RELAX's: z and the context
            inputs = keras.ops.concatenate(inputs, axis=-1)
        return self.dense(inputs)[:, 0]


def test_a_baseline_without_a_build_of_its_own_is_built_with_its_sampler():
    sampler = tg.ReinforceSampler(baseline=OfLayers())
    sampler.build((None, 3), (None, 5))
    shapes = [tuple(v.shape) for v in sampler.trainable_variables]
    assert shapes == [(5, 1), (1,)]
    relax = tg.estimators.RELAX("bernoulli", network=OfLayers())
    relax.build((None, 3), (None, 5))
    assert tuple(relax.network.trainable_variables[0].shape) == (8, 1)
