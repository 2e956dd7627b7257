"""Models that Keras builds inside their first training step.

README's way to train a subclassed or Sequential model, from a fresh one.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.models import problem


class Subclassed(tg.ScoreFunctionMixin, keras.Model):
    """As README writes it; the sampler and its baseline are not built."""

    def __init__(self, baseline="nvil"):
        super().__init__()
        self.encoder, self.decoder = problem.encoder(), problem.decoder()
        self.sampler = tg.ReinforceSampler(baseline=baseline, seed=1)

    def call(self, x, training=None):
        logits = self.encoder(x)
        z = self.sampler(logits, context=x, training=training)
        return self.decoder(z)

    def get_layer(self, name):
        return getattr(self, name)


class Outer(tg.ScoreFunctionMixin, keras.Model):
    """Holds the unbuilt model one level down."""

    def __init__(self):
        super().__init__()
        self.inner = Subclassed()

    def call(self, x, training=None):
        return self.inner(x, training=training)

    def get_layer(self, name):
        return self.inner.get_layer(name)


class Sequential(tg.ScoreFunctionMixin, keras.Sequential):
    """Without an Input."""

    def __init__(self):
        layers = [problem.encoder(), tg.ReinforceSampler(baseline="nvil")]
        super().__init__([*layers, problem.decoder()])


MODELS = (Subclassed, Outer, Sequential)


@pytest.mark.full
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(
    "run_eagerly", [False, pytest.param(True, marks=pytest.mark.exhaustive)]
)
def test_a_fresh_model_trains(make, run_eagerly):
    network = make()
    network.compile("adam", "mse", run_eagerly=run_eagerly)
    before = [w.numpy() for w in problem.main_weights(network)]
    loss = network.train_on_batch(problem.INPUTS, problem.TARGETS)
    assert np.isfinite(loss)
    network.fit(problem.INPUTS, problem.TARGETS, batch_size=2, verbose=0)
    for value, weight in zip(
        before, problem.main_weights(network), strict=True
    ):
        assert np.any(value != weight.numpy())


@pytest.mark.full
@pytest.mark.parametrize("make", MODELS)
def test_its_gradient_is_that_of_the_expected_loss(make):
    network = make()
    network.compile(keras.optimizers.SGD(problem.LEARNING_RATE), "mse")
    exact = problem.exact_gradients(network, problem.squared_error)
    found = problem.fit_gradients(network, steps=300, batch=400)
    for samples, expected in zip(found, exact, strict=True):
        assert_mean(samples, expected, smallest_bias=0.1)


@pytest.mark.full
def test_gradient_statistics_find_the_layers_once_there_are_any():
    network = Subclassed()
    network.compile("adam", "mse")
    data = (problem.INPUTS, problem.TARGETS)
    statistics = tg.GradientStatistics(data=data, samples=4)
    logged = network.fit(*data, verbose=0, callbacks=[statistics]).history
    assert logged["gradient_variance/encoder"][0] > 0
    assert logged["gradient_variance/decoder"][0] > 0


class WithoutBuild(keras.layers.Layer):
    """Keras calls it for shapes first, and says nothing of `training`."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = layers

    def call(self, inputs):
        (x,) = inputs  # of a list Keras warns if that call fails
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.filterwarnings("error:.*not able to trace")
@pytest.mark.parametrize(
    "sampler", [tg.GumbelSoftmax, tg.StochasticGate, tg.ReinforceSampler]
)
def test_a_call_for_shapes_inside_a_training_step_is_none_of_it(sampler):
    class Network(tg.ScoreFunctionMixin, keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = WithoutBuild(problem.encoder(), sampler())
            self.decoder = problem.decoder()

        def call(self, x, training=None):
            return self.decoder(self.hidden([x]))

    network = Network()
    network.compile("adam", "mse")
    network.train_on_batch(problem.INPUTS, problem.TARGETS)
    assert network.optimizer.iterations == 1


def test_a_sampler_that_always_trains_may_stand_in_a_layer_of_a_graph():
    class Trained(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.encoder = problem.encoder()
            self.sampler = tg.ReinforceSampler()

        def call(self, x):
            return self.sampler(self.encoder(x), training=True)

    x = keras.Input(problem.INPUTS.shape[1:])
    network = tg.StochasticModel(x, problem.decoder()(Trained()(x)))
    network.compile("adam", "mse")
    network.train_on_batch(problem.INPUTS, problem.TARGETS)
    assert network.optimizer.iterations == 1


def test_a_sampler_inside_a_function_of_its_own_is_refused():
    class Compiled(Subclassed):
        def call(self, x, training=None):
            z = tf.function(self.sampler)(self.encoder(x), x, training=True)
            return self.decoder(z)

    network = Compiled()
    network.compile("adam", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="drew inside a `tf.function`"):
        network.train_on_batch(problem.INPUTS, problem.TARGETS)
