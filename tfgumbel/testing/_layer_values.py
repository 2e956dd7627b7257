"""Checks of what a layer returns: shapes, precision, extremes, masks."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import distributions
from tfgumbel.testing import _measure
from tfgumbel.testing._run import Fault, Finding, NotApplicable, check
from tfgumbel.testing._subject import (
    Batch,
    Call,
    Subject,
    flat_outputs,
    on_simplex,
    require_floating,
    single,
)

EXTREME = 1e4


@check(
    "training",
    "A training call returns finite samples, of the shape and dtype declared",
    "cast the result to `self.compute_dtype`, or declare another by "
    "`compute_output_spec`; keep noise and softmax finite",
)
def training(subject: Subject) -> Finding:
    layer = subject.make()
    batch = subject.rows(4, None)
    call = subject.call(layer, batch)
    sample = call.sample
    _require_declared(layer, batch, call)
    if not np.all(np.isfinite(single(sample))):
        raise Fault("the sample is not finite")
    _require_support(subject, sample, "training")
    text = f"shape {tuple(sample.shape)}, {sample.dtype.name}"
    axis = getattr(subject.distribution, "axis", -1)
    return Finding(text if axis == -1 else f"{text}, categories on axis {axis}")


def _require_declared(layer: Any, batch: Batch, call: Call) -> None:
    """The sample has the shape and dtype of the symbolic call."""

    def symbol(tensor: Any) -> keras.KerasTensor:
        return keras.KerasTensor(tensor.shape, tensor.dtype.name)

    inputs, arguments = tf.nest.map_structure(symbol, tuple(batch))
    outputs = flat_outputs(layer(inputs, **arguments))
    sample, declared = call.sample, outputs[call.position]
    if declared.dtype != sample.dtype.name:
        raise Fault(
            f"the sample is of {sample.dtype.name}, and declared as "
            f"{declared.dtype}"
        )
    if tuple(declared.shape) != tuple(sample.shape):
        raise Fault(
            f"the sample is of shape {tuple(sample.shape)}, and declared as "
            f"{tuple(declared.shape)}"
        )


@check(
    "inference",
    "An inference call returns what a training call does, without noise",
    "return the mode or the mean where `training` is false; if samples are "
    "meant, say so by an argument `inference='sample'` of the layer",
)
def inference(subject: Subject) -> Finding:
    layer = subject.make()
    every = [subject.call(layer, subject.batch, mode) for mode in (True, False)]
    for one, other in zip(*(call.outputs for call in every), strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise Fault(
                f"training returns {one.dtype.name} of shape "
                f"{tuple(one.shape)}, inference {other.dtype.name} of shape "
                f"{tuple(other.shape)}"
            )
    _require_support(subject, every[1].sample, "inference")
    _require_likely(subject, layer, training=False)
    meant = getattr(subject.layer, "inference", None)
    if meant in ("sample", "relaxed") or not subject.takes_training:
        return Finding("shape and dtype are the same; it draws, as it says")
    again = subject.call(layer, subject.batch, False)
    if not np.array_equal(again.sample, every[1].sample):
        raise Fault("two calls with training=False differ")
    _require_typical(subject, layer)
    text = "shape and dtype are the same, and it draws nothing"
    parameter = inspect.signature(subject.layer.call).parameters["training"]
    if parameter.default is True:
        text += "; called without `training` it draws"
    return Finding(text)


def _require_support(subject: Subject, sample: tf.Tensor, when: str) -> None:
    """A sample of categories is a point of the simplex."""
    if isinstance(subject.distribution, distributions.Categorical):
        axis = subject.distribution.axis
        total = tf.reduce_sum(tf.cast(sample, tf.float32), axis=axis)
        if not np.allclose(total, 1.0, atol=0.02):
            raise Fault(f"in {when} the categories do not sum to one")


def _require_typical(subject: Subject, layer: Any) -> None:
    """Of a distribution that is known, inference gives mode, mean or median."""
    own = subject.distribution
    if (
        own is None
        or own.event_rank
        or isinstance(own, distributions.Bernoulli)
    ):
        return
    batch = subject.rows(4)
    parameters = own.constrain(batch.inputs)
    found = single(subject.call(layer, batch, False).sample)
    for name in {"mode", "mean"} & set(own.inference):
        if np.allclose(found, getattr(own, name)(parameters), 1e-3, 1e-3):
            return
    samples = subject.samples(layer)
    below = np.mean(samples < found[0], axis=0)
    above = np.mean(samples > found[0], axis=0)
    # A median has half of the samples on each side, but for their noise.
    noise = _measure.STANDARD_ERRORS * 0.5 / np.sqrt(len(samples))
    if np.max([below, above]) > 0.5 + noise:
        raise Fault(
            "in inference it returns neither mode, mean nor median of "
            f"{own.name}"
        )


def _require_likely(subject: Subject, layer: Any, training: bool) -> None:
    """Where one value alone is possible, a call returns it.

    Of logits of ±1e4, that is, which no noise and no temperature outweighs.
    """
    own = subject.distribution
    masked = any("mask" in name for name in subject.batch.arguments)
    alone = len(tf.nest.flatten(subject.batch.inputs)) == 1
    if masked or not alone:
        return
    if not isinstance(own, distributions.Categorical | distributions.Bernoulli):
        return
    batch, shape = subject.rows(64), (64, *subject.sample_shape)
    if isinstance(own, distributions.Categorical):
        drawn = subject.random.normal(size=shape)
        likely = drawn == drawn.max(axis=own.axis, keepdims=True)
    else:
        likely = subject.random.normal(size=shape) > 0.0
    logits = tf.constant(np.where(likely, EXTREME, -EXTREME), tf.float32)
    call = subject.call(layer, batch.at([logits]), training)
    if not np.array_equal(single(call.sample) > 0.9, likely):
        raise Fault(
            f"logits of ±{EXTREME:g} do not give the "
            f"{'category' if own.event_rank else 'value'} that they leave "
            f"possible in {'training' if training else 'inference'}"
        )


@check(
    "batch size",
    "The batch size may be unknown, and any",
    "take sizes from `tf.shape(x)`: `x.shape[0]` is None in a graph",
)
def batch_size(subject: Subject) -> Finding:
    layer = subject.make()
    batch = subject.rows(4, None)

    def unknown(tensor: tf.Tensor) -> tf.TensorSpec:
        if tensor.shape.rank == 0:
            return tf.TensorSpec([], tensor.dtype)
        return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    @tf.function(
        input_signature=tf.nest.map_structure(unknown, [tuple(batch)]),
        autograph=False,
    )
    def call(given: Any) -> tf.Tensor:
        return subject.call(layer, Batch(*given)).sample

    for size in (4, 3, 1):
        shape = call(tuple(subject.rows(size, None))).shape
        if tuple(shape) != (size, *subject.sample_shape):
            raise Fault(
                f"a batch of {size} gave a sample of shape {tuple(shape)}"
            )
    return Finding("batches of 4, 3 and 1 in one graph")


@check(
    "extremes",
    "Extreme inputs give finite samples and gradients, and what is certain",
    "use tf.nn.softmax and its relatives, once: they subtract the largest "
    "logit; and noise that is bounded away from infinity",
)
def extremes(subject: Subject) -> Finding:
    require_floating(subject)
    layer, batch = subject.make(), subject.rows(64)
    known = isinstance(
        subject.distribution,
        distributions.Categorical | distributions.Bernoulli,
    )
    size = EXTREME if known else 30.0

    def spread(tensor: tf.Tensor) -> tf.Tensor:
        if not tensor.dtype.is_floating:
            return tensor
        values = [-size, 0.0, size]
        if on_simplex(tensor, -1):  # Probabilities, whose extremes are 0 and 1.
            row = np.eye(tensor.shape[-1])
            rows = row[
                subject.random.integers(len(row), size=tensor.shape[:-1])
            ]
            return tf.constant(rows, tensor.dtype)
        if tf.reduce_min(tensor) >= 0.0:  # What may not be negative.
            values = [float(tf.reduce_min(tensor)), size]
        chosen = subject.random.choice(values, size=tensor.shape)
        return tf.constant(chosen, tensor.dtype)

    inputs = tf.nest.map_structure(spread, batch.inputs)
    _, cost, gradients = subject.differentiated(
        layer, batch._replace(inputs=inputs)
    )
    for tensor in (cost, *gradients):
        if tensor is not None and not np.all(np.isfinite(tensor)):
            name = "sample" if tensor is cost else "gradient"
            raise Fault(f"for inputs of ±{size:g} the {name} is not finite")
    _require_likely(subject, layer, training=True)
    return Finding(f"inputs of ±{size:g}")


@check(
    "NaN",
    "A NaN stays in its example, and shows there",
    "compute each example by itself: no maximum, mean or sum over the batch; "
    "if examples are meant to mix, give `per_example=False`",
)
def nan(subject: Subject) -> Finding:
    if not subject.per_example:
        raise NotApplicable("examples are not meant to be by themselves")
    require_floating(subject)
    own = type(subject.layer).__module__.startswith("tfgumbel.")
    if not own and any("Poisson" in op for op in subject.operations()):
        # So it is in TensorFlow 2.21; the layers of this package see to it.
        raise NotApplicable(
            "TensorFlow's Poisson sampler never returns where a rate is NaN"
        )
    layer, batch = subject.make(), subject.rows(64)
    back = subject.repeater(layer)
    bad = np.arange(64) < 8

    def results(given: Batch) -> list[np.ndarray]:
        """Sample, cost and gradients, one row for each example."""
        back()
        call, cost, gradients = subject.differentiated(layer, given)
        parts = [call.sample, cost, *(g for g in gradients if g is not None)]
        return [single(part).reshape(64, -1) for part in parts]

    clean, again = results(batch), results(batch)
    found = results(_poisoned(batch, bad))
    finite = np.all([np.isfinite(p).all(axis=1) for p in found], axis=0)
    spoilt = ~finite
    if all(map(np.array_equal, clean, again)):
        pairs = zip(clean, found, strict=True)
        spoilt |= np.any([np.any(c != f, axis=1) for c, f in pairs], axis=0)
    if np.all(finite[bad]):
        raise Fault("the examples that hold NaN gave finite samples")
    return Finding(
        "examples of 56 that the NaN of others changed",
        float(np.sum(spoilt[~bad])),
    )


def _poisoned(batch: Batch, bad: np.ndarray) -> Batch:
    """The batch with NaN in the floating inputs of some examples."""

    def poison(tensor: tf.Tensor) -> tf.Tensor:
        if not tensor.dtype.is_floating or tensor.shape[:1] != [len(bad)]:
            return tensor
        rows = np.reshape(bad, [-1] + [1] * (tensor.shape.rank - 1))
        return tf.where(rows, tf.constant(np.nan, tensor.dtype), tensor)

    return batch._replace(inputs=tf.nest.map_structure(poison, batch.inputs))


@check(
    "masks",
    "A mask of Keras is passed on",
    "set `self.supports_masking = True`, and leave `compute_mask` alone",
)
def masks(subject: Subject) -> Finding:
    if not subject.layer.supports_masking:
        raise NotApplicable("it does not say `supports_masking`")
    first = tf.nest.flatten(subject.batch.inputs)[0]
    steps = first.shape[1:2] if first.ndim > 2 else None
    has_steps = len(subject.sample_shape) > 1
    has_steps &= subject.sample_shape[:1] == steps
    if not (has_steps and getattr(subject.layer, "return_sequences", True)):
        raise NotApplicable("its inputs, or samples, have no steps")
    layer, batch = subject.make(), subject.rows(4)
    mask = tf.sequence_mask([1] * 4, first.shape[1])
    for tensor in tf.nest.flatten(batch.inputs):
        tensor._keras_mask = mask
    sample = subject.call(layer, batch).sample
    passed = getattr(sample, "_keras_mask", None)
    if passed is None or not np.array_equal(passed, mask):
        raise Fault("the sample has no mask, or another")
    return Finding("it is on the sample")


@check(
    "masked categories",
    "A category that is masked is never drawn",
    "set the logits of masked categories to -inf, and their probability to "
    "zero after the softmax",
)
def masked_categories(subject: Subject) -> Finding:
    mask = subject.batch.arguments.get("category_mask")
    if mask is None or mask.shape[1:] != subject.sample_shape:
        raise NotApplicable("no `category_mask` was given")
    layer, batch = subject.make(), subject.rows(1024, None)
    sample = subject.call(layer, batch).sample
    if not np.all((sample >= 0) & (sample <= 1)):
        raise NotApplicable("its samples are no categories")
    drawn = np.asarray(sample)[~np.asarray(batch.arguments["category_mask"])]
    return Finding(
        "entries of masked categories that are not zero",
        float(np.sum(drawn != 0)),
        0.0,
    )


@check(
    "half precision",
    "In half precision samples are finite, and distributed as in float32",
    "draw and compute in float32 and cast the result: -log(-log(u)) is "
    "infinite where a half-precision u rounds to 0 or 1",
)
def half_precision(subject: Subject) -> Finding:
    halves = [
        _half(subject, dtype)
        for dtype in ("mixed_float16", "float16", "bfloat16")
    ]
    if subject.drifts:
        return Finding("finite; what it draws changes from call to call")
    full = subject.samples(subject.make())
    figures = [_measure.between_means(full, h, 2.0**-8) for h in halves]
    return Finding(
        "distance of the means, in standard errors",
        max(figures),
        _measure.STANDARD_ERRORS,
    )


def _half(subject: Subject, dtype: str) -> np.ndarray:
    """Samples of a layer of this precision, of inputs of this precision."""
    layer = subject.half(dtype)

    def cast(tensor: tf.Tensor) -> tf.Tensor:
        floating = tensor.dtype.is_floating
        return tf.cast(tensor, layer.compute_dtype) if floating else tensor

    def given(batch: Batch) -> Batch:
        return Batch(*tf.nest.map_structure(cast, tuple(batch)))

    def draw(batch: Batch) -> Call:
        return subject.call(layer, given(batch))

    four = subject.rows(4)
    _require_declared(layer, given(four), draw(four))
    sample = subject.collected(lambda batch: draw(batch).sample)
    lost = int(np.sum(~np.isfinite(sample)))
    if lost:
        raise Fault(f"in {dtype} {lost} of {sample.size} are not finite")
    return sample


CHECKS = (
    training,
    inference,
    batch_size,
    extremes,
    nan,
    masks,
    masked_categories,
    half_precision,
)
