"""Built-in problems: what `python -m tfgumbel compare` trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfgumbel import ops, random
from tfgumbel.diagnostics.estimates import seeded
from tfgumbel.estimators import CostFn, Estimator, get, tile_context


class Problem:
    """A model with Bernoulli logits, a cost of their sample, and data.

    Minimised is the mean over examples of E f(z) + penalty(logits).

    Attributes:
        title: One line that says what is minimised.
        cost_name: Name of `evaluate`, with its unit.
        learning_rate: Of the model's weights, under Adam.
        control_rate: Of the control variates trained along with it.
        frozen_rate: Of control variates trained at fixed logits.
        train_steps: Steps to train those.
        steps: Steps of a usual training run.
        variables: The model's trainable weights.
        probe: The examples whose gradients are measured.
    """

    distribution: ClassVar[str] = "bernoulli"
    title: str
    cost_name = "cost E f"
    learning_rate = 0.01
    control_rate = 0.01
    frozen_rate = 0.05
    train_steps = 500
    steps = 5000
    variables: Sequence[keras.Variable]
    probe: Any

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        """The examples of this step, the same ones in every run."""
        raise NotImplementedError

    def logits(self, examples: tf.Tensor) -> tf.Tensor:
        """Logits of q(z|x), `[B, D]`."""
        raise NotImplementedError

    def cost_fn(self, examples: tf.Tensor) -> CostFn:
        """The cost f of samples drawn for these examples."""
        raise NotImplementedError

    def penalty(self, logits: tf.Tensor) -> tf.Tensor:
        """What is added to E f(z) in closed form, `[B]`."""
        return tf.zeros(tf.shape(logits)[:1])

    def context(self, examples: tf.Tensor) -> Any:
        """What baselines look at; `None` for the logits."""
        return None

    def evaluate(self) -> float:
        """The cost that training is to lower."""
        raise NotImplementedError

    def estimator(self, name: str, seed: int, **options: Any) -> Estimator:
        """An estimator for it, built, with weights that the seed decides."""
        context = self.context(self.probe)
        with seeded(seed):
            made = get(name, distribution=self.distribution, **options)
            shape = self.logits(self.probe).shape
            made.build(shape, getattr(context, "shape", None))
        return made


class Quadratic(Problem):
    """E f(b), f(b) = 1/D Σ_d (b_d - t)², b_d ~ Bernoulli(sigmoid(φ_d)).

    φ starts at zero. For t < ½ the minimum is at θ_d = sigmoid(φ_d) = 0 with
    f = t². D = 1 is the toy problem of REBAR (t = 0.45) and RELAX (t =
    0.499); D = 200 with t = 0.499 is like the one of double control variates.

    Args:
        variables: D.
        target: t.

    Reference:
        Tucker et al. 2017, Grathwohl et al. 2018 (see `REBAR`, `RELAX`).
        Titsias, Shi. Double control variates for gradient estimation in
        discrete latent variable models. AISTATS 2022.
    """

    def __init__(self, variables: int = 200, target: float = 0.499) -> None:
        self.title = (
            f"E 1/D sum_d (b_d - {target:g})^2, D = {variables}, from "
            "probability 1/2"
        )
        self.target = target
        self.phi = keras.Variable(np.zeros([1, variables], "float32"))
        self.variables = [self.phi]
        self.probe = tf.zeros([1])
        if variables == 1:  # REBAR's η and τ have a long way to go.
            self.frozen_rate, self.train_steps = 0.2, 4000

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        return tf.zeros([1])

    def logits(self, examples: tf.Tensor) -> tf.Tensor:
        return tf.convert_to_tensor(self.phi)

    def cost_fn(self, examples: tf.Tensor) -> CostFn:
        return lambda z: tf.reduce_mean(tf.square(z - self.target), axis=1)

    def context(self, examples: tf.Tensor) -> Any:
        return examples[:, None]  # A constant: there is no input.

    def evaluate(self) -> float:
        theta = tf.sigmoid(self.phi.value)
        on, off = (1.0 - self.target) ** 2, self.target**2
        return float(tf.reduce_mean(theta * on + (1.0 - theta) * off))


class DigitsVae(Problem):
    """-ELBO of a VAE on scikit-learn's 8x8 digits, in nats.

    20 Bernoulli variables. -log p(x|z), the binary cross-entropy of grey levels
    in [0, 1] summed over pixels, plus KL(q(z|x) ‖ fair coins) in closed form.
    Encoder 64-64-20 and decoder 20-64-64 with ReLU, 1500 images to train, 50
    per step. `evaluate` is the bound on the other 297, with 10 exact samples
    for each.
    """

    cost_name = "test -ELBO (nats)"
    title = "-ELBO (nats) of a VAE with 20 Bernoulli variables on 8x8 digits"
    learning_rate = 1e-3
    control_rate = 1e-2
    steps = 4000

    def __init__(self, bits: int = 20, hidden: int = 64) -> None:
        images = _digits()
        self.images = tf.constant(images[:1500])
        self.probe = tf.constant(images[:20])
        self._test = tf.constant(np.tile(images[1500:], [10, 1]))
        self.encoder = _network(64, hidden, bits)
        self.decoder = _network(bits, hidden, 64)
        self.variables = [
            *self.encoder.trainable_variables,
            *self.decoder.trainable_variables,
        ]
        self._bound = tf.function(self._test_bound, autograph=False)

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([tf.cast(step, tf.int64), tf.constant(50, tf.int64)])
        rows = random.uniform([50], seed) * float(len(self.images))
        return tf.gather(self.images, tf.cast(rows, tf.int32))

    def logits(self, examples: tf.Tensor) -> tf.Tensor:
        return self.encoder(examples)

    def cost_fn(self, examples: tf.Tensor) -> CostFn:
        def cost(z: tf.Tensor) -> tf.Tensor:
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(
                labels=tile_context(examples, z), logits=self.decoder(z)
            )
            return tf.reduce_sum(entropy, axis=1)

        return cost

    def penalty(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(ops.bernoulli_kl(logits), axis=1)

    def context(self, examples: tf.Tensor) -> Any:
        return examples

    def evaluate(self) -> float:
        return float(self._bound())

    def _test_bound(self) -> tf.Tensor:
        logits = self.encoder(self._test)
        bits = random.bernoulli(logits, [297, 10])
        cost = self.cost_fn(self._test)(bits)
        return tf.reduce_mean(cost + self.penalty(logits))


def _network(inputs: int, hidden: int, outputs: int) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input([inputs]),
            keras.layers.Dense(hidden, activation="relu", dtype="float32"),
            keras.layers.Dense(outputs, dtype="float32"),
        ]
    )


def _digits() -> np.ndarray:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn: `pip install scikit-learn`"
        ) from error
    images = load_digits().data.astype("float32") / 16.0
    return images[np.random.default_rng(0).permutation(len(images))]
