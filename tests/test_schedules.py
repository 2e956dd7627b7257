import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import assert_close
from tfgumbel import _checks

ExponentialAnnealing = tg.schedules.ExponentialAnnealing


def positive(value):
    return _checks.positive_number("temperature", value)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 2.0),
        (99, 2.0),
        (100, 2.0 * np.exp(-0.1)),
        (199, 2.0 * np.exp(-0.1)),
        (1000, 2.0 * np.exp(-1.0)),
        (1400, 0.5),  # the formula alone gives 0.493
        (10**9, 0.5),
    ],
)
def test_annealing_follows_the_formula(step, expected, compiled):
    """max(minimum, initial · exp(-rate · t)), t a multiple of `every`."""
    schedule = ExponentialAnnealing(2.0, rate=1e-3, minimum=0.5, every=100)
    value = compiled(schedule)(tf.constant(step, tf.int64))
    assert value.dtype == tf.float32 and value.shape == ()
    assert_close(value, expected)


def test_defaults_are_those_of_the_paper():
    schedule = ExponentialAnnealing()
    steps = [0, 1000, 10_000]
    values = [1.0, np.exp(-0.1), 0.5]
    assert_close(tf.stack([schedule(step) for step in steps]), values)


def test_between_keeps_its_value_for_as_many_steps():
    schedule = ExponentialAnnealing.between(1.0, 0.25, steps=100, every=50)
    values = [schedule(step) for step in (49, 50, 99, 100, 1000)]
    assert_close(tf.stack(values), [1.0, 0.5, 0.5, 0.25, 0.25])
    constant = ExponentialAnnealing.between(0.3, 0.3, steps=100)
    assert_close(tf.stack([constant(0), constant(200)]), [0.3, 0.3])
    with pytest.raises(ValueError, match="`final` must not .*final=2.0"):
        ExponentialAnnealing.between(1.0, 2.0, steps=100)


def test_step_may_be_any_kind_of_number():
    schedule = ExponentialAnnealing(rate=0.01, every=5)
    kinds = [7, np.int32(7), tf.constant(7), tf.constant(7.0), tf.Variable(7)]
    kinds.append(keras.Variable(7, dtype="int64"))
    for step in kinds:
        assert_close(schedule(step), np.exp(-0.05))
    assert_close(ExponentialAnnealing(rate=0.01)(7.9), np.exp(-0.07))


def test_graph_follows_a_variable_step(compiled):
    step = tf.Variable(0, dtype=tf.int64)
    schedule = ExponentialAnnealing(rate=0.01)
    value = compiled(lambda: schedule(step))
    assert_close(value(), 1.0)
    step.assign(20)
    assert_close(value(), np.exp(-0.2))


def test_config_round_trip():
    assert ExponentialAnnealing().minimum == 0.5
    assert ExponentialAnnealing(0.3).minimum == 0.3
    schedule = ExponentialAnnealing(3.0, rate=0.02, minimum=0.1, every=5)
    config = {"initial": 3.0, "rate": 0.02, "minimum": 0.1, "every": 5}
    assert schedule.get_config() == config
    serialized = keras.saving.serialize_keras_object(schedule)
    assert serialized["registered_name"] == "tfgumbel>ExponentialAnnealing"
    again = tg.schedules.get(serialized)
    assert type(again) is ExponentialAnnealing
    assert again.get_config() == config


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"initial": 0.0}, ValueError, "`initial` .*initial=0.0"),
        ({"initial": "1"}, TypeError, "`initial` .*initial='1'"),
        ({"rate": -1e-3}, ValueError, "`rate` .*rate=-0.001"),
        ({"rate": float("nan")}, ValueError, "`rate` .*rate=nan"),
        ({"minimum": 0}, ValueError, "`minimum` .*minimum=0"),
        ({"minimum": 1.1}, ValueError, "`minimum` .*initial=1.0"),
        ({"every": 0}, ValueError, "`every` .*every=0"),
        ({"every": 1.5}, TypeError, "`every` .*every=1.5"),
    ],
)
def test_bad_arguments_are_an_error(arguments, error, message):
    with pytest.raises(error, match=message):
        ExponentialAnnealing(**arguments)


def test_get_passes_schedules_and_callables_through():
    cosine = keras.optimizers.schedules.CosineDecay(1.0, 10)
    for schedule in (cosine, ExponentialAnnealing(), lambda step: 1.0):
        assert tg.schedules.get(schedule) is schedule


@pytest.mark.parametrize("number", [0.7, 2, 0.0, np.float32(0.7), np.int64(2)])
def test_get_makes_a_number_constant(number):
    schedule = tg.schedules.get(number)
    assert_close(tf.stack([schedule(0), schedule(10**8)]), [number, number])


def test_get_knows_names():
    assert isinstance(
        tg.schedules.get("ExponentialAnnealing"), ExponentialAnnealing
    )
    message = "one of 'ExponentialAnnealing'. Received: schedule='Linear'"
    with pytest.raises(ValueError, match=message):
        tg.schedules.get("Linear")


@pytest.mark.parametrize("identifier", [None, True, [0.5]])
def test_get_refuses_what_is_no_schedule(identifier):
    with pytest.raises(TypeError, match="Received: schedule="):
        tg.schedules.get(identifier)


def test_check_accepts_schedules_of_positive_values():
    for schedule in (
        ExponentialAnnealing(),
        keras.optimizers.schedules.ExponentialDecay(1.0, 1000, 0.9999),
        keras.optimizers.schedules.ExponentialDecay(1.0, 1000, 0.5),
        lambda step: tf.exp(-tf.cast(step, tf.float32) / 900.0),
        lambda step: 1.0,
    ):
        tg.schedules.check(schedule, positive)


@pytest.mark.parametrize(
    ("schedule", "step"),
    [
        (lambda step: 0.0, 0),
        (lambda step: float("nan"), 0),
        (lambda step: "warm", 0),
        (lambda step: 1.0 - tf.cast(step, tf.float32) / 5000.0, 10_000),
        (lambda step: 1.0 - tf.cast(step, tf.float32) / 5e7, 10**8),
        # It may vanish late, and where it has decayed before.
        (lambda step: tf.exp(-tf.cast(step, tf.float32) / 50.0), 10**4),
        (lambda step: tf.cast(step < 10**5, tf.float32), 10**5),
        (lambda step: 100.0 / (100.0 + step) if step < 10**6 else -1.0, 10**6),
        (lambda step: np.exp(-step / 900) if step < 10**6 else np.inf, 10**6),
        (lambda step: [1.0, 2.0], 0),
    ],
)
def test_check_names_the_step_of_a_bad_value(schedule, step):
    with pytest.raises(ValueError, match=f"returned .* at step {step}: "):
        tg.schedules.check(schedule, positive)


def test_check_refuses_what_cannot_run_in_a_graph():
    with pytest.raises(ValueError, match="must be written in TensorFlow ops"):
        tg.schedules.check(lambda step: 1.0 / (1 + int(step)), positive)
