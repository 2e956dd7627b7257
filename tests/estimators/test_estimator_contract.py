"""What holds for every estimator: modes, dtypes, scaling, saving, errors."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.cases import ESTIMATORS, estimator_cases
from tests.helpers.enumeration import (
    COSTS,
    LOGITS,
    WEIGHTS,
    bind,
    build,
    gradients,
    parameters,
    randomize,
    repeated,
)
from tfgumbel import estimators

NEEDING_GRADIENT = {case.name for case in ESTIMATORS if case.biased} | {
    "double_cv",
    "dreg",
    "iwae",
    "muprop",
    "pathwise",
    "rebar",
    "rodeo",
}


def problem(law, batch=3):
    return repeated(LOGITS[law], batch), repeated(WEIGHTS[law], batch)


def built(case, law):
    keras.utils.set_random_seed(3)
    estimator = case.make(law)
    logits, _ = problem(law)
    build(estimator, logits)
    randomize(estimator)
    return estimator


def test_every_registered_estimator_has_a_row():
    assert {case.name for case in ESTIMATORS} == set(estimators.available())


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.id)
def test_the_class_says_what_it_is(case):
    assert case.cls.unbiased != case.biased
    assert case.cls.needs_gradient == (case.name in NEEDING_GRADIENT)


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.id)
def test_the_config_holds_every_argument(case):
    config = case.make(case.laws[0]).get_config()
    assert set(inspect.signature(case.cls).parameters) <= {*config, "kwargs"}
    assert case.kwargs.items() <= config.items()


@pytest.mark.parametrize(("case", "law"), **estimator_cases(every_law=False))
def test_evaluations_are_counted_and_go_in_one_batch_each(case, law):
    estimator = built(case, law)
    logits, w = problem(law)
    rows = []

    def cost_fn(z):
        rows.append(z.shape[0])
        return bind(COSTS["quadratic"], w)(z)

    value = estimator(cost_fn, parameters(law, logits), [1, 2])
    assert value.shape == (3,) and value.dtype == tf.float32
    assert sum(rows) == 3 * estimator.evaluations
    assert len(rows) <= (2 if case.id != "exact-chunks" else 3)


@pytest.mark.parametrize(
    "name", ["disarm", "nvil", "rebar", "relax", "double_cv", "rodeo"]
)
def test_xla_trains_control_variates(name):
    estimator = estimators.get(name, distribution="bernoulli")
    logits, w = problem("bernoulli")
    build(estimator, logits)
    randomize(estimator)

    @tf.function(jit_compile=True, autograph=False)
    def compiled(seed):
        with tf.GradientTape() as tape:
            tape.watch([logits, w])
            cost = estimator(bind(COSTS["quadratic"], w), logits, seed)
        return tape.gradient(cost, [logits, w, *estimator.trainable_variables])

    for gradient in compiled(tf.constant([1, 2])):
        assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)


@pytest.mark.parametrize("name", ["nvil", "rebar", "relax", "rodeo"])
def test_weights_made_inside_a_graph_are_kept(name):
    estimator = estimators.get(name, distribution="bernoulli")
    logits, w = problem("bernoulli")

    @tf.function(autograph=False)
    def run():
        return gradients(estimator, COSTS["quadratic"], logits, w, [1, 2])

    assert np.all(np.isfinite(run()[1]))
    assert estimator.trainable_variables
    assert all(np.all(np.isfinite(v)) for v in estimator.variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rebar", "relax"])
def test_control_variates_train_through_a_nested_function(name):
    estimator = estimators.get(name, distribution="bernoulli")
    logits, w = problem("bernoulli")
    build(estimator, logits)
    randomize(estimator)

    def estimate():
        return estimator(bind(COSTS["quadratic"], w), logits, [1, 2])

    def weight_gradients(function):
        with tf.GradientTape() as tape:
            cost = function()
        return tape.gradient(cost, estimator.trainable_variables)

    eager = weight_gradients(estimate)
    nested = weight_gradients(tf.function(estimate))
    for one, other in zip(eager, nested, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "law"), **estimator_cases(laws=("categorical",))
)
def test_masked_categories_and_extreme_logits_stay_finite(case, law):
    logits = tf.constant(
        [[[-np.inf, 0.0, 1.0], [1e4, -1e4, 0.0]]] * 3, tf.float32
    )
    _, w = problem(law)
    for value in gradients(
        built(case, law), COSTS["quadratic"], logits, w, [1, 2]
    ):
        assert np.all(np.isfinite(value))


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_networks_learn_from_impossible_categories(name):
    estimator = estimators.get(name)
    logits = tf.constant([[[-np.inf, -np.inf, 1.0]], [[0.3, 0.1, 0.2]]])
    with tf.GradientTape() as tape:
        value = estimator(lambda z: z[:, 0, 2] + z[:, 0, 1], logits, [1, 2])
    found = tape.gradient(value, estimator.trainable_variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in found)


@pytest.mark.parametrize("tied", [True, False])
def test_infinite_log_odds_teach_a_temperature_what_large_ones_do(tied):
    rebar = estimators.REBAR("bernoulli", tied=tied)
    found = []
    for size in (np.inf, 1e4):
        logits = tf.constant([[size, 0.3, -size]])
        with tf.GradientTape() as tape:
            value = rebar(
                lambda z: tf.square(z[:, 0] + z[:, 1] - z[:, 2] - 1.3),
                *(logits, [1, 2]),
            )
        found.append(tape.gradient(value, rebar.trainable_variables))
    np.testing.assert_array_equal(*found)
    assert np.all(np.isfinite(found[0])) and np.all(found[0])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in estimators.available("bernoulli")
        if not estimators.get(name, distribution="bernoulli").needs_gradient
    ],
)
def test_a_cost_may_be_infinite_where_nothing_is_drawn(name):
    estimator = estimators.get(name, distribution="bernoulli")
    logits = tf.constant([[np.inf, 0.3]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = estimator(
            lambda z: tf.where(z[:, 0] > 0, z[:, 1], np.inf), logits, [1, 2]
        )
    assert np.isfinite(value[0])
    assert np.all(np.isfinite(tape.gradient(value, logits)))


def test_the_cost_may_depend_on_the_logits_directly():
    # E[z · φ] has gradient φ p (1 - p) + p.
    logits = tf.fill([100_000, 1], 0.7)
    rloo = estimators.RLOO("bernoulli")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        cost = rloo(
            lambda z: z[:, 0] * estimators.tile_context(logits, z)[:, 0],
            logits,
            [1, 2],
        )
    found = tape.gradient(cost, logits).numpy()
    p = 1 / (1 + np.exp(-0.7))
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - (0.7 * p * (1 - p) + p)) < 5 * error < 0.02


@pytest.mark.full
@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.id)
def test_a_batch_may_be_empty(case):
    law = case.laws[0]
    logits, w = problem(law, batch=0)
    estimator, cost = case.make(law), COSTS["quadratic"]
    value, wrt_logits, _ = gradients(estimator, cost, logits, w, [1, 2])
    assert value.shape == (0,) and wrt_logits.shape == logits.shape


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_logits_of_another_precision(dtype):
    """Computed in float32, with a gradient in their own."""
    logits, w = problem("bernoulli")
    given, rloo = tf.cast(logits, dtype), estimators.RLOO("bernoulli")
    found, expected = (
        gradients(rloo, COSTS["quadratic"], x, w, [1, 2])
        for x in (given, tf.cast(given, tf.float32))
    )
    assert found[0].dtype == tf.float32 and found[1].dtype == dtype
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], tf.cast(expected[1], dtype))


# Registering


def test_a_third_party_registers_an_estimator():
    @estimators.register("doubled")
    class Doubled(estimators.Reinforce):
        """REINFORCE with another name."""

    try:
        assert "doubled" in estimators.available()
        found = estimators.get("doubled", distribution="bernoulli", samples=2)
        assert isinstance(found, Doubled)
        config = keras.saving.serialize_keras_object(found)
        # A distribution may have the same name.
        assert config["registered_name"] == "tfgumbel>doubled_estimator"
        assert isinstance(estimators.get(config), Doubled)
        again = type("Doubled", (Doubled,), {})  # as from a cell run again
        again.__qualname__ = Doubled.__qualname__
        estimators.register("doubled")(again)
        assert type(estimators.get("doubled")) is again
        with pytest.raises(ValueError, match="'rloo' is taken by"):
            estimators.register("rloo")(Doubled)
    finally:
        from tfgumbel.estimators import estimator

        del estimator._REGISTER["doubled"]


def test_only_estimators_register():
    with pytest.raises(TypeError, match="subclasses of `Estimator`"):
        estimators.register("nothing")(int)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match=r"'disarm'.*Received.*'reinforcee'"):
        estimators.get("reinforcee")
    with pytest.raises(TypeError, match="estimator=3"):
        estimators.get(3)


def test_an_estimator_is_its_own_identifier():
    estimator = estimators.RLOO()
    assert estimators.get(estimator) is estimator
    with pytest.raises(ValueError, match="given by name.*samples=7"):
        estimators.get(estimator, samples=7)


# Bad input


@pytest.mark.parametrize("case", ESTIMATORS, ids=lambda case: case.id)
@pytest.mark.parametrize(
    ("cost", "shape"),
    [
        (tf.reduce_mean, r"\(\)"),
        (lambda z: z[:, :1, ...], r"\(\d+, 1.*\)"),
        (lambda z: tf.ones([2]), r"\(2,\)"),
    ],
    ids=["scalar", "matrix", "length"],
)
def test_a_cost_of_the_wrong_shape_is_an_error(case, cost, shape):
    law = case.laws[0]
    logits, _ = problem(law)
    with pytest.raises(ValueError, match=f"one cost per sample.*{shape}"):
        case.make(law)(cost, parameters(law, logits), [1, 2])


def test_a_cost_of_integers_is_an_error():
    logits, _ = problem("bernoulli")
    with pytest.raises(TypeError, match="floating.*int32"):
        estimators.Reinforce("bernoulli")(
            lambda z: tf.cast(z[:, 0], tf.int32), logits, [1, 2]
        )


@pytest.mark.parametrize(
    "given",
    [lambda cost: cost, functools.partial, lambda cost: lambda z: cost(z)],
    ids=["itself", "partial", "called"],
)
def test_the_gradient_of_another_cost_is_looked_for(given):
    iwae, q = estimators.IWAE(), (tf.zeros([2, 1]), tf.zeros([2, 1]))
    iwae(given(lambda z: z[:, 0] ** 2), q, [1, 2])
    with pytest.raises(ValueError, match="needs the gradient of the cost"):
        iwae(given(lambda z: tf.cast(z[:, 0] > 0, tf.float32)), q, [1, 2])


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize(
    "case",
    [
        c
        for c in ESTIMATORS
        if c.cls.needs_gradient or c.kwargs.get("relaxed_cost")
    ],
    ids=lambda case: case.id,
)
def test_a_cost_without_gradient_names_the_alternatives(case, mode):
    law = case.laws[0]
    logits, w = problem(law)
    estimator = built(case, law)

    def run():
        given = parameters(law, logits)
        return estimator(bind(COSTS["step"], w), given, [1, 2])

    with pytest.raises(ValueError, match=r"need none: .*reinforce, .*rloo"):
        graph = tf.function(run, autograph=False)
        (run if mode == "eager" else graph)()


def test_a_network_takes_sizes_that_a_graph_does_not_know():
    estimator, logits = estimators.RELAX(), tf.zeros([3, 2, 4])

    def value(logits):
        return estimator(lambda z: z[:, 0, 0], logits, [1, 2])

    expected = value(logits)
    unknown = [tf.TensorSpec([None, None, 4])]
    traced = tf.function(value, input_signature=unknown, autograph=False)
    np.testing.assert_array_equal(traced(logits), expected)


def test_a_network_without_a_context_sees_every_parameter():
    nvil = estimators.NVIL("gaussian")
    nvil(lambda z: z[:, 0], (tf.zeros([1, 3]), tf.zeros([1, 3])), [1, 2])
    assert nvil.trainable_variables[0].shape == (6, 100)


def test_what_is_recomputed_uses_what_the_baseline_knew():
    found = []
    for wrap in (lambda function: function, tf.recompute_grad):
        estimator = estimators.Reinforce(baseline="moving_average")
        logits = tf.constant([[0.3, -0.2, 0.5]])
        estimator.build(logits.shape)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = wrap(
                lambda x, one=estimator: one(lambda z: z[:, 0], x, [1, 4])
            )(logits)
        gradient = tape.gradient(value, logits)
        found.append(
            [gradient, *map(tf.convert_to_tensor, estimator.variables)]
        )
    for plain, recomputed in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, recomputed)
    assert np.any(found[0][0])


def test_where_nothing_is_recorded_the_cost_is_not_to_blame():
    function = tf.recompute_grad(
        lambda x: estimators.REBAR()(lambda z: z[:, 0] ** 2, x, [1, 2])
    )
    with pytest.raises(ValueError, match="nothing is recorded inside"):
        function(tf.zeros([1, 3]))


@pytest.mark.parametrize("name", ["arm", "arms"])
def test_bits_only_estimators_name_others_for_categories(name):
    with pytest.raises(
        ValueError, match=r"pairs of opposite samples.*disarm.*rebar.*rloo"
    ):
        estimators.get(name, distribution="categorical")


def test_exact_refuses_with_the_count():
    with pytest.raises(ValueError, match="1048576 joint states.*limit=4096"):
        estimators.Exact("bernoulli")(
            lambda z: z[:, 0], tf.zeros([1, 20]), [0, 0]
        )
    estimators.Exact("bernoulli", limit=4)(
        lambda z: z[:, 0], tf.zeros([1, 2]), [0, 0]
    )


@pytest.mark.parametrize("name", ["rloo", "unordered_set", "vimco"])
def test_leave_one_out_needs_two_samples(name):
    with pytest.raises(ValueError, match="at least 2.*samples=1"):
        estimators.get(name, samples=1)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"distribution": "cauchy"}, ValueError, "'bernoulli', 'beta', 'bin"),
        ({"samples": 0}, ValueError, "samples=0"),
        ({"samples": 1.5}, TypeError, "samples=1.5"),
        ({"baseline": "nothing"}, ValueError, "'moving_average'"),
        ({"baseline": True}, TypeError, "baseline=True"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        estimators.Reinforce(**arguments)


@pytest.mark.parametrize("number", [2, 0.5, np.float32(0.5), np.int64(2)])
def test_a_number_of_numpy_is_a_constant_baseline(number):
    reinforce = estimators.Reinforce(baseline=number)
    again = type(reinforce).from_config(reinforce.get_config())
    assert again.baseline == reinforce.baseline == float(number)


def test_bad_arguments_of_relaxations():
    with pytest.raises(ValueError, match="temperature=0"):
        estimators.REBAR(temperature=0)
    with pytest.raises(ValueError, match="temperature=-1"):
        estimators.GumbelSoftmax(temperature=-1)
    with pytest.raises(TypeError, match="network=3"):
        estimators.RELAX(network=3)


def test_logits_without_a_variable():
    with pytest.raises(ValueError, match=r"one variable.*\(2, 0\)"):
        estimators.RLOO("bernoulli")(
            lambda z: tf.zeros([len(z)]), tf.zeros([2, 0]), [1, 2]
        )


def test_logits_of_the_wrong_rank():
    with pytest.raises(ValueError, match=r"\[B, ..., K\].*\(3,\)"):
        estimators.Reinforce()(lambda z: z, tf.zeros([3]), [1, 2])


def test_a_context_of_unknown_rank_is_repeated():
    @tf.function
    def tiled(numbers):
        context = tf.numpy_function(lambda a: a, [numbers], tf.float32)
        return estimators.tile_context(context, tf.zeros([4, 3]))

    numbers = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(tiled(numbers), np.tile(numbers, [2, 1]))


@pytest.mark.parametrize("rows", [3, 0])
def test_context_that_does_not_divide_the_samples(rows):
    with pytest.raises(ValueError, match=rf"\({rows},\).*\(4, 2\)"):
        estimators.tile_context(tf.zeros([rows]), tf.zeros([4, 2]))


def test_context_of_a_batch_that_turns_out_empty():
    unknown = [tf.TensorSpec([None, 3])] * 2
    tiled = tf.function(estimators.tile_context, input_signature=unknown)
    assert tiled(tf.zeros([0, 3]), tf.zeros([0, 3])).shape == (0, 3)


# Costs that are not finite


@pytest.mark.parametrize("baseline", ["moving_average", "nvil", "optimal"])
def test_a_nan_cost_stays_with_its_example(baseline):
    estimator = estimators.Reinforce("bernoulli", baseline=baseline)
    logits, w = problem("bernoulli", 8)
    bad = tf.where(tf.range(8) == 2, np.nan, 0.0)

    def cost(z, w):
        return COSTS["quadratic"](z, w) + bad

    value, wrt_logits, _ = gradients(estimator, cost, logits, w, [1, 2])
    others = np.arange(8) != 2
    assert np.isnan(value[2]) and np.all(np.isnan(wrt_logits[2]))
    assert np.all(np.isfinite(wrt_logits.numpy()[others]))
    assert all(np.all(np.isfinite(v)) for v in estimator.variables)


SCORED = sorted(
    case.name
    for case in ESTIMATORS
    if "bernoulli" in case.laws and not case.biased
)


@pytest.mark.full
@pytest.mark.parametrize("name", dict.fromkeys(SCORED))
def test_a_second_derivative_is_right_or_refused(name):
    """Of the expectation of 3 z, whose slope is 3 p (1 - p)."""
    estimator = estimators.get(name, distribution="bernoulli")
    logits = tf.fill([20_000, 1], 0.7)

    def second():
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                cost = estimator(lambda z: 3.0 * z[:, 0], logits, [1, 2])
            slope = inner.gradient(cost, logits)
        return outer.gradient(slope, logits)

    if name in ("exact", "reinforce", "nvil"):
        p = 1.0 / (1.0 + np.exp(-0.7))
        expected = 3.0 * p * (1.0 - p) * (1.0 - 2.0 * p)  # -0.22
        assert np.mean(second()) == pytest.approx(expected, abs=0.05)
        return
    with pytest.raises(ValueError, match="no second derivative"):
        second()
    assert np.all(np.isnan(tf.function(second)()))
