"""What a `SubsetSampler` does beyond the contract of every layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean, subset_law
from tests.layers.calls import differentiated
from tests.ops.derivatives import assert_close

# The masked category is by far the likeliest.
LOGITS = np.tile(np.array([0.0, 9.0, 1.0, -0.5], "float32"), (200, 1))
MASK = np.array([True, False, True, True])
COST = [1.0, 2.0, 3.0, 5.0]
MODES = {
    "plackett_luce": ["training", "mode", "sample", "relaxed"],
    "subset": ["training", "mode", "sample", "mean"],
}
every_mode = pytest.mark.parametrize(
    ("distribution", "mode"),
    [(name, mode) for name, modes in MODES.items() for mode in modes],
)


def sampler(mode, k=2, distribution="plackett_luce", **kwargs):
    inference = "mode" if mode == "training" else mode
    return tg.SubsetSampler(
        k, distribution, inference=inference, seed=3, **kwargs
    )


@pytest.mark.parametrize("hard", [False, True])
def test_one_category_is_gumbel_softmax(hard):
    """The same value and gradient for the same noise."""
    results = []
    for layer in (
        sampler("training", 1, temperature=0.6, hard=hard),
        tg.GumbelSoftmax(0.6, hard, seed=3),
    ):
        with tg.SamplingScope(seed=3, inference=None):
            found = differentiated(
                lambda x, la=layer: [la(*x, training=True)],
                [tf.constant(LOGITS)],
            )
        results.append(found)
    assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_inclusion_probabilities_are_those_of_enumeration(k):
    """In training, of every category; also when it follows from the law."""
    logits = np.log([0.1, 0.4, 0.2, 0.3]).astype("float32")
    layer = tg.SubsetSampler(k, "plackett_luce", seed=5)
    z = layer(np.tile(logits, (50_000, 1)), training=True).numpy()
    assert set(np.unique(z)) == {0, 1} and np.all(z.sum(axis=-1) == k)
    k_hots, probabilities = subset_law(logits, k)
    assert_mean(z, probabilities @ k_hots, smallest_bias=0.02)


@every_mode
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_masked_category_is_never_drawn(distribution, mode, policy):
    logits = tf.constant(LOGITS)
    layer = sampler(mode, distribution=distribution, dtype=policy)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        y = layer(logits, MASK, training=mode == "training")
        total = tf.reduce_sum(tf.cast(y, tf.float32) * COST)
    assert np.all(y[:, 1] == 0)
    rounding = 2e-3 if mode == "mean" else 0.0
    np.testing.assert_allclose(np.sum(y, axis=-1), 2.0, atol=rounding)
    gradient = tape.gradient(total, logits)
    if mode == "training":
        assert np.all(gradient[:, 0] != 0)
    assert gradient is None or np.all(gradient[:, 1] == 0)


@every_mode
def test_too_few_legal_categories_are_an_error_in_eager_mode(
    distribution, mode
):
    layer = sampler(mode, distribution=distribution)
    mask = np.tile(MASK, (200, 1))
    mask[7, 2:] = False
    message = r"at least 2 legal .*Received: 1 row\(s\).* index \(7,\)"
    with pytest.raises(ValueError, match=message):
        layer(LOGITS, mask, training=mode == "training")


@every_mode
def test_too_few_legal_categories_are_all_chosen_in_a_graph(distribution, mode):
    """One in row 7, none in row 8; every gradient is finite."""
    layer = sampler(mode, distribution=distribution)
    mask = np.tile(MASK, (200, 1))
    mask[7, 2:] = mask[8] = False

    @tf.function
    def value_and_gradient(logits, mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            y = layer(logits, mask, training=mode == "training")
            total = tf.reduce_sum(y * COST)
        zero = tf.UnconnectedGradients.ZERO
        return y, tape.gradient(total, logits, unconnected_gradients=zero)

    y, gradient = value_and_gradient(tf.constant(LOGITS), tf.constant(mask))
    np.testing.assert_array_equal(y[7:9], [[1, 0, 0, 0], [0, 0, 0, 0]])
    assert np.all(np.isfinite(gradient)) and np.all(gradient[8] == 0)
    others = np.delete(y, [7, 8], axis=0)
    np.testing.assert_allclose(others.sum(axis=-1), 2.0, rtol=1e-6)


@pytest.mark.parametrize("k", [0, 4, 2.0, True])
def test_bad_size_is_an_error(k):
    error = TypeError if isinstance(k, float | bool) else ValueError
    with pytest.raises(error, match=f"`k` must .*Received: k={k}"):
        tg.SubsetSampler(k, "plackett_luce")(LOGITS)


def test_there_is_no_mean():
    message = "`inference` must be one of 'mode', 'sample', 'relaxed'"
    with pytest.raises(ValueError, match=message):
        tg.SubsetSampler(2, "plackett_luce", inference="mean")


# The exact distribution.


def test_the_default_is_exactly_k_of_n():
    layer = tg.SubsetSampler(2)
    assert layer.get_config()["distribution"] == "subset"
    assert layer.estimator == "marginal"


def test_marginals_are_those_of_the_conditional_distribution():
    """Of the four items of the docstring."""
    odds = np.array([0.3, 0.6, 0.5, 0.2])
    logits = np.log(odds / (1 - odds)).astype("float32")
    many = np.tile(logits, (50_000, 1))
    expected = [0.3568, 0.7622, 0.6595, 0.2216]
    z = tg.SubsetSampler(2, seed=5)(many, training=True).numpy()
    assert_mean(z, expected, smallest_bias=0.015)
    mean = tg.SubsetSampler(2, inference="mean")(many[:1])
    np.testing.assert_allclose(mean[0], expected, atol=1e-4)


def test_the_marginal_gradient_is_exact_for_a_linear_cost():
    logits = tf.constant(LOGITS[:1])
    weights = tf.constant([1.0, -2.0, 3.0, 0.5])
    layer = tg.SubsetSampler(2, seed=1)
    exact = tg.ExpectedCost(
        lambda z: tf.linalg.matvec(z, weights), "exact", distribution="subset",
        k=2,
    )  # fmt: skip
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        of_layer = tf.linalg.matvec(layer(logits, training=True), weights)
        of_sum = exact(logits, training=True)
    np.testing.assert_allclose(
        tape.gradient(of_layer, logits),
        tape.gradient(of_sum, logits),
        atol=1e-5,
    )


@pytest.mark.parametrize("k", [(1, 3), None])
def test_sizes_other_than_one_number(k):
    inputs = tf.constant(LOGITS)
    if k is None:
        sizes = tf.constant(np.arange(200) % 5, tf.float32)
        inputs = (sizes, inputs)
    for layer in (tg.SubsetSampler(k, seed=2), again(tg.SubsetSampler(k))):
        z = layer(inputs, training=True)
        number = np.sum(z, axis=-1)
        if k is None:
            np.testing.assert_array_equal(number, sizes)
        else:
            assert set(number) == {1, 2, 3}


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float16"])
def test_sizes_of_any_type_of_number(dtype):
    """In every layer that takes them, as those in float32."""
    sizes = np.arange(8) % 5

    def results(sizes):
        logits = tf.constant(LOGITS[:8])
        subset = {"distribution": "subset", "k": None}
        cost = tg.ExpectedCost(
            lambda z: tf.reduce_sum(z * [1.0, 2.0, 3.0, 5.0], axis=-1) ** 2,
            "reinforce",
            seed=1,
            **subset,
        )
        score = tg.ReinforceSampler(return_log_prob=True, seed=1, **subset)
        kl = tg.KLDivergence(**subset)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            q = (sizes, logits)
            values = [
                tg.SubsetSampler(None, seed=1)(q, training=True),
                cost(q, training=True),
                cost(q, category_mask=[[True] * 4], training=True),
                cost(q, training=False),
                *score(q, training=True),
                kl(q) and kl.losses[0],
            ]
            total = tf.add_n([tf.reduce_sum(value) for value in values])
        return [*values, tape.gradient(total, logits)]

    expected = results(tf.constant(sizes, "float32"))
    found = results(tf.constant(sizes, dtype))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_integer_sizes_in_a_model():
    size, x = keras.Input((), dtype="int32"), keras.Input((4,))
    z = tg.ReinforceSampler("subset", k=None, seed=1)((size, x))
    model = tg.StochasticModel([size, x], [keras.layers.Dense(1)(z), z])
    model.compile("sgd", ["mse", None])
    sizes = np.arange(10) % 5
    inputs = [sizes, np.zeros((10, 4))]
    model.fit(inputs, np.zeros((10, 1)), batch_size=4, verbose=0)
    _, z = model.predict(inputs, verbose=0)
    np.testing.assert_array_equal(z.sum(axis=1), sizes)


def test_sizes_that_the_mask_does_not_leave():
    mask = np.array([[True, True, False, False], [True, True, True, False]])
    layer = tg.SubsetSampler(None, seed=1)
    logits = tf.zeros([2, 4])
    z = layer((tf.constant([2, 3]), logits), mask, training=True)
    np.testing.assert_array_equal(z, mask)
    message = r"as many legal .*are to be drawn.*1 row.*index \(0,\)"
    with pytest.raises(ValueError, match=message):
        layer((tf.constant([3, 2]), logits), mask, training=True)
    drawn = tf.function(
        lambda mask: layer((tf.constant(3), logits), mask, training=True)
    )
    np.testing.assert_array_equal(drawn(tf.constant(mask)), mask)


def again(layer):
    return tg.SubsetSampler.from_config(layer.get_config())


@pytest.mark.parametrize("distribution", ["subset", "plackett_luce"])
@pytest.mark.parametrize("axis", [1, -2, -1])
def test_groups_of_four(distribution, axis):
    """Two of every four neighbours; each group as one by itself."""
    logits = np.random.default_rng(1).normal(size=(5, 8, 12)).astype("float32")
    layer = tg.SubsetSampler(
        2, distribution, axis=axis, group_size=4, seed=1, inference="sample"
    )
    for z in (
        layer(logits, training=True),
        layer(logits),
        again(layer)(logits),
    ):
        last = np.moveaxis(z, axis, -1)
        groups = last.reshape(*last.shape[:-1], -1, 4)
        np.testing.assert_array_equal(groups.sum(axis=-1), 2.0)
    mask = np.ones([8, 12], bool)
    mask[::4] = axis == -1  # the first of each group
    mask[:, ::4] = axis != -1
    z = layer(logits, mask, training=True).numpy()
    assert np.all(z[:, ~mask] == 0)


def test_a_symbolic_call_in_groups():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, tg.SubsetSampler(2, group_size=4)(inputs))
    assert model.output_shape == (None, 8)
    z = model.predict(np.zeros([3, 8], "float32"), verbose=0)
    np.testing.assert_array_equal(z, [[1, 1, 0, 0] * 2] * 3)
    with pytest.raises(ValueError, match="divide .*group_size=3"):
        tg.SubsetSampler(2, group_size=3)(inputs)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 5}, ValueError, "k=5"),
        ({"k": 0}, ValueError, "k=0"),
        ({"k": (1, 3), "distribution": "plackett_luce"}, TypeError, "integer"),
        ({"k": 4, "distribution": "plackett_luce"}, ValueError, "below"),
        ({"k": 2, "distribution": "gumbel"}, ValueError, "'plackett_luce'"),
        ({"k": 2, "estimator": "relaxed"}, ValueError, "'marginal'"),
        ({"k": 2, "temperature": 0.5}, ValueError, "belongs to .*'relaxed'"),
        ({"k": 2, "hard": False}, ValueError, "`hard` belongs to"),
        ({"k": None, "group_size": 2}, ValueError, "needs `k`"),
        ({"k": 2, "group_size": 0}, ValueError, "group_size=0"),
        ({"k": 2, "step": 0.0}, ValueError, "step=0.0"),
        ({"k": 3, "group_size": 2}, ValueError, "k=3"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        tg.SubsetSampler(**arguments)(LOGITS)


def test_a_temperature_that_is_not_there():
    layer = tg.SubsetSampler(2)
    assert layer.temperature is None
    with pytest.raises(ValueError, match="made without a `temperature`"):
        layer.temperature = 0.5


@pytest.mark.full
@pytest.mark.parametrize("scaled", ["by a factor", "mixed_float16"])
def test_a_loss_scale_moves_implicit_mle_no_farther(scaled):
    def step(policy="float32", **options):
        keras.utils.set_random_seed(0)
        x = keras.Input((6,))
        dense = keras.layers.Dense(6, dtype="float32")
        layer = sampler(
            "training", estimator="implicit_mle", step=5.0, dtype=policy
        )
        y = keras.layers.Dense(1, dtype="float32")(layer(dense(x)))
        model = keras.Model(x, y)
        optimizer = keras.optimizers.SGD(1.0, **options)
        if policy != "float32":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer, "mse")
        before = dense.kernel.numpy()
        random = np.random.default_rng(0)
        data = random.normal(size=(32, 6)), random.normal(size=(32, 1))
        model.train_on_batch(*(a.astype("float32") for a in data))
        return dense.kernel.numpy() - before

    plain = step()
    assert np.max(np.abs(plain)) > 0.1
    by_factor = {"loss_scale_factor": 64.0}
    found = step(scaled) if scaled[0] == "m" else step(**by_factor)
    np.testing.assert_allclose(found, plain, rtol=1e-2, atol=1e-3)
