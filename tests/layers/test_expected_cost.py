"""ExpectedCost: any cost, any estimator, in any Keras model."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.layers.operations import optimised

RNG = np.random.default_rng(5)
X = RNG.normal(size=(64, 6)).astype("float32")
TARGET = np.zeros(64, "float32")
FAST = ("gumbel_softmax", "nvil", "rebar")
# Each of its own kind; the others, on demand.
SLOW = ("disarm", "mve", "relax", "rodeo", "unordered_set", "vimco")
NAMES = [
    name
    if name in FAST
    else pytest.param(
        name,
        marks=pytest.mark.slow if name in SLOW else pytest.mark.exhaustive,
    )
    for name in tg.estimators.available("categorical")
]
SLOW_XLA = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("rebar", "relax")
]


@keras.saving.register_keras_serializable(package="tests")
class Reconstruction(keras.layers.Layer):
    """Squared error of a linear decoder of z against x."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten()
        self.decoder = keras.layers.Dense(6)

    def call(self, z, x):
        error = self.decoder(self.flatten(z)) - x
        return keras.ops.mean(keras.ops.square(error), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
def plain_cost(z, x):
    z = tf.reshape(z, [-1, 6])
    return tf.reduce_mean(tf.square(z - x), axis=-1)


def functional(estimator="nvil", cost=None, **kwargs):
    x = keras.Input((6,))
    logits = keras.layers.Reshape((2, 3))(keras.layers.Dense(6)(x))
    layer = tg.ExpectedCost(
        cost or Reconstruction(), estimator, seed=4, **kwargs
    )
    return keras.Model(x, layer(logits, x))


def trained(model, epochs=8, rate=0.02, **kwargs):
    model.compile(
        keras.optimizers.Adam(rate), loss=tg.losses.MeanCost(), **kwargs
    )
    history = model.fit(
        X, TARGET, epochs=epochs, batch_size=16, shuffle=False, verbose=0
    )
    return history.history["loss"]


def estimator_of(model):
    return model.layers[-1].estimator


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_fit_trains_with_every_estimator(name):
    keras.utils.set_random_seed(2)
    model = functional(name)
    before = [w.numpy() for w in model.trainable_weights]
    loss = trained(model)
    assert np.all(np.isfinite(loss)) and loss[-1] < 0.9 * loss[0]
    assert all(
        np.any(old != new.numpy())
        for old, new in zip(before, model.trainable_weights, strict=True)
    )


@pytest.mark.full
@pytest.mark.parametrize("name", ["arm", "arms", "disarm"])
def test_fit_trains_bits(name):
    keras.utils.set_random_seed(2)
    x = keras.Input((6,))
    layer = tg.ExpectedCost(
        Reconstruction(), name, distribution="bernoulli", seed=4
    )
    model = keras.Model(x, layer(keras.layers.Dense(5)(x), x))
    loss = trained(model)
    assert loss[-1] < 0.9 * loss[0]


def before(nodes, name):
    """The nodes that have run when the one of this name begins.

    An output of an IdentityN waits for its own input: later passes of
    TensorFlow take such nodes out, which join all gradients for an optimizer.
    """
    found, rest = set(), list(nodes[name].input)
    while rest:
        name, _, output = rest.pop().lstrip("^").partition(":")
        node = nodes[name]
        joined = node.op == "IdentityN"
        inputs = [node.input[int(output or 0)]] if joined else node.input
        rest += [i for i in inputs if i.lstrip("^").split(":")[0] not in found]
        found.add(name)
    return found


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in tg.estimators.available("categorical")),
        ("relax", {"relaxed_cost": True}),
        ("rebar", {"tied": False}),
    ],
)
def test_no_weight_changes_before_all_reads(name, options):
    """Of the cost's weights too, where only a control variate reads them."""
    model = functional(tg.estimators.get(name, **options))
    weights = model.trainable_variables
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(weights)

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x, training=True))
        gradients = tape.gradient(loss, [w.value for w in weights])
        optimizer.apply(gradients, weights)

    x = [tf.constant(X)]
    graphs = optimised(step, x, x)
    nodes = {n.name: n for n in max(graphs, key=lambda g: len(g.node)).node}
    updates = [n for n in nodes.values() if n.op == "AssignSubVariableOp"]
    assert len(updates) == len(weights)
    for update in updates:
        reads = {
            n.name
            for n in nodes.values()
            if n.op == "ReadVariableOp" and n.input[0] == update.input[0]
        }
        assert reads <= before(nodes, update.name)


@pytest.mark.full
@pytest.mark.parametrize("name", ["rloo", *SLOW_XLA])
def test_fit_under_xla(name):
    loss = trained(functional(name), epochs=3, jit_compile=True)
    assert np.all(np.isfinite(loss)) and loss[-1] < loss[0]


def trained_by_descent(estimator):
    keras.utils.set_random_seed(2)
    model = functional(estimator)
    before = [w.numpy() for w in model.weights]
    model.compile(keras.optimizers.SGD(0.1), loss=tg.losses.MeanCost())
    model.fit(X, TARGET, batch_size=16, shuffle=False, verbose=0)
    return before, [w.numpy() for w in model.weights]


@pytest.mark.full
def test_replicas_train_like_one_device(strategy):
    # Enumeration draws nothing: the same global batch, the same weights.
    with strategy.scope():
        before, replicas = trained_by_descent("exact")
    _, alone = trained_by_descent("exact")
    for one, other in zip(replicas, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert any(
        np.any(np.abs(start - end) > 1e-2)
        for start, end in zip(before, alone, strict=True)
    )


@pytest.mark.slow
def test_replicas_train_control_variates(strategy):
    keras.utils.set_random_seed(2)
    with strategy.scope():
        model = functional("rebar")
        loss = trained(model)
    assert loss[-1] < 0.9 * loss[0]
    assert estimator_of(model).eta.numpy() != 1.0


@pytest.mark.full
def test_export_serves_the_cost_of_the_mode(tmp_path):
    model = functional("rebar", inference="mode")
    model.export(tmp_path, verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(X), model(X), rtol=1e-6)


@pytest.mark.full
def test_fit_eagerly():
    loss = trained(functional("rebar"), epochs=1, run_eagerly=True)
    assert np.all(np.isfinite(loss))


@pytest.mark.full
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(2)
    model = functional("rloo")
    assert model.output.dtype == "float32"
    loss = trained(model)
    assert loss[-1] < 0.9 * loss[0]


@pytest.mark.full
def test_a_function_and_sample_weights():
    model = functional("rloo", plain_cost)
    model.compile("sgd", loss=tg.losses.MeanCost())
    weights = np.zeros(64, "float32")
    before = model.get_weights()
    model.fit(X, TARGET, sample_weight=weights, verbose=0)
    for old, new in zip(before[:2], model.get_weights()[:2], strict=True):
        np.testing.assert_array_equal(old, new)
    loss = trained(model, epochs=20)
    assert loss[-1] < loss[0]


@pytest.mark.full
def test_a_functional_cost_of_two_inputs():
    z, x = keras.Input((2, 3)), keras.Input((6,))
    decoded = keras.layers.Dense(6)(keras.layers.Flatten()(z))
    error = keras.ops.mean(keras.ops.square(decoded - x), axis=-1)
    model = functional("rebar", keras.Model([z, x], error))
    loss = trained(model)
    assert loss[-1] < 0.9 * loss[0]


@pytest.mark.full
def test_sequential_without_context():
    cost = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(1, "softplus"),
            keras.layers.Reshape(()),
        ]
    )
    model = keras.Sequential(
        [
            keras.layers.Dense(6),
            keras.layers.Reshape((2, 3)),
            tg.ExpectedCost(cost, "relax"),
        ]
    )
    loss = trained(model)
    assert loss[-1] < loss[0]


@pytest.mark.full
def test_subclassed_model_with_its_own_loss():
    class Coder(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.layers.Dense(6)
            self.shape = keras.layers.Reshape((2, 3))
            self.expected = tg.ExpectedCost(
                Reconstruction(), "rebar", add_loss=True
            )

        def call(self, x, training=None):
            logits = self.shape(self.encoder(x))
            return self.expected(logits, x, training=training)

    keras.utils.set_random_seed(2)
    model = Coder()
    model.compile(keras.optimizers.Adam(0.02))
    loss = model.fit(X, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert loss[-1] < 0.9 * loss[0]


def test_gradient_is_the_estimators():
    logits = tf.constant(RNG.normal(size=(5, 2, 3)), tf.float32)
    x = tf.constant(X[:5])
    layer = tg.ExpectedCost(plain_cost, "exact")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        cost = layer(logits, x, training=True)
        expected = tg.estimators.Exact()(
            lambda z: plain_cost(z, tg.estimators.tile_context(x, z)),
            logits,
            [0, 0],
        )
    np.testing.assert_allclose(cost, expected, rtol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(cost, logits), tape.gradient(expected, logits)
    )


@pytest.mark.parametrize("name", ["nvil", "rebar", "relax"])
def test_the_control_variates_rate_reaches_no_other_weight(name):
    # One step with the control variate learning, one with it held still.
    def one_step(frozen):
        keras.utils.set_random_seed(2)
        model = functional(name)
        for weight in estimator_of(model).weights:
            if weight.path.endswith("kernel"):
                noise = np.random.default_rng(1).normal(size=weight.shape)
                weight.assign(0.1 * noise)
        # A graph runs its ops in any order, and sums them in any order.
        model.compile("sgd", loss=tg.losses.MeanCost(), run_eagerly=True)
        estimator_of(model).trainable = not frozen
        model.train_on_batch(X, TARGET)
        learned = {w.path for w in estimator_of(model).weights}
        return (
            [w.numpy() for w in model.weights if w.path not in learned],
            [w.numpy() for w in estimator_of(model).weights],
        )

    (model, control), (same_model, other_control) = map(one_step, (False, True))
    for one, other in zip(model, same_model, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        np.any(one != other)
        for one, other in zip(control, other_control, strict=True)
    )


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [
        "rebar",
        pytest.param("relax", marks=pytest.mark.slow),
        pytest.param("nvil", marks=pytest.mark.exhaustive),
        pytest.param("st_gumbel", marks=pytest.mark.exhaustive),
    ],
)
def test_save_and_load(name, tmp_path):
    model = functional(name)
    trained(model, epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.layers[-1].get_config()["add_loss"] is False
    np.testing.assert_array_equal(
        model.predict(X, verbose=0), again.predict(X, verbose=0)
    )
    # Both go on as one.
    for one, other in zip(trained(model, 1), trained(again, 1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_function_is_saved_by_its_registered_name(tmp_path):
    model = functional("rloo", plain_cost)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[-1].cost is plain_cost


@pytest.mark.parametrize("inference", ["sample", "mode", "mean"])
def test_inference_evaluates_the_cost_once(inference):
    seen = []

    def cost(z):
        seen.append(z.numpy())
        return tf.reduce_sum(z, axis=[1, 2])

    layer = tg.ExpectedCost(cost, "relax", inference=inference, seed=1)
    logits = tf.constant(RNG.normal(size=(4, 2, 3)), tf.float32)
    layer(logits, training=False)
    (z,) = seen
    np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-6)
    if inference == "mean":
        np.testing.assert_allclose(z, tf.nn.softmax(logits), rtol=1e-6)
    else:
        np.testing.assert_array_equal(z, np.round(z))
    if inference == "mode":
        np.testing.assert_array_equal(z.argmax(-1), tf.argmax(logits, -1))


@pytest.mark.parametrize(
    ("estimator", "inference"),
    [
        ("exact", "exact"),
        ("rloo", "mean"),
        ("pathwise", "sample"),
        ("pathwise", "mean"),
        ("iwae", "sample"),
        ("iwae", "mean"),
    ],
)
def test_inference_gives_the_logits_no_gradient(estimator, inference):
    gaussian = estimator in ("pathwise", "iwae")
    layer = tg.ExpectedCost(
        lambda z: tf.reduce_sum(tf.square(z), axis=1),
        estimator,
        distribution="gaussian" if gaussian else "bernoulli",
        inference=inference,
        seed=1,
    )
    logits = tf.constant([[0.3, -0.2]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = layer((logits, logits) if gaussian else logits, training=False)
    assert cost != 0.0 and tape.gradient(cost, logits) is None


def test_a_baseline_looks_at_the_first_context_whatever_its_numbers():
    layer = tg.ExpectedCost(lambda z, label, x: z[:, 0, 0] + x[:, 0], seed=1)
    labels, x = tf.constant([[1, 2]] * 4), tf.zeros([4, 5])
    cost = layer(tf.zeros([4, 2, 3]), labels, x, training=True)
    assert cost.shape == (4,)
    assert layer.estimator.trainable_variables[0].shape == (2, 100)


@pytest.mark.parametrize(("batch", "loss"), [(4, 2.0), (0, 0.0)])
def test_the_loss_that_is_added_is_the_mean_cost(batch, loss):
    layer = tg.ExpectedCost(lambda z: 2.0 + 0.0 * z[:, 0, 0], add_loss=True)
    layer(tf.zeros([batch, 2, 3]), training=True)
    np.testing.assert_array_equal(layer.losses, [loss])


def test_a_cost_may_regularize_its_weights_and_add_no_loss():
    def layer(**options):
        dense = keras.layers.Dense(1, **options)
        cost = keras.Sequential(
            [keras.layers.Flatten(), dense, keras.layers.Reshape(())]
        )
        return tg.ExpectedCost(cost, "rloo")

    logits = tf.zeros([4, 2, 3])
    regularized = layer(kernel_regularizer="l2")
    regularized(logits, training=True)
    assert len(regularized.losses) == 1
    with pytest.raises(ValueError, match="must not use `add_loss`"):
        layer(activity_regularizer="l2")(logits, training=True)


def test_a_baseline_of_several_parameters_is_built_for_all_of_them():
    x = keras.Input((3,))
    layer = tg.ExpectedCost(
        lambda z: z[:, 0], "nvil", distribution="gaussian", seed=1
    )
    model = keras.Model(x, layer((x, x)))
    assert model(tf.zeros([4, 3]), training=True).shape == (4,)
    assert layer.estimator.trainable_variables[0].shape == (6, 100)


def test_options_beside_an_estimator_object():
    with pytest.raises(ValueError, match="Received: k=3 with estimator"):
        tg.ExpectedCost(plain_cost, tg.estimators.RLOO("subset", k=2), k=3)


def test_every_call_draws_anew():
    layer = tg.ExpectedCost(plain_cost, "rloo", seed=1)
    logits = tf.zeros([32, 2, 3])
    one = layer(logits, X[:32], training=True)
    other = layer(logits, X[:32], training=True)
    assert np.any(one != other)


def test_errors():
    with pytest.raises(TypeError, match="cost=3"):
        tg.ExpectedCost(3)
    with pytest.raises(ValueError, match="estimator='rebarr'"):
        tg.ExpectedCost(plain_cost, "rebarr")
    with pytest.raises(
        ValueError, match="needs pairs of opposite samples.*rebar, "
    ):
        tg.ExpectedCost(plain_cost, "arm")
    with pytest.raises(ValueError, match="Bernoulli.*'categorical'"):
        tg.ExpectedCost(
            plain_cost, tg.estimators.DisARM(), distribution="categorical"
        )
    with pytest.raises(ValueError, match="inference='exact'"):
        tg.ExpectedCost(plain_cost, inference="exact")
    layer = tg.ExpectedCost(lambda z: tf.reduce_mean(z), "rloo")
    for training in (True, False):
        with pytest.raises(ValueError, match="one cost per sample"):
            layer(tf.zeros([4, 2, 3]), training=training)
    with pytest.raises(ValueError, match=r"one cost per example.*\(None, 1\)"):
        tg.ExpectedCost(
            keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
        )(keras.Input((2, 3)))


class Dropping(keras.layers.Layer):
    """Notes how it was called, and is built in its first call."""

    def __init__(self):
        super().__init__()
        self.dense, self.drop = keras.layers.Dense(1), keras.layers.Dropout(0.5)
        self.seen = []

    def call(self, z, training=None):
        self.seen.append(training)
        return self.drop(self.dense(z), training=training)[:, 0]


@pytest.mark.parametrize("training", [True, False])
def test_the_first_call_of_a_cost_knows_whether_it_trains(training):
    """Keras forgets it where a layer inside builds its own layers."""
    cost = Dropping()
    layer = tg.ExpectedCost(cost, "rloo")
    layer(tf.zeros([4, 3]), training=training)
    assert cost.seen[-1] is training


@pytest.mark.full
@pytest.mark.parametrize(
    "estimator",
    [
        "pathwise",
        pytest.param("nvil", marks=pytest.mark.slow),
        pytest.param("measure_valued", marks=pytest.mark.slow),
    ],
)
def test_fit_trains_gaussians(estimator, tmp_path):
    keras.utils.set_random_seed(2)
    x = keras.Input((6,))
    parameters = (keras.layers.Dense(3)(x), keras.layers.Dense(3)(x))
    layer = tg.ExpectedCost(
        Reconstruction(), estimator, distribution="gaussian", seed=4
    )
    model = keras.Model(x, layer(parameters, x))
    loss = trained(model)
    assert loss[-1] < 0.9 * loss[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(X), model(X), rtol=1e-6)


@pytest.mark.parametrize("inference", ["mode", "mean"])
def test_inference_of_a_poisson(inference):
    layer = tg.ExpectedCost(
        lambda z: z[:, 0],
        "reinforce",
        distribution="poisson",
        inference=inference,
    )
    cost = layer(np.log([[2.5]]).astype("float32"))
    np.testing.assert_allclose(cost, [2.0 if inference == "mode" else 2.5])


@pytest.mark.full
@pytest.mark.parametrize("distribution", ["poisson", "gamma"])
def test_fit_is_compiled_where_xla_knows_the_sampler(distribution):
    keras.utils.set_random_seed(2)
    x = keras.Input((6,))
    rate = keras.layers.Dense(2)(x)
    parameters, options = rate, {}
    if distribution == "gamma":
        parameters = (keras.ops.ones_like(rate), rate)
        options = {"fixed": "concentration"}
    layer = tg.ExpectedCost(
        lambda z: tf.reduce_mean(tf.square(z - 2.0), axis=1),
        "measure_valued",
        distribution=distribution,
        seed=4,
        **options,
    )
    # Keras asks by itself, on a machine with a GPU.
    assert layer.supports_jit == (distribution == "gamma")
    loss = trained(
        keras.Model(x, layer(parameters)),
        epochs=4,
        jit_compile=layer.supports_jit,
    )
    assert loss[-1] < 0.9 * loss[0]


def linear(decoder):
    def cost(z, x):
        error = decoder(tf.reshape(z, [-1, 6])) - tf.cast(x, tf.float32)
        return tf.cast(tf.reduce_mean(tf.square(error), -1), tf.float32)

    return cost


def trained_with(cost, attribute=None, **options):
    """Warnings of a `fit`, by a model that has the attribute."""
    model = functional("rloo", cost)
    model.decoder = attribute
    model.compile("sgd", loss=tg.losses.MeanCost(), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, batch_size=32, verbose=0)
    return [str(w.message) for w in caught if "reads train" in str(w.message)]


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_function_of_weights_that_fit_leaves_alone(run_eagerly):
    """Nothing else would tell that the decoder does not learn."""
    decoder = keras.layers.Dense(6)
    decoder.build((None, 6))
    before = decoder.get_weights()
    (said,) = trained_with(linear(decoder), run_eagerly=run_eagerly)
    assert "dense" in said
    assert "kernel" in said
    assert "attribute of the model" in said
    np.testing.assert_array_equal(decoder.get_weights()[0], before[0])


@pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15),
    reason="functional models have no weights by attributes before Keras 3.15",
)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_weights_that_the_model_has_are_trained_in_silence(policy):
    keras.config.set_dtype_policy(policy)
    decoder = keras.layers.Dense(6, dtype="float32")
    decoder.build((None, 6))
    before = decoder.get_weights()
    assert not trained_with(linear(decoder), attribute=decoder)
    assert np.any(decoder.get_weights()[0] != before[0])
    assert not trained_with(Reconstruction())
    decoder.trainable = False
    assert not trained_with(linear(decoder), attribute=decoder)


@pytest.mark.parametrize("estimator", ["nvil", "rloo"])
@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        (tf.constant(2.0), ValueError, "axis for the batch.*rank 0"),
        ({"a": tf.zeros([3, 2])}, TypeError, r"one by one.*'a': \(3, 2\)"),
        ([tf.zeros([3])] * 2, TypeError, "one by one"),
        ((tf.zeros([3]),) * 2, TypeError, "one by one"),
    ],
    ids=["scalar", "dict", "list", "tuple"],
)
def test_bad_contexts_are_refused(estimator, context, error, message):
    layer = tg.ExpectedCost(lambda z, x: z[:, 0], estimator)
    with pytest.raises(error, match=message):
        layer(tf.zeros([3, 4]), context, training=True)
    with pytest.raises(error, match=message):
        layer(tf.zeros([3, 4]), tf.zeros([3]), context, training=True)


def squares(z):
    return tf.square(z[:, 0] - 0.2)


def by_numpy(z):
    return tf.numpy_function(
        lambda z: np.square(z[:, 0] - 0.2), [z], tf.float32
    )


def by_python(z):
    return tf.py_function(squares, [z], tf.float32)


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        *((n, by_numpy) for n in ("rloo", "reinforce", "disarm", "exact")),
        *(
            (n, by_python)
            for n in tg.estimators.available("categorical")
            if tg.estimators.get(n).needs_gradient
        ),
        *((n, by_python) for n in ("dreg", "iwae", "pathwise", "stl")),
    ],
)
def test_a_python_cost_needs_no_shape(name, cost):
    """Which it forgets, as its gradient does, in a graph."""
    options = {"learn_temperature": False} if name == "rebar" else {}
    estimator = tg.estimators.get(name, **options)
    logits = tf.constant([[0.3, -0.5], [0.1, 0.2]])
    several = len(estimator.distribution.parameters) > 1

    def gradient(cost):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            parameters = (logits, 0.5 * logits) if several else logits
            value = estimator(cost, parameters, [1, 2])
        return tape.gradient(value, logits)

    expected = gradient(squares)
    for compute in gradient, tf.function(gradient, autograph=False):
        np.testing.assert_allclose(compute(cost), expected, atol=1e-6)


@pytest.mark.parametrize("estimator", ["reinmax", "implicit_mle"])
def test_a_python_loss_of_a_layer_needs_no_shape(estimator):
    layer = (
        tg.StraightThroughCategorical(estimator)
        if estimator == "reinmax"
        else tg.SubsetSampler(1, "plackett_luce", estimator=estimator)
    )
    logits = tf.constant([[0.3, -0.5], [0.1, 0.2]])

    @tf.function(autograph=False)
    def gradient(cost):
        layer.seed_state.assign([3, 0])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = cost(layer(logits, training=True))
        return tape.gradient(value, logits)

    np.testing.assert_allclose(gradient(by_python), gradient(squares))


def test_a_cost_for_each_step():
    steps = keras.Input((4, 3))
    layer = tg.ExpectedCost(lambda z: tf.linalg.matvec(z, [1.0, 2, 4]), "exact")
    model = keras.Model(steps, keras.layers.TimeDistributed(layer)(steps))
    logits = RNG.normal(size=(2, 4, 3)).astype("float32")
    expected = tf.nn.softmax(logits) @ [[1.0], [2.0], [4.0]]
    np.testing.assert_allclose(model(logits), expected[..., 0], rtol=1e-5)


def test_the_temperature_is_that_of_the_estimator():
    layer = tg.ExpectedCost(plain_cost, "gumbel_softmax", name="cost")
    layer.temperature = 0.3
    assert float(layer.estimator.temperature) == np.float32(0.3)
    with pytest.raises(ValueError, match="made without a `backward_temp"):
        layer.backward_temperature = 0.5
    with pytest.raises(ValueError, match="temperature=0.3"):
        tg.ExpectedCost(plain_cost, "rloo").temperature = 0.3
    logits, x = keras.Input((2, 3)), keras.Input((6,))
    model = keras.Model([logits, x], layer(logits, x))
    callback = tg.TemperatureScheduler(lambda step: 0.4, layers="cost")
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_batch_begin(0)
    assert float(layer.temperature) == np.float32(0.4)
