"""The KL divergence of any distribution from a prior of its family."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import _checks, distributions, random, schedules
from tfgumbel.distributions import (
    ClosedFormKL,
    Distribution,
    Parameters,
    Reparameterized,
)
from tfgumbel.layers._stochastic import (
    SamplingLayer,
    StochasticLayer,
    first_mask,
    masked,
)


@keras.saving.register_keras_serializable(package="tfgumbel")
class KLDivergence(StochasticLayer):
    """Adds weight · Σ KL(q ‖ prior), in nats, to the model's loss.

    q and the prior are of one distribution. Where their divergence has no
    closed form (`"kumaraswamy"`, `"student_t"`, `"truncated_normal"`,
    `"mixture"`) it is the mean of log q(z) - log p(z) over `samples` samples
    z of q, with pathwise gradients: unbiased in value and gradient, and for
    one draw possibly below zero. They are drawn anew in each training call;
    outside training the noise is the same in every call.

    Summed over the variables of an example, averaged over the batch. It is
    added in training and in evaluation, and its mean over the examples of an
    epoch stands in the logs of `fit` and `evaluate` under the layer's name: the
    sum of what a layer adds that a model calls several times.

    Two changes of the objective keep a code from being switched off; what is
    added is then no longer that of a bound, and `divergence` has the plain
    numbers. Free bits λ count the divergence of a group j of variables only
    above λ_j, weight · Σ_j max(λ_j, KL_j), where KL_j is the mean over the
    batch, as in [2], not the divergence of one example. A capacity C draws the
    divergence of all variables, again the mean over the batch, towards C from
    both sides: weight · |KL - C|. Each replica has the mean of its own batch.

    Args:
        distribution: A name, such as `"gamma"`, or a `Distribution`.
        prior: The prior's parameters themselves, as from `constrain`: one
            number or array for each, in order, that broadcasts to q's. A
            variable in its place is read at every call, and a
            `keras.Variable` trains with the layer. `None` is the
            distribution's default: of unit scale around zero where there is
            such a one, uniform where that is possible.
        weight: Factor of the divergence, at least 0 (β of a β-VAE): a number,
            or a schedule `step -> weight`. Assign to `layer.weight`, or let
            `TemperatureScheduler(..., attribute="weight")` do it.
        free_bits: λ, nats that a group has for free, at least 0: a number, or
            an array of one for each group, or variable.
        groups: How many groups of equal size the variables of an example are
            divided into, in order; `None` makes each variable a group.
        capacity: C, nats of an example, at least 0: a number, or a schedule
            `step -> capacity`; `None` for none. Assign to `layer.capacity`, or
            let `TemperatureScheduler(..., attribute="capacity")` do it. Not
            together with free bits.
        samples: Samples of a Monte Carlo estimate.
        seed: An integer makes the estimate reproducible.
        **kwargs: Options of a distribution that is given by name, and those
            of `keras.layers.Layer`.

    Call arguments:
        inputs: Unconstrained parameters of q, returned unchanged: a tensor,
            or a tuple of them. Or a pair `[q, p]` of two such, where p takes
            the place of `prior` and may be learned; q is returned.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`, for `"categorical"` and `"subset"`: q and the
            prior are restricted to them and normalised there; a variable with
            none has no divergence.
        training: Whether a schedule takes a step, and noise is drawn.
        mask: Keras's mask, `[B, T]` of a sequence: masked steps do not count.

    Input shape:
        Tensors `[B, ...]`.

    Output shape:
        That of q.

    Raises:
        ValueError: If the distribution has neither a closed form nor a
            reparameterised sample, the prior does not fit it, or the groups do
            not divide the variables.

    Example:

    >>> import numpy as np, tfgumbel as tg
    >>> layer = tg.KLDivergence("laplace", prior=(0.0, 2.0))
    >>> one = np.log(np.expm1(np.ones((2, 3), "f")))  # softplus gives 1
    >>> _ = layer((np.zeros((2, 3), "f"), one))
    >>> round(float(layer.losses[0]), 4)  # 3 (log 2 - 1/2)
    0.5794

    >>> free = tg.KLDivergence("laplace", prior=(0.0, 2.0), free_bits=0.5)
    >>> _ = free((np.zeros((2, 3), "f"), one))
    >>> float(free.losses[0])  # 3 max(0.5, log 2 - 1/2)
    1.5

    Reference:
        [1] Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014.
        [2] Kingma et al. Improving variational inference with inverse
        autoregressive flow. NeurIPS 2016. (Free bits, eq. 15.)
        [3] Burgess et al. Understanding disentangling in β-VAE. 2018.
        (Capacity.)
    """

    weight = schedules.AnnealedAttribute()
    capacity = schedules.AnnealedAttribute()
    prior_arguments: ClassVar[dict[str, str]] = {}
    """Arguments of a subclass, by the parameter of the prior that they are."""

    def __init__(
        self,
        distribution: Any,
        prior: Any = None,
        *,
        weight: Any = 1.0,
        free_bits: Any = 0.0,
        groups: int | None = None,
        capacity: Any = None,
        samples: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        options = distributions.options_among(kwargs)
        found = distributions.get(distribution, **options)
        super().__init__(seed=seed, **kwargs)
        self.distribution: Distribution = found
        self._closed = found.lacks(ClosedFormKL) is None
        lack = found.lacks(Reparameterized)
        if not self._closed and lack is not None:
            raise ValueError(
                "KLDivergence needs a closed form or a reparameterised "
                f"sample, and for distribution {found.name!r} {lack}. "
                f"Received: distribution={distribution!r}"
            )
        self._weight = self.add_annealed(
            "weight", weight, _checks.not_negative_number
        )
        self.free_bits = _checked_free_bits(free_bits)
        self.groups = groups
        if groups is not None:
            _checks.positive_integer("groups", groups)
        if capacity is not None:
            self.add_annealed("capacity", capacity, _checks.not_negative_number)
            if np.any(self.free_bits):
                raise ValueError(
                    "Arguments `free_bits` and `capacity` are two objectives: "
                    f"give one of them. Received: free_bits={free_bits!r} and "
                    f"capacity={capacity!r}"
                )
        self.prior = self._checked_prior(prior)
        self.samples = _checks.positive_integer("samples", samples)
        self.add_log()

    @property
    def takes_several(self) -> bool:
        """Always: of one parameter too there may be a pair `[q, p]`."""
        return True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; warns where it reads a sample as its logits."""
        # A mean may be a sample, and the logits an embedding of one.
        source = getattr(inputs, "_keras_history", (None,))[0]
        if (
            isinstance(source, SamplingLayer)
            and type(source.distribution) is type(self.distribution)
            and not hasattr(source, "dim")
        ):
            warnings.warn(
                f"Layer {self.name!r} is called on a sample of "
                f"{source.name!r}, and takes it for the parameters of a "
                "distribution. Call it on what the sampler is called on.",
                stacklevel=2,
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(
        self,
        inputs: Any,
        category_mask: Any = None,
        training: Any = None,
        mask: Any = None,
    ) -> Any:
        """Returns `inputs`, having added the divergence to the losses."""
        q, _ = self._split(inputs)
        divergence = self.divergence(
            inputs, category_mask=category_mask, training=training
        )
        divergence = _unmasked(divergence, self.compute_mask(inputs, mask))
        weighted = self._weight(training) * self._objective(
            divergence, training
        )
        self.add_logged_loss(weighted, tf.shape(divergence)[0])
        return q

    def _objective(self, divergence: tf.Tensor, training: Any) -> tf.Tensor:
        """What the weight multiplies, from the divergence per variable."""
        if np.any(self.free_bits):
            grouped = self._grouped(divergence)
            found = _over(tf.reduce_sum(grouped, axis=0), tf.shape(grouped)[0])
            _checks.broadcastable(
                "free_bits", np.shape(self.free_bits), found.shape
            )
            least = tf.constant(self.free_bits, tf.float32)
            # An estimate may be below zero where nothing is free.
            free = tf.where(least > 0.0, tf.maximum(least, found), found)
            return tf.reduce_sum(free)
        size = tf.shape(divergence)[0]
        mean = _over(tf.reduce_sum(divergence), size)
        capacity = self.annealed("capacity")
        if capacity is None:
            return mean
        excess = mean - capacity(training)
        # tf.abs would hand an example that is NaN to all others.
        return tf.where(excess < 0.0, -excess, excess)

    def _grouped(self, divergence: tf.Tensor) -> tf.Tensor:
        """The divergence per group, `[B, groups]`."""
        if self.groups is None:
            return divergence
        size = divergence.shape[1:].num_elements()
        if size is None or size % self.groups:
            raise ValueError(
                "Argument `groups` must divide the number of variables, "
                f"{size or 'unknown'}. Received: groups={self.groups} for a "
                f"divergence of shape {divergence.shape}"
            )
        shape = [-1, self.groups, size // self.groups]
        return tf.reduce_sum(tf.reshape(divergence, shape), axis=2)

    def divergence(
        self, inputs: Any, *, category_mask: Any = None, training: Any = None
    ) -> tf.Tensor:
        """Returns KL per variable, `[B, ...]`."""
        q, p = self._split(inputs)
        self._require_fit(q, p)
        if category_mask is not None:
            q, p = self._masked(q, p, category_mask)
        parameters = self.distribution.constrain(q)
        if p is None:
            prior = self._prior_like(parameters)
        else:
            dtype = parameters[0].dtype
            prior = tuple(
                tf.cast(part, dtype) for part in self.distribution.constrain(p)
            )
        if self._closed:
            distribution = self.distribution
            assert isinstance(distribution, ClosedFormKL)
            return distribution.kl(parameters, prior)
        return self._estimate(parameters, prior, training)

    def _estimate(
        self, parameters: Parameters, prior: Parameters, training: Any
    ) -> tf.Tensor:
        def many(tensor: tf.Tensor) -> tf.Tensor:
            shape = tf.concat([[self.samples], tf.shape(tensor)], axis=0)
            return tf.broadcast_to(tensor, shape)

        # Predictions and served models draw nothing that moves the state.
        seed = self.next_seed() if training else random.numbered([0, 0], 1)
        log_ratio = self.distribution.log_ratio(
            tuple(map(many, parameters)), prior, seed
        )
        return tf.reduce_mean(log_ratio, axis=0)

    def _split(self, inputs: Any) -> tuple[Any, Any]:
        """q, and p if it was given."""
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            return inputs, None
        several = len(self.distribution.parameters) > 1
        if several != isinstance(inputs[0], list | tuple):
            return inputs, None
        return inputs[0], inputs[1]

    def _masked(self, q: Any, p: Any, category_mask: Any) -> tuple[Any, Any]:
        distribution = self.distribution
        legal = masked(distribution, q, category_mask)
        if p is None:
            *others, logits = distribution.check(q)
            prior = self._prior_like(distribution.constrain(q))[-1]
            prior = tf.broadcast_to(prior, tf.shape(logits))
            prior.set_shape(logits.shape)
            p = (*others, prior) if others else prior
        return legal, masked(distribution, p, category_mask)

    def _prior_like(self, parameters: Parameters) -> Parameters:
        """The prior's parameters, broadcast to those of q."""
        dtype = parameters[0].dtype
        prior = [
            tf.cast(tf.convert_to_tensor(part), dtype)
            if isinstance(part, tf.Variable | keras.Variable)
            else tf.constant(part, dtype)
            for part in self.prior
        ]
        return self.distribution.prior_like(prior, parameters)

    def _checked_prior(self, prior: Any) -> list[Any]:
        """Numbers as nested lists of floats; variables as they are."""
        names = list(self.distribution.parameters)
        given = self.distribution.standard if prior is None else prior
        if given is None:
            raise ValueError(
                f"Distribution {self.distribution.name!r} has no default "
                f"prior: argument `prior` must be {len(names)} parameters, "
                f"({', '.join(names)}). Received: prior=None"
            )
        if len(names) == 1 and not isinstance(given, list | tuple):
            given = (given,)
        if not isinstance(given, list | tuple) or len(given) != len(names):
            raise ValueError(
                f"Argument `prior` must be a tuple of {len(names)} parameters, "
                f"({', '.join(names)}). Received: prior={prior!r}"
            )
        return [
            self._checked_part(name, part, prior)
            for name, part in zip(names, given, strict=True)
        ]

    def _checked_part(self, name: str, part: Any, prior: Any) -> Any:
        if isinstance(part, dict):  # a variable, in a config
            part = keras.Variable(part["variable"], dtype="float32")
        if isinstance(part, tf.Variable | keras.Variable):
            return part
        if keras.utils.is_keras_tensor(part):
            raise TypeError(
                "A prior that is a tensor of the model is given in the call: "
                f"`layer([q, p])`. Received: prior={part!r}"
            )
        if tf.is_tensor(part):
            part = np.asarray(part)
        array = _checks.array(self.prior_arguments.get(name, "prior"), part)
        problem = self.distribution.refuse_prior(name, array)
        if problem is not None:
            argument = self.prior_arguments.get(name)
            subject, received = f"Argument `{argument}`", f"{argument}={part!r}"
            if argument is None:
                subject = f"Parameter {name} of argument `prior`"
                received = f"prior={prior!r}"
            raise ValueError(
                f"{subject} must be {problem}. Received: {received}"
            )
        return array.tolist()

    def _require_fit(self, q: Any, p: Any) -> None:
        several = isinstance(q, list | tuple)
        tensors = self.distribution.check(q)
        for name, tensor in zip(
            self.distribution.parameters, tensors, strict=True
        ):
            if name not in self.distribution.constants:
                _checks.batched(name if several else "inputs", tensor.shape)
        arguments = tuple(self.prior_arguments.values())
        self.distribution.check_prior(
            [np.shape(part) for part in self.prior],
            [tensor.shape for tensor in tensors],
            arguments[0] if arguments else "prior",
        )
        if p is not None:
            # It would widen q, too.
            shapes = [
                self.distribution.sample_shape(
                    [tensor.shape for tensor in each]
                )
                for each in (self.distribution.check(p), tensors)
            ]
            _checks.broadcastable("p", *shapes)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Passes on the mask of q."""
        q, _ = self._split(inputs)
        return first_mask(previous_mask, among=len(keras.tree.flatten(q)))

    def compute_output_spec(
        self,
        inputs: Any,
        category_mask: Any = None,
        training: Any = None,
        mask: Any = None,
    ) -> Any:
        """Returns the shape and dtype of q."""
        q, p = self._split(inputs)
        self._require_fit(q, p)
        return keras.tree.map_structure(
            lambda t: keras.KerasTensor(t.shape, dtype=t.dtype), q
        )

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        """Returns the shape of the input."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        capacity = self.annealed("capacity")
        return {
            **super().get_config(),
            "distribution": distributions.serialize(self.distribution),
            "prior": _configured(self.prior),
            "weight": self._weight.get_config(),
            "free_bits": self.free_bits,
            "groups": self.groups,
            "capacity": capacity and capacity.get_config(),
            "samples": self.samples,
        }


def _checked_free_bits(value: Any) -> Any:
    """A float, or nested lists of floats."""
    array = _checks.array("free_bits", value)
    if not np.all((array >= 0.0) & (array < math.inf)):
        raise ValueError(
            "Argument `free_bits` must be finite and not below zero. "
            f"Received: free_bits={value!r}"
        )
    return array.tolist()


def _over(total: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The mean, float32; of an empty batch, as of a replica, zero."""
    return tf.math.divide_no_nan(
        tf.cast(total, tf.float32), tf.cast(size, tf.float32)
    )


def _unmasked(divergence: tf.Tensor, mask: Any) -> tf.Tensor:
    """The divergence per variable, zero in masked steps."""
    if mask is None:
        return divergence
    mask = tf.cast(tf.convert_to_tensor(mask), tf.bool)
    missing = divergence.shape.rank - mask.shape.rank
    if missing < 0:
        raise ValueError(
            "Argument `mask` must have no more axes than the divergence, of "
            f"shape {divergence.shape}. Received: mask of shape {mask.shape}"
        )
    _checks.broadcastable(
        "mask", mask.shape, divergence.shape[: mask.shape.rank]
    )
    ones = tf.ones([missing], tf.int32)
    mask = tf.reshape(mask, tf.concat([tf.shape(mask), ones], axis=0))
    return tf.where(mask, divergence, tf.zeros_like(divergence))


def _configured(prior: Sequence[Any]) -> list[Any]:
    """The prior for a config: a variable by its value."""
    return [
        {"variable": np.asarray(part).tolist()}
        if isinstance(part, tf.Variable | keras.Variable)
        else part
        for part in prior
    ]
