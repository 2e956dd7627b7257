"""A GPU gives the numbers of the CPU: samples, losses, gradients, training.

Run with `-m gpu` on a machine that has one. The noise of a seed is the same on
both, so that what differs is rounding alone.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import MODES
from tests.helpers.cases import LAYERS, estimator_cases
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    gradients,
    randomize,
    repeated,
)
from tests.layers.calls import differentiated, tensors, training_values

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not tf.config.list_physical_devices("GPU"), reason="no GPU"
    ),
    pytest.mark.parametrize("mode", ["graph", "xla"]),
]


@pytest.fixture(scope="module", autouse=True)
def float32_products():
    """Matrix products keep all 24 bits, where a GPU would round to 11."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def on_both(compute, rtol=2e-5, atol=2e-5):
    """Runs it on either device, from one seed, and compares what it returns."""
    found = {}
    for device in ("CPU", "GPU"):
        keras.utils.set_random_seed(21)
        with tf.device(f"{device}:0"):
            found[device] = tf.nest.flatten(compute())
    assert len(found["CPU"]) == len(found["GPU"]) > 0
    for cpu, gpu in zip(found["CPU"], found["GPU"], strict=True):
        assert "GPU" in gpu.device
        np.testing.assert_allclose(
            gpu.numpy(), cpu.numpy(), rtol=rtol, atol=atol
        )


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)
def test_layers(case, mode):
    def compute():
        layer = case.make()
        inputs = tensors(case.inputs)
        layer(*inputs)

        @MODES[mode]
        def train(inputs):
            return differentiated(lambda i: training_values(layer, i), inputs)

        return train(inputs)

    on_both(compute)


@pytest.mark.parametrize(("case", "law"), **estimator_cases())
def test_estimators(case, law, mode):
    def compute():
        estimator = case.make(law)
        logits = repeated(LOGITS[law], 64)
        w = repeated(WEIGHTS[law], 64)
        estimator.build(logits.shape, logits.shape)
        randomize(estimator)

        @MODES[mode]
        def train(logits, w, seed):
            context = tf.ones_like(logits)
            return gradients(
                estimator, COSTS["quadratic"], logits, w, seed, context
            )

        return train(logits, w, tf.constant([1, 2], tf.int64))

    # MVE at a high τ multiplies rounding, half a unit of 2^-23, by τ.
    error = max(2e-5, 2.0**-24 * case.kwargs.get("temperature", 1.0))
    on_both(compute, rtol=error, atol=error)


@pytest.mark.parametrize(
    "noise",
    [
        tg.random.uniform,
        tg.random.exponential,
        tg.random.gumbel,
        tg.random.logistic,
        tg.random.normal,
        tg.random.uniform64,
    ],
)
def test_noise(noise, mode):
    compiled = MODES[mode](lambda seed: noise([100_000], seed))
    on_both(lambda: compiled(tf.constant([3, 4])), rtol=1e-5, atol=1e-6)


def test_categorical_samples(mode):
    """Indices, of a million draws: equal, not close."""
    logits = tf.random.stateless_normal([1000, 1000], [5, 6])
    compiled = MODES[mode](tg.random.categorical)
    on_both(
        lambda: tf.identity(
            tf.cast(compiled(logits, tf.constant([7, 8])), tf.float32)
        ),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize(
    "policy", ["float32", "mixed_float16", "mixed_bfloat16"]
)
def test_fit(policy, mode):
    """A model with a sampler and annealing trains, saves and loads there."""
    keras.config.set_dtype_policy(policy)
    x = np.eye(8, dtype="float32").repeat(64, axis=0)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16),
            tg.GumbelSoftmax(
                tg.schedules.ExponentialAnnealing(1.0, rate=0.01, minimum=0.5)
            ),
            keras.layers.Dense(8, dtype="float32"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=mode == "xla",
    )
    history = model.fit(x, x, batch_size=64, epochs=10, verbose=0)
    assert history.history["loss"][-1] < 0.5
    assert all("GPU" in v.value.device for v in model.trainable_variables)
