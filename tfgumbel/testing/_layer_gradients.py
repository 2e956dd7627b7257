"""Checks of a layer's gradient, and of the temperature that shapes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    check,
    in_errors,
)
from tfgumbel.testing._subject import (
    CALLS,
    Batch,
    Call,
    Subject,
    floating,
    require_floating,
    single,
)


@check(
    "gradient",
    "A gradient reaches the inputs and every weight",
    "hard samples need a gradient from elsewhere, as `y + "
    "stop_gradient(hard - y)` has it: argmax, one_hot and round have none",
)
def gradient(subject: Subject) -> Finding:
    # Units such as ReLU may be dead for one example.
    layer, batch = subject.make(), subject.rows(256, None)
    inputs = {f"input {i}": t for i, t in enumerate(floating(batch.inputs))}
    weights: dict[str, tf.Tensor] = {}
    for variable in layer.trainable_variables:
        path = variable.path
        again = f" ({len(weights)})" if path in weights else ""
        weights[path + again] = variable.value
    sources = {**inputs, **weights}
    without, elsewhere = list(sources), set()
    # One draw for the batch, such as a coin, may stop every gradient.
    for _ in range(CALLS if subject.shares_noise else 1):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            call = subject.call(layer, batch)
            cost = tf.reduce_sum(subject.linear(call))
            losses = [tf.cast(loss, cost.dtype) for loss in call.losses]
            cost = tf.add_n([cost, *losses])
            others = call.others()
        found = tape.gradient(cost, sources)
        for name, one in found.items():
            if one is not None and not np.all(np.isfinite(single(one))):
                raise Fault(f"the gradient in {name} is not finite")
        without = [name for name in without if _is_zero(found[name])]
        if others is not None:  # A weight may be there for another output.
            there = tape.gradient(others, weights)
            elsewhere |= {name for name in weights if not _is_zero(there[name])}
        if not without:
            break
    may_lack = elsewhere if len(without) < len(sources) else set()
    if any(name not in without for name in inputs):
        # Some of several may be constants, unless they are to be learned.
        wanted = zip(inputs, subject.learned_inputs(), strict=True)
        may_lack |= {name for name, learned in wanted if not learned}
    cut = [name for name in without if name not in may_lack]
    if cut:
        raise Fault(f"no gradient, or one that is zero, in {', '.join(cut)}")
    text = f"in {len(sources) - len(without)} tensors"
    return Finding(f"{text}; none in {', '.join(without)}" if without else text)


def _is_zero(gradient: Any) -> bool:
    return gradient is None or not np.any(single(gradient))


class Repeated:
    """A cost of each example, always for the same noise.

    Args:
        subject: The layer under test.
        cost_of: Maps a call to the cost of each example; default: linear.
    """

    def __init__(
        self,
        subject: Subject,
        cost_of: Callable[[Call], tf.Tensor] | None = None,
    ) -> None:
        self._subject = subject
        self._cost_of = cost_of or subject.linear
        self._layer = subject.make()
        self._back = subject.repeater(self._layer)
        batch = subject.rows(64)
        if not np.array_equal(self.cost(batch), self.cost(batch)):
            raise NotApplicable(
                "its noise cannot be repeated: neither its variables nor "
                "`keras.utils.set_random_seed` decide it"
            )

    def cost(self, batch: Batch) -> np.ndarray:
        self._back()
        call = self._subject.call(self._layer, batch)
        return np.asarray(self._cost_of(call), np.float64)

    def gradients(self, batch: Batch) -> list[np.ndarray]:
        """The layer's own, in each floating input."""
        self._back()
        *_, gradients = self._subject.differentiated(
            self._layer, batch, self._cost_of
        )
        return [
            np.zeros(source.shape) if g is None else single(g)
            for g, source in zip(gradients, floating(batch.inputs), strict=True)
        ]

    def slope(self, batch: Batch, direction: list[np.ndarray]) -> np.ndarray:
        """The layer's own, in a direction."""
        products = [
            np.reshape(g * d, [len(g), -1]).sum(axis=1)
            for g, d in zip(self.gradients(batch), direction, strict=True)
        ]
        return np.sum(products, axis=0)

    def mixes(self) -> bool:
        """Whether an example's cost depends on the inputs of others."""
        batch = self._subject.rows(64)
        first = [
            np.where(np.arange(64) < 32, 1.0, 0.0).reshape(
                64, *[1] * (tensor.shape.rank - 1)
            )
            for tensor in floating(batch.inputs)
        ]
        before = self.cost(batch)[32:]
        after = self.cost(moved(batch, first, 1.0))[32:]
        return not np.allclose(before, after, rtol=1e-4, atol=1e-6)

    def quotient(
        self, batch: Batch, direction: list[np.ndarray], step: float
    ) -> np.ndarray:
        """The difference quotient in a direction."""
        sides = [self.cost(moved(batch, direction, s)) for s in (step, -step)]
        return (sides[0] - sides[1]) / (2.0 * step)


def moved(batch: Batch, direction: list[np.ndarray], step: float) -> Batch:
    """The batch with the floating inputs moved."""
    parts = iter(direction)
    inputs = [
        t + tf.cast(step * next(parts), t.dtype) if t.dtype.is_floating else t
        for t in tf.nest.flatten(batch.inputs)
    ]
    return batch.at(inputs)


STEP = 2e-3
MOVED = 32


@check(
    "gradient of the sample",
    "The gradient is that of the sample as a function of its noise",
    "compare with the formula: the noise is a constant, the temperature "
    "divides logits plus noise, and nothing between is stopped; if another "
    "function's gradient is meant, give `surrogate=True`",
)
def gradient_of_the_sample(subject: Subject) -> Finding:
    require_floating(subject)
    repeated = Repeated(subject)
    if repeated.mixes():
        raise NotApplicable("an example's sample depends on other examples")
    batch = subject.rows(subject.many // 8, None)
    # Inputs without a gradient are constants: the check of gradients judges.
    # Few entries move, lest something jumps in every example of many variables.
    direction = [
        subject.random.normal(size=gradient.shape[1:])
        * (subject.random.permutation(size).reshape(gradient.shape[1:]) < MOVED)
        * np.any(gradient)
        for gradient in repeated.gradients(batch)
        for size in [gradient[0].size]
    ]
    size = max(float(tf.reduce_max(tf.abs(t))) for t in floating(batch.inputs))
    step = max(STEP, 1e-5 * size)  # Beyond the rounding of large inputs.
    wide, narrow = (
        repeated.quotient(batch, direction, h) for h in (step, step / 2)
    )
    quotient = (4.0 * narrow - wide) / 3.0  # Richardson: of fourth order
    # Rounding moves what is a step in exact arithmetic.
    rounding = 1e-3 * np.max(np.abs(repeated.cost(batch)))
    # What jumps or bends within a step does so at one size of it, or at both.
    smooth = np.abs(wide - narrow) < 0.02 * np.abs(wide) + rounding
    moves = np.abs(quotient[smooth]) > rounding
    if np.sum(moves) < 0.1 * len(quotient) or _is_surrogate(subject):
        return _along_the_mean(subject, repeated)
    scale = np.sqrt(np.mean(quotient[smooth] ** 2))
    distance = np.abs(repeated.slope(batch, direction) - quotient)[smooth]
    differs = distance > 0.05 * scale
    share = float(np.mean(differs))
    if share > 0.1:
        figure = _of_the_mean(subject)
        if figure < _measure.STANDARD_ERRORS:
            return in_errors(figure, "in the mean over the noise")
    return Finding(
        "share of examples whose gradient is not their difference quotient",
        share,
        0.1,
    )


def _is_surrogate(subject: Subject) -> bool:
    own = getattr(subject.layer, "backward_temperature", None)
    through_probability = subject.credits or subject.returns_log_prob
    return subject.surrogate or through_probability or own is not None


def _of_the_mean(subject: Subject) -> float:
    """Distance of the mean gradient from that of the mean, along itself.

    For samples by rejection, whose gradient is implicit. Infinite where the
    noise would hide a difference of a third.
    """
    repeated, batch = (
        Repeated(subject, subject.bent()),
        subject.rows(subject.many),
    )
    direction = [g.mean(axis=0) for g in repeated.gradients(batch)]
    length = np.sqrt(sum(np.sum(d**2) for d in direction))
    direction = [d / length for d in direction]
    slope = repeated.slope(batch, direction)
    differences = slope - repeated.quotient(batch, direction, 0.05)
    error = differences.std() / np.sqrt(len(slope))
    if _measure.STANDARD_ERRORS * error > np.abs(slope.mean()) / 3.0:
        return float("inf")
    # The quotient's own error is of second order in its step.
    left = abs(differences.mean()) - 0.02 * abs(slope.mean())
    return float(max(0.0, left) / error)


def _require_noise_of_the_sample(subject: Subject) -> None:
    """A gradient that is random depends on what was drawn."""
    own = subject.distribution
    if (
        not isinstance(own, distributions.Categorical)
        or subject.batch.arguments
    ):
        return
    batch = subject.rows(min(subject.many, 2**12))
    (first,) = floating(batch.inputs)
    # Uneven, lest two categories differ in sign alone.
    uneven = tf.cast(tf.linspace(0.0, 1.0, tf.size(first[0])), first.dtype)
    logits = tf.zeros_like(first) + tf.reshape(uneven, first.shape[1:])
    call, _, (gradient,) = subject.differentiated(
        subject.make(), batch.at([logits])
    )
    if gradient is None:
        return
    # Of the first variable. In float64: the spread of equal numbers in float32
    # is not zero.
    drawn, slopes = (
        np.moveaxis(np.asarray(tf.cast(t, tf.float64)), own.axis, -1)
        .reshape(len(t), -1, t.shape[own.axis])[:, 0]
        .T
        for t in (call.sample, gradient)
    )
    if np.max(slopes.std(axis=1)) < 1e-4 * np.max(np.abs(slopes)):
        return
    figure = max(_measure.dependence(d, s) for d in drawn for s in slopes)
    if figure < _measure.STANDARD_ERRORS:
        raise Fault(
            "the gradient is random, and does not depend on what was drawn: it "
            "is that of other noise"
        )


COORDINATES = 6


def _along_the_mean(subject: Subject, repeated: Repeated) -> Finding:
    """The mean gradient and that of the mean point the same way."""
    if subject.shares_noise:
        raise NotApplicable(
            "its gradient is another function's than its value, and one draw "
            "for the whole batch shows no mean"
        )
    _require_noise_of_the_sample(subject)
    batch = subject.rows(subject.many // 4, None)
    every = repeated.gradients(batch)
    places = [(i, j) for i, g in enumerate(every) for j in range(g[0].size)]
    chosen = subject.random.permutation(len(places))[:COORDINATES]
    pairs = []
    for i, j in (places[c] for c in chosen):
        direction = [np.zeros(g.shape[1:]) for g in every]
        direction[i].flat[j] = 1.0
        gradients = every[i].reshape(len(every[i]), -1)[:, j]
        pairs.append((gradients, repeated.quotient(batch, direction, 0.25)))
    samples = np.transpose(pairs, (1, 2, 0))  # [2, examples, COORDINATES]
    found, exact = samples.mean(axis=1)
    own, length = np.linalg.norm([found, exact], axis=1)
    errors = samples.std(axis=1) / np.sqrt(samples.shape[1])
    if np.any(3.0 * np.linalg.norm(errors, axis=1) > [own, length]):
        raise NotApplicable(
            "its noise hides the mean gradient: take full=True, or fewer "
            "variables"
        )
    if not length:
        raise NotApplicable("the mean of its samples does not move")
    cosine = float(np.dot(found, exact) / (own * length)) if own else 0.0
    return Finding(
        "its gradient is another function's than its value; the mean gradient "
        f"is {own / length:.2g} times as long as that of the mean; 1 - cosine "
        "of the two",
        1.0 - cosine,
        0.8,
    )


NAMES = ("temperature", "tau", "temp")


@check(
    "temperature",
    "A temperature that is changed takes effect",
    "keep it in a variable (`add_weight(trainable=False)`) and change it by "
    "`assign`: a Python number is read once, when the graph is traced",
)
def temperature(subject: Subject) -> Finding:
    names = [n for n in NAMES if getattr(subject.layer, n, None) is not None]
    if not names:
        raise NotApplicable(f"it has no attribute {', '.join(NAMES)}")
    if subject.drifts:
        raise NotApplicable("it changes from call to call by itself")
    name = names[0]
    layer, other = subject.make(), subject.make()
    traced = tf.function(lambda b: _sizes(subject, layer, b), autograph=False)
    subject.collected(traced)
    value = 4.0 * _assigned(layer, name, 4.0)
    _assigned(other, name, 4.0)
    if not np.isclose(float(getattr(layer, name)), value):
        raise NotApplicable(f"it does not let `{name}` be set")
    hot = subject.collected(lambda b: _sizes(subject, other, b))
    if isinstance(subject.distribution, distributions.Categorical):
        _require_softer(subject, hot[:, 0])
    return in_errors(
        _measure.between_means(subject.collected(traced), hot),
        f"a traced call after `{name}` was changed, against a new layer",
    )


def _require_softer(subject: Subject, hot: np.ndarray) -> None:
    """Higher temperatures blur: the squares of a sample add up to less."""
    layer = subject.make()
    cold = subject.collected(lambda b: _sizes(subject, layer, b))[:, 0]
    error = np.sqrt((hot.var() + cold.var()) / len(hot)) + 1e-4
    if hot.mean() - cold.mean() > _measure.STANDARD_ERRORS * error:
        raise Fault(
            "samples are harder at four times the temperature: it multiplies "
            "where it should divide"
        )


def _assigned(layer: Any, name: str, factor: float) -> float:
    """Multiplies an attribute, and returns what it was."""
    attribute = getattr(layer, name)
    before = float(attribute)
    if hasattr(attribute, "assign"):
        attribute.assign(factor * before)
    else:
        try:
            setattr(layer, name, factor * before)
        except (AttributeError, ValueError, TypeError) as error:
            raise NotApplicable(f"`{name}` cannot be set: {error}") from error
    return before


def _sizes(subject: Subject, layer: Any, batch: Batch) -> tf.Tensor:
    """Of each example's sample and gradient, if it has one, `[N, 1 or 2]`."""
    call, _, gradients = subject.differentiated(layer, batch)
    squares = [
        tf.square(tf.cast(tensor, tf.float32))
        for tensor in (call.sample, *gradients[:1])
        if tensor is not None
    ]
    sums = [tf.reduce_sum(s, axis=range(1, s.shape.rank)) for s in squares]
    return tf.stack(sums, axis=1)


CHECKS = (gradient, gradient_of_the_sample, temperature)
