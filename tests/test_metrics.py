"""Metrics of codes equal numpy's over the whole data set."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import assert_close

RANDOM = np.random.default_rng(5)
# [B, D, K]: skewed, and not the same for each variable.
P = RANDOM.dirichlet([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], size=(11, 3))
P = P.astype("float32")
ONE_HOT = np.eye(6, dtype="float32")[P.argmax(axis=-1)]
WEIGHTS = RANDOM.uniform(0, 2, size=11).astype("float32")
EACH_WEIGHT = RANDOM.uniform(size=(11, 3)).astype("float32")
METRICS = {
    "perplexity": tg.CodePerplexity,
    "usage": tg.CodeUsage,
    "usage-threshold": lambda **k: tg.CodeUsage(0.1, **k),
}
every_metric = pytest.mark.parametrize("name", METRICS)
UNEQUAL = (slice(0, 5), slice(5, 10), slice(10, 11))


def by_numpy(name, codes, weights=None, shared=False):
    """Of `[B, D, K]`, all at once, in float64."""
    weights = np.ones(len(codes)) if weights is None else weights
    if shared:
        weights = np.repeat(weights, codes.shape[1])
        codes = codes.reshape(-1, 1, codes.shape[-1])
    if name != "perplexity":  # of the largest entry
        codes = np.eye(codes.shape[-1])[codes.argmax(axis=-1)]
    average = np.einsum("bdk,b->dk", np.float64(codes), np.float64(weights))
    average /= average.sum(axis=-1, keepdims=True)
    if name == "perplexity":
        logs = np.log(np.where(average > 0, average, 1.0))
        return np.mean(np.exp(-np.sum(average * logs, axis=-1)))
    return np.mean(average > (0.1 if name == "usage-threshold" else 0.0))


@every_metric
@pytest.mark.parametrize("codes", [P, ONE_HOT], ids=["soft", "hard"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_add_up(name, codes, shared, weighted):
    """Unequal ones; a metric of batches is no mean of the batches' own."""
    metric = METRICS[name](shared=shared)
    for batch in UNEQUAL:
        weight = WEIGHTS[batch] if weighted else None
        metric.update_state(None, codes[batch], sample_weight=weight)
    weights = WEIGHTS if weighted else None
    expected = by_numpy(name, codes, weights, shared)
    assert_close(metric.result(), expected, rtol=1e-5)


@every_metric
def test_extremes(name):
    """One code for all, and all codes equally often."""
    same, different = np.eye(6)[[0] * 6], np.eye(6)
    low, high = (1, 6) if name == "perplexity" else (1 / 6, 1)
    for codes, expected in ((same, low), (different, high)):
        result = METRICS[name]()(None, codes.astype("float32"))
        assert_close(result, np.float32(expected), rtol=1e-5)


@every_metric
def test_nothing_seen_is_zero_and_reset_forgets(name):
    metric = METRICS[name]()
    assert metric.result() == 0
    metric.update_state(None, P)
    assert metric.result() > 0
    metric.reset_state()
    assert metric.result() == 0
    metric.update_state(None, ONE_HOT)
    assert_close(metric.result(), by_numpy(name, ONE_HOT), rtol=1e-5)


@every_metric
@pytest.mark.parametrize("axis", [1, -2, 2])
def test_axis_and_more_axes(name, axis):
    """A `[B, 2, D]` grid of variables, the categories where `axis` says."""
    codes = np.stack([P, P[::-1]], axis=1)
    metric = METRICS[name](axis=axis)
    metric.update_state(None, np.moveaxis(codes, -1, axis))
    # Counts do not see the order of the batch.
    assert_close(metric.result(), by_numpy(name, P), rtol=1e-5)


@every_metric
def test_shared_axes_are_those_of_the_codes(name):
    """Wherever the categories stand among them."""
    grid = np.stack([P, P[::-1], 0.5 * P + 0.5 * P[:, :1]], axis=1)  # [B, T, G]
    last, second = METRICS[name](shared=1), METRICS[name](axis=1, shared=2)
    last.update_state(None, grid)
    second.update_state(None, np.moveaxis(grid, -1, 1))
    assert_close(second.result(), last.result())
    other = METRICS[name](shared=2)
    other.update_state(None, grid)
    assert name != "perplexity" or other.result() != last.result()


def test_no_code_at_all_is_no_use_of_the_first():
    codes = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert float(tg.CodeUsage()(None, codes)) == pytest.approx(1 / 3)


def test_counts_add_up():
    metric = tg.CodeUsage()
    for counts in ([[2, 0, 0]], [[0, 1, 0]]):
        metric.update_counts(tf.constant(counts))
    assert float(metric.result()) == pytest.approx(2 / 3)


def test_weight_of_each_variable():
    metric = tg.CodePerplexity()
    metric.update_state(None, P, sample_weight=EACH_WEIGHT)
    each = [
        by_numpy("perplexity", P[:, d : d + 1], EACH_WEIGHT[:, d])
        for d in range(3)
    ]
    assert_close(metric.result(), np.mean(each), rtol=1e-5)


def test_weights_in_a_column():
    column, row = tg.CodePerplexity(), tg.CodePerplexity()
    column.update_state(None, P[:, 0], sample_weight=WEIGHTS[:, None])
    row.update_state(None, P[:, 0], sample_weight=WEIGHTS)
    assert_close(column.result(), row.result())


def test_masked_positions_do_not_count():
    """Keras's mask of a padded sequence, as sampling layers hand on."""
    mask = EACH_WEIGHT < 0.6
    masked, weighted, all_count = (
        tg.CodePerplexity(shared=True) for _ in range(3)
    )
    codes = tf.constant(np.where(mask[..., None], P, np.float32("nan")))
    codes._keras_mask = tf.constant(mask)
    masked.update_state(None, codes)
    weighted.update_state(None, P, sample_weight=mask.astype("float32"))
    assert_close(masked.result(), weighted.result())
    assert masked.result() != all_count(None, P)


@every_metric
def test_a_variable_without_a_code_is_not_averaged(name):
    """However far sequences are padded."""
    metric = METRICS[name]()
    mask = np.ones((11, 3), bool)
    mask[:, 2] = False
    metric.update_state(None, P, sample_weight=mask)
    assert_close(metric.result(), by_numpy(name, P[:, :2]), rtol=1e-5)


def model_with_codes(metrics, weighted=None, **kwargs):
    inputs = keras.Input((3, 6))
    scaled = keras.layers.Dense(6, kernel_initializer="identity")(inputs)
    outputs = {"first": scaled[:, 0], "code": keras.layers.Identity()(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd",
        loss={"first": "mse"},
        metrics={"code": metrics},
        weighted_metrics={"code": weighted or []},
        **kwargs,
    )
    return model


def targets(codes):
    return {"first": codes[:, 0], "code": np.zeros(len(codes))}


@pytest.mark.full
@pytest.mark.parametrize("jit_compile", [False, True])
def test_evaluate_and_fit_in_batches(jit_compile):
    """Of five, five and one; weights count in `weighted_metrics` only."""
    model = model_with_codes(
        [tg.CodePerplexity(), tg.CodeUsage()],
        [tg.CodePerplexity(name="weighted")],
        jit_compile=jit_compile,
    )
    arguments = {"batch_size": 5, "verbose": 0, "sample_weight": WEIGHTS}
    expected = {
        "code_code_perplexity": by_numpy("perplexity", ONE_HOT),
        "code_code_usage": by_numpy("usage", ONE_HOT),
        "code_weighted": by_numpy("perplexity", ONE_HOT, WEIGHTS),
    }
    for _ in range(2):
        logs = model.evaluate(
            ONE_HOT, targets(ONE_HOT), return_dict=True, **arguments
        )
        for key, value in expected.items():
            assert logs[key] == pytest.approx(value, rel=1e-5)
    history = model.fit(ONE_HOT, targets(ONE_HOT), **arguments).history
    for key, value in expected.items():
        assert history[key][-1] == pytest.approx(value, rel=1e-5)


def test_train_step_of_its_own():
    """As documented: `update_state(None, codes)` inside a compiled step."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.usage = tg.CodeUsage()

        def test_step(self, data):
            self.usage.update_state(None, data)
            return {"usage": self.usage.result()}

    model = Model()
    model.compile()
    logs = model.evaluate(ONE_HOT, batch_size=5, verbose=0, return_dict=True)
    assert float(logs["usage"]) == pytest.approx(by_numpy("usage", ONE_HOT))


def test_length_of_a_sequence_may_be_unknown():
    metric = tg.CodePerplexity(shared=True)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 6])])
    def update(codes):
        metric.update_state(None, codes)

    metric.update_state(None, P[:5])
    update(P[5:, :2])
    update(P[5:, 2:])
    expected = by_numpy("perplexity", P, shared=True)
    assert_close(metric.result(), expected, rtol=1e-5)


@every_metric
def test_config_round_trip(name):
    metric = METRICS[name](axis=1, shared=True, name="it")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    other = keras.saving.deserialize_keras_object(config)
    assert type(other) is type(metric)
    assert other.get_config() == metric.get_config()
    assert (other.axis, other.shared, other.name) == (1, True, "it")


@pytest.mark.full
def test_saved_model_keeps_its_metrics(tmp_path):
    model = model_with_codes([tg.CodeUsage(0.1, shared=True)])
    arguments = {"batch_size": 5, "verbose": 0, "return_dict": True}
    expected = model.evaluate(P, targets(P), **arguments)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(P, targets(P), **arguments) == expected


def test_state_goes_on_elsewhere():
    """Counts are a variable like any other: they can be kept and set."""
    first, second, whole = (tg.CodePerplexity() for _ in range(3))
    first.update_state(None, P[:5])
    second.update_state(None, P[5:])
    (counts,) = first.variables
    second.counts.assign_add(counts)
    assert_close(second.result(), whole(None, P), rtol=1e-6)
    (stateless,) = first.stateless_update_state([counts.value], None, P[5:])
    assert_close(stateless, second.counts.value, rtol=1e-6)


def test_replicas_add_their_counts(strategy):
    with strategy.scope():
        metric = tg.CodePerplexity()
        metric.update_state(None, np.zeros_like(P))

    @tf.function
    def step(codes):
        strategy.run(lambda c: metric.update_state(None, c), args=(codes,))

    halves = [P[:4], P[4:8]]
    values = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(halves[c.replica_id_in_sync_group])
    )
    step(values)
    counts = tf.convert_to_tensor(metric.counts)
    assert_close(counts, P[:8].sum(axis=0), rtol=1e-5)
    assert_close(metric.result(), by_numpy("perplexity", P[:8]), rtol=1e-5)


@pytest.mark.parametrize(
    ("codes", "axis", "error", "message"),
    [
        (np.zeros((4, 3), "int32"), -1, TypeError, "dtype int32"),
        (np.zeros(4, "float32"), -1, ValueError, r"shape \(4,\)"),
        (np.zeros((4, 1), "float32"), -1, ValueError, r"shape \(4, 1\)"),
        (np.zeros((4, 3), "float32"), 0, ValueError, "axis=0"),
        (np.zeros((4, 3), "float32"), 2, ValueError, "axis=2"),
    ],
)
def test_bad_codes_are_an_error(codes, axis, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        tg.CodePerplexity(axis).update_state(None, codes)


def test_bad_weight_and_threshold_are_errors():
    with pytest.raises(ValueError, match=r"`sample_weight` .*\(11, 3, 6\)"):
        tg.CodePerplexity().update_state(None, P, sample_weight=P)
    with pytest.raises(ValueError, match=r"`sample_weight` .*\(1, 3, 6\)"):
        tg.CodePerplexity().update_state(None, P[:1], sample_weight=WEIGHTS)
    for threshold, error in (
        (-0.1, ValueError),
        (1, ValueError),
        ("a", TypeError),
    ):
        with pytest.raises(error, match="`threshold` .*Received: threshold="):
            tg.CodeUsage(threshold)


def test_unknown_number_of_variables_is_an_error():
    update = tf.function(tg.CodePerplexity().update_state)
    with pytest.raises(ValueError, match="`shared=True`"):
        update.get_concrete_function(None, tf.TensorSpec([None, None, 6]))


def test_codes_of_half_precision_are_counted_exactly():
    """float16 has no whole numbers between 2048 and 2050."""
    codes = np.eye(2, dtype="float16")[(np.arange(8000) % 3 == 0).astype(int)]
    metric = tg.metrics.CodePerplexity()
    metric.update_state(None, codes)
    np.testing.assert_array_equal(metric.counts, [5333.0, 2667.0])


@every_metric
def test_codes_that_are_nan_show(name):
    codes = P.copy()
    codes[3] = np.nan
    assert np.isnan(METRICS[name]()(None, codes))


@every_metric
def test_other_codes_than_before_are_refused(name):
    metric = METRICS[name]()
    metric.update_state(None, P)
    for codes in (P[:, :, :5], P[:, :2]):
        with pytest.raises(ValueError, match=r"as before, \(3, 6\)"):
            metric.update_state(None, codes)


def test_weights_of_another_number_of_examples_are_refused():
    metric = tg.LogMarginalLikelihood(lambda x: x, samples=2)
    with pytest.raises(ValueError, match=r"`sample_weight`.*\(3,\)"):
        metric.update_state(tf.zeros([5]), sample_weight=tf.ones([3]))
