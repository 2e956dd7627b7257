"""Samplers inside loops, against enumeration and against unrolled loops."""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_mean
from tests.models import chain, looped, problem

SMALLEST_BIAS = 0.08  # the gradients are of size 0.07 to 0.3
STEPS, BATCH = 48, 2048
WEIGHTS = np.array([[1, 0.5, 2], [0, 0, 0], [1, 1, 0], [2, 0, 0]], "float32")


def assert_unbiased(gradients, exact, smallest_bias=SMALLEST_BIAS):
    for measured, expected in zip(gradients, exact, strict=True):
        assert_mean(measured, expected, smallest_bias)


@pytest.mark.full
@pytest.mark.parametrize(
    "jit_compile",
    [False, pytest.param(True, marks=pytest.mark.exhaustive)],
    ids=["graph", "xla"],
)
@pytest.mark.parametrize(
    "weights",
    [pytest.param(None, marks=pytest.mark.exhaustive), WEIGHTS],
    ids=["plain", "weighted"],
)
@pytest.mark.parametrize(
    "baseline", [pytest.param(None, marks=pytest.mark.exhaustive), "nvil"]
)
@pytest.mark.parametrize("credit", ["example", "to_go"])
@pytest.mark.parametrize(
    "unroll",
    [True, pytest.param(False, marks=pytest.mark.exhaustive)],
    ids=["unrolled", "rolled"],
)
def test_a_chain_agrees_with_enumeration(
    unroll, credit, baseline, weights, jit_compile
):
    network = chain.model(unroll, baseline=baseline, credit=credit)
    chain.compiled(network, jit_compile=jit_compile)
    found = chain.gradients(network, STEPS, BATCH, weights=weights)
    assert_unbiased(found, chain.exact_gradients(network, weights))


@pytest.mark.full
@pytest.mark.parametrize(
    "baseline", [pytest.param(None, marks=pytest.mark.exhaustive), "nvil"]
)
@pytest.mark.parametrize(
    "credit", [pytest.param("example", marks=pytest.mark.exhaustive), "to_go"]
)
@pytest.mark.parametrize("unroll", [True, False], ids=["unrolled", "rolled"])
def test_sequences_of_unequal_length(unroll, credit, baseline):
    lengths = [3, 1, 2, 3]
    network = chain.model(unroll, True, baseline=baseline, credit=credit)
    chain.compiled(network)
    x = chain.INPUTS.copy()
    for i, length in enumerate(lengths):
        x[i, length:] = 9.0
    found = chain.gradients(network, STEPS, BATCH, x=x)
    exact = chain.exact_gradients(network, lengths=lengths)
    assert_unbiased(found, exact)


def gradients_of_steps(unroll, masked=False, **options):
    """Those of two steps, and what the baseline has learned."""
    keras.utils.set_random_seed(3)
    network = chain.compiled(chain.model(unroll, masked, **options))
    baseline = chain.cell_of(network).sampler.baseline
    found = []
    for _ in range(2):
        found += chain.gradients(network, 1, 64)
    return found + ([v.numpy() for v in baseline.weights] if baseline else [])


@pytest.mark.full
@pytest.mark.parametrize(
    "masked",
    [pytest.param(False, marks=pytest.mark.exhaustive), True],
    ids=["", "masked"],
)
@pytest.mark.parametrize("credit", ["example", "to_go"])
@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param(None, marks=pytest.mark.exhaustive),
        "nvil",
        pytest.param("moving_average", marks=pytest.mark.exhaustive),
        pytest.param("leave_one_out", marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.parametrize(
    "normalize", [False, pytest.param(True, marks=pytest.mark.exhaustive)]
)
def test_rolled_is_unrolled(baseline, credit, masked, normalize):
    one_step = functools.partial(
        gradients_of_steps,
        masked=masked,
        baseline=baseline,
        credit=credit,
        normalize=normalize,
    )
    for a, b in zip(one_step(True), one_step(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def looping_model(kind, baseline, loss="mse", **options):
    x = keras.Input((2,))
    sampler = tg.ReinforceSampler(seed=1, baseline=baseline)
    z = looped.Looped(kind, sampler)(problem.encoder()(x))
    network = tg.StochasticModel(x, problem.decoder()(z))
    network.compile(
        keras.optimizers.SGD(problem.LEARNING_RATE), loss, **options
    )
    return network


WITHOUT_XLA = ("keras_scan", "keras_fori_loop")  # Keras sets no limit there.
SLOW_OF_XLA = ("tf_while_loop", "keras_while_loop")
OFTEN = ("tf_while_loop", "keras_scan", "tf_map_fn", "tf_cond")
KINDS = [
    pytest.param(
        kind,
        False,
        id=f"{kind}-graph",
        marks=[pytest.mark.exhaustive] * (kind not in OFTEN),
    )
    for kind in looped.KINDS
]
KINDS += [
    pytest.param(
        kind,
        True,
        id=f"{kind}-xla",
        marks=pytest.mark.slow
        if kind in SLOW_OF_XLA
        else pytest.mark.exhaustive,
    )
    for kind in looped.KINDS
    if kind not in WITHOUT_XLA
]


@pytest.mark.full
@pytest.mark.parametrize(("kind", "jit_compile"), KINDS)
def test_every_kind_of_loop(kind, jit_compile):
    network = looping_model(kind, "nvil", jit_compile=jit_compile)
    found = problem.fit_gradients(network, STEPS, 4096)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(found, exact, 0.1)


@pytest.mark.full
@pytest.mark.parametrize("kind", OFTEN)
def test_a_cost_without_a_gradient(kind):
    def cost(targets, outputs):
        return tf.stop_gradient(
            keras.losses.mean_squared_error(targets, outputs)
        )

    network = looping_model(kind, "moving_average", cost)
    with pytest.warns(UserWarning, match="Gradients do not exist.*decoder"):
        found = problem.fit_gradients(network, STEPS, 4096)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(found[:2], exact[:2], 0.1)


@pytest.mark.full
def test_time_distributed():
    x = keras.Input((2,))
    sampler = tg.ReinforceSampler(seed=1, baseline="moving_average")
    z = keras.layers.TimeDistributed(sampler)(problem.encoder()(x))
    network = tg.StochasticModel(x, problem.decoder()(z))
    network.compile(keras.optimizers.SGD(problem.LEARNING_RATE), "mse")
    found = problem.fit_gradients(network, STEPS, 4096)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(found, exact, 0.1)


def bidirectional(unroll):
    x = keras.Input((chain.STEPS, chain.FEATURES))
    cell = chain.Chain(tg.ReinforceSampler(baseline=None))
    rnn = keras.layers.RNN(
        cell, return_sequences=True, unroll=unroll, name="chain"
    )
    both = keras.layers.Bidirectional(rnn, merge_mode="sum")
    network = tg.StochasticModel(x, chain.decoder()(both(x)))
    samplers = [
        both.forward_layer.cell.sampler,
        both.backward_layer.cell.sampler,
    ]
    for i, sampler in enumerate(samplers):
        sampler.seed_state.assign([i, 0])
    chain.compiled(network)
    before = [v.numpy() for v in network.trainable_variables]
    network.train_on_batch(chain.INPUTS, chain.TARGETS)
    return [
        (a - b.numpy()) / chain.RATE
        for a, b in zip(before, network.trainable_variables, strict=True)
    ]


@pytest.mark.full
def test_bidirectional_rolled_is_unrolled():
    rolled, unrolled = bidirectional(False), bidirectional(True)
    assert all(np.abs(g).max() > 1e-3 for g in rolled)
    for a, b in zip(rolled, unrolled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def of_stacked_cells(unroll, credit):
    """The weights after two steps, of which Keras makes draws on trial."""
    keras.utils.set_random_seed(3)
    sampler = tg.ReinforceSampler(baseline="nvil", seed=1, credit=credit)
    x = keras.Input((chain.STEPS, chain.FEATURES))
    rnn = keras.layers.RNN(
        [keras.layers.SimpleRNNCell(chain.FEATURES), chain.Chain(sampler)],
        return_sequences=True,
        unroll=unroll,
    )
    network = tg.StochasticModel(x, chain.decoder()(rnn(x)))
    network.compile(keras.optimizers.SGD(0.1), "mse")
    for _ in range(2):
        network.train_on_batch(chain.INPUTS, chain.TARGETS)
    return [weight.numpy() for weight in network.weights]


@pytest.mark.parametrize("credit", ["example", "to_go"])
def test_cells_that_are_stacked(credit):
    rolled, unrolled = (of_stacked_cells(u, credit) for u in (False, True))
    for a, b in zip(rolled, unrolled, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


class ThroughArgmax(chain.Chain):
    """Returns the index of the sample, which has no gradient."""

    def call(self, inputs, states, training=None):
        z, _ = super().call(inputs, states, training=training)
        index = keras.ops.argmax(z, axis=-1)
        z = keras.ops.one_hot(index, chain.CATEGORIES)
        return z, [z]


class WithATrace(ThroughArgmax):
    """Returns zero times the sample, too."""

    def call(self, inputs, states, training=None):
        context = keras.ops.concatenate([inputs, states[0]], axis=-1)
        z = self.sampler(self.logits(context), context, training=training)
        index = keras.ops.argmax(z, axis=-1)
        z = keras.ops.one_hot(index, chain.CATEGORIES) + 0.0 * z
        return z, [keras.ops.stop_gradient(z)]


def through_argmax(cell, unroll=False):
    x = keras.Input((chain.STEPS, chain.FEATURES))
    rnn = keras.layers.RNN(
        cell(tg.ReinforceSampler(baseline=None, seed=1)),
        return_sequences=True,
        unroll=unroll,
        name="chain",
    )
    return chain.compiled(tg.StochasticModel(x, chain.decoder()(rnn(x))))


def test_a_sample_that_no_gradient_reaches_is_refused():
    network = through_argmax(ThroughArgmax)
    with pytest.raises(ValueError, match="does not reach"):
        network.train_on_batch(chain.INPUTS, chain.TARGETS)


@pytest.mark.full
@pytest.mark.parametrize(
    ("cell", "unroll"), [(ThroughArgmax, True), (WithATrace, False)]
)
def test_a_sample_through_argmax_is_credited(cell, unroll):
    network = through_argmax(cell, unroll)
    found = chain.gradients(network, STEPS, BATCH)
    assert_unbiased(found, chain.exact_gradients(network))


@pytest.mark.full
@pytest.mark.parametrize(
    "policy",
    [
        "mixed_bfloat16",
        pytest.param("mixed_float16", marks=pytest.mark.exhaustive),
    ],
)
def test_mixed_precision(policy):
    """With float16 the loss is scaled, and what a loop is brought, too."""
    keras.config.set_dtype_policy(policy)
    network = chain.compiled(chain.model(baseline="nvil", credit="to_go"))
    found = chain.gradients(network, STEPS, BATCH)
    exact = chain.exact_gradients(network)
    # Those of the decoder are summed over the batch in half precision.
    assert_unbiased(found[:2], exact[:2])


@pytest.mark.full
def test_the_scale_of_a_loss_reaches_a_loop_and_is_taken_off():
    found = []
    for scale in (1.0, 8.0):
        network = chain.model(baseline="moving_average", seed=1)
        sgd = keras.optimizers.SGD(0.1)
        network.compile(
            keras.optimizers.LossScaleOptimizer(sgd, initial_scale=scale), "mse"
        )
        network.train_on_batch(chain.INPUTS, chain.TARGETS)
        found.append(network.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def trained(rows, steps_per_execution=1, network=None):
    keras.utils.set_random_seed(5)
    if network is None:
        network = chain.model(baseline="nvil", credit="to_go")
        chain.compiled(network, steps_per_execution=steps_per_execution)
    x = np.repeat(chain.INPUTS, 8, axis=0)
    y = np.repeat(chain.TARGETS, 8, axis=0)
    for start, end in rows:
        network.fit(
            x[start:end],
            y[start:end],
            batch_size=8,
            shuffle=False,
            verbose=0,
        )
    return network


def variables(network):
    return [
        v.numpy()
        for v in network.variables
        if "mean_metric" not in v.path and "loss" not in v.path
    ]


@pytest.mark.full
def test_several_steps_per_execution():
    one, two = trained([(0, 32)]), trained([(0, 32)], steps_per_execution=2)
    for a, b in zip(variables(one), variables(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path):
    whole = trained([(0, 16), (16, 32)])
    half = trained([(0, 16)])
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert chain.cell_of(loaded).sampler.credit == "to_go"
    resumed = trained([(16, 32)], network=loaded)
    for a, b in zip(variables(whole), variables(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.full
@pytest.mark.parametrize(
    "credit", [pytest.param("example", marks=pytest.mark.exhaustive), "to_go"]
)
def test_two_replicas(strategy, credit):
    with strategy.scope():
        network = chain.model(baseline="nvil", credit=credit)
        chain.compiled(network, jit_compile=False)
    found = chain.gradients(network, STEPS, BATCH)
    assert_unbiased(found, chain.exact_gradients(network))
    centre = float(chain.cell_of(network).sampler.baseline.centre())
    assert centre != 0.0


@pytest.mark.full
def test_gradient_statistics():
    network = chain.compiled(chain.model(baseline="nvil", seed=1))
    data = (chain.INPUTS, chain.TARGETS)
    watched = tg.GradientStatistics(["chain"], data=data, samples=4)
    alone = chain.compiled(chain.model(baseline="nvil", seed=1))
    alone.set_weights(network.get_weights())
    history = network.fit(*data, verbose=0, callbacks=[watched]).history
    alone.fit(*data, verbose=0)
    assert history["gradient_variance/chain"][0] > 0
    for a, b in zip(variables(network), variables(alone), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.full
def test_a_baseline_does_not_see_the_cost_of_its_own_batch():
    """Several draws of one sampler, one example: b must be of past batches."""
    network = chain.model(unroll=True, baseline="moving_average")
    chain.compiled(network)
    baseline = chain.cell_of(network).sampler.baseline
    network.train_on_batch(chain.INPUTS[:1], chain.TARGETS[:1])
    loss = network.evaluate(chain.INPUTS[:1], chain.TARGETS[:1], verbose=0)
    assert np.isfinite(loss)
    # One batch, however many draws: the mean has the weight of one.
    assert float(baseline._weight) == pytest.approx(0.1)


def test_a_cell_outside_of_a_stochastic_model_is_refused():
    x = keras.Input((chain.STEPS, chain.FEATURES))
    rnn = keras.layers.RNN(chain.Chain(tg.ReinforceSampler()))
    network = keras.Model(x, chain.decoder()(rnn(x)))
    network.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="return_log_prob=True"):
        network.train_on_batch(chain.INPUTS, chain.TARGETS[:, 0])


class SumsOfLogProbs(keras.layers.Layer):
    """Draws each variable in a loop that returns Σ log q."""

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler

    def build(self, shape):
        self.sampler.build((None, problem.CATEGORIES))
        self.built = True

    def call(self, logits, training=None):
        def body(t, samples, total):
            z, log_prob = self.sampler(logits[:, t], training=training)
            return t + 1, samples.write(t, z), total + log_prob

        _, samples, total = tf.while_loop(
            lambda t, *_: t < problem.VARIABLES,
            body,
            (
                0,
                tf.TensorArray(tf.float32, problem.VARIABLES),
                tf.zeros_like(logits[:, 0, 0]),
            ),
            maximum_iterations=problem.VARIABLES,
        )
        samples = tf.transpose(samples.stack(), [1, 0, 2])
        return tf.ensure_shape(samples, logits.shape), total

    def compute_output_spec(self, logits, training=None):
        total = keras.KerasTensor(logits.shape[:1])
        return keras.KerasTensor(logits.shape), total


@pytest.mark.full
def test_log_probs_that_a_loop_returns():
    x, y = keras.Input((2,)), keras.Input((2,))
    sampler = tg.ReinforceSampler(return_log_prob=True, seed=1)
    z, log_prob = SumsOfLogProbs(sampler)(problem.encoder()(x))
    cost = problem.cost_of(problem.decoder()(z), y)
    cost = tg.ScoreFunctionCost("moving_average")(cost, log_prob)
    network = tg.StochasticModel([x, y], cost)
    network.compile(
        keras.optimizers.SGD(problem.LEARNING_RATE), tg.losses.MeanCost()
    )
    pair = problem.INPUTS, problem.TARGETS
    found = problem.fit_gradients(network, STEPS, 4096, np.zeros(4), pair)
    exact = problem.exact_gradients(network, problem.squared_error)
    assert_unbiased(found, exact, 0.1)


class Drawing(keras.layers.Layer):
    """Draws by a function of the sampler and the logits."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.sampler = draw, tg.ReinforceSampler(baseline=None)

    def call(self, logits, training=None):
        sampler = functools.partial(self.sampler, training=training)
        return self.draw(sampler, logits)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda q, x: tf.function(q)(x), "`tf.function` of its own"),
        (
            lambda q, x: tf.map_fn(lambda row: q(row[None])[0], x),
            "once per example",
        ),
    ],
)
def test_draws_that_belong_to_no_example_are_refused(draw, message):
    x = keras.Input((2,), batch_size=4)
    z = Drawing(draw)(problem.encoder()(x))
    network = tg.StochasticModel(x, problem.decoder()(z))
    network.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        network.train_on_batch(problem.INPUTS, problem.TARGETS)


ADDING = {
    "kl": tg.CategoricalKL,
    "usage": lambda: tg.CodeUsageLoss("diversity"),
    "gate": tg.StochasticGate,
    "quantizer": lambda: tg.StochasticQuantizer(4, chain.CATEGORIES),
}
SLOPES = np.arange(3.0, dtype="float32")


def with_added_loss(name, unroll, stacked=False, masked=False, **options):
    class Cell(keras.layers.Layer):
        state_size = chain.CATEGORIES

        def __init__(self):
            super().__init__()
            self.layer = ADDING[name]()

        def build(self, shape):
            self.layer.build((None, self.state_size))
            self.built = True

        def call(self, inputs, states, training=None):
            h = states[0] + inputs[:, :1] * SLOPES
            return (h := self.layer(h, training=training)), [h]

    cell = Cell()
    if stacked:
        cell = keras.layers.StackedRNNCells([cell])
    x = keras.Input((chain.STEPS, chain.FEATURES))
    steps = keras.layers.Masking()(x) if masked else x
    y = keras.layers.RNN(cell, unroll=unroll, name="rnn")(steps)
    network = keras.Model(x, keras.layers.Dense(3)(y))
    network.compile("sgd", "mse", **options)
    return network


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_learned_gates_in_a_loop_cost_once(unroll, masked):
    """Keras calls the cell for its shapes, outside of the loop, first."""
    network = with_added_loss("gate", unroll, masked=masked)
    gate = network.get_layer("rnn").cell.layer
    network.train_on_batch(chain.INPUTS, np.zeros((4, chain.CATEGORIES)))
    targets = network.predict(chain.INPUTS, verbose=0)
    cost = network.evaluate(chain.INPUTS, targets, verbose=0)
    np.testing.assert_allclose(cost, gate.expected_open(), rtol=1e-5)


class Costed(keras.layers.Layer):
    """Passes on what it is given, of a cost whose baseline averages."""

    def __init__(self):
        super().__init__()
        self.cost = tg.ExpectedCost(
            lambda z: 1.0 + z[:, 0],
            tg.estimators.Reinforce(baseline="moving_average"),
            seed=1,
        )

    def build(self, shape):
        self.cost.build(shape)
        self.built = True

    def call(self, h, training=None):
        return h + 0.0 * self.cost(h, training=training)[:, None]


STEERED = {
    **ADDING,
    "cost": Costed,
    "kl": lambda: tg.CategoricalKL(
        weight=tg.schedules.ExponentialAnnealing.between(1.0, 0.1, steps=9)
    ),
    "usage": lambda: tg.CodeUsageLoss("diversity", momentum=0.9),
    "gate": lambda: tg.StochasticGate(
        sparsity=0.5, temperature=tg.schedules.ExponentialAnnealing()
    ),
    "ema": lambda: tg.StochasticQuantizer(
        4, chain.CATEGORIES, commitment=0.0, update="ema"
    ),
}


def logs_and_state(*args, **options):
    keras.utils.set_random_seed(3)
    network = with_added_loss(*args, **options)
    targets = np.zeros((4, chain.CATEGORIES))
    logs = network.train_on_batch(chain.INPUTS, targets, return_dict=True)
    cell = network.layers[1].cell
    cell = cell.cells[0] if hasattr(cell, "cells") else cell
    return [logs[key] for key in sorted(logs)], cell.layer.variables


def assert_same_logs_and_state(found, expected):
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("name", STEERED)
def test_what_keras_tries_of_cells_that_are_stacked_moves_nothing(
    name, monkeypatch
):
    """No step, average, count of draws or log."""
    monkeypatch.setattr(sys.modules[__name__], "ADDING", STEERED)
    assert_same_logs_and_state(
        logs_and_state(name, unroll=True, stacked=True),
        logs_and_state(name, unroll=True),
    )


@pytest.mark.parametrize(
    ("name", "eager"),
    [(name, True) for name in STEERED] + [("gate", False), ("ema", False)],
)
def test_what_keras_tries_before_a_loop_moves_nothing(name, eager, monkeypatch):
    """Eagerly, where losses come out of a loop, it is in none of them."""
    monkeypatch.setattr(sys.modules[__name__], "ADDING", STEERED)
    rolled, unrolled = (
        logs_and_state(name, unroll, run_eagerly=eager)
        for unroll in (False, True)
    )
    assert_same_logs_and_state(rolled, unrolled)


def test_what_keras_tries_before_a_map_moves_nothing():
    layer = tg.GumbelSoftmax(seed=1)
    keras.ops.map(lambda row: layer(row, training=True), tf.zeros([3, 2, 4]))
    np.testing.assert_array_equal(layer.seed_state, [1, 3])


class Through(keras.layers.Layer):
    """A cell whose output and state are what a layer makes of its input."""

    state_size = chain.CATEGORIES

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs, states, training=None):
        return (h := self.layer(inputs, training=training)), [h]


def test_a_loop_inside_what_keras_tries_moves_nothing():
    """An RNN in the cell of another one."""
    layer = tg.GumbelSoftmax(seed=1)
    inner = keras.layers.RNN(Through(layer))
    outer = keras.layers.RNN(Through(inner))
    outer(tf.zeros([1, 3, 2, chain.CATEGORIES]), training=True)
    np.testing.assert_array_equal(layer.seed_state, [1, 3 * 2])


@pytest.mark.parametrize("name", [name for name in ADDING if name != "gate"])
def test_a_loss_that_is_added_in_a_loop_is_refused(name):
    network = with_added_loss(name, unroll=False)
    with pytest.raises(ValueError, match="adds a loss.*unroll=True"):
        network.train_on_batch(chain.INPUTS, np.zeros((4, chain.CATEGORIES)))
    assert network.predict(chain.INPUTS, verbose=0).shape == (4, 3)


@pytest.mark.parametrize("name", [name for name in ADDING if name != "gate"])
def test_a_loss_that_would_count_in_masked_steps_is_refused(name):
    network = with_added_loss(name, unroll=True, masked=True)
    with pytest.raises(ValueError, match="RNN with a mask"):
        network.train_on_batch(chain.INPUTS, np.zeros((4, chain.CATEGORIES)))
    assert network.predict(chain.INPUTS, verbose=0).shape == (4, 3)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_loss_that_is_added_at_each_step_of_an_unrolled_loop(stacked):
    network = with_added_loss("kl", unroll=True, stacked=stacked)
    network.train_on_batch(chain.INPUTS, np.zeros((4, chain.CATEGORIES)))
    state, expected = tf.zeros([4, chain.CATEGORIES]), 0.0
    for t in range(chain.STEPS):
        state += chain.INPUTS[:, t, :1] * SLOPES
        log_q = tf.nn.log_softmax(state)
        terms = tf.exp(log_q) * (log_q + np.log(chain.CATEGORIES))
        expected += tf.reduce_sum(terms) / 4
    network(chain.INPUTS)
    assert float(expected) > 0.1
    assert float(sum(network.losses)) == pytest.approx(float(expected))
