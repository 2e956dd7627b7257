"""The contract of an estimator as a base class, and the register of names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfgumbel import _checks, _saving
from tfgumbel.estimators import distribution as distributions

CostFn = Callable[[tf.Tensor], tf.Tensor]

_REGISTER: dict[str, type[Estimator]] = {}


class Estimator(keras.layers.Layer):
    """Base class of the estimators; the room's docstring has the contract.

    A subclass writes `estimate(cost_fn, logits, seed, context)`. There
    `logits` are float32 (for other laws than these two: the parameters, one
    tensor) and `self.law` is the distribution. `attach` turns a value and a
    gradient into the result.

    Args:
        distribution: `"categorical"` or `"bernoulli"`, for some estimators
            also `"gaussian"`, `"exponential"`, `"gamma"`, `"weibull"`,
            `"poisson"` or `"binomial"`.
        samples: S, samples per example. The value is their mean cost.
        **kwargs: As in `keras.layers.Layer`.
    """

    distributions: ClassVar[Sequence[str]] = distributions.DISCRETE
    needs_gradient: ClassVar[bool] = False
    """Whether f must be differentiable in z."""
    unbiased: ClassVar[bool] = True

    def __init__(
        self,
        distribution: str = "categorical",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.law = distributions.get(distribution)
        if distribution not in self.distributions:
            others = _names(lambda other: distribution in other.distributions)
            raise ValueError(
                f"{type(self).__name__} is defined for distribution="
                f"{' or '.join(map(repr, self.distributions))} only; for "
                f"{distribution!r} use one of {others}. "
                f"Received: distribution={distribution!r}"
            )
        self.distribution = distribution
        self.samples = _checks.positive_integer("samples", samples)

    @property
    def evaluations(self) -> int:
        """Evaluations of f per example that one estimate asks for."""
        return self.samples

    def build(self, logits_shape: Any, context_shape: Any = None) -> None:
        """Makes the weights; a context shape of `None` is the logits'."""
        self.built = True

    def __call__(
        self,
        cost_fn: CostFn,
        logits: Any,
        seed: Any,
        context: Any = None,
    ) -> tf.Tensor:
        """Returns the cost per example, whose gradient is the estimate.

        Args:
            cost_fn: f, maps samples `[n·B, ...]` to costs `[n·B]`.
            logits: `[B, ..., K]` or `[B, ...]`, floating; the parameters, a
                tuple, where a distribution has several.
            seed: Integer tensor of shape `[2]`.
            context: `[B, ...]`, input of learned baselines; `None` for the
                logits.

        Returns:
            float32 tensor of shape `[B]`.
        """
        if not callable(cost_fn):
            raise TypeError(
                "Argument `cost_fn` must be a function of samples. "
                f"Received: cost_fn={cost_fn!r}"
            )
        prepared = self.law.prepare(logits)
        context = prepared if context is None else tf.convert_to_tensor(context)
        if not self.built:
            self.build(prepared.shape, context.shape)
        return self.estimate(cost_fn, prepared, seed, tf.stop_gradient(context))

    def estimate(
        self, cost_fn: CostFn, logits: tf.Tensor, seed: Any, context: tf.Tensor
    ) -> tf.Tensor:
        """The estimator itself, on checked arguments."""
        raise NotImplementedError

    def evaluate(self, cost_fn: CostFn, sample: tf.Tensor) -> tf.Tensor:
        """Returns f(sample) as float32, one cost per row, checked."""
        cost = _as_tensor(cost_fn(sample))
        rows = sample.shape[0]
        if not cost.shape.is_compatible_with([rows]):
            raise ValueError(
                "`cost_fn` must return one cost per sample, of shape "
                f"[{'n·B' if rows is None else rows}], for samples of shape "
                f"{sample.shape}. Received: a cost of shape {cost.shape}"
                + (
                    " (row s·B + i belongs to example i: repeat what cost_fn "
                    "captures with `tile_context`)"
                    if cost.shape.rank == 1
                    else " (leave the batch axis unreduced)"
                )
            )
        _checks.floating("cost_fn's result", cost.dtype)
        return tf.cast(cost, tf.float32)

    def draw(self, logits: tf.Tensor, seed: Any) -> tf.Tensor:
        """Returns an exact sample for every row, without gradient."""
        return tf.stop_gradient(self.law.sample(logits, seed))

    def score(self, logits: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        """∇ log q(sample) with respect to the logits."""
        return self.law.score(logits, sample)

    def fold(self, rows: tf.Tensor, count: int) -> tf.Tensor:
        """`[count·B, ...]` as `[count, B, ...]`."""
        if count == 1:
            return rows[None]
        return tf.reshape(rows, tf.concat([[count, -1], tf.shape(rows)[1:]], 0))

    def require_gradient(self, gradient: Any) -> tf.Tensor:
        """Returns the gradient of f in z, or says who could do without."""
        if gradient is None:
            others = _names(
                lambda other: (
                    not other.needs_gradient
                    and self.distribution in other.distributions
                )
            )
            raise ValueError(
                f"{type(self).__name__} needs the gradient of the cost with "
                "respect to the sample, and `cost_fn` has none: it passes "
                "through an operation without a gradient. Estimators that "
                f"need none: {others}"
            )
        return gradient

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": self.distribution,
            "samples": self.samples,
        }


def _as_tensor(cost: Any) -> tf.Tensor:
    try:
        return tf.convert_to_tensor(cost)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "`cost_fn` must return a tensor, one cost per sample. "
            f"Received: a cost of type {type(cost).__name__}"
        ) from error


def attach(
    value: tf.Tensor, logits: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """The value `[B]`, with `gradient` as its gradient in the logits.

    The value keeps its own gradient, that with respect to f's variables.
    """
    gradient = tf.stop_gradient(gradient)

    @tf.custom_gradient
    def join(value, logits):
        def grad(upstream):
            return upstream, _column(upstream, gradient) * gradient

        return tf.identity(value), grad

    return join(value, logits)


def attach_weights(
    value: tf.Tensor,
    weights: Sequence[keras.Variable],
    tape: tf.GradientTape,
    objective: tf.Tensor,
) -> tf.Tensor:
    """The value `[B]`, whose backward pass trains `weights` on `objective`.

    The weights receive Σ_i |g_i| · ∂objective_i/∂weights, with g the incoming
    gradient: its sign says nothing about a variance, its size is the weight
    of the example. Nothing else receives any of it.

    Args:
        value: `[B]`.
        weights: The control variate's trainable weights.
        tape: A persistent tape that recorded the objective.
        objective: What to descend, `[B]`.
    """
    if not weights:
        return value
    sources = [weight.value for weight in weights]

    @tf.custom_gradient
    def join(value, *tensors):
        def grad(upstream):
            wrt = tape.gradient(
                objective,
                sources,
                output_gradients=tf.abs(upstream),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return (upstream, *wrt)

        return tf.identity(value), grad

    return join(value, *[tf.convert_to_tensor(source) for source in sources])


def tile_context(context: Any, sample: tf.Tensor) -> tf.Tensor:
    """Repeats per-example data for samples that hold n rows per example.

    Args:
        context: `[B, ...]`.
        sample: Samples as `cost_fn` gets them, `[n·B, ...]`.

    Returns:
        `[n·B, ...]`, in which row s·B + i is `context[i]`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> z = tf.zeros([4, 3])
    >>> tg.estimators.tile_context([5.0, 7.0], z).numpy()
    array([5., 7., 5., 7.], dtype=float32)
    """
    context = tf.convert_to_tensor(context)
    rows, batch = sample.shape[0], context.shape[0]
    if rows is None or batch is None:
        count = tf.shape(sample)[0] // tf.maximum(tf.shape(context)[0], 1)
        return repeat(context, count)
    if rows == batch:
        return context
    if batch == 0 or rows % batch:
        raise ValueError(
            "Argument `context` must hold one row per example, and `sample` a "
            f"multiple of that. Received: context of shape {context.shape} "
            f"and sample of shape {sample.shape}"
        )
    return repeat(context, rows // batch)


def repeat(tensor: tf.Tensor, count: Any) -> tf.Tensor:
    """The tensor `count` times along its first axis, as a whole."""
    if isinstance(count, int) and count == 1:
        return tensor
    return tf.tile(tensor, [count] + [1] * (tensor.shape.rank - 1))


def _column(upstream: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    ones = [1] * (like.shape.rank - 1)
    return tf.reshape(tf.cast(upstream, like.dtype), [-1, *ones])


def register(name: str) -> Callable[[type], type]:
    """Class decorator that makes an `Estimator` known by name.

    The class becomes serialisable with Keras, too.

    Args:
        name: The name that `get` and `ExpectedCost` resolve.

    Returns:
        The decorator.

    Raises:
        ValueError: If the name is taken by another class.
        TypeError: If the class is no `Estimator`.

    Example:

    >>> import tfgumbel as tg
    >>> @tg.estimators.register("lowered")
    ... class Lowered(tg.estimators.Reinforce):
    ...     pass
    >>> tg.estimators.get("lowered").distribution
    'categorical'
    """

    def decorate(cls: type) -> type:
        if not (isinstance(cls, type) and issubclass(cls, Estimator)):
            raise TypeError(
                f"Only subclasses of `Estimator` can be registered. "
                f"Received: {cls!r}"
            )
        taken = _REGISTER.get(name)
        if taken is not None and taken.__qualname__ != cls.__qualname__:
            raise ValueError(
                f"The name {name!r} is taken by {taken.__module__}."
                f"{taken.__qualname__}. Received: {cls!r}"
            )
        _REGISTER[name] = cls
        keras.saving.register_keras_serializable(
            package="tfgumbel", name=f"{name}_estimator"
        )(cls)
        return cls

    return decorate


def available(distribution: str | None = None) -> list[str]:
    """Returns the names of the registered estimators, sorted.

    Args:
        distribution: `None` for all of them, or a distribution that they are
            to take.
    """
    return sorted(
        name
        for name, estimator in _REGISTER.items()
        if distribution is None or distribution in estimator.distributions
    )


def get(identifier: Any, **kwargs: Any) -> Estimator:
    """Returns the estimator that `identifier` stands for.

    Args:
        identifier: A registered name, an `Estimator`, or a serialised one.
        **kwargs: Arguments of the constructor, for a name.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `identifier` is none of these.

    Example:

    >>> import tfgumbel as tg
    >>> tg.estimators.get("rloo", samples=4).evaluations
    4
    """
    if isinstance(identifier, dict):
        identifier = _saving.deserialize("estimator", identifier, (Estimator,))
    if isinstance(identifier, Estimator):
        return identifier
    if isinstance(identifier, str):
        _checks.choice("estimator", identifier, available())
        return _REGISTER[identifier](**kwargs)
    raise TypeError(
        "Argument `estimator` must be a name, an `Estimator` or a serialised "
        f"one. Received: estimator={identifier!r}"
    )


def _names(condition: Callable[[type[Estimator]], bool]) -> str:
    return ", ".join(n for n in available() if condition(_REGISTER[n]))
