"""The straight-through family on the categorical VAEs of two papers.

Both have grey levels as the targets of a binary cross-entropy summed over the
pixels, a uniform prior, the KL divergence in closed form, encoder 784-512-256
and decoder 256-512-784. RESULTS.md says what the figure is.

`8x4` is the set-up of Liu et al. 2023 (8 classes, 4 variables): ReLU, batch
100, Adam, 160 epochs, and for ReinMax, ST-Gumbel and ST the learning rates and
temperatures of their code; those of the rest are ours. `32x16` is that of
Hooper & Shekhovtsov 2026 (32 variables of 16 classes): LeakyReLU(0.2), batch
200, AdamW, learning rate warmed up over the first 2 % of the run, to 1e-3, and
annealed to 0 on a cosine, 500 epochs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks, _runner, _training
from benchmarks._runner import Arguments, Options, Row
from benchmarks._training import Trainer
from tfgumbel import estimators, ops
from tfgumbel.diagnostics.estimates import seeded, step_seed


class Setup(NamedTuple):
    """What the estimators of one paper share."""

    variables: int
    classes: int
    batch: int
    steps: int
    slope: float
    """Of the activation, for negative inputs."""
    adamw: bool
    estimators: dict[str, tuple[Row, float]]
    """What each is made with, and its learning rate."""


LIU = {
    "reinmax": ({"temperature": 1.3}, 5e-4),
    "st_gumbel": ({"temperature": 0.5}, 3e-4),
    "st": ({"temperature": 1.3}, 1e-3),
    "gumbel_rao": ({"temperature": 0.5}, 5e-4),
    "zgr": ({}, 5e-4),
    "gapped": ({"temperature": 0.5}, 5e-4),
    "mve": ({"temperature": 1e6}, 5e-4),
}
HOOPER = {
    "reinmax": ({"temperature": 1.2}, 1e-3),
    "st": ({"temperature": 1.0}, 1e-3),
    "st_gumbel": ({"temperature": 0.5}, 1e-3),
    "zgr": ({}, 1e-3),
    "gumbel_rao": ({"temperature": 0.5, "noise_samples": 20}, 1e-3),
    "gapped": ({"temperature": 0.5}, 1e-3),
    "mve": ({"temperature": 1e6}, 1e-3),
}
SETUPS = {
    "8x4": Setup(4, 8, 100, 96_000, 0.0, False, LIU),
    "32x16": Setup(32, 16, 200, 150_000, 0.2, True, HOOPER),
}


class Vae(_networks.AutoEncoder):
    """A categorical VAE, and its negative bound through an estimator."""

    def __init__(self, setup: Setup, hidden: Sequence[int]) -> None:
        self.code = (setup.variables, setup.classes)
        # U(±1/√fan_in), from which the authors' framework starts.
        start = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        super().__init__(hidden, math.prod(self.code), setup.slope, start)

    def loss(
        self, estimator: estimators.Estimator, images: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """-ELBO per image, whose gradient is the estimator's."""
        logits = tf.reshape(self.encoder(images), [-1, *self.code])

        def cost(z: tf.Tensor) -> tf.Tensor:
            pixels = self.decoder(tf.reshape(z, [-1, math.prod(self.code)]))
            return _networks.reconstruction(pixels, images)

        divergence = tf.reduce_sum(ops.categorical_kl(logits), axis=1)
        return estimator(cost, logits, seed, images) + divergence


def optimizer(
    setup: Setup, learning_rate: float, steps: int
) -> keras.optimizers.Optimizer:
    """The paper's; a schedule is stretched over the steps."""
    if not setup.adamw:
        return keras.optimizers.Adam(learning_rate, epsilon=1e-8)
    warmup = max(1, steps // 50)
    rises = {"warmup_target": learning_rate, "warmup_steps": warmup}
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-3 * learning_rate, max(1, steps - warmup), **rises
    )
    return keras.optimizers.AdamW(schedule, weight_decay=0.01, epsilon=1e-8)


def bound(vae: Vae, images: np.ndarray, xla: bool) -> float:
    """The mean 1-sample -ELBO on the images, one exact draw for each."""
    exact = estimators.get("reinforce")

    def terms(rows: tf.Tensor, _: Any, samples: int, seed: Any) -> tf.Tensor:
        return -vae.loss(exact, rows / 255.0, seed)[None]

    return _networks.negative_bound(terms, images, images, 1, xla=xla)[0]


def run(label: str, seed: int, data: _mnist.Data, options: Options) -> Row:
    """One estimator, one seed."""
    setup = SETUPS[options.setup]
    made, usual = setup.estimators[label]
    rate = options.learning_rate or usual
    with seeded(seed):
        vae = Vae(setup, options.hidden)
        estimator = estimators.get(label, **made)
        estimator.build((None, *vae.code), (None, 784))

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        grey = tf.cast(batch[0], tf.float32) / 255.0
        cost = vae.loss(estimator, grey, step_seed(seed, step))
        return tf.reduce_mean(cost)

    trainer = Trainer(
        loss,
        _mnist.feed([data["x_train"]], setup.batch, seed),
        [(optimizer(setup, rate, options.steps), vae.weights)],
        xla=options.xla,
    )
    facts = {
        "setup": options.setup,
        "estimator": label,
        "arguments": made,
        "learning_rate": rate,
        "seed": seed,
        "batch": setup.batch,
        "evaluations": estimator.evaluations,
        "treatment": "grey levels",
        "bound": "1-sample -ELBO on the training images",
    }
    key = f"{options.setup}/{label}/seed {seed}"
    if setup.adamw:
        key += f"/{options.steps} steps"
    if rate != usual:
        key += f"/rate {rate:g}"

    def final(curve: Row) -> Row:
        parts = "train", "test"
        return {k: bound(vae, data[f"x_{k}"], options.xla) for k in parts}

    return _training.train(trainer, key, facts, options, dict, final)


def main(arguments: Arguments = None) -> Row:
    """Trains what the JSON does not hold yet."""
    made = "straight_through_vae", __doc__, LIU, None, 500
    parser = _training.parser(*made, seeds=(0, 1, 2))
    parser.add_argument("--setup", choices=SETUPS, default="8x4")
    parser.add_argument("--learning-rate", type=float)
    parser.add_defaults(hidden=[512, 256])
    options = _runner.parse(parser, arguments)
    options.steps = options.steps or SETUPS[options.setup].steps
    data = _mnist.load(options.mnist)
    for seed, label in itertools.product(options.seeds, options.estimators):
        run(label, seed, data, options)
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
