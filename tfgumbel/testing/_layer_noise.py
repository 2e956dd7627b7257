"""Checks of a layer's noise: what repeats, what depends, what is drawn."""

from __future__ import annotations

import inspect
import math
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
    NOISE,
    Subject,
    bits,
    same_rows,
    single,
)


@check(
    "calls",
    "Two calls draw different noise",
    "let the seed move on at each call, as `keras.random.SeedGenerator` or "
    "`tfgumbel.random` do; a fixed `seed=` of a random operation repeats it",
)
def calls(subject: Subject) -> Finding:
    layer = subject.make()
    if subject.shares_noise:
        prints = {
            subject.call(layer, subject.batch).fingerprint()
            for _ in range(CALLS)
        }
        if len(prints) == 1:
            raise Fault(f"all of {CALLS} training calls gave the same values")
        return Finding(f"{len(prints)} different ones of {CALLS}")
    batch = subject.rows(subject.many)
    every = [subject.call(layer, batch) for _ in range(3)]
    if len({call.fingerprint() for call in every}) < len(every):
        raise Fault("two of three training calls gave the same values")
    return subject.most_dependent([single(call.sample) for call in every])


@check(
    "examples",
    "The examples of a batch draw different noise",
    "draw noise of the shape of the whole input, `tf.shape(x)`, not of one "
    "example; if one draw for the batch is meant, give `per_example=False`",
)
def examples(subject: Subject) -> Finding:
    if not subject.per_example:
        raise NotApplicable("one draw for the batch is meant")
    if subject.passes_on:
        raise NotApplicable("its noise is not in its output")
    layer = subject.make()
    batch = subject.rows(subject.many)
    calls = [subject.call(layer, batch) for _ in range(2)]
    samples = [single(call.sample) for call in calls]
    if same_rows(samples):
        figure = float(np.sqrt(subject.many))
        return Finding(
            "all examples of a batch got one noise",
            figure,
            _measure.STANDARD_ERRORS,
        )
    rows = [subject.projected(sample) for sample in samples]
    figure = max(
        _measure.dependence(row[lag:], row[:-lag])
        for row in rows
        for lag in (1, 2, subject.many // 2)
    )
    return Finding(NOISE, figure, _measure.STANDARD_ERRORS)


@check(
    "variables",
    "The variables of an example draw different noise",
    "draw noise of the shape of the whole input, all its axes",
)
def variables(subject: Subject) -> Finding:
    distribution = _known(subject)
    layer = subject.make()
    samples = subject.samples(layer)
    if distribution.event_rank:
        axis = getattr(distribution, "axis", -1)
        samples = np.moveaxis(samples, axis, -1)
        rank = max(map(np.ndim, tf.nest.flatten(subject.batch.inputs)))
        # A sample may have more axes than its parameters, as a matrix has.
        variables = samples.shape[: rank - 1]
        samples = np.reshape(samples, [*variables, -1])
        samples = samples @ np.ravel(subject.weights)[: samples.shape[-1]]
    samples = np.reshape(samples, [len(samples), -1])
    if samples.shape[1] < 2:
        raise NotApplicable("there is one variable for each example")
    figure = max(
        _measure.dependence(samples[:, i], samples[:, i + 1])
        for i in range(samples.shape[1] - 1)
    )
    return Finding(NOISE, figure, _measure.STANDARD_ERRORS)


def _known(subject: Subject) -> Any:
    if subject.distribution is None:
        raise NotApplicable(
            "what its samples follow is not known: give `distribution=`"
        )
    return subject.distribution


@check(
    "layers",
    "Two layers draw different noise",
    "let `seed=None` take a fresh seed (`keras.random.SeedGenerator(None)`), "
    "and make no default of a number",
)
def layers(subject: Subject) -> Finding:
    pair = [_without_seed(subject) for _ in range(2)]
    if subject.shares_noise:
        one, other = (subject.fingerprint(layer) for layer in pair)
        if one == other:
            raise Fault(f"two new layers gave the same values in {CALLS} calls")
        return Finding("they differ")
    batch = subject.rows(subject.many)
    every = [subject.call(layer, batch) for layer in pair]
    if every[0].fingerprint() == every[1].fingerprint():
        raise Fault("two new layers gave the same values in their first call")
    return subject.most_dependent([single(call.sample) for call in every])


def _without_seed(subject: Subject) -> Any:
    """A new layer, made as one that is given no seed."""
    constructor = inspect.signature(type(subject.layer).__init__).parameters
    default = getattr(constructor.get("seed"), "default", None)
    if default is inspect.Parameter.empty:
        raise NotApplicable("its constructor asks for a seed")
    has_seed = "seed" in subject.config
    return subject.make(seed=default) if has_seed else subject.make()


@check(
    "seeds",
    "A seed repeats the noise, and other seeds do not",
    "derive the noise from the seed and the number of the call by a hash, "
    "never by their sum; take what has no seed from a generator that "
    "`keras.utils.set_random_seed` sets",
)
def seeds(subject: Subject) -> Finding:
    if "seed" not in subject.config:
        raise NotApplicable("its configuration has no seed")

    def prints(seed: int, count: int) -> list[bytes]:
        layer = subject.make(seed=seed)
        return [subject.fingerprint(layer) for _ in range(count)]

    one, again, other = prints(3, 4), prints(3, 1), prints(4, 4)
    if again[0] != one[0]:
        raise Fault("two layers of one seed gave different values")
    repeated = len(set(one) & set(other))
    if repeated:
        raise Fault(
            f"{repeated} of the first 4 calls with seed 4 repeat a call with "
            "seed 3"
        )
    return Finding("4 calls of each of two seeds differ, one seed repeats")


RARE = 1e-3


def _rare(subject: Subject, dtype: str) -> Finding:
    """Shares of categories, one of them rare, in a precision."""
    distribution = _known(subject)
    count = 2**21 if subject.full else 2**18
    layer = subject.make() if dtype == "float32" else subject.half(dtype)
    if any("mask" in name for name in subject.batch.arguments):
        raise NotApplicable("some categories are masked")
    if isinstance(distribution, distributions.Categorical):
        return _rare_categories(subject, layer, distribution.axis, count)
    if isinstance(distribution, distributions.Bernoulli):
        return _rare_ones(subject, layer, count)
    return _continuous(subject, layer, distribution, count)


def _draws(subject: Subject, layer: Any, logits: np.ndarray, count: int) -> Any:
    """Samples at these logits of one example, and the logits as given."""
    given = tf.cast(tf.constant(logits), layer.compute_dtype)
    batch = subject.rows(count).at([tf.repeat(given[None], count, axis=0)])
    sample = subject.call(layer, batch).sample
    return single(sample), np.asarray(tf.cast(given, tf.float64))


def _rare_categories(
    subject: Subject, layer: Any, axis: int, count: int
) -> Finding:
    if axis >= 0:  # From the end, with the axis of examples and without.
        axis -= len(subject.sample_shape) + 1
    categories = subject.sample_shape[axis]
    rest = np.arange(1.0, categories)
    rest *= (1.0 - RARE) / rest.sum()
    line = np.log([*rest, RARE])
    shape = [1] * len(subject.sample_shape)
    shape[axis] = categories
    logits = np.zeros(subject.sample_shape) + line.reshape(shape)
    rows = max(1, count * categories // logits.size)
    samples, given = _draws(subject, layer, logits, rows)
    samples = np.moveaxis(samples, axis, -1).reshape(-1, categories)
    given = np.moveaxis(given, axis, -1).reshape(-1, categories)
    shares = np.exp(given[0])
    # A tie, by rounding of the result, counts for each a part.
    largest = samples == samples.max(axis=1, keepdims=True)
    counts = np.sum(largest / largest.sum(axis=1, keepdims=True), axis=0)
    rate = counts[-1] / counts.sum()
    return in_errors(
        _measure.from_shares(counts, shares / shares.sum()),
        f"the category of probability {RARE:g} was drawn at {rate:.2g}",
    )


def _rare_ones(subject: Subject, layer: Any, count: int) -> Finding:
    rows = max(1, count // math.prod(subject.sample_shape))
    rates, figures = {}, []
    for share in (0.3, RARE):
        logits = np.full(subject.sample_shape, np.log(share / (1.0 - share)))
        samples, given = _draws(subject, layer, logits, rows)
        rates[share] = np.mean((samples > 0.5) + 0.5 * (samples == 0.5))
        counts = np.array([rates[share], 1.0 - rates[share]]) * samples.size
        exact = 1.0 / (1.0 + np.exp(-np.ravel(given)[0]))
        figures.append(_measure.from_shares(counts, [exact, 1.0 - exact]))
    return in_errors(
        figures,
        f"ones of probability {RARE:g} were drawn at {rates[RARE]:.2g}, of 0.3 "
        f"at {rates[0.3]:.2g}",
    )


def _continuous(
    subject: Subject, layer: Any, distribution: Any, count: int
) -> Finding:
    """Against samples of the distribution itself."""
    count = min(count // 2**3, 2 * subject.many)
    batch = subject.rows(count)
    inputs = tf.nest.map_structure(
        lambda t: tf.cast(t, layer.compute_dtype), batch.inputs
    )
    call = subject.call(layer, batch._replace(inputs=inputs))
    seed = subject.random.integers(2**31, size=2)
    exact = distribution.sample(distribution.constrain(inputs), seed)
    # As coarse as what the layer returns.
    pair = [call.sample, tf.cast(exact, call.sample.dtype)]
    return Finding(
        f"distance from {distribution.name}, by Kolmogorov and Smirnov",
        _measure.between_distributions(*map(single, pair)),
        _measure.KOLMOGOROV,
    )


FREQUENCIES = (
    "compare with the formula: noise -log(-log(u)) added to the logits, not "
    "divided by the temperature before; a logit is no probability; if samples "
    "are no categories, as Dirichlet ones, give `distribution=False`"
)
HALF = (
    "draw noise in float32, whatever the layer's precision, and cast after "
    "the softmax: half-precision uniforms are too coarse for what is rare"
)


@check("frequencies", "Samples have their rates", FREQUENCIES)
def frequencies(subject: Subject) -> Finding:
    return _rare(subject, "float32")


@check("frequencies in bfloat16", "Samples have their rates in bfloat16", HALF)
def frequencies_in_bfloat16(subject: Subject) -> Finding:
    return _rare(subject, "bfloat16")


@check(
    "frequencies in float16",
    "Samples have their rates in float16",
    HALF,
    quick=False,
)
def frequencies_in_float16(subject: Subject) -> Finding:
    return _rare(subject, "float16")


@check(
    "replicas",
    "Every replica draws noise of its own",
    "fold `replica_id_in_sync_group` of `tf.distribute.get_replica_context()` "
    "into the seed, as `tfgumbel.random.replica_seed` does",
)
def replicas(subject: Subject) -> Finding:
    strategy = subject.strategy
    if strategy is None:
        raise NotApplicable("give `strategy=`, with several replicas")
    if strategy.num_replicas_in_sync < 2:
        raise NotApplicable("the strategy has one replica")
    with strategy.scope():
        layer = subject.make()
    shares = subject.shares_noise
    batch = subject.batch if shares else subject.rows(subject.many)

    def draw() -> tuple[tf.Tensor, ...]:
        call = subject.call(layer, batch)
        return tf.cast(call.sample, tf.float32), *call.losses

    run = tf.function(draw, autograph=False)
    prints = [b""] * strategy.num_replicas_in_sync
    for _ in range(CALLS if shares else 1):
        every = strategy.run(run)
        values = [strategy.experimental_local_results(v) for v in every]
        for i, one in enumerate(zip(*values, strict=True)):
            prints[i] += bits(one)
    if len(set(prints)) < len(prints):
        raise Fault("two replicas gave the same values")
    return subject.most_dependent([np.asarray(v) for v in values[0]])


CHECKS = (
    calls,
    examples,
    variables,
    layers,
    seeds,
    frequencies,
    frequencies_in_bfloat16,
    frequencies_in_float16,
    replicas,
)
