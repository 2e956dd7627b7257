"""The score-function estimator as a layer on per-example costs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, estimators, ops
from tfgumbel._precision import in_working_precision
from tfgumbel.layers import _graphs
from tfgumbel.layers._stochastic import CalledOnce


@keras.saving.register_keras_serializable(package="tfgumbel")
class ScoreFunctionCost(CalledOnce):
    """Per-example cost in, the same value out, with the REINFORCE gradient.

    Estimates ∇_φ E_{z~q_φ} f(z) by (f(z) - b) ∇_φ log q_φ(z): unbiased for
    any f, differentiable or not, and any baseline b that does not depend on
    z. Gradients of f with respect to its own weights pass through as usual.
    Put it at the end of a graph, on the cost per example, and train with
    `tg.losses.MeanCost()`; `fit` and `evaluate` report the true cost.

    Of several samplers that share a cost give it the sum of their
    log-probabilities. A step that calls the layer several times uses in each
    call what the baseline knew before the first, in a graph and outside its
    loops; elsewhere a later call knows the costs of an earlier one, which is a
    bias where they are of one example.

    Args:
        baseline: `None`; `"moving_average"` of past costs; `"nvil"`, a
            network of the context with running centring; `"leave_one_out"`,
            the mean cost of the other examples; or a Keras layer
            that maps the context to one value per example. A learned
            baseline is trained by the same backward pass, by least squares,
            and sends no gradient to its context.
        normalize: Whether to divide the signal by max(1, √v), v its running
            variance (Mnih & Gregor). It rescales the gradient.
        **kwargs: As in `keras.layers.Layer`. The default dtype is float32,
            also under a mixed-precision policy.

    Call arguments:
        cost: f(z) per example.
        log_prob: log q(z) per example in nats.
        context: What the baseline may look at, `[B, ...]`; needed by a
            baseline with a network.
        training: Whether the running statistics of the baseline are updated.

    Input shape:
        Two tensors `[B]`, and the context.

    Output shape:
        `[B]`.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> cost, log_prob = tf.constant([3.0, 4.0]), tf.constant([-0.7, -1.2])
    >>> tg.ScoreFunctionCost()(cost, log_prob).numpy()
    array([3., 4.], dtype=float32)

    Reference:
        Williams 1992. Mnih, Gregor. Neural variational inference and learning
        in belief networks. ICML 2014.
    """

    def __init__(
        self, baseline: Any = None, normalize: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(autocast=False, **kwargs)
        self.baseline = estimators.get_baseline(baseline, normalize)
        self.normalize = bool(normalize)
        if self.baseline is None or self.baseline.network is None:
            self.build(None)  # so that a `train_step` may be the first to call

    def build(
        self,
        cost_shape: Any,
        log_prob_shape: Any = None,
        context_shape: Any = None,
    ) -> None:
        """Builds the baseline for contexts of this shape."""
        if self.baseline is not None and not self.baseline.built:
            self.baseline.build(context_shape)
        self.built = True

    def call(
        self,
        cost: Any,
        log_prob: Any,
        context: Any = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Returns the cost, with the gradient attached while training."""
        _checks.one_tensor("context", context)
        self.refuse_vectorized_map(
            "attaches a gradient", "a tape around it sees none"
        )
        cost = in_working_precision(_checks.per_example("cost", cost))
        log_prob = _checks.per_example("log_prob", log_prob)
        surrogate = self._surrogate(cost, log_prob, context, training)
        return tf.cast(surrogate, self.compute_dtype)

    def _surrogate(
        self, cost: tf.Tensor, log_prob: tf.Tensor, context: Any, training: Any
    ) -> tf.Tensor:
        if self.baseline is not None:
            self.warn_if_recorded(training, [cost, log_prob])
        if self.baseline is None or not training:
            return ops.score_function_cost(cost, log_prob)
        if context is None:
            if self.baseline.network is not None:
                raise ValueError(
                    "Argument `context` is what the baseline "
                    f"{self.baseline.network.name!r} predicts the cost from. "
                    "Received: context=None"
                )
            context = cost
        _checks.context(context.shape, log_prob.shape[0])
        if self.baseline.decay is not None or self.baseline.normalize:
            self.refuse_rematerialisation("averages costs", "do so twice")
        # Before any cost of this batch, if this is not the first call on it.
        before = _graphs.once(self.baseline, self.baseline.statistics)
        surrogate, signal = self.baseline.attached(
            cost, log_prob, self.baseline(context), None, before
        )
        self.baseline.observe(signal)
        return surrogate

    def compute_output_spec(
        self,
        cost: Any,
        log_prob: Any,
        context: Any = None,
        training: Any = None,
    ) -> keras.KerasTensor:
        """Returns `[B]`, in the compute dtype."""
        _checks.per_example_spec("cost", cost)
        _checks.per_example_spec("log_prob", log_prob)
        return keras.KerasTensor(cost.shape, dtype=self.compute_dtype)

    def compute_output_shape(
        self, cost_shape: Any, *others_shape: Any
    ) -> tuple:
        """Returns `[B]`."""
        return tuple(cost_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "baseline": estimators.serialize_baseline(self.baseline),
            "normalize": self.normalize,
        }
