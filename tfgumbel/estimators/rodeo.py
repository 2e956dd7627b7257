"""Leave-one-out REINFORCE with discrete Stein operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf

from tfgumbel import _checks
from tfgumbel._precision import from_last, to_last
from tfgumbel.distributions import Categories, Parameters, per_example
from tfgumbel.estimators.algebra import (
    NOTHING_BY_ITSELF,
    attach,
    attach_weights,
    column,
    mean_of_others,
    mean_of_samples,
    repeat,
    squared_norm,
)
from tfgumbel.estimators.estimator import CostFn, Estimator, register


@register("rodeo")
class RODEO(Estimator):
    """RODEO: RLOO with control variates made by a Stein operator.

        1/S Σ_s [(f(z_s) - mean_{t≠s} (f(z_t) + (A u_t)(z_t))) ∇log q(z_s)
                 + (A v_s ∇log q)(z_s)]

    The operator A h is the change of h that one step of Gibbs sampling brings
    on average, whose expectation is zero for any h:

        (A h)(z) = 1/D Σ_d Σ_c π_dc h(z with z_d = c) - h(z).

    u_s and v_s are the two outputs of a learned network of one hidden layer,
    which sees f near z_s by its expansion at the *other* samples: the mean of
    f(z_t) and that of ∇f(z_t)ᵀ(z - z_t). So neither asks for an evaluation of f
    of its own, at any of the D (K - 1) neighbours of a sample. (Of more than
    two samples the authors take the mean of what the network makes of each of
    the others, for S - 1 times its work.) Unbiased for every network, which is
    learned by descending the mean square of the estimate; its last layer begins
    at zero, which is RLOO. f must be differentiable. S evaluations of f, in one
    batch, with their gradient, and 1 + D (K - 1) of the network per sample.

    Args:
        distribution: One of categories: `"categorical"`, `"bernoulli"`.
        samples: S, at least 2.
        units: Width of the network's hidden layer.
        **kwargs: As in `Estimator`.

    Raises:
        ValueError: If there is only one sample; at the call, if the cost has
            no gradient in z.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> rodeo = tg.estimators.RODEO("bernoulli")
    >>> logits = tf.zeros([1, 2])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(logits)
    ...     cost = rodeo(lambda z: z[:, 0] ** 2, logits, [1, 2])
    >>> gradient = tape.gradient(cost, [logits, *rodeo.trainable_variables])
    >>> len(gradient)
    5

    Reference:
        Shi, Zhou, Hwang, Titsias, Mackey. Gradient estimation with discrete
        Stein operators. NeurIPS 2022.
    """

    needs: ClassVar = (Categories,)
    needs_gradient: ClassVar[bool] = True
    least_samples: ClassVar[int] = 2

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 2,
        *,
        units: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(distribution, samples, **kwargs)
        self.units = _checks.positive_integer("units", units)
        self.hidden = keras.layers.Dense(
            self.units,
            activation=keras.layers.LeakyReLU(0.3, dtype="float32"),
            dtype="float32",
        )
        self.output_layer = keras.layers.Dense(
            2, kernel_initializer="zeros", dtype="float32"
        )

    def build(self, parameters_shape: Any, context_shape: Any = None) -> None:
        """Builds both layers, whose inputs are two numbers."""
        if not self.hidden.built:
            self.hidden.build((None, 2))
            self.output_layer.build((None, self.units))
        self.built = True

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the mean cost of the samples."""
        count, weights = self.samples, self.trainable_weights
        repeated = repeat(parameters, count)
        point = self._point(cost_fn, repeated, self.draw(repeated, seed))
        near = _expansion(point, count)
        cost = tf.stop_gradient(point.cost)
        with tf.GradientTape(persistent=True, **NOTHING_BY_ITSELF) as learning:
            learning.watch([weight.value for weight in weights])
            height, slope = self._operate(point, near)
            others = mean_of_others(cost + height, count)
            direct = column(cost - others, point.score) * point.score
            gradients = [
                mean_of_samples(gradient, count)
                for gradient in point.pull(direct + slope)
            ]
            square = squared_norm(gradients)
        value = mean_of_samples(point.cost, count)
        value = attach_weights(value, weights, learning, square)
        return attach(value, parameters, gradients)

    def _point(
        self, cost_fn: CostFn, parameters: Parameters, sample: tf.Tensor
    ) -> _Point:
        """The samples as one-hots, and f and ∇f at them."""
        distribution = self.distribution
        assert isinstance(distribution, Categories)
        parameters = tuple(map(tf.stop_gradient, parameters))
        with tf.GradientTape(**NOTHING_BY_ITSELF) as tape:
            tape.watch(parameters)
            found = distribution.to_categories(parameters, sample)
        logits, one_hot, axis = found
        cost, slope = self.evaluate_with_slope(
            lambda z: cost_fn(distribution.from_categories(z)), one_hot
        )

        def pull(gradient: tf.Tensor) -> list[tf.Tensor]:
            gradient = from_last(gradient, axis)
            return tape.gradient(logits, parameters, output_gradients=gradient)

        tensors = (slope, one_hot, tf.nn.softmax(logits, axis=axis))
        last = (to_last(tensor, axis) for tensor in tensors)
        return _Point(cost, pull, *last)

    def _operate(
        self, point: _Point, near: _Neighbours
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(A u)(z), `[n]`, and (A v ∇log q)(z) in the logits."""
        here = self.output_layer(self.hidden(near.here))
        there = self.output_layer(self.hidden(near.there))
        u, v = tf.unstack(there, axis=-1)
        mass = near.mass / tf.cast(near.variables, tf.float32)
        height = per_example(mass * (u - column(here[:, 0], u)))
        level = per_example(mass * (v - column(here[:, 1], v)))
        # The score at a neighbour is that at z, and one entry moved.
        moved = mass * v
        lost = -tf.reduce_sum(moved, axis=-1, keepdims=True)
        moved = tf.concat([moved, lost], axis=-1)
        moved = _at(moved, near.back)
        return height, column(level, point.score) * point.score + moved

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.units}


class _Point(NamedTuple):
    """Samples z, with categories last.

    Attributes:
        cost: f(z), `[n]`.
        pull: Maps gradients in the logits to those in the parameters.
        slope: ∇f(z), `[n, ..., K]`.
        one_hot: z, of this shape.
        probabilities: π, of this shape.
    """

    cost: tf.Tensor
    pull: Callable[[tf.Tensor], list[tf.Tensor]]
    slope: tf.Tensor
    one_hot: tf.Tensor
    probabilities: tf.Tensor

    @property
    def score(self) -> tf.Tensor:
        """∇log q(z) in the logits."""
        return self.one_hot - self.probabilities


class _Neighbours(NamedTuple):
    """What differs from a sample in one variable: K - 1 for each.

    Attributes:
        here: What the network sees of the sample itself, `[n, 2]`.
        there: The same of its neighbours, `[n, ..., K - 1, 2]`.
        mass: π of the category that they have instead, `[n, ..., K - 1]`.
        back: Of each category its place in these, `[n, ..., K]`; that of the
            sample itself comes last.
        variables: D.
    """

    here: tf.Tensor
    there: tf.Tensor
    mass: tf.Tensor
    back: tf.Tensor
    variables: tf.Tensor


def _expansion(point: _Point, count: int) -> _Neighbours:
    """f near every sample, as the other samples of its example see it."""
    z, categories = point.one_hot, point.one_hot.shape[-1]
    cost = mean_of_others(tf.stop_gradient(point.cost), count)
    slope = mean_of_others(point.slope, count)
    start = mean_of_others(per_example(point.slope * z), count)
    linear = per_example(slope * z) - start
    own = tf.argmax(z, axis=-1, output_type=tf.int32)[..., None]
    others = (own + tf.range(1, categories)) % categories
    step = _at(slope, others) - tf.reduce_sum(slope * z, -1, keepdims=True)
    there = column(linear, step) + step
    costs = tf.broadcast_to(column(cost, step), tf.shape(step))
    return _Neighbours(
        here=tf.stack([linear, cost], axis=-1),
        there=tf.stack([there, costs], axis=-1),
        mass=_at(point.probabilities, others),
        back=(tf.range(categories) - own - 1) % categories,
        variables=tf.reduce_prod(tf.shape(z)[1:-1]),
    )


def _at(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The entries of the last axis at these places."""
    return tf.gather(values, index, batch_dims=values.shape.rank - 1)
