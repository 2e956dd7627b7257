"""The losses that a layer keeps, apart from those of other replicas."""

import keras
import pytest
import tensorflow as tf

from tfgumbel import _saving
from tfgumbel.layers._replicas import OwnLosses


def test_losses_of_one_pass_weigh_as_the_first():
    own = OwnLosses(keras.layers.Layer())
    assert own.weight(tf.constant(2)) == 2.0
    own.extend([0.0])
    assert own.weight(tf.constant(3)) == 2.0
    # A graph knows nothing of calls outside of it, nor the reverse.
    traced = tf.function(lambda: own.weight(tf.constant(4)))
    assert traced() == 4.0
    assert own.weight(tf.constant(5)) == 5.0
    own.clear()
    assert own.weight(tf.constant(6)) == 6.0


def test_losses_of_masked_steps_are_refused_until_they_are_cleared(monkeypatch):
    own = OwnLosses(keras.layers.Layer(name="adding"))

    def extend(losses, masked):
        monkeypatch.setattr(_saving, "is_masked_step", lambda: masked)
        own.extend(losses)

    extend([], masked=True)
    assert own[:] == []
    extend([1.0], masked=True)
    extend([2.0], masked=False)
    assert len(own) == 2
    with pytest.raises(ValueError, match="'adding' adds a loss.*with a mask"):
        own[:]
    own.clear()
    extend([3.0], masked=False)
    assert own[:] == [3.0]
