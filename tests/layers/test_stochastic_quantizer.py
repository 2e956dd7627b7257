"""What the contract of `tests/helpers/cases.py` does not hold of this layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tfgumbel.layers import _codebook

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(8, 3, 4)).astype("float32")
FAR = keras.initializers.RandomNormal(mean=30.0, stddev=1.0, seed=1)
NEAR = keras.initializers.RandomNormal(stddev=1.0, seed=1)


def quantizer(codes=6, dim=4, **kwargs):
    options = {"seed": 7, "initializer": NEAR, "revive_after": None}
    return tg.StochasticQuantizer(codes, dim, **{**options, **kwargs})


def plain_stages(x, books, scale, uniforms):
    """Straight-through of each stage, and all derivatives that there are."""
    total, left = 0.0, x
    for book, uniform in zip(books, uniforms, strict=True):
        logits = -tf.reduce_sum((left[:, None] - book) ** 2, -1) / scale
        p = tf.nn.softmax(logits)
        above = tf.cumsum(p, -1) > uniform[:, None]
        index = tf.argmax(tf.cast(above, tf.int32), -1)
        z = p + tf.stop_gradient(tf.one_hot(index, 6, dtype=x.dtype) - p)
        total, left = total + z @ book, left - z @ book
    return total


def test_stages_give_vectors_codes_and_scale_the_gradient_of_a_chain():
    """Autodiff of one-hot samples, in float64, for the noise that is drawn."""
    layer = quantizer(
        stages=2,
        estimator="st",
        scale=2.0,
        trainable_scale=True,
        commitment=0.0,
        codebook_loss=0.0,
    )
    x = tf.constant(X.reshape(-1, 4))
    layer.build(x.shape)
    seed = layer.peek_seed()
    sources = [x, *layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(x)
        cost = tf.reduce_sum(tf.sin(layer(x, training=True)))
    actual = tape.gradient(cost, [x, layer.codebook.value, sources[1].value])
    uniforms = [
        tg.random.uniform64([len(x)], s)
        for s in (seed, tg.random.numbered(seed, 1))
    ]
    values = [tf.cast(v, tf.float64) for v in (x, layer.codebook, sources[1])]
    with tf.GradientTape() as tape:
        tape.watch(values)
        books = [values[1][stage, 0] for stage in range(2)]
        y = plain_stages(values[0], books, tf.exp(values[2]), uniforms)
        cost = tf.reduce_sum(tf.sin(y))
    for a, e in zip(actual, tape.gradient(cost, values), strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(a), e, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", ["copy", "nearest"])
def test_a_copied_gradient_counts_once_and_reaches_no_code(name):
    layer = quantizer(stages=3, estimator=name, codebook_loss=0.0)
    x = tf.constant(X)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        cost = tf.reduce_sum(layer(x, training=True) * X)
    of_x, of_codes = tape.gradient(cost, [x, layer.codebook.value])
    np.testing.assert_allclose(of_x, X, rtol=1e-6)
    assert of_codes is None


def test_losses_are_those_of_the_paper():
    """A gradient in the inputs by one term, in the codes by the other."""
    layer = quantizer(
        estimator="nearest", commitment=0.5, codebook_loss=2.0, codes=2, dim=2
    )
    x = tf.constant([[[1.0, 0.0]], [[0.0, 3.0]]])
    layer.build(x.shape)
    layer.codebook.assign([[[[0.0, 0.0], [9.0, 9.0]]]])
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            layer(x, training=training)
            (loss,) = layer.losses
        gradients = tape.gradient(loss, [x, layer.codebook.value])
        assert loss == 2.5 * (1 + 9) / 4
        np.testing.assert_allclose(gradients[0], 0.5 * 2 * x / 4)
        expected = [[-1.0, -3.0], [0.0, 0.0]]
        np.testing.assert_allclose(
            gradients[1][0, 0], 2.0 * 2 * np.array(expected) / 4
        )


def test_commitment_to_later_stages_moves_no_code():
    layer = quantizer(stages=2, commitment=1.0, codebook_loss=0.0)
    with tf.GradientTape() as tape:
        layer(X, training=True)
        (loss,) = layer.losses
    found = tape.gradient(loss, layer.codebook.value)
    assert loss > 0.0 and (found is None or not np.any(found))


def averages(batches, book, decay):
    """Of the inputs of each code, those of t steps ago with weight decay^t."""
    sums, counts = np.zeros_like(book), np.zeros(len(book))
    for batch in batches:
        flat = batch.reshape(-1, batch.shape[-1]).astype("float64")
        distances = np.sum((flat[:, None] - book) ** 2, axis=-1)
        drawn = np.eye(len(book))[distances.argmin(axis=-1)]
        sums = decay * sums + drawn.T @ flat
        counts = decay * counts + drawn.sum(axis=0)
        used = counts > 0
        book = np.where(
            used[:, None], sums / np.maximum(counts, 1e-9)[:, None], book
        )
    return book


BATCHES = [X, X[:4] + 1.0, X[2:5] - 0.5]


@pytest.mark.parametrize("revive_after", [None, 1e6])
def test_averages_are_right_from_the_first_step_on(revive_after):
    layer = quantizer(
        estimator="nearest",
        update="ema",
        decay=0.9,
        codes=20,
        revive_after=revive_after,
    )
    layer.build(X.shape)
    book = layer.codebook.numpy()[0, 0].astype("float64")
    start = book.copy()
    for step in range(1, 4):
        layer(BATCHES[step - 1], training=True)
        expected = averages(BATCHES[:step], start, 0.9)
        found = layer.codebook.numpy()[0, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    unused = np.all(expected == start, axis=-1)
    assert 0 < unused.sum() < 20


def test_codes_that_nobody_draws_stay_for_ever():
    """Their count has long been lost in float32."""
    layer = quantizer(estimator="nearest", update="ema", decay=0.5, codes=20)
    layer(X, training=True)
    book = layer.codebook.numpy()
    step = tf.function(lambda: layer(X[:1, :1], training=True))
    for _ in range(200):
        step()
    moved = np.any(layer.codebook.numpy() != book, axis=-1)
    assert np.sum(moved) == 1 and np.min(layer.counts) < 1e-38
    layer(X, training=True)
    assert np.all(np.isfinite(layer.codebook))


def on_replicas(strategy, make, batch, steps):
    """Runs training calls on halves of the batch; what each replica holds."""
    with strategy.scope():
        layer = make()
        layer.build(batch.shape)
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            np.split(batch, 2)[context.replica_id_in_sync_group]
        )
    )

    @tf.function
    def step():
        strategy.run(lambda x: layer(x, training=True), (halves,))

    for _ in range(steps):
        step()
    weights = [w.value for w in layer.weights]
    return layer, [strategy.experimental_local_results(w) for w in weights]


def test_the_average_of_a_revived_code_begins_anew():
    layer = quantizer(
        2, 2, estimator="nearest", update="ema", decay=0.5, revive_after=1.0
    )
    layer.build((None, 2))
    layer.codebook.assign([[[[0.0, 0.0], [50.0, 50.0]]]])
    layer.counts.assign([[[4.0, 3.0]]])
    layer.idle.assign([[[0.0, 99.0]]])
    layer(tf.constant([[1.0, 1.0]]), training=True)
    # Half of 4, at 0, and half of 1.
    np.testing.assert_allclose(layer.counts[0, 0], [2.5, 0.0])
    np.testing.assert_allclose(layer.codebook[0, 0], [[0.2] * 2, [1.0] * 2])
    layer(tf.constant([[2.0, 3.0]]), training=True)
    np.testing.assert_allclose(layer.codebook[0, 0, 1], [2.0, 3.0])


@pytest.mark.full
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_averages_of_two_replicas_are_those_of_one_device(strategy, distance):
    def make():
        return quantizer(
            estimator="nearest", update="ema", distance=distance, groups=2
        )

    alone = make()
    for _ in range(3):
        alone(X, training=True)
    _, weights = on_replicas(strategy, make, X, 3)
    for (first, second), expected in zip(weights, alone.weights, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_replicas_revive_codes_alike_from_both_batches(strategy):
    """Each code on an input of its own, half of them from either replica."""
    batch = -np.arange(32.0, dtype="float32")[:, None] * np.ones(4, "f")

    def make():
        return quantizer(
            16, estimator="nearest", initializer=FAR, revive_after=1.0
        )

    layer, weights = on_replicas(strategy, make, batch, 2)
    book, idle = weights
    np.testing.assert_array_equal(*book)
    np.testing.assert_array_equal(*idle)
    values = np.asarray(layer.codebook)[0, 0, :, 0]
    revived = values[np.isin(values, batch[:, 0])]
    assert len(revived) == len(set(revived)) == 15
    assert abs(np.sum(revived > -16) - 7.5) < 1


def used(layer, x):
    return len(np.unique(layer.encode(x)))


@pytest.mark.full
@pytest.mark.parametrize("update", ["gradient", "ema"])
def test_codes_that_start_far_away_are_revived(update):
    random = np.random.default_rng(0)
    data = random.normal(size=(40, 64, 4)).astype("float32")

    def trained(revive_after):
        layer = quantizer(
            64,
            estimator="nearest",
            update=update,
            initializer=FAR,
            revive_after=revive_after,
        )
        step = tf.function(lambda x: layer(x, training=True))
        for batch in data:
            step(tf.constant(batch))
        return used(layer, data)

    assert trained(None) < 5
    assert trained(5.0) > 60


def test_every_position_is_as_likely_to_be_taken():
    x = np.arange(10, dtype="float32")[:, None]
    valid = _codebook.valid_positions(tf.constant(x), None)
    unused = tf.constant([[True, False, True, True, True]])
    counts = np.zeros(10)
    for u in (np.arange(40) + 0.5) / 40:
        found, given = _codebook.spare_inputs([x], valid, unused, u)
        np.testing.assert_array_equal(given, unused)
        places = found[0, :, 0][unused[0]].numpy().astype(int)
        assert len(set(places)) == 4
        counts[places] += 1
    np.testing.assert_allclose(counts / 40, 0.4, atol=0.01)


@pytest.mark.parametrize("size", [0, 2])
def test_batches_smaller_than_the_number_of_unused_codes(size):
    x = tf.ones([size, 1])
    valid = _codebook.valid_positions(x, None)
    unused = tf.ones([1, 5], tf.bool)
    found, given = _codebook.spare_inputs([x], valid, unused, 0.3)
    np.testing.assert_array_equal(given[0], [size > 0] * 5)
    np.testing.assert_array_equal(found[0, :, 0], [float(size > 0)] * 5)


@pytest.mark.parametrize("bad", [np.nan, 1e6])
def test_what_does_not_count_moves_no_code_and_is_in_no_loss(bad):
    """Masked positions, and for the codes vectors with NaN."""
    kwargs = {
        "estimator": "nearest",
        "update": "ema",
        "revive_after": 1e-3,
        "codes": 40,
    }
    x, mask = X.copy(), np.ones(X.shape[:2], bool)
    x[3, 1] = bad
    mask[3, 1] = False
    masked, clean = (quantizer(seed=s, **kwargs) for s in (1, 2))
    for _ in range(5):
        masked(x, training=True, mask=mask)
        clean(np.delete(X.reshape(-1, 4), 10, axis=0), training=True)
    assert np.all(np.abs(masked.codebook) < 10)
    masked.codebook.assign(clean.codebook)
    masked(x, mask=mask)
    clean(np.delete(X.reshape(-1, 4), 10, axis=0))
    np.testing.assert_allclose(masked.losses, clean.losses, rtol=1e-5)


def test_a_vector_of_nan_beside_a_mask_moves_no_code():
    layer = quantizer(estimator="nearest", update="ema")
    x, mask = X.copy(), np.ones(X.shape[:2], bool)
    x[3, 1], mask[5, 2] = np.nan, False
    layer(x, training=True, mask=mask)
    assert np.all(np.isfinite(layer.codebook))


@pytest.mark.parametrize(
    ("groups", "stages", "shape"),
    [(1, 1, ()), (2, 1, (2,)), (1, 3, (3,)), (2, 3, (3, 2))],
)
def test_indices_go_out_and_in(groups, stages, shape):
    layer = quantizer(groups=groups, stages=stages, return_indices=True)
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layer(inputs))
    y, indices = model.predict(X, verbose=0)
    assert indices.shape == (8, 3, *shape) and indices.dtype == "int32"
    assert tuple(model.output_shape[1]) == (None, 3, *shape)
    np.testing.assert_array_equal(layer.encode(X), indices)
    np.testing.assert_allclose(layer.decode(indices), y, rtol=1e-5)
    drawn, indices = model(X, training=True)
    np.testing.assert_allclose(layer.decode(indices), drawn, rtol=1e-5)


def test_the_nearest_codes_are_encoded_where_the_layer_samples():
    layer = quantizer(inference="sample")
    nearest = layer.encode(X)
    np.testing.assert_array_equal(
        layer.decode(nearest), quantizer()(X, training=False)
    )
    with tg.SamplingScope(seed=1):
        assert np.any(layer(X) != layer.decode(layer.encode(X)))


def test_cosine_distance_looks_at_directions_only():
    layer = quantizer(distance="cosine", update="ema", estimator="copy")
    y = layer(X)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(layer.encode(7 * X), layer.encode(X))
    book = layer.codebook.numpy()[0, 0]
    cosines = X @ (book / np.linalg.norm(book, axis=-1, keepdims=True)).T
    np.testing.assert_array_equal(layer.encode(X), cosines.argmax(axis=-1))


def test_samples_become_the_nearest_code_as_the_scale_falls():
    layer = quantizer(scale=100.0)
    layer(X)
    shares = []
    for scale in (100.0, 1.0, 1e-4):
        layer.scale = scale
        y = layer(np.tile(X, (40, 1, 1)), training=True)
        nearest = layer(np.tile(X, (40, 1, 1)))
        shares.append(np.mean(np.all(y == nearest, axis=-1)))
    assert shares[0] < 0.4 < shares[1] < 1 == shares[2]


@pytest.mark.full
def test_fit_logs_the_codes_in_use_and_evaluate_too():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 4))
    layer = quantizer(estimator="nearest", name="codes", groups=2)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    logs = model.evaluate(X, X, return_dict=True, verbose=0)
    indices = layer.encode(X).numpy().reshape(-1, 2)
    shares = [np.bincount(i, minlength=6) / 24 for i in indices.T]
    usage = np.mean([np.mean(s > 0) for s in shares])
    entropy = [-np.sum(s[s > 0] * np.log(s[s > 0])) for s in shares]
    assert logs["codes_usage"] == pytest.approx(usage)
    assert logs["codes_perplexity"] == pytest.approx(np.mean(np.exp(entropy)))
    history = model.fit(X, X, epochs=2, verbose=0).history
    assert len(history["codes_perplexity"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.exhaustive)]
)
def test_fit_learns_codes_of_clusters(jit_compile):
    """Six clusters, six codes that start far away, sampled and annealed."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(1)
    centres = random.normal(scale=4.0, size=(6, 4))
    x = centres[random.integers(6, size=600)] + 0.1 * random.normal(
        size=(600, 4)
    )
    inputs = keras.Input((4,))
    layer = quantizer(
        update="ema",
        initializer=FAR,
        revive_after=5.0,
        scale=tg.schedules.ExponentialAnnealing.between(4.0, 0.1, steps=200),
    )
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit(x, x, batch_size=60, epochs=30, verbose=0)
    found = layer.codebook.numpy()[0, 0]
    distances = np.linalg.norm(found[:, None] - centres, axis=-1)
    assert sorted(distances.argmin(axis=-1)) == list(range(6))
    assert np.max(distances.min(axis=-1)) < 0.1


@pytest.mark.slow
def test_fit_under_a_strategy_with_trained_codes(strategy):
    """The optimizer and the revival change the copies alike."""
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layer = quantizer(revive_after=1.0, scale=0.1, trainable_scale=True)
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(4)(inputs)
        model = keras.Model(inputs, layer(hidden))
        model.compile("adam", "mse", jit_compile=False)
    x = X.reshape(-1, 4)
    model.fit(x, x, batch_size=12, epochs=3, verbose=0)
    for weight in layer.weights:
        copies = strategy.experimental_local_results(weight.value)
        np.testing.assert_array_equal(*copies)


def test_a_frozen_layer_does_not_move():
    layer = quantizer(update="ema", revive_after=1e-3, codes=30)
    layer(X, training=True)
    layer.trainable = False
    before = layer.get_weights()
    layer(X, training=True)
    for weight, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.full
def test_a_usage_loss_is_that_of_the_logits_and_saved(tmp_path):
    """Its averages of former batches, too, to a layer that was not called."""
    usage = {"kind": "entropy", "weight": 0.7, "momentum": 0.5}
    options = {"commitment": 0.0, "codebook_loss": 0.0, "scale": 0.8}

    def network():
        loss = tg.CodeUsageLoss(**usage)
        x = keras.Input((3, 4))
        return keras.Model(x, quantizer(usage_loss=loss, **options)(x))

    model, alone = network(), tg.CodeUsageLoss(**usage)
    book = model.layers[1].codebook[0, 0]
    logits = tg.ops.code_logits(X.reshape(-1, 4), book, scale=0.8)
    for _ in range(2):
        model(X, training=True)
        alone(logits[:, None], training=True)
        np.testing.assert_allclose(model.losses, alone.losses, rtol=1e-5)
    model.save_weights(tmp_path / "it.weights.h5")
    other = network()
    other.load_weights(tmp_path / "it.weights.h5")
    for one, saved in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, saved)


def test_a_usage_loss_is_of_every_group_and_stage():
    layer, alone = (
        quantizer(
            groups=2,
            stages=2,
            estimator="nearest",
            commitment=0.0,
            codebook_loss=0.0,
            return_indices=True,
            usage_loss=tg.CodeUsageLoss("entropy"),
        ),
        tg.CodeUsageLoss("entropy"),
    )
    _, index = layer(X, training=True)
    index = np.reshape(index, [-1, 2, 2])
    left, logits = np.split(X.reshape(-1, 4), 2, axis=-1), []
    for stage, books in enumerate(layer.codebook.numpy()):
        for group, book in enumerate(books):
            logits.append(tg.ops.code_logits(left[group], book, scale=1.0))
            left[group] = left[group] - book[index[:, stage, group]]
    alone(np.stack(logits, axis=1))
    np.testing.assert_allclose(layer.losses, alone.losses, rtol=1e-5)


def test_averages_are_kept_in_float32_under_half_precision():
    layer = quantizer(update="ema", dtype="float16")
    assert layer(X.astype("float16"), training=True).dtype == "float16"
    assert {w.dtype for w in layer.weights} == {"float32"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"codes": 1}, ValueError, "`codes`.*Received: codes=1"),
        ({"codes": 2.0}, TypeError, "`codes`.*Received: codes=2.0"),
        ({"groups": 3}, ValueError, "`groups`.*dim=4 with groups=3"),
        ({"stages": 0}, ValueError, "`stages`.*Received: stages=0"),
        ({"estimator": "best"}, ValueError, "'copy'.*'best'"),
        ({"distance": "l1"}, ValueError, "'cosine'.*distance='l1'"),
        ({"update": "mean"}, ValueError, "'ema'.*update='mean'"),
        ({"decay": 1.0}, ValueError, "`decay`.*decay=1.0"),
        ({"commitment": -1}, ValueError, "`commitment`.*commitment=-1"),
        ({"scale": 0.0}, ValueError, "`scale`.*scale=0.0"),
        ({"revive_after": 0}, ValueError, "`revive_after`.*=0"),
        ({"usage_loss": "entropy"}, TypeError, "`CodeUsageLoss`.*'entropy'"),
        (
            {"update": "ema", "codebook_loss": 1.0},
            ValueError,
            "`codebook_loss`.*update='ema'",
        ),
        (
            {"trainable_scale": True, "estimator": "copy"},
            ValueError,
            "`trainable_scale`.*'copy'",
        ),
        (
            {"stages": 2, "distance": "cosine"},
            ValueError,
            "`stages`.*distance='cosine'",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        quantizer(**arguments)


@pytest.mark.parametrize("make", [tf.zeros, keras.KerasTensor])
def test_another_dimension(make):
    with pytest.raises(ValueError, match=r"\[B, ..., 4\].*\(2, 5\)"):
        quantizer()(make((2, 5)))


def test_indices_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"`indices`.*\(8, 3\)"):
        quantizer(groups=2).decode(np.zeros((8, 3), "int32"))


@pytest.mark.parametrize("index", [-1, 8])
def test_indices_of_no_code(index):
    with pytest.raises(ValueError, match=rf"\[0, 8\).*to.*{max(index, 3)}"):
        quantizer(8).decode(np.array([3, index]))


def test_use_and_revival_both_end_idleness():
    layer = tg.StochasticQuantizer(
        2, 1, estimator="nearest", revive_after=1.0, seed=1
    )
    layer.build((None, 1))
    layer.codebook.assign([[[[0.0], [5.0]]]])
    layer.idle.assign([[[1.0, 1.0]]])
    for idle in ([0.0, 3.0], [0.0, 0.0]):
        layer(tf.constant([[0.1], [0.2]]), training=True)
        np.testing.assert_array_equal(layer.idle[0, 0], idle)


def test_gumbel_rao_averages_over_as_many_noises_as_it_is_told():
    def gradient(noise_samples):
        options = {"estimator": "gumbel_rao", "commitment": 0.0}
        layer = quantizer(4, 2, noise_samples=noise_samples, **options)
        x = tf.zeros([500, 2])
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(total, x)

    assert np.std(gradient(20)) < 0.9 * np.std(gradient(1))
