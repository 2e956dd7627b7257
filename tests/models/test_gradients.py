"""Gradients of `ReinforceSampler` in `fit`, against enumeration."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.models import chain, problem

SMALLEST_BIAS = 0.1  # the gradients are of size 0.5 to 5
STEPS, BATCH = 16, 4096
WEIGHTS = np.array([0.0, 0.5, 1.0, 2.5], "float32")

BASELINES = {
    "none": lambda: None,
    "moving_average": lambda: "moving_average",
    "nvil": lambda: "nvil",
    "layer": lambda: keras.layers.Dense(1),
}


def compiled(network, loss="mse", **options):
    network.compile(
        keras.optimizers.SGD(problem.LEARNING_RATE), loss=loss, **options
    )
    return network


def assert_unbiased(gradients, exact, smallest_bias=SMALLEST_BIAS):
    for measured, expected in zip(gradients, exact, strict=True):
        assert_mean(measured, expected, smallest_bias)


@pytest.mark.full
@pytest.mark.parametrize(
    ("weights", "jit_compile"),
    [
        pytest.param(None, False, id="plain-graph"),
        pytest.param(WEIGHTS, False, id="weighted-graph"),
        pytest.param(None, True, id="plain-xla", marks=pytest.mark.exhaustive),
        pytest.param(WEIGHTS, True, id="weighted-xla", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("baseline", BASELINES)
def test_fit_agrees_with_enumeration(baseline, weights, jit_compile):
    network = compiled(
        problem.model(BASELINES[baseline]()), jit_compile=jit_compile
    )
    gradients = problem.fit_gradients(
        network, STEPS, BATCH, sample_weight=weights
    )
    exact = problem.exact_gradients(network, problem.squared_error, weights)
    assert_unbiased(gradients, exact)


@pytest.mark.full
def test_the_sum_reduction_is_right_too():
    network = compiled(
        problem.model("nvil"), keras.losses.MeanSquaredError("sum")
    )
    gradients = problem.fit_gradients(network, STEPS, BATCH)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased([g / BATCH for g in gradients], exact)


@pytest.mark.full
def test_class_weights_weigh_the_cost():
    labels = np.array([0, 1, 1, 0], "int32")
    class_weight = {0: 0.5, 1: 2.0}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network = compiled(problem.model("moving_average"), loss)
    gradients = problem.fit_gradients(
        network, STEPS, BATCH, y=labels, class_weight=class_weight
    )
    exact = problem.exact_gradients(
        network,
        lambda outputs, i: tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.fill([len(outputs)], labels[i]), outputs
        ),
        [class_weight[label] for label in labels],
    )
    assert_unbiased(gradients, exact)


def two_outputs(outputs):
    """A square and a time axis: losses of ranks 1 and 2."""
    sequence = tf.stack([outputs, 2.0 * outputs, -outputs], axis=1)
    return tf.square(outputs), sequence


@pytest.mark.full
def test_several_outputs_loss_weights_and_a_time_axis():
    x = keras.Input((2,))
    z = tg.ReinforceSampler(baseline="nvil", seed=3)(
        problem.encoder()(x), context=x
    )
    y = problem.decoder()(z)
    square = keras.layers.Lambda(lambda t: two_outputs(t)[0], name="a")(y)
    sequence = keras.layers.Lambda(
        lambda t: two_outputs(t)[1], output_shape=(3, 2), name="b"
    )(y)
    network = compiled(
        tg.StochasticModel(x, {"a": square, "b": sequence}),
        {"a": "mae", "b": "mse"},
        loss_weights={"a": 0.5, "b": 0.25},
    )
    targets = {"a": problem.TARGETS, "b": np.ones([4, 3, 2], "float32")}

    def example_loss(outputs, i):
        first, second = two_outputs(outputs)
        mae = tf.reduce_mean(tf.abs(first - problem.TARGETS[i]), -1)
        mse = tf.reduce_mean(tf.square(second - 1.0), [1, 2])
        return 0.5 * mae + 0.25 * mse

    gradients = problem.fit_gradients(network, STEPS, BATCH, y=targets)
    exact = problem.exact_gradients(network, example_loss)
    assert_unbiased(gradients, exact)


@pytest.mark.full
def test_two_samplers_in_nested_models():
    """Each variable is drawn by a sampler of its own, inside a submodel."""
    logits = keras.Input((problem.VARIABLES, problem.CATEGORIES))
    drawn = [
        tg.ReinforceSampler(baseline="moving_average", seed=i)(
            logits[:, i : i + 1]
        )
        for i in range(problem.VARIABLES)
    ]
    inner = keras.Model(logits, keras.layers.Concatenate(axis=1)(drawn))
    x = keras.Input((2,))
    z = inner(problem.encoder()(x))
    network = compiled(tg.StochasticModel(x, problem.decoder()(z)))
    gradients = problem.fit_gradients(network, STEPS, BATCH)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(gradients, exact)


@pytest.mark.full
def test_gradient_accumulation_averages_the_estimates():
    network = problem.model("moving_average")
    network.compile(
        keras.optimizers.SGD(
            problem.LEARNING_RATE, gradient_accumulation_steps=2
        ),
        loss="mse",
    )
    gradients = problem.fit_gradients(network, 2 * STEPS, BATCH)
    exact = problem.exact_gradients(network, problem.squared_error)
    # Every other step is without an update.
    assert_unbiased([g[1::2] for g in gradients], exact)


@pytest.mark.full
def test_a_sequential_model_with_the_mixin():
    class Stochastic(tg.ScoreFunctionMixin, keras.Sequential):
        pass

    sampler = tg.ReinforceSampler(baseline="nvil", seed=5)
    network = compiled(
        Stochastic([problem.encoder(), sampler, problem.decoder()])
    )
    network.build((None, 2))
    gradients = problem.fit_gradients(network, STEPS, BATCH)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(gradients, exact)


@pytest.mark.full
def test_mixed_precision_agrees_with_enumeration():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = compiled(problem.model("nvil"))
    gradients = problem.fit_gradients(network, STEPS, BATCH)
    exact = problem.exact_gradients(network, problem.squared_error)
    # The encoder's alone: Keras sums the decoder's own gradients over the
    # batch in bfloat16, whose sum of 4096 small terms stops growing.
    assert_unbiased(gradients[:2], exact[:2])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_loss_of_ones_own_is_given_what_keras_gives_it(policy):
    """Targets and outputs in its dtype, of integers and half precision too."""
    keras.config.set_dtype_policy(policy)
    network = problem.model(None)

    def squared(y_true, y_pred):
        assert y_true.dtype == y_pred.dtype == tf.float32
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    compiled(network, squared)
    network.train_on_batch(problem.INPUTS, problem.TARGETS.astype("int32"))


@pytest.mark.full
def test_cost_returned_as_an_output_with_mean_cost():
    x, y = keras.Input((2,)), keras.Input((2,))
    z, log_prob = tg.ReinforceSampler(return_log_prob=True, seed=2)(
        problem.encoder()(x)
    )
    cost = problem.cost_of(problem.decoder()(z), y)
    cost = tg.ScoreFunctionCost(baseline="nvil")(cost, log_prob, x)
    network = compiled(keras.Model([x, y], cost), tg.losses.MeanCost())
    pair = problem.INPUTS, problem.TARGETS
    gradients = problem.fit_gradients(
        network, STEPS, BATCH, np.zeros(4), pair, sample_weight=WEIGHTS
    )
    exact = problem.exact_gradients(network, problem.squared_error, WEIGHTS)
    assert_unbiased(gradients, exact)


@pytest.mark.full
@pytest.mark.parametrize("distribution", ["bernoulli", "gaussian"])
def test_other_distributions(distribution):
    """E mean_j (z_j - t_j)², whose gradient has a closed form."""
    x = keras.Input((2,))
    dense = keras.layers.Dense(
        2, kernel_initializer=keras.initializers.Constant(0.3), name="mean"
    )
    mean = dense(x)
    parameters = mean
    if distribution == "gaussian":
        parameters = (mean, keras.layers.Lambda(lambda t: 0.0 * t)(mean))
    sampler = tg.ReinforceSampler(distribution, "moving_average", seed=4)
    z = keras.layers.Activation("linear")(sampler(parameters))
    network = compiled(tg.StochasticModel(x, z))
    variables = dense.trainable_variables
    start = [v.numpy() for v in variables]
    found = []

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(
                (start[0] - variables[0].numpy()) / problem.LEARNING_RATE
            )
            for value, v in zip(start, variables, strict=True):
                v.assign(value)

    network.fit(
        problem.repeated(problem.INPUTS, BATCH),
        problem.repeated(problem.TARGETS, BATCH),
        batch_size=BATCH,
        epochs=2 * STEPS,
        verbose=0,
        callbacks=[Recorder()],
    )
    with tf.GradientTape() as tape:
        mean = dense(problem.INPUTS)
        expected = tf.square(mean - problem.TARGETS) + 1.0
        if distribution == "bernoulli":
            on = tf.sigmoid(mean)
            expected = on * tf.square(1.0 - problem.TARGETS) + (
                1.0 - on
            ) * tf.square(problem.TARGETS)
        expected = tf.reduce_mean(expected)
    exact = tape.gradient(expected, variables[0].value).numpy()
    assert_mean(np.stack(found), exact, 4 * SMALLEST_BIAS)


def trained_on(targets, loss, named=False):
    """Weights after a step of a model with outputs `zz` and `aa`."""
    x = keras.Input((2,))
    z = tg.ReinforceSampler(baseline=None, seed=1)(problem.encoder()(x))
    z = keras.layers.Flatten()(z)
    kernel = keras.initializers.Constant(np.cos(np.arange(12.0)).reshape(6, 2))
    heads = {
        name: keras.layers.Dense(2, kernel_initializer=kernel, name=name)
        for name in ("zz", "aa")
    }
    outputs = {name: head(z) for name, head in heads.items()}
    network = tg.StochasticModel(
        x, outputs if named else list(outputs.values())
    )
    network.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    network.train_on_batch(problem.INPUTS, targets)
    layers = [network.get_layer("encoder"), *heads.values()]
    return [weight for layer in layers for weight in layer.get_weights()]


ZZ, AA = problem.TARGETS, -problem.TARGETS


@pytest.mark.parametrize(
    ("targets", "loss", "named"),
    [
        ([ZZ, AA], {"zz": "mse", "aa": "mae"}, False),
        ({"aa": AA, "zz": ZZ}, ["mse", "mae"], False),
        ({"aa": AA, "zz": ZZ}, {"zz": "mse", "aa": "mae"}, False),
        ({"aa": AA, "zz": ZZ}, {"zz": "mse", "aa": "mae"}, True),
    ],
)
def test_targets_of_several_outputs(targets, loss, named):
    """In every form that Keras takes them."""
    expected = trained_on([ZZ, AA], ["mse", "mae"])
    found = trained_on(targets, loss, named)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize(
    ("targets", "loss", "named"),
    [
        (AA, [None, "mae"], False),
        ([AA], [None, "mae"], False),
        ({"aa": AA}, {"aa": "mae"}, True),
        ({"aa": AA}, {"aa": "mae", "zz": None}, True),
    ],
)
def test_an_output_without_a_loss(targets, loss, named):
    expected = trained_on([None, AA], [None, "mae"])
    found = trained_on(targets, loss, named)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("credit", ["example", "to_go", "local"])
@pytest.mark.parametrize("steps", [3, 4])
def test_weights_of_examples_in_sequences(credit, steps):
    """Where the batch, of 4, has as many steps, too."""

    def trained(weights):
        network = chain.model(steps=steps, credit=credit)
        network.compile(keras.optimizers.SGD(0.1), "mse")
        x, y = (
            np.resize(array, (4, steps, 2))
            for array in (chain.INPUTS, chain.TARGETS)
        )
        network.train_on_batch(x, y, sample_weight=weights)
        return [weight.numpy() for weight in chain.weights_of(network)]

    of_steps = np.tile(WEIGHTS[:, None], steps)
    for one, other in zip(trained(WEIGHTS), trained(of_steps), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
