"""Permutations of n items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgumbel import _checks, ops, random
from tfgumbel._precision import in_working_precision, nan_values
from tfgumbel.distributions import Permutation
from tfgumbel.layers._stochastic import SamplingLayer, TemperatureLayer

RELAXATIONS = ("soft_sort", "neural_sort", "sinkhorn")


@keras.saving.register_keras_serializable(package="tfgumbel")
class PermutationSampler(TemperatureLayer, SamplingLayer):
    """An order of n items, as a permutation matrix.

    Row t of a sample P says which item stands at place t, so that P x are the
    items x in order. From scores, `[B, n]`, it is the descending order of
    scores + Gumbel noise, an exact sample of the Plackett-Luce distribution;
    from a matrix of scores of item j at place t, `[B, n, n]`, it is the
    permutation of the largest total of scores + Gumbel noise.

    The gradient is that of a relaxed matrix at temperature τ:

    | relaxation | input | relaxed matrix |
    |---|---|---|
    | `"soft_sort"` | scores | rows are softmaxes of distances |
    | `"neural_sort"` | scores | rows are softmaxes; finite scores only |
    | `"sinkhorn"` | matrix | nearly doubly stochastic, by `iterations` |

    It is straight-through with `hard=True`, where the value is the permutation
    itself, and pathwise with `hard=False`. It is biased for the permutation,
    less so as τ falls, at the cost of variance. What follows must be
    differentiable; `ReinforceSampler("permutation")` is for any other cost.

    The permutation of a matrix is found by `ops.maximal_matching`, in O(n³)
    operations of the graph, one small step after the other: for tens of items
    rather than hundreds.

    Args:
        relaxation: One of the table.
        temperature: τ > 0: a number, or a schedule `step -> τ`, as in
            `GumbelSoftmax`.
        hard: Whether training samples are permutations.
        iterations: How many times `"sinkhorn"` normalises rows and columns.
        inference: What the layer returns when not training: `"mode"` (the
            order or matching without noise; draws nothing), `"sample"`, or
            `"relaxed"` (as in training).
        seed: An integer makes the layer's noise reproducible.
        backward_temperature: Another τ for the gradient, as in
            `GumbelSoftmax`.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        logits: Scores, floating.
        training: Whether to draw a training sample.

    Input shape:
        `[B, ..., n]` with n ≥ 2, or `[B, ..., n, n]` for `"sinkhorn"`.

    Output shape:
        `[B, ..., n, n]`, in the layer's compute dtype. All is computed in
        float32 whatever the policy.

    Raises:
        ValueError: If the relaxation is unknown, or the matrix not square.

    Example:

    >>> import tensorflow as tf, tfgumbel as tg
    >>> layer = tg.PermutationSampler()
    >>> scores, x = tf.constant([[0.0, 2.0, 1.0]]), tf.constant([[3.0, 5, 4]])
    >>> tf.linalg.matvec(layer(scores), x).numpy()
    array([[5., 4., 3.]], dtype=float32)

    Reference:
        Grover, Wang, Zweig, Ermon. Stochastic optimization of sorting networks
        via continuous relaxations. ICLR 2019. Prillo, Eisenschlos. SoftSort.
        ICML 2020. Mena, Belanger, Linderman, Snoek. Learning latent
        permutations with Gumbel-Sinkhorn networks. ICLR 2018.
    """

    training_modes = ("relaxed",)
    distribution: Permutation

    def __init__(
        self,
        relaxation: str = "soft_sort",
        temperature: Any = 1.0,
        *,
        hard: bool = True,
        iterations: int = 100,
        inference: str = "mode",
        seed: int | None = None,
        backward_temperature: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(Permutation(), inference, seed=seed, **kwargs)
        self.relaxation = _checks.choice("relaxation", relaxation, RELAXATIONS)
        self.iterations = _checks.positive_integer("iterations", iterations)
        self.hard = bool(hard)
        self.add_temperatures(temperature, backward_temperature)

    @property
    def inference_modes(self) -> Sequence[str]:
        """Admitted values of `inference`, the default first."""
        return ("mode", "sample", "relaxed")

    @property
    def training_distribution(self) -> Permutation | None:
        """Plackett-Luce, where training samples are permutations of it."""
        exact = self.hard and self.relaxation != "sinkhorn"
        return self.distribution if exact else None

    def build(self, logits_shape: Any) -> None:
        """Checks the shape of the scores."""
        self.compute_output_shape(logits_shape)
        self.built = True

    def call(self, logits: Any, training: Any = None) -> tf.Tensor:
        """Returns a permutation matrix, or a relaxed one."""
        logits = _checks.floating_tensor("logits", logits)
        if self.trains(training, logits):
            sample = self._relaxed(logits, training)
        else:
            logits = tf.stop_gradient(logits)
            noise = tf.zeros(tf.shape(logits))
            if self.mode == "sample":
                noise = random.gumbel(tf.shape(logits), self.next_seed())
            sample = self._hardened(logits, noise)
        return tf.cast(sample, self.compute_dtype)

    def _relaxed(self, logits: tf.Tensor, training: Any) -> tf.Tensor:
        temperature, backward = self.temperatures(training)
        noise = random.gumbel(tf.shape(logits), self.next_seed())
        options: dict[str, Any] = {
            "temperature": temperature,
            "hard": self.hard,
            "backward_temperature": backward,
        }
        if self.relaxation == "sinkhorn":
            options["iterations"] = self.iterations
            return ops.gumbel_sinkhorn(logits, noise, **options)
        if self.relaxation == "soft_sort":
            return ops.soft_sort(logits, noise, **options)
        return ops.neural_sort(logits, noise, **options)

    def _hardened(self, logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """The permutation of logits + noise."""
        if self.relaxation != "sinkhorn":
            (scores,) = self.distribution.constrain(logits)
            return self.distribution.harden(
                scores + tf.cast(noise, scores.dtype)
            )
        scores = in_working_precision(logits)
        scores += tf.cast(noise, scores.dtype)
        order = ops.maximal_matching(scores)
        matrix = ops.permutation_matrix(order, dtype=scores.dtype)
        # An example with NaN is NaN.
        total = tf.reduce_sum(scores, axis=[-2, -1], keepdims=True)
        return matrix + nan_values(total)

    def compute_output_shape(self, logits_shape: Any) -> tuple:
        """Returns `[B, ..., n, n]`."""
        shape = tuple(logits_shape)
        if self.relaxation != "sinkhorn":
            self.distribution.check_shapes([logits_shape])
            return self.distribution.sample_shape([shape])
        # One of the two sizes that is known is the other's, too.
        sizes = set(shape[-2:]) - {None}
        if len(shape) < 3 or len(sizes) != 1 or sizes == {0}:
            raise ValueError(
                "Argument `logits` must hold square matrices, [B, ..., n, n], "
                "with n known, for relaxation='sinkhorn'. Received: logits of "
                f"shape {shape}"
            )
        return (*shape[:-2], *sizes, *sizes)

    def compute_output_spec(self, logits: Any, training: Any = None) -> Any:
        """Returns a matrix for each list, in the compute dtype."""
        _checks.floating("logits", logits.dtype)
        shape = self.compute_output_shape(logits.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "relaxation": self.relaxation,
            "iterations": self.iterations,
            "hard": self.hard,
        }
