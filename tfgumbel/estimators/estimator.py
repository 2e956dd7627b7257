"""The contract of an estimator as a base class, and the register of names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

# TensorFlow 2.20 and 2.21 have no public way to ask whether a tape is open.
from tensorflow.python.eager import record

from tfgumbel import _checks, _saving, distributions, schedules
from tfgumbel._precision import finite_log_odds
from tfgumbel.distributions import Distribution, Parameters

CostFn = Callable[[tf.Tensor], tf.Tensor]

_REGISTER: dict[str, type[Estimator]] = {}
_ALIASES: dict[str, str] = {}


class Estimator(schedules.AnnealedLayer):
    """Base class of the estimators: the contract is that of the module.

    A subclass writes `estimate(cost_fn, parameters, seed, context)`, where the
    parameters are constrained float32 tensors of `self.distribution`; the
    functions of `estimators.algebra` do the rest.

    Args:
        distribution: A name, such as `"categorical"`, or a `Distribution`
            that has what the estimator needs.
        samples: S, samples per example. The value is their mean cost.
        **kwargs: Options of a distribution that is given by name, and those
            of `keras.layers.Layer`.

    Attributes:
        needs: Capabilities of a distribution that the estimator cannot do
            without.
        needs_gradient: Whether f must be differentiable in z.
        unbiased: Whether the estimate is unbiased.
        least_samples: The fewest samples that it takes.
        exact: Whether it is the gradient itself, without noise.
        objective: What the value is an estimate of: `"expected cost"`, E f;
            `"multi-sample bound"`, -E log 1/S Σ_s exp(-f(z_s)); or
            `"importance-weighted bound"`, the same of f + log q.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    needs_gradient: ClassVar[bool] = False
    unbiased: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    least_samples: ClassVar[int] = 1
    objective: str = "expected cost"

    def __init__(
        self,
        distribution: Any = "categorical",
        samples: int = 1,
        **kwargs: Any,
    ) -> None:
        options = distributions.options_among(kwargs)
        found = distributions.get(distribution, **options)
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        refusal = self.refusal(found)
        if refusal is not None:
            raise ValueError(
                f"{refusal}. For {found.name!r} use one of "
                f"{', '.join(available(found))}. "
                f"Received: distribution={distribution!r}"
            )
        self.distribution: Distribution = found
        self.samples = _checks.positive_integer("samples", samples)
        if samples < self.least_samples:
            raise ValueError(
                f"{type(self).__name__} compares samples with each other, so "
                f"argument `samples` must be at least {self.least_samples}. "
                f"Received: samples={samples}"
            )

    @classmethod
    def refusal(cls, distribution: Distribution) -> str | None:
        """Why the estimator cannot serve a distribution; `None` if it can."""
        for capability in cls.needs:
            lack = distribution.lacks(capability)
            if lack is not None:
                return (
                    f"{cls.__name__} needs "
                    f"{distributions.described(capability)}, and for "
                    f"distribution {distribution.name!r} {lack}"
                )
        return None

    @property
    def evaluations(self) -> int:
        """Evaluations of f per example that one estimate asks for."""
        return self.samples

    def build(self, parameters_shape: Any, context_shape: Any = None) -> None:
        """Makes the weights.

        Args:
            parameters_shape: Shape of the parameter, or a tuple of shapes.
            context_shape: Shape of the context; `None` for the parameters'.
        """
        self.built = True

    def __call__(
        self,
        cost_fn: CostFn,
        parameters: Any,
        seed: Any,
        context: Any = None,
    ) -> tf.Tensor:
        """Returns the cost per example, whose gradient is the estimate.

        Args:
            cost_fn: f, maps samples `[n·B, ...]` to costs `[n·B]`.
            parameters: Unconstrained parameters of the distribution, floating,
                `[B, ...]`: logits, or a tuple where there are several.
            seed: Integer tensor of shape `[2]`.
            context: `[B, ...]`, input of learned baselines; `None` for the
                parameters.

        Returns:
            float32 tensor of shape `[B]`.
        """
        if not callable(cost_fn):
            raise TypeError(
                "Argument `cost_fn` must be a function of samples. "
                f"Received: cost_fn={cost_fn!r}"
            )
        raw = self._float32(parameters)
        constrained = self.distribution.constrain(raw)
        if context is None:
            context = self.default_context(raw)
        context = tf.convert_to_tensor(context)
        _checks.context(context.shape, constrained[-1].shape[0])
        if not self.built:
            shapes = tuple(tensor.shape for tensor in raw)
            self.build(shapes if len(shapes) > 1 else shapes[0], context.shape)
        return self.estimate(
            cost_fn, constrained, seed, tf.stop_gradient(context)
        )

    def _float32(self, parameters: Any) -> tuple[tf.Tensor, ...]:
        """The unconstrained parameters in float32, checked."""
        several = isinstance(parameters, list | tuple)
        given = list(parameters) if several else [parameters]
        tensors = [tf.convert_to_tensor(tensor) for tensor in given]
        tensors = self.distribution.check(tensors if several else tensors[0])
        for name, tensor in zip(
            self.distribution.parameters, tensors, strict=True
        ):
            if name not in self.distribution.constants:
                self._require_batch(name, tensor.shape)
        return tuple(tf.cast(tensor, tf.float32) for tensor in tensors)

    def _require_batch(self, name: str, shape: tf.TensorShape) -> None:
        least = 1 + self.distribution.event_rank
        if shape.rank is None or shape.rank < least:
            form = "[B, ..., K]" if least > 1 else "[B, ...]"
            raise ValueError(
                f"Argument `{name}` must be of shape {form}, of known rank. "
                f"Received: {name} of shape {shape}"
            )
        _checks.variables(name, shape)

    def add_scalar(
        self, name: str, value: float, trainable: bool
    ) -> keras.Variable:
        """Returns a new scalar weight, float32."""
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(float(value)),
            trainable=trainable,
            autocast=False,
            dtype="float32",
            name=name,
        )

    def default_context(self, parameters: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """What a learned baseline looks at if nothing else is given."""
        if len(parameters) == 1:
            return finite_log_odds(parameters[0])
        return self.distribution.flatten(parameters)

    def estimate(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        seed: Any,
        context: tf.Tensor,
    ) -> tf.Tensor:
        """The estimator itself, on checked arguments."""
        raise NotImplementedError

    def infer(
        self,
        cost_fn: CostFn,
        parameters: Parameters,
        mode: str,
        next_seed: Callable[[], tf.Tensor],
    ) -> tf.Tensor:
        """Returns the objective where nothing is trained, `[B]`.

        Args:
            cost_fn: f, as in the call.
            parameters: As from the distribution's `constrain`.
            mode: What f is taken of: `"sample"`, `"mode"` or `"mean"`.
            next_seed: Gives the seed of a sample.
        """
        sample = self.distribution.infer(parameters, mode, next_seed)
        return self.evaluate(cost_fn, tf.stop_gradient(sample))

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
                    else " (leave the batch axis unreduced: a figure of the "
                    "whole batch is no cost of a sample)"
                )
            )
        if cost.shape.rank is None:  # As after `tf.numpy_function`.
            cost = tf.ensure_shape(cost, [rows])
        _checks.floating("cost_fn's result", cost.dtype)
        return tf.cast(cost, tf.float32)

    def evaluate_with_slope(
        self, cost_fn: CostFn, sample: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns f(sample) and ∇f there, which must exist."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sample)
            cost = self.evaluate(cost_fn, sample)
        slope = self.require_gradient(tape.gradient(cost, sample))
        # After `tf.py_function` it tells no shape.
        slope = tf.ensure_shape(slope, sample.shape)
        return cost, tf.stop_gradient(slope)

    def draw(self, parameters: Parameters, seed: Any) -> tf.Tensor:
        """Returns an exact sample for every row, without gradient."""
        return tf.stop_gradient(self.distribution.sample(parameters, seed))

    def require_gradient(self, gradient: Any) -> Any:
        """Returns the gradient of f in z, or says who could do without."""
        if any(part is None for part in tf.nest.flatten(gradient)):
            with tf.GradientTape():
                if not record.could_possibly_record():
                    raise ValueError(
                        f"{type(self).__name__} needs the gradient of the cost "
                        "with respect to the sample, and nothing is recorded "
                        "inside `tf.recompute_grad` or `tape.stop_recording()`."
                        " Call it outside: what its cost computes may be "
                        "recomputed"
                    )
            others = [
                name
                for name in available(self.distribution)
                if not _REGISTER[name].needs_gradient
            ]
            raise ValueError(
                f"{type(self).__name__} needs the gradient of the cost with "
                "respect to the sample, and `cost_fn` has none: it passes "
                "through an operation without a gradient. Estimators that "
                f"need none: {', '.join(others)}"
            )
        return gradient

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": distributions.serialize(self.distribution),
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


def register(name: str, *aliases: str) -> Callable[[type], type]:
    """Class decorator that makes an `Estimator` known by name.

    The class becomes serialisable with Keras, too.

    Args:
        name: The name that `get` and `ExpectedCost` resolve.
        *aliases: Other names for it.

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
    Categorical()
    """
    for one in (name, *aliases):
        if not (isinstance(one, str) and one):
            raise TypeError(
                f"Argument `name` must be a string. Received: name={one!r}"
            )

    def decorate(cls: type) -> type:
        _saving.register(_REGISTER, name, cls, Estimator)
        _ALIASES.update(dict.fromkeys(aliases, name))
        return cls

    return decorate


def available(distribution: Any = None, **options: Any) -> list[str]:
    """Returns the names of the registered estimators, sorted.

    Args:
        distribution: `None` for all of them, or a distribution, by name or as
            an object, that they are to serve.
        **options: Options of a distribution that is given by name.

    Example:

    >>> import tfgumbel as tg
    >>> tg.estimators.available("poisson")
    ['double_cv', 'measure_valued', 'muprop', 'nvil', 'reinforce', 'rloo',
    'vimco']
    """
    if distribution is None:
        return sorted(_REGISTER)
    found = distributions.get(distribution, **options)
    return sorted(
        name for name, e in _REGISTER.items() if e.refusal(found) is None
    )


def canonical(name: Any) -> Any:
    """Returns the name that an alias stands for; any other as it is."""
    return _ALIASES.get(name, name) if isinstance(name, str) else name


def get(identifier: Any, **kwargs: Any) -> Estimator:
    """Returns the estimator that `identifier` stands for.

    Args:
        identifier: A registered name, an `Estimator`, or a serialised one.
        **kwargs: Arguments of the constructor, for a name.

    Raises:
        ValueError: If the name is unknown, or an object comes with arguments.
        TypeError: If `identifier` is none of these.

    Example:

    >>> import tfgumbel as tg
    >>> tg.estimators.get("rloo", samples=4).evaluations
    4
    """
    if isinstance(identifier, dict):
        identifier = _saving.deserialize("estimator", identifier, (Estimator,))
    if isinstance(identifier, Estimator):
        if kwargs:
            raise ValueError(
                "Arguments of the constructor are for an estimator that is "
                "given by name; an object has them already. Received: "
                f"{', '.join(f'{k}={v!r}' for k, v in kwargs.items())} with "
                f"estimator={identifier!r}"
            )
        return identifier
    if isinstance(identifier, str):
        identifier = canonical(identifier)
        _checks.choice("estimator", identifier, available())
        return _REGISTER[identifier](**kwargs)
    raise TypeError(
        "Argument `estimator` must be a name, an `Estimator` or a serialised "
        f"one. Received: estimator={identifier!r}"
    )
