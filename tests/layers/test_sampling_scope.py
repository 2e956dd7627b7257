"""A SamplingScope: exact samples, from the seed that it is given."""

import concurrent.futures
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import is_variant, layer_cases
from tests.helpers.statistics import assert_frequencies, softmax
from tests.layers.calls import assert_equal, tensors

X = np.zeros((4, 3), "float32")
sampling = layer_cases(lambda case: case.law is not None, slow=is_variant)


def sample(layer, seed, x=X):
    with tg.SamplingScope(seed):
        return np.asarray(layer(x))


@sampling
def test_every_layer_samples_from_the_seed_of_the_scope(case):
    """As a layer of inference "sample" with that seed; nothing is changed."""
    inputs = tensors(case.inputs)
    layer, other = case.make(), case.make(inference="sample")
    before = layer(*inputs)
    variables = [variable.numpy() for variable in layer.variables]
    with tg.SamplingScope([5, 2]):
        result = layer(*inputs)
    assert_equal(layer.variables, variables)
    assert_equal(layer(*inputs), before)
    kind = other.peek_seed() - tf.convert_to_tensor(other.seed_state)
    other.seed_state.assign(tg.random.numbered([5, 2], 1) - kind)
    assert_equal(result, other(*inputs))


def test_calls_and_seeds_draw_other_noise_and_a_seed_repeats_it():
    layer = tg.ReparamGaussian()
    x = (X, X)
    with tg.SamplingScope(3):
        first, second = layer(x), layer(x)
    assert not np.any(np.equal(first, second))
    assert_equal(sample(layer, 3, x), first)
    assert_equal(sample(layer, tf.constant([3, 0]), x), first)
    assert not np.any(sample(layer, 4, x) == first)
    assert not np.any(sample(layer, 4, x) == second)
    scope = tg.SamplingScope(3)
    for _ in range(2):
        with scope:
            assert_equal(layer(x), first)
    with pytest.warns(UserWarning, match="changed nothing"), scope:
        pass


@pytest.mark.full
def test_samples_of_successive_seeds_follow_the_law():
    """One draw for each seed, the scope inside the loop."""
    layer = tg.GumbelSoftmax()
    logits = tf.constant([[0.4, 0.0, -0.4, 0.2]])

    def index(seed):
        with tg.SamplingScope(seed):
            return tf.argmax(layer(logits)[0], output_type=tf.int32)

    draws = tf.function(
        lambda: tf.map_fn(index, tf.range(20_000), fn_output_signature="int32")
    )()
    assert_frequencies(draws.numpy(), softmax(logits[0]))
    pairs = 4 * draws[:-1:2] + draws[1::2]
    law = softmax(logits[0])
    assert_frequencies(pairs.numpy(), np.outer(law, law).ravel())


def test_the_seed_decides_training_noise_too():
    layer = tg.GumbelSoftmax(seed=1)
    with tg.SamplingScope(7):
        first = layer(X, training=True)
    with tg.SamplingScope(7):
        assert_equal(layer(X, training=True), first)
    assert np.any(layer(X, training=True) != first)


def test_without_a_seed_layers_draw_from_their_own():
    layer = tg.GumbelSoftmax(seed=1)
    other = tg.GumbelSoftmax(seed=1, inference="sample")
    assert_equal(sample(layer, None), other(X))
    assert_equal(layer.seed_state, other.seed_state)


def test_inference_may_stay_that_of_the_layers():
    layer = tg.GumbelSoftmax(inference="mean")
    with tg.SamplingScope(1, inference=None):
        np.testing.assert_allclose(layer(X), 1 / 3, rtol=1e-6)
    with tg.SamplingScope(1), tg.SamplingScope(2, inference=None):
        np.testing.assert_allclose(layer(X), 1 / 3, rtol=1e-6)


def test_after_an_inner_scope_the_outer_one_goes_on():
    layer, x = tg.ReparamGaussian(), (X, X)
    with tg.SamplingScope(3):
        layer(x)
        expected = layer(x)
    with tg.SamplingScope(3):
        layer(x)
        sample(layer, 4, x)
        assert_equal(layer(x), expected)


def test_a_scope_is_that_of_its_thread():
    layer = tg.GumbelSoftmax(inference="mean")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with pytest.warns(UserWarning, match="changed nothing"):
            with tg.SamplingScope(1):
                outside = pool.submit(layer, X).result()
    np.testing.assert_allclose(outside, 1 / 3, rtol=1e-6)


def test_replicas_draw_other_noise(strategy):
    with strategy.scope():
        layer = tg.ReparamGaussian()

    @tf.function
    def draw():
        return strategy.run(inside)

    def inside():
        with tg.SamplingScope(1):
            return layer((X, X))

    one, other = strategy.experimental_local_results(draw())
    assert not np.any(np.equal(one, other))
    assert_equal(strategy.experimental_local_results(draw()), (one, other))


def test_a_scope_is_silent_around_another_and_where_it_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tg.SamplingScope(1), tg.SamplingScope(2):
            tg.GumbelSoftmax()(X)
        with pytest.raises(ZeroDivisionError), tg.SamplingScope(1):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {}, {"inference": "mode"}], ids=str
)
def test_a_scope_around_a_traced_function_is_refused(options):
    """Its trace would keep the scope."""
    layer = tg.GumbelSoftmax()
    model = keras.Sequential([keras.Input((3,)), layer])
    with (
        tg.SamplingScope(**options),
        pytest.raises(ValueError, match="opened outside"),
    ):
        model.predict(X, verbose=0)
    assert model.predict(X, verbose=0).shape == X.shape


@pytest.mark.parametrize("where", ["condition", "body"])
def test_a_scope_around_a_loop_is_refused(where):
    """Its steps would share their noise."""
    layer = tg.GumbelSoftmax()

    def drawn(here):
        return layer(X)[0, 0] if here == where else 0.0

    @tf.function
    def steps():
        with tg.SamplingScope(1):
            return tf.while_loop(
                lambda i: i + drawn("condition") < 3.0,
                lambda i: [i + 1.0 + drawn("body")],
                [tf.constant(0.0)],
            )

    with pytest.raises(ValueError, match="every step would draw the same"):
        steps()


def outside_of_graphs(draw):
    with tf.init_scope():
        return draw()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda draw: tf.function(draw)(), "`tf.function` of its own"),
        (outside_of_graphs, "Open the scope inside"),
        (lambda draw: tf.cond(tf.equal(1, 1), draw, lambda: X), None),
    ],
)
def test_another_graph_inside_a_scope(place, message):
    layer = tg.GumbelSoftmax()

    @tf.function(autograph=False)
    def drawn():
        with tg.SamplingScope(1):
            return place(lambda: layer(X))

    if message is None:
        assert_equal(drawn(), sample(layer, 1))
    else:
        with pytest.raises(ValueError, match=message):
            drawn()


@pytest.mark.parametrize(
    ("seed", "error"),
    [(1.5, TypeError), ("one", TypeError), ([1, 2, 3], ValueError)],
)
def test_bad_seeds_are_refused(seed, error):
    with pytest.raises(error, match="Argument `seed` must be .* Received: "):
        tg.SamplingScope(seed)


def test_another_inference_is_refused():
    with pytest.raises(ValueError, match="Argument `inference` must be one of"):
        tg.SamplingScope(1, inference="mean")
