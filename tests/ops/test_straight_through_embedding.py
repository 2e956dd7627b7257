"""Equals one-hot × matrix, without the one-hot and without the product."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.conftest import MODES
from tests.ops.derivatives import assert_close, value_and_gradients
from tfgumbel.ops import straight_through_embedding as op
from tfgumbel.ops._index_gradients import Block

GENERATOR = np.random.default_rng(6)
LOGITS = GENERATOR.normal(size=(4, 3, 5)).astype("float32")
TABLE = GENERATOR.normal(size=(5, 2)).astype("float32")
SEED, TAU = tf.constant([3, 4], tf.int64), tf.constant(0.7)
NAMES = tg.estimators.surrogates()
names = pytest.mark.parametrize("name", NAMES)


def embedding(name, logits, table, tau=TAU):
    return tg.estimators.surrogate_embedding(
        name, logits, table, SEED, temperature=tau, noise_samples=2
    )


def one_hot_times_matrix(name, logits, table, tau=TAU):
    """With the noise that the embedding drew."""
    if name == "st_gumbel":
        noise = tg.random.gumbel(logits.shape, SEED)
        z = tg.ops.gumbel_softmax(logits, noise, temperature=tau, hard=True)
    else:
        index = tg.random.categorical(logits, SEED)
        sample = tf.one_hot(index, logits.shape[-1], dtype=logits.dtype)
        z = with_surrogate(tg.ops.SURROGATES[name], logits, sample, tau)
    return tf.tensordot(z, table, 1)


def with_surrogate(surrogate, logits, sample, tau):
    """The sample with the gradient of this member of the family."""
    noise, options = [], {}
    if surrogate.noise:
        (seed,) = tg.random.split(SEED, 1)
        (seed,) = tg.random.split(seed, 1)
        noise = [tg.random.gumbel([2, *logits.shape], seed)]
    if surrogate.temperature:
        options["temperature"] = tau
    return surrogate.op(logits, sample, *noise, **options)


def differentiated(name, arguments, tau=TAU):
    """Value and gradients of the embedding, and what they have to be."""
    return [
        tf.nest.map_structure(
            tf.convert_to_tensor,
            value_and_gradients(functools.partial(f, name, tau=tau), arguments),
        )
        for f in (embedding, one_hot_times_matrix)
    ]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "eager") for name in NAMES),
        ("st_gumbel", "xla"),
        ("gapped", "xla"),
    ],
)
def test_equals_one_hot_times_matrix(name, mode):
    """In value and in both gradients, for the same noise."""
    arguments = [tf.constant(LOGITS), tf.constant(TABLE)]

    @MODES[mode]
    def both(*arguments):
        return differentiated(name, arguments)

    actual, expected = both(*arguments)
    assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert np.any(expected[1][0] != 0)


def test_reinmax_at_temperature_one():
    """Where its two products are one."""
    arguments = [tf.constant(LOGITS), tf.constant(TABLE)]
    actual, expected = differentiated("reinmax", arguments, tf.constant(1.0))
    assert_close(actual, expected, rtol=1e-5, atol=1e-6)


BLOCKS = {
    "static": ([12, 5], 12),
    "dynamic": ([None, 5], 12),
    "rest": ([None, 5], 11),
    "one": ([None, 5], 1),
}


@pytest.mark.full
@pytest.mark.parametrize(("shape", "count"), BLOCKS.values(), ids=BLOCKS.keys())
def test_blocks_of_rows_change_nothing(shape, count):
    """Blocks of two rows, the last one full or not, each told its rows."""
    table, index = tf.constant(TABLE), tf.range(12) % 5

    def gradient(block):
        number = block.first + tf.range(tf.shape(block.logits)[0])
        scale = tf.cast(1 + number, tf.float32)[:, None]
        one_hot = tf.one_hot(block.index, 5)
        return scale * (block.logits + block.incoming() + one_hot)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def by_blocks(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            rows = op(logits, table, index[:count], gradient=gradient, block=13)
            total = tf.reduce_sum(rows)
        return tape.gradient(total, logits)

    logits = tf.constant(LOGITS.reshape(12, 5)[:count])
    ones = tf.ones([count, 2])
    with_ones = tf.pad(table, [[0, 0], [0, 1]], constant_values=1.0)
    expected = gradient(Block(logits, index[:count], ones, with_ones, 0))
    assert_close(by_blocks(logits), expected, rtol=1e-5)
    graph = by_blocks.get_concrete_function().graph.as_graph_def()
    assert "While" in str(graph)


def test_blocks_draw_noise_of_their_own(monkeypatch):
    """Equal rows with equal samples get unequal Gumbel-Rao gradients."""

    def by_single_rows(*arguments, **options):
        return op(*arguments, **options | {"block": 5})

    monkeypatch.setattr(tg.ops, "straight_through_embedding", by_single_rows)
    logits, tau = tf.constant([[0.0, 50.0, 0.5, 0.2, -0.3]] * 12), 50.0
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = embedding("gumbel_rao", logits, tf.constant(TABLE), tau)
    gradient = tape.gradient(value, logits).numpy()
    assert len(np.unique(gradient[:, 1])) == 12


@pytest.mark.full
@names
def test_forward_has_neither_one_hot_nor_product(name):
    @tf.function
    def forward(logits, table):
        return embedding(name, logits, table)

    # Of many categories: the quantile among few takes sums as products.
    many = tf.zeros([4, 100]), tf.zeros([100, 3])
    graph = forward.get_concrete_function(*many).graph
    types = {operation.type for operation in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        types |= {node.op for node in function.node_def}
    assert "GatherV2" in types
    assert not types & {"OneHot", "MatMul", "BatchMatMulV2", "Einsum"}


def test_gradient_of_the_table_is_sparse(compiled):
    """Only the rows that were drawn, each as often as it was drawn."""
    index = tf.constant([2, 0, 2])

    @compiled
    def gradient(logits, table):
        with tf.GradientTape() as tape:
            tape.watch(table)
            total = tf.reduce_sum(op(logits, table, index))
        return tape.gradient(total, table)

    found = gradient(tf.constant(LOGITS[0]), tf.constant(TABLE))
    assert isinstance(found, tf.IndexedSlices)
    np.testing.assert_array_equal(found.indices, index)
    np.testing.assert_array_equal(found.values, np.ones([3, 2]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    logits = tf.cast(LOGITS, dtype)
    single = tf.cast(logits, tf.float32)
    function = functools.partial(embedding, "st")
    actual, expected = (
        value_and_gradients(function, [x, tf.constant(TABLE)])[1][0]
        for x in (logits, single)
    )
    assert actual.dtype == dtype
    rounded = tf.cast(tf.cast(expected, dtype), tf.float32)
    assert_close(rounded, tf.cast(actual, tf.float32))


def test_nan_stays_in_its_row():
    logits = LOGITS.copy()
    logits[1, 2, 3] = np.nan
    index = tf.zeros(LOGITS.shape[:-1], tf.int32)
    value = op(logits, TABLE, index).numpy()
    assert np.all(np.isnan(value[1, 2])) and np.isnan(value).sum() == 2


@pytest.mark.parametrize(
    ("logits", "table", "index", "error", "message"),
    [
        (LOGITS, TABLE[:4], [[0] * 3] * 4, ValueError, r"`embeddings`.*\(4, 2"),
        (LOGITS, TABLE[0], [[0] * 3] * 4, ValueError, r"`embeddings`.*\(2,\)"),
        (LOGITS, [[1, 2]] * 5, [[0] * 3] * 4, TypeError, "`embeddings`.*int32"),
        (LOGITS, TABLE, [0, 1, 2], ValueError, r"`index`.*\(3,\)"),
        (LOGITS, TABLE, [[0.0] * 3] * 4, TypeError, "`index`.*float32"),
        ([[1, 2]], TABLE, [0], TypeError, "`logits`.*int32"),
        ([[1.0]], TABLE, [0], ValueError, r"`logits`.*\(1, 1\)"),
    ],
)
def test_bad_input_is_an_error(logits, table, index, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        op(logits, table, index)
