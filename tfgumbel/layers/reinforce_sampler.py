"""A sampler trained by the score function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel.estimators import baseline as baselines
from tfgumbel.estimators.distribution import per_example
from tfgumbel.layers import _cost_collector
from tfgumbel.layers._inference import (
    bernoulli_inference,
    categorical_inference,
)
from tfgumbel.layers._stochastic import StochasticLayer
from tfgumbel.layers.reparam_gaussian import gaussian_parameters
from tfgumbel.layers.score_function_cost import cost_with_baseline


class _Distribution(NamedTuple):
    """How to draw from a distribution and score what was drawn."""

    inference: tuple[str, ...]
    check: Callable[[Any], Any]
    draw: Callable[[Any, str, Callable[[], tf.Tensor]], tf.Tensor]
    log_prob: Callable[[Any, tf.Tensor], tf.Tensor]


def _draw_gaussian(
    parameters: Any, mode: str, next_seed: Callable[[], tf.Tensor]
) -> tf.Tensor:
    mean, scale = parameters
    if mode != "sample":
        return mean
    stddev = ops.gaussian_stddev(scale)
    noise = random.normal(tf.shape(mean), next_seed())
    noise = tf.cast(noise, stddev.dtype)
    return tf.cast(mean, stddev.dtype) + stddev * noise


DISTRIBUTIONS = {
    "categorical": _Distribution(
        inference=("mode", "sample", "mean"),
        check=_checks.categorical_logits,
        draw=lambda logits, mode, seed: categorical_inference(
            logits, mode, -1, seed
        ),
        log_prob=ops.categorical_log_prob,
    ),
    "bernoulli": _Distribution(
        inference=("mode", "sample", "mean"),
        check=_checks.bernoulli_logits,
        draw=bernoulli_inference,
        log_prob=ops.bernoulli_log_prob,
    ),
    "gaussian": _Distribution(
        inference=("mode", "sample", "mean"),
        check=gaussian_parameters,
        draw=_draw_gaussian,
        log_prob=lambda parameters, sample: ops.gaussian_log_prob(
            parameters[0], ops.gaussian_stddev(parameters[1]), sample
        ),
    ),
}


@keras.saving.register_keras_serializable(package="tfgumbel")
class ReinforceSampler(StochasticLayer):
    """Exact samples, trained by the score function (REINFORCE).

    Estimates ∇_φ E_{z~q_φ} f(z) by (f(z) - b) ∇_φ log q_φ(z): unbiased, for
    any f, differentiable or not. The sample itself carries no gradient; the
    cost f(z) of each example must be brought to the sampler, in one of these
    ways:

    * inside a `StochasticModel` (or a model with `ScoreFunctionMixin`),
      `compile(loss=...)` and `fit` do it;
    * `return_log_prob=True` returns `(z, log q(z))`, to be joined with the
      cost per example by `ScoreFunctionCost`.

    Trained without either, it raises an error rather than learn nothing.

    Args:
        distribution: `"categorical"` (logits `[B, ..., K]`, one-hot samples),
            `"bernoulli"` (log-odds, zeros and ones), or `"gaussian"` (a pair
            `(mean, log_variance)`).
        baseline: `None`, `"moving_average"`, `"nvil"`, or a Keras layer that
            maps the context to one value per example.
        return_log_prob: Whether to return `(z, log q(z))`.
        inference: What the layer returns when not training: `"mode"` (draws
            nothing), `"sample"`, or `"mean"`.
        normalize: Whether to divide the signal by max(1, √v), v its running
            variance (Mnih & Gregor). It rescales the gradient.
        seed: An integer makes the layer's noise reproducible.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Parameters of the distribution.
        context: What the baseline looks at, `[B, ...]`, usually the model's
            input. `None` stands for the parameters themselves. Its gradient
            is stopped.
        category_mask: Optional boolean mask of legal categories, as in
            `GumbelSoftmax`, for categorical samples. log q(z) is that among
            the legal ones; a row with none gives zeros, and log q = 0.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ...]`; B is the batch of the costs.

    Output shape:
        That of the parameters, in the layer's compute dtype; log q(z), summed
        over the variables of an example, is `[B]` in float32 and in nats.

    Example:

    ```python
    x = keras.Input((64,))
    logits = keras.layers.Reshape((8, 4))(keras.layers.Dense(32)(x))
    z = tg.ReinforceSampler(baseline="nvil")(logits, context=x)
    y = keras.layers.Dense(64)(keras.layers.Flatten()(z))
    model = tg.StochasticModel(x, y)
    model.compile("adam", loss="mse")
    ```

    Reference:
        Williams 1992. Mnih, Gregor. Neural variational inference and learning
        in belief networks. ICML 2014.
    """

    def __init__(
        self,
        distribution: str = "categorical",
        baseline: Any = "nvil",
        return_log_prob: bool = False,
        inference: str = "mode",
        seed: int | None = None,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.distribution = _checks.choice(
            "distribution", distribution, sorted(DISTRIBUTIONS)
        )
        self._family = DISTRIBUTIONS[distribution]
        self.inference = _checks.choice(
            "inference", inference, self._family.inference
        )
        self.return_log_prob = bool(return_log_prob)
        self.normalize = bool(normalize)
        self.baseline = baselines.get(baseline, normalize)

    def build(self, logits_shape: Any, context_shape: Any = None) -> None:
        """Checks the parameters' shape and builds the baseline."""
        if self.distribution == "categorical":
            _checks.categorical_shape(logits_shape, -1)
        if self.baseline is not None and not self.return_log_prob:
            self.baseline.build(
                _context_shape(logits_shape)
                if context_shape is None
                else context_shape
            )
        self.built = True

    def call(
        self,
        logits: Any,
        context: Any = None,
        category_mask: Any = None,
        training: Any = None,
    ) -> Any:
        """Returns a sample, with its log-probability if so configured."""
        unmasked = parameters = self._family.check(logits)
        if category_mask is not None:
            _checks.maskable(self.distribution)
            parameters = ops.mask_logits(parameters, category_mask)
        mode = "sample" if training else self._mode
        sample = self._family.draw(parameters, mode, self.next_seed)
        sample = tf.stop_gradient(ops.mask_sample(sample, category_mask))
        result = tf.cast(sample, self.compute_dtype)
        if self.return_log_prob:
            return result, self._log_prob(parameters, sample)
        if training and self.trainable:
            log_prob = self._log_prob(parameters, sample)
            self._await_cost(log_prob, result, unmasked, context)
        elif training is None and _cost_collector.current() is not None:
            raise ValueError(
                f"ReinforceSampler {self.name!r} was called in a training step "
                "that does not say so, and could not learn. Give the model's "
                "`call` an argument `training` and pass it on. Received: "
                "training=None"
            )
        return result

    def _log_prob(self, parameters: Any, sample: tf.Tensor) -> tf.Tensor:
        log_prob = self._family.log_prob(parameters, sample)
        return tf.cast(per_example(log_prob), tf.float32)

    def _await_cost(
        self, log_prob: Any, result: tf.Tensor, parameters: Any, context: Any
    ) -> None:
        collector = _cost_collector.current()
        if collector is None:
            raise RuntimeError(
                f"ReinforceSampler {self.name!r} was called with training=True "
                "where nothing feeds it the cost of each example, so it could "
                "not learn. Use it inside a `tfgumbel.StochasticModel` (or a "
                "model with `ScoreFunctionMixin`) and train with `fit`; or "
                "set `return_log_prob=True` and join cost and log-probability "
                "with `ScoreFunctionCost`; or, to draw without training, use "
                '`inference="sample"` with training=False, or set '
                "`trainable=False`."
            )
        learned = None
        if self.baseline is not None:
            if context is None:
                context = _parameters_as_context(parameters)
            learned = self.baseline(context)

        def surrogate(cost: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
            return cost_with_baseline(
                cost, log_prob, self.baseline, learned, weights
            )

        collector.add(
            _cost_collector.Draw(self.name, result, log_prob, surrogate)
        )

    def compute_output_spec(
        self,
        logits: Any,
        context: Any = None,
        category_mask: Any = None,
        training: Any = None,
    ) -> Any:
        """Returns the sample's spec, and that of log q(z) if returned."""
        tensor = logits
        if self.distribution == "gaussian":
            tensor, _ = gaussian_parameters(logits)
        _checks.floating("logits", tensor.dtype)
        if self.distribution == "categorical":
            _checks.categorical_shape(tensor.shape, -1)
        sample = keras.KerasTensor(tensor.shape, dtype=self.compute_dtype)
        if not self.return_log_prob:
            return sample
        return sample, keras.KerasTensor(tensor.shape[:1], dtype="float32")

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns no mask: the sample is summed over the whole example."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": self.distribution,
            "baseline": baselines.serialize(self.baseline),
            "return_log_prob": self.return_log_prob,
            "inference": self.inference,
            "normalize": self.normalize,
        }


def _parameters_as_context(parameters: Any) -> tf.Tensor:
    tensors = [tf.cast(t, tf.float32) for t in tf.nest.flatten(parameters)]
    flat = [keras.ops.reshape(t, (-1, _size(t.shape))) for t in tensors]
    return tf.concat(flat, axis=1)


def _context_shape(parameters_shape: Any) -> tuple[int | None, int]:
    shape = tuple(parameters_shape)
    pair = bool(shape) and isinstance(shape[0], (tuple, list))
    shapes = shape if pair else (shape,)
    return (shapes[0][0], sum(_size(s) for s in shapes))


def _size(shape: Any) -> int:
    sizes = tuple(shape)[1:]
    if None in sizes:
        raise ValueError(
            "A baseline needs a context whose axes, save that of the batch, "
            f"have known sizes. Received: parameters of shape {tuple(shape)}. "
            "Pass another `context`, or use baseline=None or "
            '"moving_average".'
        )
    result = 1
    for size in sizes:
        result *= size
    return result
