"""An argument that broadcasts gets the sum of the gradients of its copies.

A gradient written by hand has the shape of the result unless someone sums it,
and TensorFlow takes it in silence.
"""

import inspect

import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

SHAPE = (3, 4)
OPTIONS = {"temperature": 0.7, "k": 2}
# What takes something else than tensors, or a table or triangle beside them.
OTHERS = ["choose_code", "code_logits", "k_hot_top"]
OTHERS += [name for name in tg.ops.__all__ if "tril" in name]


def tensors_of(name):
    """The names of the tensors that an op takes by position."""
    return [
        parameter.name
        for parameter in inspect.signature(
            getattr(tg.ops, name)
        ).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.KEYWORD_ONLY
    ]


def of_several_tensors(name):
    is_op = inspect.isfunction(getattr(tg.ops, name))
    return is_op and name not in OTHERS and len(tensors_of(name)) > 1


OPS = [
    (name, argument)
    for name in filter(of_several_tensors, tg.ops.__all__)
    for argument in tensors_of(name)
]


def gradients(name, arguments):
    op = getattr(tg.ops, name)
    wanted = inspect.signature(op).parameters
    options = {k: v for k, v in OPTIONS.items() if k in wanted}
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        result = tf.nest.flatten(op(*arguments, **options))[0]
        total = tf.reduce_sum(tf.cast(result, tf.float32))
    return tape.gradient(total, arguments)


@pytest.mark.parametrize(("name", "argument"), OPS)
def test_gradient_of_an_argument_that_broadcasts(name, argument):
    random = np.random.default_rng(0)
    names = tensors_of(name)
    position = names.index(argument)
    arguments = [
        tf.one_hot([0, 2, 1], 4)
        if each == "sample"
        else tf.constant(random.uniform(0.2, 0.8, SHAPE), tf.float32)
        for each in names
    ]
    row = arguments[position][:1]
    copies = list(arguments)
    copies[position] = tf.repeat(row, SHAPE[0], axis=0)
    for one in (row, row[0]):
        arguments[position] = one
        try:
            found = gradients(name, arguments)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError):
            continue  # It is refused.
        expected = gradients(name, copies)
        for each, whole, value in zip(found, expected, arguments, strict=True):
            if whole is None:
                assert each is None
                continue
            if value is one:
                whole = tf.reduce_sum(whole, axis=0, keepdims=one.ndim > 1)
            assert each.shape == value.shape
            np.testing.assert_allclose(each, whole, rtol=1e-4, atol=1e-5)
