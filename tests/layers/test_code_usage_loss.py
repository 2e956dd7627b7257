"""What the contract of `tests/helpers/cases.py` does not hold of this layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

K = 4
KINDS = ["diversity", "entropy", "load_balance"]
RANDOM = np.random.default_rng(8)
LOGITS = RANDOM.normal(scale=2.0, size=(12, 3, K)).astype("float32")
# What eight inputs say of four codes.
SITUATIONS = {
    "sure, all in use": np.eye(K)[np.arange(8) % K],
    "unsure": np.full((8, K), 1 / K),
    "collapsed": np.eye(K)[np.zeros(8, int)],
}
LOG_K = np.log(K)
EXPECTED = {
    "diversity": (0.0, 0.0, 1 - 1 / K),
    "entropy": (-0.7 * LOG_K, 0.3 * LOG_K, 0.0),
    "load_balance": (1.0, 1.0, K),
}


def loss(kind, inputs, *, mask=None, routed=None, training=None, **kwargs):
    layer = tg.CodeUsageLoss(kind, **kwargs)
    layer(tf.constant(inputs), routed, training=training, mask=mask)
    return float(layer.losses[0])


@pytest.mark.parametrize("kind", KINDS)
def test_extremes_are_what_the_formula_says(kind):
    kwargs = {"gamma": 0.7} if kind == "entropy" else {}
    for p, expected in zip(SITUATIONS.values(), EXPECTED[kind], strict=True):
        p = p.astype("float32")
        found = loss(kind, p, from_logits=False, **kwargs)
        assert found == pytest.approx(expected, abs=1e-6)
        logits = np.maximum(np.log(np.maximum(p, 1e-30)), -60.0)
        assert loss(kind, logits, **kwargs) == pytest.approx(expected, abs=1e-6)


def plain(kind, p, routed=None):
    """Of one codebook, by sums over what counts, `[N, K]`."""
    p = np.asarray(p, "float64").reshape(-1, K)
    entropy = lambda p: -np.sum(p * np.log(p), axis=-1)  # noqa: E731
    mean = p.mean(axis=0)
    if kind == "diversity":
        return (K - np.exp(entropy(mean))) / K
    if kind == "entropy":
        return entropy(p).mean() - entropy(mean)
    routed = np.eye(K)[p.argmax(axis=-1)] if routed is None else routed
    return K * np.sum(routed.reshape(-1, K).mean(axis=0) * mean)


def probabilities(logits):
    return tf.nn.softmax(tf.cast(logits, tf.float64)).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_variables_share_a_codebook_or_do_not(kind):
    p = probabilities(LOGITS)
    apart = np.mean([plain(kind, p[:, group]) for group in range(3)])
    assert loss(kind, LOGITS) == pytest.approx(apart, rel=1e-5)
    together = pytest.approx(plain(kind, p), rel=1e-5)
    assert loss(kind, LOGITS, shared=True) == together
    assert loss(kind, LOGITS, shared=1) == together


@pytest.mark.parametrize("kind", KINDS)
def test_masked_steps_do_not_count(kind):
    """Even where they hold what would hide everything else."""
    mask = RANDOM.random((12, 3)) < 0.6
    logits = np.where(mask[..., None], LOGITS, np.float32(np.nan))
    expected = plain(kind, probabilities(LOGITS)[mask])
    found = loss(kind, logits, mask=mask, shared=True)
    assert found == pytest.approx(expected, rel=1e-5)
    no = np.zeros((12, 3), bool)
    assert np.isfinite(loss(kind, LOGITS, mask=no))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_masked_in_all_examples_is_no_variable(kind):
    """However far sequences are padded; nor is it in an average."""
    mask = np.ones((12, 3), bool)
    mask[:, 2] = mask[:4, 0] = False
    expected = loss(kind, LOGITS[:, :2], mask=mask[:, :2])
    assert loss(kind, LOGITS, mask=mask) == pytest.approx(expected, rel=1e-6)
    layer = tg.CodeUsageLoss(kind, momentum=0.75)
    # Without the first position, with both, and without it again.
    for rows in (slice(0, 4), slice(4, 12), slice(0, 4)):
        layer(LOGITS[rows], training=True, mask=mask[rows])
    first = probabilities(LOGITS[4:, 0]).mean(axis=0)
    np.testing.assert_allclose(layer.mean[0], first, rtol=1e-5)
    p = probabilities(LOGITS[:, 1])
    second = 0.25 * p[4:].mean(axis=0) + 0.75 * p[:4].mean(axis=0)
    second = 0.25 * p[:4].mean(axis=0) + 0.75 * second
    np.testing.assert_allclose(layer.mean[1], second, rtol=1e-5)
    np.testing.assert_array_equal(layer.mean[2], np.zeros(K))


def test_the_mask_of_a_sequence_comes_from_keras():
    inputs = keras.Input((5,), dtype="int32")
    hidden = keras.layers.Embedding(9, K, mask_zero=True)(inputs)
    layer = tg.CodeUsageLoss("diversity", shared=True)
    model = keras.Model(inputs, layer(hidden))
    tokens = np.array([[3, 4, 0, 0, 0], [5, 6, 7, 0, 0]])
    model(tokens)
    table = model.layers[1].embeddings.numpy()
    expected = plain("diversity", probabilities(table[[3, 4, 5, 6, 7]]))
    assert float(model.losses[0]) == pytest.approx(expected, abs=1e-6)


def test_routed_codes_count_as_they_are_given():
    p = probabilities(LOGITS[:, 0])
    routed = np.eye(K)[RANDOM.integers(K, size=12)].astype("float32")
    found = loss("load_balance", LOGITS[:, 0], routed=routed)
    assert found == pytest.approx(plain("load_balance", p, routed), rel=1e-5)
    pairs = np.minimum(routed + np.roll(routed, 1, axis=-1), 1.0)
    found = loss("load_balance", LOGITS[:, 0], routed=pairs)
    assert found == pytest.approx(plain("load_balance", p, pairs / 2), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_finite_differences(kind):
    logits = tf.constant(LOGITS[:3, :2], tf.float64)
    layer = tg.CodeUsageLoss(kind, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = layer.usage(logits)
    gradient = tape.gradient(value, logits).numpy()
    for index in [(0, 0, 1), (1, 1, 3), (2, 0, 0)]:
        step = np.zeros(logits.shape)
        step[index] = 1e-5
        up, down = (layer.usage(logits + s * step) for s in (1, -1))
        assert gradient[index] == pytest.approx(
            float(up - down) / 2e-5, rel=1e-4
        )


def model_of(kind, **kwargs):
    inputs = keras.Input((5, 2))
    logits = keras.layers.Dense(K)(inputs)
    logits = tg.CategoricalKL(weight=0.3, name="kl")(logits)
    layer = tg.CodeUsageLoss(
        kind, weight=3.0, shared=True, name="use", **kwargs
    )
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(logits)))
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    return model


@pytest.mark.full
@pytest.mark.parametrize(
    "kind",
    [
        KINDS[0],
        *(pytest.param(k, marks=pytest.mark.exhaustive) for k in KINDS[1:]),
    ],
)
def test_two_replicas_train_as_one_device_does(strategy, kind):
    """The halves of the batch use quite different codes."""
    random = np.random.default_rng(2)
    x = random.normal(size=(8, 5, 2)).astype("float32")
    x[:4, :, 0] += 3.0
    y = np.zeros((8, 5, 1), "float32")
    kwargs = {"momentum": 0.5} if kind == "entropy" else {}
    with strategy.scope():
        several = model_of(kind, **kwargs)
    alone = model_of(kind, **kwargs)
    alone.set_weights(several.get_weights())
    logs = []
    for model in (several, alone):
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        names = ("loss", "use", "kl")
        logs.append([history.history[name] for name in names])
    np.testing.assert_allclose(*logs, rtol=1e-5)
    for a, b in zip(several.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_momentum_brings_former_batches_in():
    """Values by hand; the gradient is in the batch's own share, whole."""
    layer = tg.CodeUsageLoss("diversity", momentum=0.75)
    p = probabilities(LOGITS)
    with tf.GradientTape() as tape:
        logits = tf.constant(LOGITS)
        tape.watch(logits)
        layer(logits[:4], training=True)
        layer(logits[4:8], training=True)
        (value,) = layer.losses
    mean = 0.75 * p[:4].mean(axis=0) + 0.25 * p[4:8].mean(axis=0)
    entropy = -np.sum(mean * np.log(mean), axis=-1)
    expected = np.mean(1 - np.exp(entropy) / K)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    gradient = tape.gradient(value, logits)
    # dL/dp̄ = (1 + log p̄) exp(H) / (3 K), each of 4 inputs a quarter of p̄.
    slope = (1 + np.log(mean)) * np.exp(entropy)[:, None] / (3 * K) / 4
    q = p[4:8]
    through = q * (slope - np.sum(q * slope, axis=-1, keepdims=True))
    np.testing.assert_allclose(gradient[4:8], through, rtol=1e-4, atol=1e-7)
    assert np.all(gradient[:4] == 0)
    state = [w.numpy() for w in layer.weights]
    layer(LOGITS[:4])
    layer.trainable = False
    layer(LOGITS[:4], training=True)
    for weight, before in zip(layer.weights, state, strict=True):
        np.testing.assert_array_equal(weight, before)


@pytest.mark.full
def test_small_batches_with_momentum_have_the_gradient_of_a_large_one():
    """As under gradient accumulation: the mean over batches of four inputs."""
    random = np.random.default_rng(4)
    logits = random.normal(scale=3.0, size=(2000, 1, K)).astype("float32")
    logits += np.array([1.5, 0.0, -1.0, 0.0], "float32")

    def gradient(size, momentum):
        layer = tg.CodeUsageLoss("diversity", momentum=momentum)
        shift = tf.Variable(tf.zeros(K))

        @tf.function
        def of_batch(batch):
            with tf.GradientTape() as tape:
                layer(batch + shift, training=True)
                (value,) = layer.losses
            return tape.gradient(value, shift)

        batches = np.split(logits, len(logits) // size)
        return np.mean([of_batch(tf.constant(b)) for b in batches], axis=0)

    exact = gradient(2000, 0.0)
    without, with_it = (
        np.linalg.norm(gradient(4, momentum) - exact) / np.linalg.norm(exact)
        for momentum in (0.0, 0.9)
    )
    assert with_it < 0.1 and without > 0.25


@pytest.mark.full
def test_fit_logs_the_loss_and_sample_weights_do_not_reach_it():
    """As with all losses of layers, in Keras."""
    model = model_of("diversity")
    x = np.random.default_rng(2).normal(size=(8, 5, 2)).astype("float32")
    logs = [
        model.evaluate(
            x, np.zeros((8, 5, 1)), sample_weight=w, return_dict=True, verbose=0
        )["use"]
        for w in (None, np.zeros((8, 5)))
    ]
    logits = model.get_layer("kl").output
    logits = keras.Model(model.input, logits)(x)
    expected = 3.0 * plain("diversity", probabilities(logits))
    assert logs == pytest.approx([expected] * 2, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("balance", {}, "`kind`.*'load_balance'.*kind='balance'"),
        ("entropy", {"weight": -1.0}, "`weight`.*weight=-1.0"),
        ("entropy", {"gamma": -1.0}, "`gamma`.*gamma=-1.0"),
        ("diversity", {"gamma": 2.0}, "`gamma`.*kind='diversity'"),
        ("diversity", {"momentum": 1.0}, "`momentum`.*momentum=1.0"),
    ],
)
def test_bad_arguments(kind, kwargs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        tg.CodeUsageLoss(kind, **kwargs)


@pytest.mark.parametrize(
    ("kind", "inputs", "call", "kwargs", "message"),
    [
        ("diversity", LOGITS[..., :1], {}, {}, r"2 categories.*\(12, 3, 1\)"),
        ("diversity", LOGITS[0, 0], {}, {}, r"\[B, ..., K\].*\(4,\)"),
        ("diversity", LOGITS, {}, {"shared": 2}, r"`shared`.*\(2,\)"),
        ("diversity", LOGITS, {}, {"from_logits": False}, "sum to 1.*from -"),
        ("diversity", [[1.2, -0.2]], {}, {"from_logits": False}, "from -0.2"),
        ("diversity", [[0.7, 0.4]], {}, {"from_logits": False}, "from 1.1"),
        ("diversity", LOGITS, {}, {"shared": 3}, r"`shared`.*\(3,\)"),
        ("entropy", LOGITS, {"routed": LOGITS}, {}, "`routed`.*'entropy'"),
        (
            "load_balance",
            LOGITS,
            {"routed": LOGITS[:, :2]},
            {},
            r"`routed`.*\(12, 3, 4\).*\(12, 2, 4\)",
        ),
        (
            "entropy",
            LOGITS,
            {"mask": np.ones(LOGITS.shape, bool)},
            {},
            r"`mask`.*\(12, 3, 4\)",
        ),
    ],
)
def test_bad_input(kind, inputs, call, kwargs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        tg.CodeUsageLoss(kind, **kwargs)(tf.constant(inputs), **call)
