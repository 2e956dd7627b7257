"""What `StochasticModel` cannot train correctly, it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.models import problem


def train(network, loss, **options):
    network.compile("sgd", loss=loss, **options)
    network.train_on_batch(problem.INPUTS, problem.TARGETS)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_loss_that_returns_a_scalar(run_eagerly):
    def scalar(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    with pytest.raises(ValueError, match="'scalar'.*scalar for the whole"):
        train(problem.model(None), scalar, run_eagerly=run_eagerly)


@pytest.mark.parametrize("reduction", ["mean_with_sample_weight", "none"])
def test_a_reduction_that_hides_the_share_of_an_example(reduction):
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    with pytest.raises(ValueError, match=f"reduction='?{reduction}|None"):
        train(problem.model(None), loss)


def test_a_loss_that_ignores_its_sample_weights():
    class Unweighted(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred), -1)

        def __call__(self, y_true, y_pred, sample_weight=None):
            return tf.reduce_mean(self.call(y_true, y_pred))

    with pytest.raises(ValueError, match="ignores its sample weights"):
        train(problem.model(None), Unweighted())


class Noisy(keras.losses.Loss):
    """Counts its calls in a way, or does not."""

    def __init__(self, count):
        super().__init__(name="noisy")
        self.count, self.counts = count, tf.Variable([0, 0])
        self.noise = tg.GumbelSoftmax(seed=1)
        self.drop = keras.layers.Dropout(0.5, seed=2)

    def call(self, y_true, y_pred):
        self.count(self.counts)
        y_pred = self.drop(self.noise(y_pred, training=True), training=True)
        return tf.reduce_sum(tf.square(y_true - y_pred), -1)


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize(
    "count",
    [
        lambda counts: counts[0].assign(1),
        lambda counts: counts.scatter_nd_add([[1]], [1]),
    ],
)
def test_a_loss_with_a_state(count, run_eagerly):
    with pytest.raises(ValueError, match="'noisy', which assigns to a"):
        train(problem.model(None), Noisy(count), run_eagerly=run_eagerly)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_the_seeds_of_its_noise_are_no_state_of_a_loss(run_eagerly):
    network = problem.model(None)
    train(network, Noisy(tf.identity), run_eagerly=run_eagerly)
    assert network.optimizer.iterations == 1


def test_a_loss_with_noise_where_all_functions_run_eagerly():
    network = problem.model(None)
    tf.config.run_functions_eagerly(True)
    try:
        train(network, Noisy(tf.identity))
    finally:
        tf.config.run_functions_eagerly(False)
    assert network.optimizer.iterations == 1


def test_tensors_that_are_scattered_are_no_state_of_a_loss():
    def last(y_true, y_pred):
        zeros = tf.tensor_scatter_nd_update(y_pred, [[0]], y_true[:1])
        return tf.reduce_sum(tf.square(y_true - y_pred) + 0.0 * zeros, -1)

    network = problem.model(None)
    train(network, last)
    assert network.optimizer.iterations == 1


def test_no_loss_at_all():
    network = problem.model(None)
    network.compile("sgd")
    with pytest.raises(ValueError, match="loss=None"):
        network.train_on_batch(problem.INPUTS, problem.TARGETS)


def with_added_loss(position):
    x = keras.Input((2,))
    logits = problem.encoder()(x)
    if position == "before":
        logits = tg.CategoricalKL()(logits)
    z = tg.ReinforceSampler(baseline=None)(logits)
    if position == "after":
        z = keras.layers.ActivityRegularization(l2=0.1)(z)
    return tg.StochasticModel(x, problem.decoder()(z))


def test_an_added_loss_that_depends_on_the_sample():
    with pytest.raises(ValueError, match="`add_loss` is computed from the"):
        train(with_added_loss("after"), "mse")


@pytest.mark.full
def test_an_added_loss_before_the_sampler_is_welcome():
    network = with_added_loss("before")
    train(network, "mse")
    assert len(network.losses) == 1


def test_nothing_feeds_a_cost():
    functional = problem.model(None)
    plain = keras.Model(functional.inputs, functional.outputs)
    with pytest.raises(RuntimeError, match="StochasticModel.*return_log_prob"):
        train(plain, "mse")


def test_a_compute_loss_that_forgets_its_parent():
    class Forgetful(tg.ScoreFunctionMixin, keras.Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            return tf.reduce_mean(tf.square(y - y_pred))

    network = Forgetful(
        [problem.encoder(), tg.ReinforceSampler(), problem.decoder()]
    )
    with pytest.raises(RuntimeError, match="super\\(\\).compute_loss"):
        train(network, "mse")


def test_a_compute_loss_that_asks_its_parent_twice():
    class Twice(tg.ScoreFunctionMixin, keras.Sequential):
        def compute_loss(self, *args, **kwargs):
            super().compute_loss(*args, **kwargs)
            return super().compute_loss(*args, **kwargs)

    network = Twice(
        [problem.encoder(), tg.ReinforceSampler(), problem.decoder()]
    )
    with pytest.raises(RuntimeError, match="was called twice"):
        train(network, "mse")


@pytest.mark.parametrize("trainable", [True, False])
def test_a_log_probability_that_no_loss_contains(trainable):
    x = keras.Input((2,))
    sampler = tg.ReinforceSampler(return_log_prob=True, trainable=trainable)
    z, _ = sampler(problem.encoder()(x))
    network = tg.StochasticModel(x, problem.decoder()(z))
    if trainable:
        with pytest.raises(ValueError, match="the loss does not contain it"):
            train(network, "mse", run_eagerly=True)
    else:  # and is not meant to learn
        train(network, "mse", run_eagerly=True)


@pytest.mark.parametrize("examples", [1, 4])
def test_a_sampler_that_does_not_draw_once_per_example(examples):
    x = keras.Input((2,))
    logits = problem.encoder()(x)
    each = keras.layers.Lambda(
        lambda t: keras.ops.reshape(t, (-1, problem.CATEGORIES)),
        output_shape=(problem.CATEGORIES,),
    )(logits)
    z = tg.ReinforceSampler(baseline=None)(each)
    together = keras.layers.Lambda(
        lambda t: keras.ops.reshape(
            t, (-1, problem.VARIABLES, problem.CATEGORIES)
        ),
        output_shape=(problem.VARIABLES, problem.CATEGORIES),
    )(z)
    network = tg.StochasticModel(x, problem.decoder()(together))
    network.compile("sgd", loss="mse", run_eagerly=True)
    with pytest.raises(ValueError, match="once per example.*draws for {"):
        network.train_on_batch(
            problem.INPUTS[:examples], problem.TARGETS[:examples]
        )


def test_losses_of_ranks_that_no_weight_fits():
    x = keras.Input((2,))
    z = tg.ReinforceSampler(baseline=None)(problem.encoder()(x))
    y = problem.decoder()(z)
    network = tg.StochasticModel(x, [y, z])
    each = keras.losses.MeanSquaredError()
    each.call = lambda target, z: tf.square(target - z)  # of rank 3
    network.compile("sgd", loss=["mse", each])
    targets = [problem.TARGETS, np.zeros((4, *z.shape[1:]), "float32")]
    with pytest.raises(ValueError, match=r"differ by more.*ranks \[1, 3\]"):
        network.train_on_batch(problem.INPUTS, targets)


@pytest.mark.full
def test_the_reported_loss_is_the_true_cost():
    network = problem.model("nvil", seed=3)
    network.compile(keras.optimizers.SGD(0.0), loss="mse")
    history = network.fit(
        np.repeat(problem.INPUTS, 512, 0),
        np.repeat(problem.TARGETS, 512, 0),
        batch_size=2048,
        verbose=0,
    )
    exact = problem.expected_loss(network, problem.squared_error)
    assert history.history["loss"][0] == pytest.approx(
        float(np.mean(exact)), rel=0.05
    )


def test_a_model_that_does_not_pass_on_training():
    class Forgetful(tg.ScoreFunctionMixin, keras.Model):
        def __init__(self):
            super().__init__()
            self.steps = [
                problem.encoder(),
                tg.ReinforceSampler(baseline=None),
                problem.decoder(),
            ]

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return x

    with pytest.raises(ValueError, match="argument `training`.*training=None"):
        train(Forgetful(), "mse")


@pytest.mark.full
def test_a_sampler_of_other_rows_of_unknown_number():
    """In a graph, where the batch size is not known."""
    x = keras.Input((2,))
    twice = keras.layers.Lambda(lambda t: tf.repeat(t, 2, axis=0))(x)
    z = tg.ReinforceSampler(baseline=None)(problem.encoder()(twice))
    half = keras.layers.Lambda(lambda t: t[::2])(problem.decoder()(z))
    network = tg.StochasticModel(x, half)
    network.compile("sgd", loss="mse", jit_compile=False)
    # Keras's nightly knows it in the first step.
    errors = (tf.errors.InvalidArgumentError, ValueError)
    with pytest.raises(errors, match="draw once per"):
        network.fit(problem.INPUTS, problem.TARGETS, verbose=0)


def test_a_stack_of_layers_is_no_graph():
    with pytest.raises(TypeError, match="mix `ScoreFunctionMixin` into"):
        tg.StochasticModel([keras.layers.Dense(3), tg.ReinforceSampler()])


class Sized(tg.StochasticModel):
    """A graph that is made from a number."""

    def __init__(self, units):
        x = keras.Input((2,))
        z = tg.ReinforceSampler()(keras.layers.Dense(units)(x))
        super().__init__(x, keras.layers.Dense(2)(z))


class Called(tg.StochasticModel):
    """No graph, but a `call` of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, x, training=None):
        return self.dense(x)


def test_a_subclass_gives_its_graph_to_the_parent():
    """Whether or not a graph has been made before."""
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Called takes.*Received: \(\)"):
            Called()
        train(Sized(3), "mse")


def test_the_mixin_after_the_class_that_it_extends():
    with pytest.raises(TypeError, match=r"Late must name.*'Model', 'Score"):

        class Late(keras.Model, tg.ScoreFunctionMixin):
            pass


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("wrong", ["over the batch", "flat"])
def test_a_loss_without_a_value_for_each_example(run_eagerly, wrong):
    def loss(y_true, y_pred):
        error = tf.square(y_true - y_pred)
        if wrong == "flat":
            return tf.reshape(error, [-1])
        return tf.reduce_mean(error, axis=0)

    with pytest.raises(ValueError, match=r"one value per.*have shape \("):
        train(problem.model(None), loss, run_eagerly=run_eagerly)


def test_no_targets():
    network = problem.model(None)
    network.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match=r"'mse' needs targets.*y=None"):
        network.train_on_batch(problem.INPUTS)


def test_losses_of_keras_that_mix_examples():
    labels = np.array([0, 1, 1, 0])
    network = problem.model(None)
    network.compile("sgd", keras.losses.Circle())
    with pytest.raises(ValueError, match="'circle', whose value for one"):
        network.train_on_batch(problem.INPUTS, labels)
    with pytest.raises(ValueError, match=r"one value per.*have shape \("):
        train(problem.model(None), keras.losses.CosineSimilarity(axis=0))


def test_a_loss_of_steps_that_mixes_examples():
    def relative(y_true, y_pred):
        error = tf.square(y_true - y_pred)
        return error / tf.reduce_mean(error, axis=0, keepdims=True)

    with pytest.raises(ValueError, match="'relative', whose value for one"):
        train(problem.model(None), relative)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_loss_with_noise_of_its_own(mixed):
    """It is no mixture of examples, unless it is one besides."""

    def noisy(y_true, y_pred):
        if mixed:
            y_pred += tf.reduce_mean(y_pred, axis=0)
        noise = tf.random.uniform(tf.shape(y_pred))
        return tf.reduce_mean(noise * tf.square(y_true - y_pred), axis=-1)

    if not mixed:
        train(problem.model(None), noisy)
        return
    with pytest.raises(ValueError, match="'noisy', whose value for one"):
        train(problem.model(None), noisy)


@pytest.mark.parametrize("reduction", ["mean", "sum_over_batch_size", "sum"])
def test_a_mean_over_what_a_drawn_mask_leaves(reduction):
    x = keras.Input((2,))
    z = tg.ReinforceSampler("bernoulli")(keras.layers.Dense(2)(x))
    steps = keras.layers.Masking()(keras.layers.Reshape((2, 1))(z))
    network = tg.StochasticModel(x, keras.layers.Dense(1)(steps))
    network.compile("sgd", keras.losses.MeanSquaredError(reduction))
    batch = problem.INPUTS, problem.TARGETS[..., None]
    if reduction == "sum":
        network.train_on_batch(*batch)
        return
    with pytest.raises(ValueError, match="such a mask. Use reduction='sum'"):
        network.train_on_batch(*batch)
