"""What draws are credited with: costs to go, and losses they act on."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean, one_hots
from tests.models import chain, problem
from tfgumbel.models import _shares

STEPS, BATCH = 48, 2048


def test_costs_to_go_against_the_sum():
    cost = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    for discount in (1.0, 0.7):
        expected = [
            [
                sum(discount ** (u - t) * row[u] for u in range(t, 5))
                for t in range(5)
            ]
            for row in cost
        ]
        found = tg.ops.cost_to_go(cost, discount=discount)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_discounted_costs_of_sequences_of_any_length(jit_compile):
    """What one step costs reaches no later one, whatever it is."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.float64)],
        jit_compile=jit_compile,
    )
    def found(cost):
        return tg.ops.cost_to_go(cost, discount=0.5)

    for steps in range(10):
        cost = 2.0 ** np.arange(steps)[None]
        expected = [[2.0**t * (steps - t) for t in range(steps)]]
        np.testing.assert_array_equal(found(cost), expected)
    np.testing.assert_array_equal(
        found([[np.nan, 2.0, np.inf, 4.0, 8.0]]),
        [[np.nan, np.inf, np.inf, 8.0, 8.0]],
    )
    cost = tf.ones([1, 5], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(cost)
        total = found(cost)
    expected = [2.0 - 0.5 ** np.arange(5)]
    np.testing.assert_array_equal(tape.gradient(total, cost), expected)


@pytest.mark.parametrize("discount", [1.0, 0.9999])
def test_costs_to_go_in_half_precision_are_rounded_once(discount):
    cost = tf.ones([1, 4000], tf.bfloat16)
    found = tg.ops.cost_to_go(cost, discount=discount)
    expected = tg.ops.cost_to_go(tf.cast(cost, tf.float32), discount=discount)
    assert found.dtype == tf.bfloat16
    found = tf.cast(found, tf.float32)
    np.testing.assert_allclose(found, expected, rtol=2.0**-8)


@pytest.mark.parametrize("discount", [0.0, -1.0, 1.1, float("nan")])
def test_a_discount_that_is_none(discount):
    with pytest.raises(ValueError, match=r"discount=.*|finite"):
        tg.ops.cost_to_go([[1.0]], discount=discount)


def test_costs_to_go_of_no_steps():
    with pytest.raises(ValueError, match=r"of shape \[B, T\].*\(2,\)"):
        tg.ops.cost_to_go([1.0, 2.0])


@pytest.mark.full
@pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "rolled"])
@pytest.mark.parametrize("discount", [1.0, 0.5])
@pytest.mark.parametrize(
    "weights",
    [
        [[2.0, 2.0, 2.0], [1.0, 1.0, 0.0], [0.0] * 3, [1.0, 1.0, 1.0]],
        [[3.0], [1.0], [0.0], [1.0]],
    ],
    ids=["steps", "examples"],
)
def test_a_baseline_learns_the_mean_cost_of_the_steps_that_are_left(
    discount, unroll, weights
):
    """With targets ±1 around a constant output every step costs one."""
    network = chain.model(
        unroll, baseline="moving_average", credit="to_go", discount=discount
    )
    chain.compiled(network)
    network.get_layer("decoder").kernel.assign(tf.zeros([3, 2]))
    network.train_on_batch(
        chain.INPUTS, np.ones_like(chain.TARGETS), np.array(weights)
    )
    centre = chain.cell_of(network).sampler.baseline.centre()
    assert float(centre) == pytest.approx(1.0, rel=1e-5)


def test_credit_and_discount_are_in_the_config():
    sampler = tg.ReinforceSampler(credit="to_go", discount=0.5)
    again = tg.ReinforceSampler.from_config(sampler.get_config())
    assert again.credit == "to_go" and again.discount == 0.5


@pytest.mark.parametrize(
    ("given", "of_examples", "of_steps"),
    [
        (None, [1, 1], None),
        ({"a": [2, 3]}, [1, 1], None),
        ([2, -3], [2, 3], None),
        ([[2], [-3]], [2, 3], None),
        ([[1, 3], [0, -2]], [2, 1], [[1, 3], [0, 2]]),
        ([[[1, 3], [2, 2]], [[0, 0], [-2, 4]]], [2, 1.5], [[2, 2], [0, 3]]),
    ],
)
@pytest.mark.parametrize("mask", [None, "drawn", "of the inputs"])
def test_weights_of_examples_and_of_steps(given, of_examples, of_steps, mask):
    """Of several for a step or an example, the mean."""
    given = np.float32(given) if isinstance(given, list) else given
    weights = _shares.example_weights(given, tf.ones([2]))
    np.testing.assert_allclose(weights, of_examples)
    prediction = tf.zeros([2, 2, 1])
    if mask is not None:
        prediction._keras_mask = tf.constant([[True, False], [True, True]])
    collector = types.SimpleNamespace(
        may_depend_on_sample=lambda value: mask == "drawn"
    )
    found = _shares.step_weights(given, weights, prediction, collector)
    if mask == "of the inputs":
        each = np.tile(np.transpose([of_examples]), 2)
        of_steps = (each if of_steps is None else of_steps) * np.array(
            prediction._keras_mask
        )
    if of_steps is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, of_steps)


@pytest.mark.parametrize(
    ("weights", "ones", "rank", "expected"),
    [
        (None, [2], 1, [1, 1]),
        (None, [2], 2, [[1], [1]]),
        (None, [2, 2], 2, [[1, 1], [1, 1]]),
        ([3, 4], [2], 1, [3, 4]),
        ([3, 4], [2], 2, [[3], [4]]),
        ([3, 4], [2, 2], 2, [[3, 3], [4, 4]]),
        ([[3], [4]], [2], 1, [[3], [4]]),
        ([[3], [4]], [2, 2], 1, [[3, 3], [4, 4]]),
        ([[3, 4], [5, 6]], [2], 2, [[3, 4], [5, 6]]),
        ([3, 4], [2, 2], 1, [[3, 3], [4, 4]]),
    ],
)
def test_ones_for_a_loss_of_a_rank(weights, ones, rank, expected):
    found = _shares.times_ones(weights, tf.ones(ones), rank)
    np.testing.assert_array_equal(found, np.float32(expected))


def shares(total, *ones):
    with tf.GradientTape() as tape:
        tape.watch(ones)
        value = total(ones)
    return _shares.shares_of(tape, value, list(ones))


def test_shares_are_derivatives_of_the_total_and_constants():
    x = tf.constant([[2.0, 3.0], [4.0, 5.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        (found,) = shares(
            lambda ones: tf.reduce_sum(ones[0] * x**2), tf.ones([2, 2])
        )
        whole = _shares.per_example(found)
    np.testing.assert_array_equal(found, x**2)
    np.testing.assert_array_equal(whole, [4 + 9, 16 + 25])
    assert tape.gradient(whole, x) is None
    with pytest.raises(ValueError, match=r"a total loss of shape \(2,\)"):
        shares(lambda ones: ones[0], tf.ones([2]))
    with pytest.raises(ValueError, match="ignores its sample weights"):
        shares(lambda ones: tf.reduce_sum(ones[0]), tf.ones([2]), tf.ones([2]))


def test_weights_of_examples_are_those_of_their_steps():
    weights = tf.constant([2.0, 0.5])
    shares = tg.layers.Shares(weights, weights, steps=tf.ones([2, 2]))
    expected = [[1.5, 1.0], [0.375, 0.25]]
    np.testing.assert_allclose(shares.weights_to_go(0.5), expected)


def test_a_loss_of_several_predictions_is_of_a_draw_that_one_depends_on():
    share = tf.constant([3.0, 4.0])
    shares = tg.layers.Shares(share, share, terms=[(["a", "b"], share)])
    np.testing.assert_array_equal(shares.local(lambda name: name == "b"), share)
    np.testing.assert_array_equal(shares.local(lambda name: False), [0.0, 0.0])


@pytest.mark.full
def test_a_baseline_of_masked_steps_takes_the_weights_of_examples():
    """Where each step that counts costs the same, they do not matter."""
    inputs = np.array(chain.INPUTS)
    inputs[0, -1] = 9.0  # masked
    centres = []
    for weights in ([1.0, 1.0, 1.0, 1.0], [4.0, 1.0, 0.0, 1.0]):
        network = chain.model(
            masked=True, baseline="moving_average", credit="to_go"
        )
        chain.compiled(network)
        network.get_layer("decoder").kernel.assign(tf.zeros([3, 2]))
        targets = np.ones_like(chain.TARGETS)
        network.train_on_batch(inputs, targets, np.array(weights))
        centres.append(float(chain.cell_of(network).sampler.baseline.centre()))
    assert centres[0] == pytest.approx(centres[1], rel=1e-5)


@pytest.mark.exhaustive
def test_the_gradient_is_a_polynomial_of_the_discount():
    """Two steps later is γ²: the third differences vanish."""
    late = np.array([[0.0, 0.0, 1.0]] * 4)
    found = []
    for discount in (1.0, 0.75, 0.5, 0.25):
        network = chain.model(credit="to_go", discount=discount)
        chain.compiled(network)
        found.append(chain.gradients(network, 1, 64, weights=late)[0][0])
    assert np.abs(np.diff(found, 2, axis=0)).max() > 1e-3
    np.testing.assert_allclose(np.diff(found, 3, axis=0), 0.0, atol=1e-4)


def variance(credit, length=20, **options):
    """Variance of the logits' gradient on a sequence of many steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, length, chain.FEATURES)).astype("float32")
    y = rng.normal(size=(4, length, 2)).astype("float32") * 2.0
    network = chain.model(steps=length, credit=credit, **options)
    statistics = tg.GradientStatistics(
        ["logits"], every=None, data=(x, y), samples=100
    )
    chain.compiled(network).optimizer.learning_rate = 0.0
    history = network.fit(x, y, verbose=0, callbacks=[statistics]).history
    return history["gradient_variance/logits"][0]


@pytest.mark.full
def test_costs_to_go_lower_the_variance_twofold():
    assert variance("to_go") < variance("example") / 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("baseline", ["nvil", "leave_one_out"])
def test_costs_to_go_lower_it_with_a_baseline_too(baseline):
    whole = variance("example", baseline=baseline)
    assert variance("to_go", baseline=baseline) < whole


def two_layers(credit):
    """z0 → z1; one loss of z0 alone, and one of both."""
    x = keras.Input((2,))
    logits = problem.encoder()(x)
    first = tg.ReinforceSampler(
        baseline=None, credit=credit, seed=1, name="first"
    )(logits[:, :1])
    dense = keras.layers.Dense(
        problem.CATEGORIES,
        kernel_initializer=chain.constant(np.sin, 3, 3),
        name="upper",
    )
    second = tg.ReinforceSampler(
        baseline=None, credit=credit, seed=2, name="second"
    )(dense(first))
    a = decoder("a")(first)
    b = decoder("b")(keras.layers.Concatenate()([first, second]))
    return tg.StochasticModel(x, {"a": a, "b": b})


def decoder(name):
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(
                2, kernel_initializer=keras.initializers.Ones(), name="out"
            ),
        ],
        name=name,
    )


def watched_in(network):
    return [
        *network.get_layer("encoder").trainable_variables,
        *network.get_layer("upper").trainable_variables,
    ]


def trained_on(network, steps=STEPS, batch=BATCH):
    network.compile(
        keras.optimizers.SGD(problem.LEARNING_RATE),
        {"a": "mse", "b": "mse"},
        loss_weights={"a": 3.0, "b": 1.0},
    )
    watched = watched_in(network)
    start = [v.numpy() for v in network.trainable_variables]
    x = problem.repeated(problem.INPUTS, batch)
    y = problem.repeated(problem.TARGETS, batch)
    found = []
    for _ in range(steps):
        before = [v.numpy() for v in watched]
        network.train_on_batch(x, {"a": y, "b": -y})
        found.append(
            [
                (old - v.numpy()) / problem.LEARNING_RATE
                for old, v in zip(before, watched, strict=True)
            ]
        )
        for old, v in zip(start, network.trainable_variables, strict=True):
            v.assign(old)
    return [np.stack(each) for each in zip(*found, strict=True)]


def exact_of_two_layers(network):
    eye = one_hots(problem.CATEGORIES)
    total = 0.0
    with tf.GradientTape() as tape:
        logits = network.get_layer("encoder")(problem.INPUTS)[:, 0]
        for z0 in eye:
            q0 = tf.reduce_sum(tf.nn.softmax(logits) * z0, -1)
            upper = network.get_layer("upper")(z0[None])
            for z1 in eye:
                q1 = tf.reduce_sum(tf.nn.softmax(upper) * z1, -1)
                both = np.concatenate([z0, z1])[None, None]
                a = network.get_layer("a")(z0[None, None]) - problem.TARGETS
                b = network.get_layer("b")(both) + problem.TARGETS
                loss = 3.0 * tf.reduce_mean(a**2, -1) + tf.reduce_mean(b**2, -1)
                total += tf.reduce_mean(q0 * q1 * loss)
    watched = [variable.value for variable in watched_in(network)]
    return [gradient.numpy() for gradient in tape.gradient(total, watched)]


@pytest.mark.full
@pytest.mark.parametrize("credit", ["example", "local"])
def test_local_credit_agrees_with_enumeration(credit):
    network = two_layers(credit)
    exact = exact_of_two_layers(network)
    for measured, expected in zip(trained_on(network), exact, strict=True):
        assert_mean(measured, expected, 0.3)


@pytest.mark.full
def test_local_credit_leaves_out_the_losses_of_others():
    """The upper layer has no part in the first loss, which is the larger."""
    everything = trained_on(two_layers("example"), steps=24)
    local = trained_on(two_layers("local"), steps=24)
    lower, upper = [0, 1], [2, 3]
    assert spread(local, upper) < spread(everything, upper) / 2
    for i in lower:
        np.testing.assert_allclose(local[i], everything[i], atol=1e-3)


def spread(gradients, which):
    return problem.gradient_variance([gradients[i] for i in which])


@pytest.mark.full
def test_local_credit_with_one_loss_is_that_of_the_example():
    gradients = []
    for credit in ("example", "local"):
        network = chain.compiled(chain.model(credit=credit))
        gradients.append(chain.gradients(network, 2, 64))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


def test_local_credit_in_eager_mode_says_that_it_is_not():
    network = two_layers("local")
    network.compile("sgd", {"a": "mse", "b": "mse"}, run_eagerly=True)
    y = {"a": problem.TARGETS, "b": problem.TARGETS}
    with pytest.warns(UserWarning, match="eager mode"):
        network.train_on_batch(problem.INPUTS, y)


@pytest.mark.full
def test_costs_to_go_of_several_outputs_and_weights():
    """Two losses of one sequence are one loss of their weighted sum."""
    gradients = []
    for outputs in (1, 2):
        x = keras.Input((chain.STEPS, chain.FEATURES))
        sampler = tg.ReinforceSampler(seed=1, baseline=None, credit="to_go")
        z = keras.layers.RNN(
            chain.Chain(sampler), return_sequences=True, name="chain"
        )(x)
        y = chain.decoder()(z)
        names = ["one", "two"][:outputs]
        network = tg.StochasticModel(
            x,
            {n: keras.layers.Activation("linear", name=n)(y) for n in names},
        )
        network.compile(
            keras.optimizers.SGD(chain.RATE),
            dict.fromkeys(names, "mse"),
            loss_weights=dict.fromkeys(names, 2.0 / outputs),
        )
        before = [v.numpy() for v in network.trainable_variables]
        weights = np.array([0.5, 1.0, 0.0, 2.0], "float32")
        network.train_on_batch(
            chain.INPUTS,
            dict.fromkeys(names, chain.TARGETS),
            sample_weight=dict.fromkeys(names, weights),
        )
        gradients.append(
            [
                old - v.numpy()
                for old, v in zip(
                    before, network.trainable_variables, strict=True
                )
            ]
        )
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def train(network, loss="mse", y=chain.TARGETS, **options):
    chain.compiled(network, loss, **options)
    network.train_on_batch(chain.INPUTS, y)


def test_a_loss_without_steps():
    class Whole(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred), [1, 2])

    with pytest.raises(ValueError, match=r"one value per step.*\(4,\)"):
        train(chain.model(credit="to_go"), Whole())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda y: keras.ops.mean(y, axis=1), r"per step.*\(4, 3\), \(4,\)"),
        (lambda y: y[:, :2], r"same number of steps.*\(4, 3\), \(4, 2\)"),
    ],
)
def test_losses_of_several_shapes(other, message):
    network = chain.model(credit="to_go")
    (y,) = network.outputs
    network = tg.StochasticModel(network.inputs, [y, other(y)])
    with pytest.raises(ValueError, match=message):
        train(network, y=[chain.TARGETS, other(chain.TARGETS)])


def test_a_number_of_steps_that_one_loss_knows():
    @tf.function(input_signature=[tf.TensorSpec([4, None])])
    def steps(unknown):
        return _shares._steps([tf.zeros([4, 3]), unknown], [])

    assert [int(n) for n in steps(tf.ones([4, 3]))] == [3, 3]


def shortened(unroll, wanted=2):
    x = keras.Input((chain.STEPS, chain.FEATURES))
    sampler = tg.ReinforceSampler(baseline=None, credit="to_go")
    z = keras.layers.RNN(
        chain.Chain(sampler),
        return_sequences=True,
        unroll=unroll,
        name="chain",
    )(x)
    return tg.StochasticModel(x, chain.decoder()(z[:, :wanted]))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "rolled"])
def test_a_loss_of_another_length_than_the_draws(unroll, jit_compile):
    with pytest.raises(ValueError, match="once for each step.*2 steps"):
        train(
            shortened(unroll), y=chain.TARGETS[:, :2], jit_compile=jit_compile
        )


@pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "rolled"])
def test_costs_to_go_in_eager_mode(unroll):
    """They are those of a graph, whose gradients are held to enumeration."""
    found = []
    for eager in (True, False):
        keras.utils.set_random_seed(0)
        network = chain.model(unroll, credit="to_go")
        before = [w.numpy() for w in chain.weights_of(network)]
        train(network, run_eagerly=eager)
        after = [w.numpy() for w in chain.weights_of(network)]
        assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
        found.append(after)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_seeded_scope_around_a_loop():
    network = chain.compiled(chain.model(unroll=False, credit="to_go"))

    @tf.function
    def step(x, y):
        with tg.SamplingScope(seed=1):
            return network.train_step((x, y))

    with pytest.raises(ValueError, match="SamplingScope"):
        step(tf.constant(chain.INPUTS), tf.constant(chain.TARGETS))


def of_unknown_length(wanted):
    x = keras.Input((None, chain.FEATURES))
    sampler = tg.ReinforceSampler(baseline=None, credit="to_go")
    z = keras.layers.RNN(
        chain.Chain(sampler), return_sequences=True, name="chain"
    )(x)
    network = tg.StochasticModel(x, chain.decoder()(z[:, :wanted]))
    data = tf.data.Dataset.from_tensors(
        (chain.INPUTS, chain.TARGETS[:, :wanted])
    )

    def without_lengths(x, y):
        return tuple(
            t[:, : tf.size(tf.where(t[0, :, 0] > -99))] for t in (x, y)
        )

    data = data.map(without_lengths)
    assert data.element_spec[0].shape[1] is None
    return network, data


@pytest.mark.full
def test_a_length_that_is_known_when_it_runs():
    network, data = of_unknown_length(2)
    chain.compiled(network, jit_compile=False)
    # Keras's nightly traces a first step whose length is known.
    errors = (tf.errors.InvalidArgumentError, ValueError)
    with pytest.raises(errors, match="each step"):
        network.fit(data, verbose=0)
    network, data = of_unknown_length(3)
    chain.compiled(network, jit_compile=False)
    network.fit(data, verbose=0)


@pytest.mark.slow
def test_a_wrong_length_shows_as_nan_under_xla():
    network, data = of_unknown_length(2)
    chain.compiled(network, jit_compile=True)
    network.fit(data, verbose=0)
    sampled = network.get_layer("chain").cell.trainable_variables
    assert any(np.any(np.isnan(weight)) for weight in sampled)


@pytest.mark.full
def test_draws_in_several_places():
    x = keras.Input((chain.STEPS, chain.FEATURES))
    sampler = tg.ReinforceSampler(baseline=None, credit="to_go")
    rnn = keras.layers.RNN(chain.Chain(sampler), return_sequences=True)
    z = rnn(x) + rnn(x)
    network = tg.StochasticModel(x, chain.decoder()(z))
    with pytest.raises(ValueError, match="several places.*2 loops"):
        train(network)


@pytest.mark.parametrize(
    ("chained", "nested"), [(True, False), (True, True), (False, False)]
)
def test_draws_in_several_nodes(chained, nested):
    """Keras 3.12 to 3.15 run those of one depth last to first."""
    x = keras.Input((chain.STEPS, chain.FEATURES))
    sampler = tg.ReinforceSampler(baseline=None, credit="to_go")
    row = keras.Input((chain.CATEGORIES,))
    first = keras.Model(row, sampler(row)) if nested else sampler
    logits, samples = keras.layers.Dense(chain.CATEGORIES), []
    for t in range(chain.STEPS):
        last = samples[-1:] if chained else []
        draw = sampler if t else first
        samples.append(draw(sum([logits(x[:, t]), *last])))
    y = chain.decoder()(keras.ops.stack(samples, axis=1))
    network = tg.StochasticModel(x, y)
    if chained:
        train(network)
    else:
        with pytest.raises(ValueError, match="do not depend on each other"):
            train(network)


def test_both_directions():
    x = keras.Input((chain.STEPS, chain.FEATURES))
    cell = chain.Chain(tg.ReinforceSampler(baseline=None, credit="to_go"))
    both = keras.layers.Bidirectional(
        keras.layers.RNN(cell, return_sequences=True), merge_mode="sum"
    )
    network = tg.StochasticModel(x, chain.decoder()(both(x)))
    with pytest.raises(ValueError, match="bidirectional.*later ones too"):
        train(network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credit": "all"}, "credit='all'"),
        ({"credit": "to_go", "discount": 0.0}, "discount=0.0"),
        ({"discount": 0.9}, "discount=0.9 with credit='example'"),
        ({"credit": "to_go", "return_log_prob": True}, "return_log_prob=True"),
    ],
)
def test_arguments_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        tg.ReinforceSampler(**options)
