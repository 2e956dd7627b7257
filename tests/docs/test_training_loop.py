"""What the loops of "Your own training loop" compute is right.

The page is run once; its models are then held against closed forms,
enumeration, or a second way to the same number.
"""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.docs import pages
from tests.helpers.statistics import assert_mean, one_hots, softmax

pytestmark = pytest.mark.full

LEARNING_RATE = 2.0**-7
STATES = np.array(
    [[1, 0, 0, 1], [0, 1, 0, -1], [1, 1, 1, 0], [-1, 0, 1, 1]], "float32"
)


@pytest.fixture(scope="module")
def page():
    found = pages.run(pages.DOCS / "guides" / "training-loop.md")
    return types.SimpleNamespace(**found)


def gradients_of_steps(model, weights, data, steps=200, batch=256):
    """What `train_on_batch` moves the weights by, step by step, under SGD.

    They are put back after each.
    """
    data = [np.repeat(array, batch // len(array), axis=0) for array in data]
    start = [weight.numpy() for weight in weights]
    found = []
    for _ in range(steps):
        model.train_on_batch(*data)
        found.append(
            [
                (before - weight.numpy()) / LEARNING_RATE
                for before, weight in zip(start, weights, strict=True)
            ]
        )
        for before, weight in zip(start, weights, strict=True):
            weight.assign(before)
    return [np.stack(each) for each in zip(*found, strict=True)]


def gradients_of_tapes(loss, weights, steps=200):
    """The same of a loss, by a tape."""

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            total = loss()
        return tape.gradient(total, [weight.value for weight in weights])

    found = [gradients() for _ in range(steps)]
    return [np.stack(each) for each in zip(*found, strict=True)]


def assert_gradients(found, exact, smallest_bias=0.1):
    assert max(np.max(np.abs(each)) for each in exact) > smallest_bias
    for samples, expected in zip(found, exact, strict=True):
        assert_mean(samples, expected, smallest_bias)


def exact_gradients(loss, weights):
    with tf.GradientTape() as tape:
        total = loss()
    values = [weight.value for weight in weights]
    return [np.asarray(g) for g in tape.gradient(total, values)]


@pytest.mark.slow
def test_the_vae_reaches_the_posterior_of_probabilistic_pca(page):
    """σ²/λ, with λ the eigenvalues of the data and σ² = 1/2 of the decoder.

    Without noise, as where `training` is left out, it would be the prior's 1.
    """
    keras.utils.set_random_seed(0)
    normal = np.random.default_rng(1).normal
    axes, _ = np.linalg.qr(normal(size=(4, 2)))
    data = normal(size=(512, 2)) * [3.0, 1.5] @ axes.T
    data = tf.constant(data, tf.float32)
    vae = page.VAE()
    rate = keras.optimizers.schedules.CosineDecay(0.05, 1500)
    vae.compile(keras.optimizers.Adam(rate))
    dataset = tf.data.Dataset.from_tensors(data).repeat(1500)
    vae.fit(dataset, verbose=0)
    _, log_variance, _ = vae.encoder(data, training=False)
    found = np.exp(np.mean(log_variance, axis=0))
    eigenvalues = np.linalg.eigvalsh(np.cov(data.numpy().T, bias=True))[-2:]
    np.testing.assert_allclose(
        np.sort(found), np.sort(0.5 / eigenvalues), rtol=0.1
    )


def test_the_agent_gets_the_gradient_of_its_expected_cost(page):
    keras.utils.set_random_seed(1)
    rewards = np.array([[1, 0, 3], [0, 2, 0], [1, 0, 0], [0, -2, 1]], "float32")
    agent = page.Agent()
    agent.compile(keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    weights = agent.policy.trainable_variables
    dense = agent.policy.layers[1]

    def expected_cost():
        probabilities = tf.nn.softmax(dense(STATES))
        return -tf.reduce_mean(tf.reduce_sum(probabilities * rewards, axis=1))

    exact = exact_gradients(expected_cost, weights)
    found = gradients_of_steps(agent, weights, [STATES, rewards])
    assert_gradients(found, exact)


def expected_error(logits, decoder, codes, targets):
    """Σ_z q(z) · mean squared error of the decoder, per example."""
    log_q = tf.nn.log_softmax(logits)
    products = log_q[:, None] * codes[None]
    axes = list(range(2, products.shape.rank))
    joint = tf.exp(tf.reduce_sum(products, axis=axes))
    errors = tf.square(targets[:, None] - decoder(codes)[None])
    return tf.reduce_sum(joint * tf.reduce_mean(errors, axis=-1), axis=1)


@pytest.mark.parametrize("how", ["mixin", "collector"])
def test_the_coder_gets_the_gradient_of_its_expected_error(page, how):
    keras.utils.set_random_seed(2)
    coder, states = page.Coder(), 0.5 * STATES
    coder(states)
    coder.compile(keras.optimizers.SGD(LEARNING_RATE), "mse", jit_compile=False)
    logits, decoder = coder.logits, coder.decoder
    weights = [*logits.trainable_variables, *decoder.trainable_variables]
    decoder.kernel.assign(5.0 * decoder.kernel)
    exact = exact_gradients(
        lambda: tf.reduce_mean(
            expected_error(logits(states), decoder, one_hots(3), states)
        ),
        weights,
    )
    if how == "mixin":
        found = gradients_of_steps(coder, weights, [states, states])
    else:
        many = tf.repeat(states, 64, axis=0)
        found = gradients_of_tapes(lambda: page.loss_of(coder, many), weights)
    assert_gradients(found, exact)


class TwoCodes(keras.layers.Layer):
    """Two samplers, which one collector credits with one cost."""

    def __init__(self):
        super().__init__()
        self.logits = [keras.layers.Dense(2), keras.layers.Dense(2)]
        self.codes = [
            tg.ReinforceSampler(baseline="moving_average") for _ in range(2)
        ]

    def call(self, x, training=None):
        drawn = [
            code(logits(x), training=training)
            for code, logits in zip(self.codes, self.logits, strict=True)
        ]
        return self.output_of(*drawn)

    def output_of(self, one, other):
        signs = one[..., :1] - one[..., 1:], other[..., :1] - other[..., 1:]
        return signs[0] * signs[1] * [1.0, 2.0, 0.0, -1.0] + signs[0]


def test_every_draw_of_a_collector_is_credited_with_the_cost(page):
    keras.utils.set_random_seed(3)
    layer = TwoCodes()
    layer(STATES)
    weights = layer.trainable_variables
    ones = one_hots(2)
    codes = tf.constant([[a, b] for a in ones for b in ones])

    def expected():
        logits = tf.stack([logits(STATES) for logits in layer.logits], axis=1)
        decoder = lambda z: layer.output_of(z[:, 0], z[:, 1])  # noqa: E731
        return tf.reduce_mean(expected_error(logits, decoder, codes, STATES))

    many = tf.repeat(STATES, 64, axis=0)
    found = gradients_of_tapes(lambda: page.loss_of(layer, many), weights)
    assert_gradients(found, exact_gradients(expected, weights), 0.2)


def test_a_step_of_the_gan_is_a_batch(page):
    gan = page.GAN()
    gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    anneal = tg.TemperatureScheduler(lambda step: np.exp(-0.01 * step))
    history = gan.fit(
        page.real, batch_size=16, epochs=3, verbose=0, callbacks=[anneal]
    )
    np.testing.assert_allclose(
        history.history["temperature"], np.exp([-0.03, -0.07, -0.11])
    )
    again = gan.fit(page.real, batch_size=16, verbose=0, callbacks=[anneal])
    assert again.history["temperature"][0] == pytest.approx(np.exp(-0.15))


def test_actor_and_target_draw_independently(page):
    actor, target = page.policy(), page.policy()
    target.set_weights(actor.get_weights())
    for slow, fast in zip(target.weights, actor.weights, strict=True):
        slow.assign(0.99 * slow + 0.01 * fast)
    states = np.repeat(STATES[:1], 4000, axis=0)
    probabilities = softmax(actor.layers[0](STATES[:1])[0])
    alike = np.all(np.equal(actor(states), target(states)), axis=1)
    assert_mean(alike, np.sum(probabilities**2), smallest_bias=0.05)


def test_a_clone_of_a_layer_with_an_integer_seed_draws_the_same():
    layer = tg.GumbelSoftmax(inference="sample", seed=1)
    actor = keras.Sequential([keras.Input((4,)), layer])
    clone = keras.models.clone_model(actor)
    np.testing.assert_array_equal(actor(STATES), clone(STATES))


def test_the_best_weights_come_back_without_schedule_and_noise(page):
    """The first of three epochs, which climb, is the best."""
    layer = tg.GumbelSoftmax(page.schedule)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), layer, keras.layers.Dense(4)]
    )
    model.compile(keras.optimizers.SGD(-0.1), "mse")
    saved = []
    model.fit(
        *(page.x, page.x),
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: saved.append(
                    model.get_weights()
                )
            ),
            keras.callbacks.EarlyStopping(
                "loss", patience=3, restore_best_weights=True
            ),
        ],
    )
    for weight, best in zip(model.get_weights(), saved[0], strict=True):
        np.testing.assert_array_equal(weight, best)
    assert int(layer.seed_state[1]) == 6  # two batches an epoch
    np.testing.assert_allclose(layer.temperature, np.exp(-0.5), rtol=1e-6)


def test_accumulation_by_hand_is_that_of_keras(page):
    def fresh():
        layers = [keras.layers.Dense(3), tg.GumbelSoftmax(seed=5)]
        return keras.Sequential(
            [keras.Input((4,)), *layers, keras.layers.Dense(4)]
        )

    by_keras, by_hand = fresh(), fresh()
    by_hand.set_weights(by_keras.get_weights())
    before = by_keras.get_weights()
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    by_keras.compile(optimizer, "mse", jit_compile=False)
    by_keras.fit(page.x, page.x, batch_size=16, shuffle=False, verbose=0)
    by_hand.compile("sgd", "mse")
    gradients = page.accumulated(by_hand, page.x, page.x, parts=4)
    keras.optimizers.SGD(0.1).apply(gradients, by_hand.trainable_variables)
    for old, one, other in zip(
        before, by_keras.get_weights(), by_hand.get_weights(), strict=True
    ):
        assert np.any(one != old)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


SHORT = np.array([[[1.0], [2.0]], [[-1.0], [1.0]]], "float32")
PADDED = np.pad(SHORT, [(0, 0), (0, 3), (0, 0)])


def expected_of_steps(logits, values, target):
    """Σ_k π_k (value_k - target)², per step; K values of one number."""
    errors = tf.square(values - target)
    return tf.reduce_sum(tf.nn.softmax(logits) * errors, axis=-1)


def test_padding_does_not_bias_a_model_of_sequences(page):
    """Nor the divergence: exact gradients are those of the short ones."""
    keras.utils.set_random_seed(4)
    model = page.sequences(weight=0.7)
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    model.compile(optimizer, "mse", jit_compile=False)
    encoder, decoder = [
        layer for layer in model.layers if isinstance(layer, keras.layers.Dense)
    ]
    weights = [*encoder.trainable_variables, *decoder.trainable_variables]
    targets = 2.0 * SHORT - 3.0

    def expected():
        logits = encoder(SHORT)
        values = tf.reshape(decoder(one_hots(3)), [3])
        log_q = tf.nn.log_softmax(logits)
        entropy = -tf.reduce_sum(tf.exp(log_q) * log_q, axis=-1)
        kl = tf.reduce_sum(tf.math.log(3.0) - entropy, axis=1)
        error = expected_of_steps(logits, values, targets)
        return tf.reduce_mean(error) + 0.7 * tf.reduce_mean(kl)

    exact = exact_gradients(expected, weights)
    padded = np.pad(targets, [(0, 0), (0, 3), (0, 0)], constant_values=50.0)
    found = gradients_of_steps(model, weights, [PADDED, padded], batch=512)
    assert_gradients(found, exact, 0.4)


def test_padding_does_not_bias_masked_costs(page):
    keras.utils.set_random_seed(5)
    many = tf.repeat(PADDED, 64, axis=0)
    target = tf.constant([0.5, -1.0, 2.0])
    page.masked_costs(many, target)
    weights = page.dense.trainable_variables

    def expected():
        errors = tf.reduce_sum(tf.square(one_hots(3) - target), axis=1)
        probabilities = tf.nn.softmax(page.dense(SHORT))
        cost = tf.reduce_sum(probabilities * errors, axis=[1, 2])
        return tf.reduce_mean(cost)

    exact = exact_gradients(expected, weights)
    found = gradients_of_tapes(
        lambda: tf.reduce_mean(page.masked_costs(many, target)), weights
    )
    assert_gradients(found, exact, 0.4)


def test_an_honest_bound_is_that_of_exact_samples(page):
    keras.utils.set_random_seed(6)
    x = keras.Input((4,))
    encoder, decoder = keras.layers.Dense(3), keras.layers.Dense(4)
    model = page.Honest(x, decoder(tg.GumbelSoftmax()(encoder(x))))
    model.compile("sgd", "mse")
    for weight in model.weights:
        weight.assign(2.0 * weight)
    many = np.repeat(STATES, 256, axis=0)
    bounds = [
        model.evaluate(many, many, batch_size=1024, verbose=0)
        for _ in range(20)
    ]
    exact = expected_error(encoder(STATES), decoder, one_hots(3), STATES)
    exact = float(tf.reduce_mean(exact))
    assert_mean(bounds, exact, smallest_bias=0.05)
    mode = decoder(tf.one_hot(tf.argmax(encoder(STATES), axis=1), 3))
    assert abs(np.mean(np.square(mode - STATES)) - exact) > 0.1


def test_a_prediction_in_between_changes_no_later_noise():
    def drawn(predict):
        layer = tg.GumbelSoftmax(seed=1)
        first = layer(STATES, training=True)
        if predict:
            layer(STATES)
        return np.stack([first, layer(STATES, training=True)])

    np.testing.assert_array_equal(drawn(True), drawn(False))
