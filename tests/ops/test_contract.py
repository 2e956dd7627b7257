"""What holds for every op: a row in a table buys every test here."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import eager_and_slow_xla, eager_and_xla
from tests.helpers.definitions import one_hot, through
from tests.ops.derivatives import (
    assert_close,
    assert_finite,
    derivatives,
    value_and_gradients,
)

LOGITS = [[0.3, -1.2, 0.8, 0.1], [2.0, -0.5, 0.0, 1.1], [0.0, 0.0, -3.0, 0.4]]
NOISE = [[0.5, 1.4, -0.7, 0.2], [-1.1, 0.9, 0.3, 2.5], [0.1, 0.6, 3.2, -0.8]]
FIRST = [[1.0, 0.0, 0.0, 0.0]] * 3
# 65504 is float16's largest number.
EXTREMES = [-np.inf, -65504.0, -1e4, -1.0, 0.0, 6e-8, 1.0, 1e4, 65504.0]
TEMPERATURES = [1e-3, 0.7, 1e3]
HALVES = ["float16", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Case:
    """An op with a gradient written by hand, and the same in plain ops."""

    op: Callable
    composed: Callable
    arguments: tuple
    axis: int | None = None
    has_temperature: bool = True
    halves: bool = True  # whether half precision comes back as such
    needs_a_category: bool = False  # whether a row of -inf alone is NaN


def cooled(op, **options):
    """The op, with the temperature as the last of its arguments."""
    return lambda *arguments: op(
        *arguments[:-1], temperature=arguments[-1], **options
    )


def gumbel_case(axis=-1, hard=False):
    def composed(logits, noise, temperature):
        y = tf.nn.softmax((logits + noise) / temperature, axis)
        return through(one_hot(y, axis), y) if hard else y

    return Case(
        cooled(tg.ops.gumbel_softmax, hard=hard, axis=axis),
        composed,
        (on_axis(LOGITS, axis), on_axis(NOISE, axis)),
        axis,
        needs_a_category=not hard,
    )


def straight_through_case(axis=-1):
    def composed(logits, sample, temperature):
        return through(sample, tf.nn.softmax(logits / temperature, axis))

    op = cooled(tg.ops.straight_through, axis=axis)
    arguments = (on_axis(LOGITS, axis), on_axis(FIRST, axis))
    return Case(op, composed, arguments, axis)


def top_k_case(axis=-1, hard=False):
    """Two of four; one of two, where a test has no more."""

    def op(logits, noise, temperature):
        logits = tf.convert_to_tensor(logits)
        k = 1 if logits.shape[axis] == 2 else 2
        return tg.ops.relaxed_top_k(
            logits, noise, k=k, temperature=temperature, hard=hard, axis=axis
        )

    def composed(logits, noise, temperature):
        keys = logits + noise
        first = tf.nn.softmax(keys / temperature, axis)
        lowered = keys + tf.math.log(1.0 - first)
        y = first + tf.nn.softmax(lowered / temperature, axis)
        return through(two_hot(keys, axis), y) if hard else y

    arguments = (on_axis(LOGITS, axis), on_axis(NOISE, axis))
    return Case(op, composed, arguments, axis)


def two_hot(values, axis):
    first = one_hot(values, axis)
    return first + one_hot(values - 1e3 * first, axis)


def concrete_case(hard=False):
    def composed(logits, noise, temperature):
        y = tf.sigmoid((logits + noise) / temperature)
        return through(tf.round(y), y) if hard else y

    op = cooled(tg.ops.binary_concrete, hard=hard)
    return Case(op, composed, (LOGITS, NOISE))


def bernoulli_case():
    def composed(logits, sample, temperature):
        return through(sample, tf.sigmoid(logits / temperature))

    op = cooled(tg.ops.straight_through_bernoulli)
    return Case(op, composed, (LOGITS, FIRST))


def exp_concrete_case(axis=-1):
    def composed(logits, noise, temperature):
        y = tf.nn.softmax((logits + noise) / temperature, axis)
        return tf.math.log(y)

    op = cooled(tg.ops.exp_concrete, axis=axis)
    arguments = (on_axis(LOGITS, axis), on_axis(NOISE, axis))
    return Case(op, composed, arguments, axis, halves=False)


def logit_concrete_case():
    def composed(logits, noise, temperature):
        y = tf.sigmoid((logits + noise) / temperature)
        return tf.math.log(y / (1.0 - y))

    op = cooled(tg.ops.logit_binary_concrete)
    return Case(op, composed, (LOGITS, NOISE), halves=False)


def gaussian_case():
    def composed(mean, stddev, noise):
        return mean + stddev * noise

    arguments = (LOGITS, np.exp(LOGITS), NOISE)
    op = tg.ops.reparameterize_gaussian
    return Case(op, composed, arguments, has_temperature=False)


def hard_concrete_case():
    def composed(logits, noise, temperature):
        y = tf.sigmoid((logits + noise) / temperature)
        return tf.minimum(tf.maximum(1.2 * y - 0.1, 0.0), 1.0)

    op = cooled(tg.ops.hard_concrete)
    return Case(op, composed, (LOGITS, NOISE))


def gaussian_gate_case():
    def composed(mean, noise):
        return tf.minimum(tf.maximum(mean + 0.5 * noise, 0.0), 1.0)

    arguments = (LOGITS, NOISE)
    op = tg.ops.gaussian_gate
    return Case(op, composed, arguments, has_temperature=False)


def pair_marginals(logits, axis):
    """Marginals of two of four, by elementary symmetric polynomials."""
    weights = tf.exp(logits)
    others = tf.reduce_sum(weights, axis, keepdims=True) - weights
    products = weights * others
    return 2.0 * products / tf.reduce_sum(products, axis, keepdims=True)


def subset_case(axis=-1, sample=False):
    def op(logits, z):
        if sample:
            return tg.ops.straight_through_subset(logits, z, k=2, axis=axis)
        return tg.ops.subset_marginals(logits, k=2, axis=axis)

    def composed(logits, z):
        marginals = pair_marginals(logits, axis)
        return through(z, marginals) if sample else marginals

    rows = np.roll(FIRST, 2, axis=1) + np.array(FIRST)
    arguments = (on_axis(LOGITS, axis), on_axis(rows, axis))
    return Case(op, composed, arguments, axis, has_temperature=False)


def sort_case(op, hard=False):
    def composed(logits, noise, temperature):
        s = logits + noise
        order = tf.argsort(s, direction="DESCENDING")
        matrix = tf.one_hot(order, 4, dtype=s.dtype)
        if op is tg.ops.soft_sort:
            ordered = tf.linalg.matvec(matrix, s)
            y = -tf.abs(ordered[..., :, None] - s[..., None, :])
        else:
            pairs = tf.abs(s[..., :, None] - s[..., None, :])
            place = tf.constant([3.0, 1.0, -1.0, -3.0], s.dtype)
            y = place[:, None] * s[..., None, :]
            y -= tf.reduce_sum(pairs, -1)[..., None, :]
        y = tf.nn.softmax(y / temperature)
        return through(matrix, y) if hard else y

    return Case(cooled(op, hard=hard), composed, (LOGITS, NOISE))


def sinkhorn_case():
    def composed(logits, noise, temperature):
        y = (logits + noise) / temperature
        for _ in range(5):
            y -= tf.reduce_logsumexp(y, -1, keepdims=True)
            y -= tf.reduce_logsumexp(y, -2, keepdims=True)
        return tf.exp(y)

    matrices = [np.array([rows[:2] for rows in x[:2]]) for x in (LOGITS, NOISE)]
    op = cooled(tg.ops.gumbel_sinkhorn, iterations=5)
    return Case(op, composed, tuple(matrices))


def on_axis(rows, axis):
    """The rows with their categories moved to `axis` of a rank-3 array."""
    rows = np.array(rows)
    return rows if axis == -1 else np.moveaxis(rows[None], -1, axis)


CASES = {
    "gumbel_softmax": gumbel_case(),
    "gumbel_softmax_axis_1": gumbel_case(axis=1),
    "gumbel_softmax_axis_-3": gumbel_case(axis=-3),
    "gumbel_softmax_hard": gumbel_case(hard=True),
    "gumbel_softmax_hard_axis_-2": gumbel_case(axis=-2, hard=True),
    "straight_through": straight_through_case(),
    "straight_through_axis_-2": straight_through_case(axis=-2),
    "relaxed_top_k": top_k_case(),
    "relaxed_top_k_hard": top_k_case(hard=True),
    "relaxed_top_k_hard_axis_1": top_k_case(axis=1, hard=True),
    "binary_concrete": concrete_case(),
    "binary_concrete_hard": concrete_case(hard=True),
    "straight_through_bernoulli": bernoulli_case(),
    "reparameterize_gaussian": gaussian_case(),
    "exp_concrete": exp_concrete_case(),
    "exp_concrete_axis_1": exp_concrete_case(axis=1),
    "logit_binary_concrete": logit_concrete_case(),
    "hard_concrete": hard_concrete_case(),
    "gaussian_gate": gaussian_gate_case(),
    "subset_marginals": subset_case(),
    "subset_marginals_axis_1": subset_case(axis=1),
    "straight_through_subset": subset_case(sample=True),
    "straight_through_subset_axis_-2": subset_case(axis=-2, sample=True),
    "soft_sort": sort_case(tg.ops.soft_sort),
    "soft_sort_hard": sort_case(tg.ops.soft_sort, hard=True),
    "neural_sort": sort_case(tg.ops.neural_sort),
    "neural_sort_hard": sort_case(tg.ops.neural_sort, hard=True),
    "gumbel_sinkhorn": sinkhorn_case(),
}
all_cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
HALVED = {name: case for name, case in CASES.items() if case.halves}
# Those with logits and a temperature, each once.
SAMPLERS = [
    "gumbel_softmax",
    "gumbel_softmax_hard",
    "straight_through",
    "relaxed_top_k",
    "relaxed_top_k_hard",
    "binary_concrete",
    "binary_concrete_hard",
    "straight_through_bernoulli",
    "exp_concrete",
    "logit_binary_concrete",
    "hard_concrete",
]
samplers = pytest.mark.parametrize(
    "case", [CASES[name] for name in SAMPLERS], ids=SAMPLERS
)


def arguments_of(case, dtype, temperature=0.7):
    arguments = [tf.constant(a, dtype) for a in case.arguments]
    if case.has_temperature:
        arguments.append(tf.constant(temperature, dtype))
    return arguments


@all_cases
def test_derivatives_equal_those_of_autodiff(case, compiled):
    """Value, gradient and second derivative, by every argument."""
    arguments = arguments_of(case, "float64")

    @compiled
    def of_op(*arguments):
        return derivatives(case.op, list(arguments))

    expected = derivatives(case.composed, arguments)
    assert_close(of_op(*arguments), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("op", [tg.ops.gumbel_softmax, tg.ops.binary_concrete])
def test_backward_temperature_shapes_the_gradient_alone(op, hard, compiled):
    """Forward and backward by one call each, joined by hand."""

    def decoupled(x, tau, backward):
        taus = {"temperature": tau, "backward_temperature": backward}
        return op(x, NOISE, hard=hard, **taus)

    def joined(x, tau, backward):
        value = op(x, NOISE, temperature=tau, hard=hard)
        return through(value, op(x, NOISE, temperature=backward))

    arguments = [tf.constant(a) for a in (LOGITS, 0.4, 0.9)]
    of_op = compiled(lambda *a: derivatives(decoupled, list(a)))
    expected = derivatives(joined, arguments)
    assert_close(of_op(*arguments), expected, rtol=1e-5, atol=1e-6)


@eager_and_slow_xla
@pytest.mark.parametrize("case", HALVED.values(), ids=HALVED.keys())
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_float32(case, dtype, compiled):
    """Half in, half out, rounded once: at the end."""
    halves = arguments_of(case, dtype)

    @compiled
    def of_op(*arguments):
        return value_and_gradients(case.op, list(arguments))

    singles = [tf.cast(argument, tf.float32) for argument in halves]
    expected = value_and_gradients(
        lambda *singles: tf.cast(case.op(*singles), dtype), singles
    )
    actual = of_op(*halves)
    assert {t.dtype for t in tf.nest.flatten(actual)} == {tf.as_dtype(dtype)}
    actual, expected = (
        tf.nest.map_structure(
            lambda t: tf.cast(tf.cast(t, dtype), tf.float32), structure
        )
        for structure in (actual, expected)
    )
    one_unit = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    assert_close(actual, expected, rtol=one_unit, atol=1e-6)


def extreme_logits(dtype):
    """Pairs of all EXTREMES, and of the dtype's own most negative number."""
    pairs = [(a, b) for a in EXTREMES for b in EXTREMES]
    lowest = float(tf.as_dtype(dtype).min)
    pairs += [(lowest, 0.0), (lowest, lowest)]
    return tf.constant(pairs, dtype)


@eager_and_xla
@samplers
@pytest.mark.parametrize(
    "dtype",
    ["float32", *(pytest.param(h, marks=pytest.mark.slow) for h in HALVES)],
)
def test_extreme_logits_and_temperatures_stay_finite(case, dtype, compiled):
    logits = extreme_logits(dtype)
    if case.needs_a_category:
        possible = tf.reduce_any(tf.cast(logits, tf.float32) > -1e30, axis=-1)
        logits = logits[possible]
    noise = tf.constant([[-2.7, 22.8]]) * tf.ones_like(logits, tf.float32)

    @compiled
    def of_op(temperature):
        return value_and_gradients(case.op, [logits, noise, temperature])

    for temperature in TEMPERATURES:
        assert_finite(of_op(tf.constant(temperature)))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "by_index"),
    [
        *itertools.product(["st", "reinmax", "gapped"], [False, True]),
        ("gumbel_rao", False),
    ],
)
def test_xla_divides_by_a_constant_temperature(name, by_index):
    """It makes a product of the division, which must not overflow."""
    member = tg.ops.SURROGATES[name]
    logits = tf.constant([[-np.inf] * 3, [2e7, -3e7, 1e7], [0.1, 0.2, 0.3]])
    index = tf.constant([1, 0, 2])
    noise = [tf.zeros([1, 3, 3])] if member.noise else []

    def drawn(tau):
        if not by_index:
            one_hot = tf.one_hot(index, 3)
            return member.op(logits, one_hot, *noise, temperature=tau)
        gradient = functools.partial(
            member.index_gradient, tau=tf.constant(tau)
        )
        return tg.ops.straight_through_embedding(
            logits, tf.eye(3), index, gradient=gradient
        )

    def gradient(temperature):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            z = drawn(temperature)
            total = tf.reduce_sum(z * tf.constant([1.0, -2.0, 0.5]))
        return tape.gradient(total, logits)

    for temperature in (7e-4, 0.7):
        compiled = tf.function(
            functools.partial(gradient, temperature), jit_compile=True
        )
        expected = gradient(temperature)
        assert_close(compiled(), expected, rtol=1e-4, atol=1e-6)


# The gradient of a linear op does not see its argument.
CURVED = [name for name in SAMPLERS if name != "logit_binary_concrete"]


@pytest.mark.parametrize("case", [CASES[name] for name in CURVED], ids=CURVED)
def test_nan_stays_in_its_row(case, compiled):
    """A NaN logit is seen in value and gradient, by its own example only."""
    logits = np.array(LOGITS, np.float32)
    noise = tf.constant(NOISE)

    @compiled
    def of_op(logits):
        return value_and_gradients(
            lambda x: case.op(x, noise, tf.constant(0.7)), [logits]
        )

    clean = of_op(tf.constant(logits))
    logits[1, 2] = np.nan
    bad = of_op(tf.constant(logits))
    rows = [0, 2]
    for tensor, expected in zip(
        *map(tf.nest.flatten, (bad, clean)), strict=True
    ):
        np.testing.assert_array_equal(
            tensor.numpy()[rows], expected.numpy()[rows]
        )
        hit = np.isnan(tensor.numpy()[1])
        assert hit.all() if case.axis else hit.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("name", ["gumbel_softmax", "binary_concrete"])
def test_relaxed_samples_keep_their_gradient_in_a_vectorized_map(name):
    """Which has no use for a gradient that is written by hand."""
    op = getattr(tg.ops, name)
    arguments = [tf.constant(LOGITS), tf.constant(NOISE)]

    def mapped(*arguments):
        return tf.vectorized_map(lambda row: op(*row), arguments)

    expected = value_and_gradients(op, arguments)
    found = value_and_gradients(mapped, arguments)
    assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.full
@samplers
def test_batch_size_may_be_unknown(case):
    unknown = tf.TensorSpec([None, None], tf.float32)

    @tf.function(input_signature=[unknown, unknown])
    def of_op(logits, noise):
        return value_and_gradients(
            lambda *arguments: case.op(*arguments, 0.7), [logits, noise]
        )

    logits, noise = tf.constant(LOGITS), tf.constant(NOISE)
    assert of_op(logits, noise)[0].shape == (3, 4)
    assert of_op(logits[:2], noise[:2])[1][0].shape == (2, 4)


@samplers
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_bad_temperature_is_an_error(case, temperature):
    for received in (temperature, tf.constant(temperature, tf.float32)):
        with pytest.raises(ValueError, match="Received: temperature="):
            case.op(tf.constant(LOGITS), tf.constant(NOISE), received)


@samplers
@pytest.mark.parametrize("temperature", ["warm", True, None, [0.5]])
def test_temperature_that_is_no_number_is_an_error(case, temperature):
    with pytest.raises(TypeError, match="Received: temperature="):
        case.op(tf.constant(LOGITS), tf.constant(NOISE), temperature)


@samplers
def test_python_temperature_keeps_its_precision(case):
    arguments = arguments_of(case, "float64", temperature=0.7)
    expected = value_and_gradients(case.op, arguments)[1][0]
    actual = value_and_gradients(
        lambda *two: case.op(*two, 0.7), arguments[:2]
    )[1][0]
    assert_close(actual, expected, rtol=1e-13)


@pytest.mark.full
def test_temperature_may_be_a_tensor_in_an_eager_map():
    """TensorFlow rewrites what is mapped, where `float` makes a tensor."""
    case = CASES["gumbel_softmax"]
    arguments = arguments_of(case, "float32")[:2]
    tau = tf.constant(0.7)
    mapped = tf.map_fn(
        lambda rows: case.op(*rows, tau),
        tuple(arguments),
        fn_output_signature=tf.float32,
    )
    assert_close(mapped, case.op(*arguments, tau), atol=1e-7)


@samplers
def test_temperature_must_be_a_scalar(case):
    with pytest.raises(ValueError, match="Received: temperature of shape"):
        case.op(LOGITS, NOISE, tf.constant([0.5, 0.6]))


@samplers
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_bad_temperature_in_a_graph_shows_as_nan(case, temperature):
    @tf.function
    def of_op(logits, temperature):
        return value_and_gradients(
            lambda x: case.op(x, tf.constant(NOISE), temperature), [logits]
        )

    value, (gradient,) = of_op(tf.constant(LOGITS), tf.constant(temperature))
    assert np.all(np.isnan(gradient))
    # A straight-through value is the sample that was given.
    assert np.all(np.isnan(value)) or np.array_equal(value, tf.constant(NOISE))


@samplers
def test_temperature_may_be_a_variable(case):
    """A new value takes effect in a graph that is traced already."""
    temperature = tf.Variable(0.7)

    @tf.function
    def of_op(logits):
        return value_and_gradients(
            lambda x: case.op(
                x, tf.constant(NOISE), tf.convert_to_tensor(temperature)
            ),
            [logits],
        )

    before = of_op(tf.constant(LOGITS))[1][0]
    temperature.assign(2.0)
    after = of_op(tf.constant(LOGITS))[1][0]
    expected = value_and_gradients(
        lambda x: case.op(x, tf.constant(NOISE), 2.0), [tf.constant(LOGITS)]
    )[1][0]
    assert_close(after, expected)
    assert not np.allclose(before, after)


def tied(op):
    """The op with its second argument like its first: for shape errors."""
    return lambda logits, axis=-1: op(logits, tf.ones_like(logits), axis=axis)


def at_temperature_1(density):
    """The density as a function of logits and sample."""
    return lambda logits, sample, axis: density(logits, 1, sample, axis=axis)


CATEGORICAL = {
    "gumbel_softmax": tied(tg.ops.gumbel_softmax),
    "straight_through": tied(tg.ops.straight_through),
    "reinmax": tied(tg.ops.reinmax),
    "zgr": tied(tg.ops.zgr),
    "gapped_straight_through": tied(tg.ops.gapped_straight_through),
    "minimum_variance_straight_through": tied(
        tg.ops.minimum_variance_straight_through
    ),
    "gumbel_max": tied(tg.ops.gumbel_max),
    "exponential_min": tied(tg.ops.exponential_min),
    "gumbel_top_k": tied(functools.partial(tg.ops.gumbel_top_k, k=2)),
    "relaxed_top_k": tied(functools.partial(tg.ops.relaxed_top_k, k=2)),
    "categorical_kl": tied(tg.ops.categorical_kl),
    "categorical_log_prob": tied(tg.ops.categorical_log_prob),
    "mask_logits": tied(tg.ops.mask_logits),
    "exp_concrete": tied(tg.ops.exp_concrete),
    "concrete_log_prob": tied(at_temperature_1(tg.ops.concrete_log_prob)),
    "exp_concrete_log_prob": tied(
        at_temperature_1(tg.ops.exp_concrete_log_prob)
    ),
}
categorical = pytest.mark.parametrize(
    "op", CATEGORICAL.values(), ids=CATEGORICAL.keys()
)


NOT_FLOATING = r"`(logits|probabilities|sample)` .*Received: \1 of dtype int32"


@categorical
@pytest.mark.parametrize(
    ("logits", "axis", "error", "message"),
    [
        (tf.constant(0.5), -1, ValueError, "`.*` .*of rank 0"),
        (tf.ones([3, 1]), -1, ValueError, r"at least 2 .*shape \(3, 1\)"),
        (tf.ones([3, 4]), 2, ValueError, "`axis` .*Received: axis=2"),
        (tf.ones([3, 4]), -3, ValueError, "`axis` .*Received: axis=-3"),
        (tf.ones([3, 4]), 1.0, TypeError, "`axis` .*Received: axis=1.0"),
        (tf.ones([3, 4]), True, TypeError, "`axis` .*Received: axis=True"),
        (tf.ones([3, 4], "int32"), -1, TypeError, NOT_FLOATING),
    ],
)
def test_bad_categories_are_an_error(op, logits, axis, error, message):
    with pytest.raises(error, match=message):
        op(logits, axis)


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (tg.ops.binary_concrete, "logits"),
        (tg.ops.straight_through_bernoulli, "logits"),
        (tg.ops.bernoulli_kl, "logits"),
        (tg.ops.bernoulli_log_prob, "logits"),
        (tg.ops.gaussian_kl, "mean"),
        (tg.ops.logit_binary_concrete, "logits"),
        (functools.partial(tg.ops.implicit_mle, k=1), "logits"),
        (tg.ops.sample_permutation, "logits"),
        (tg.ops.plackett_luce_log_prob, "logits"),
        (tg.ops.soft_sort, "logits"),
        (tg.ops.neural_sort, "logits"),
        (tg.ops.gumbel_sinkhorn, "logits"),
        (tg.ops.hard_concrete, "logits"),
        (tg.ops.gaussian_gate, "mean"),
    ],
)
def test_integers_are_an_error(op, name):
    with pytest.raises(TypeError, match=f"`{name}` .*{name} of dtype int32"):
        op([1, 2], [1.0, 0.0])
