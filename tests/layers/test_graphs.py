"""Questions to graphs, of loops and branches that TensorFlow has built."""

import types

import pytest
import tensorflow as tf

from tfgumbel.layers import _graphs


def traced(run):
    """The graph of a function, one that it runs inside, and its value."""
    inner, values = [], []

    def inside(value=0.0):
        inner.append(_graphs.current())
        return tf.convert_to_tensor(value)

    @tf.function(autograph=False)
    def outer(number):
        values.append(run(inside, number))
        return number

    number = tf.TensorSpec([], tf.int32)
    graph = outer.get_concrete_function(number).graph
    return graph, inner[-1], values[-1]


def in_condition(inside, number):
    return tf.while_loop(lambda i: i < inside(number), lambda i: i + 1, [0])


def in_body(inside, number, **options):
    return tf.while_loop(
        lambda i: i < number, lambda i: i + inside(1), [0], **options
    )


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (in_condition, "While"),
        (in_body, "While"),
        (lambda inside, n: tf.cond(n > 0, inside, lambda: 1.0), "If"),
        (lambda inside, n: tf.switch_case(n, [inside, inside]), "Case"),
    ],
)
def test_what_runs_a_loop_or_a_branch(run, kind):
    graph, inner, _ = traced(run)
    assert _graphs.is_control_flow(inner)
    assert not _graphs.is_control_flow(graph)
    op = _graphs.op_of(graph, inner)
    assert op.type.removeprefix("Stateless") == kind
    assert _graphs.op_of(graph, types.SimpleNamespace(name="none")) is None


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("limit", [5, None])
def test_a_limit_of_iterations(limit, stateful):
    def run(inside, number):
        def noise():
            return tf.cast(tf.random.uniform([]), tf.int32) if stateful else 0

        return in_body(
            lambda one: inside(one) + noise(),
            number,
            maximum_iterations=limit,
        )

    graph, inner, _ = traced(run)
    op = _graphs.op_of(graph, inner)
    assert op.type == ("While" if stateful else "StatelessWhile")
    assert _graphs.most_iterations(op) == limit
    assert _graphs.most_iterations(None) is None


@pytest.mark.parametrize(
    ("number", "listed", "dtypes"),
    [
        (0.0, False, [tf.float32]),
        (0, True, [tf.variant]),
        (0.0, True, [tf.float32]),
        (0, False, []),
    ],
)
def test_what_leaves_a_loop_with_a_gradient(number, listed, dtypes):
    """Numbers or, if there are none, lists; not what it only reads."""

    def run(inside, limit):
        read = tf.cast(limit, tf.float32)

        def body(i, *lists):
            step = inside(read)
            lists = [each.write(0, step) for each in lists]
            return i + tf.cast(step, i.dtype), *lists

        lists = [tf.TensorArray(tf.float32, 3)] * listed
        return tf.while_loop(
            lambda i, *_: tf.cast(i, tf.float32) < read, body, [number, *lists]
        )

    graph, inner, _ = traced(run)
    found = _graphs.leaving(graph, inner)
    assert [tensor.dtype for tensor in found] == dtypes


def test_a_tensor_of_a_loop_is_out_of_reach_outside():
    eager, told = tf.constant(1.0), []

    def tell(*tensors):
        told.append([_graphs.is_out_of_reach(tensor) for tensor in tensors])

    def run(inside, number):
        made = []

        def body(i):
            made.append(inside(1))

            def branch():
                tell(made[0], number, eager)
                return i + made[0]

            return tf.cond(i > 0, branch, lambda: i + 1)

        tf.while_loop(lambda i: i < number, body, [0])
        tell(made[0], number, eager)
        return made[0]

    *_, inner = traced(run)
    assert told == [[False, False, False], [True, False, False]]
    assert not _graphs.is_out_of_reach(inner)  # eagerly nothing is


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: 2.0 * x, True),
        (lambda x: tf.cast(tf.argmax(x), tf.float32), True),
        (lambda x: tf.zeros(tf.shape(x)), False),
        (lambda x: tf.ones_like(x), False),
        (lambda x: tf.cast(tf.size(x) + tf.rank(x), tf.float32), False),
        (lambda x: tf.map_fn(lambda each: 2.0 * each, x), True),
    ],
)
def test_what_a_tensor_was_computed_from(function, expected):
    @tf.function(input_signature=[tf.TensorSpec([None])] * 2, autograph=False)
    def told(x, other):
        y = function(x)
        graph = _graphs.current()
        assert _graphs.descends(graph, y, [other, x]) == expected
        assert not _graphs.descends(graph, y, [other])
        return y

    told.get_concrete_function()


def test_a_tensor_inside_a_loop_stands_for_the_loop():
    def run(inside, number):
        made = []

        def body(i):
            made.append(inside(1))
            return tf.cond(i > 0, lambda: i + made[0], lambda: i)

        found = tf.while_loop(lambda i: i < number, body, [0])
        graph = _graphs.current()
        assert _graphs.descends(graph, found[0] + 1, made)
        assert not _graphs.descends(graph, number + 1, made)
        return found

    traced(run)
