"""The straight-through family on the categorical VAEs of two papers.

    python -m benchmarks.straight_through_vae [--mnist FILE] [--setup 8x4]
        [--estimators NAME ...] [--seeds 0 1 2] [--steps N] [--out FILE]

Both train on the 60,000 images of MNIST with grey levels as the targets of a
binary cross-entropy summed over the pixels, a uniform prior, the KL divergence
in closed form, encoder 784-512-256 and decoder 256-512-784. The figure is the
1-sample -ELBO on the training images, in nats, with exact one-hot samples.

`8x4` is the set-up of Liu et al. 2023 (8 classes, 4 variables): ReLU, batch
100, Adam, 160 epochs = 96,000 steps, and for ReinMax, ST-Gumbel and ST the
learning rates and temperatures of their code; those of the rest are ours.

`32x16` is that of Hooper & Shekhovtsov 2026 (32 variables of 16 classes):
LeakyReLU(0.2), batch 200, AdamW, learning rate warmed up over the first 2 %
of the run and annealed to 0 on a cosine, 500 epochs = 150,000 steps. A run of
fewer steps has the same schedule, stretched over its steps. Their learning
rate is the best of five for each estimator; ours is 1e-3 for all.

Runs go on where they stopped; `--setup`, `--estimators` and `--seeds` split
the work, and every run is one entry of the JSON.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist
from benchmarks._training import STATE, Group, Record, Trainer, train
from tfgumbel import estimators, ops
from tfgumbel.diagnostics.estimates import seeded, step_seed

OUT = Path(__file__).parent / "results" / "straight_through_vae.json"


class Choice(NamedTuple):
    """An estimator, what it is made with, and its learning rate."""

    name: str
    arguments: dict[str, Any]
    learning_rate: float


class Setup(NamedTuple):
    """What the estimators of one paper share."""

    variables: int
    classes: int
    batch: int
    steps: int
    slope: float
    """Of the activation, for negative inputs."""
    adamw: bool
    estimators: dict[str, Choice]


LIU = {
    "reinmax": Choice("reinmax", {"temperature": 1.3}, 5e-4),
    "st_gumbel": Choice("st_gumbel", {"temperature": 0.5}, 3e-4),
    "st": Choice("st", {"temperature": 1.3}, 1e-3),
    "gumbel_rao": Choice("gumbel_rao", {"temperature": 0.5}, 5e-4),
    "zgr": Choice("zgr", {}, 5e-4),
    "gapped": Choice("gapped", {"temperature": 0.5}, 5e-4),
    "mve": Choice("mve", {"temperature": 1e6}, 5e-4),
}
HOOPER = {
    "reinmax": Choice("reinmax", {"temperature": 1.2}, 1e-3),
    "st": Choice("st", {"temperature": 1.0}, 1e-3),
    "st_gumbel": Choice("st_gumbel", {"temperature": 0.5}, 1e-3),
    "zgr": Choice("zgr", {}, 1e-3),
    "gumbel_rao": Choice(
        "gumbel_rao", {"temperature": 0.5, "noise_samples": 20}, 1e-3
    ),
    "gapped": Choice("gapped", {"temperature": 0.5}, 1e-3),
    "mve": Choice("mve", {"temperature": 1e6}, 1e-3),
}
SETUPS = {
    "8x4": Setup(4, 8, 100, 96_000, 0.0, False, LIU),
    "32x16": Setup(32, 16, 200, 150_000, 0.2, True, HOOPER),
}


class Vae:
    """Encoder, decoder, and the negative bound through an estimator.

    Args:
        variables: D, categorical variables of the code.
        classes: K, classes of each.
        hidden: Units of the encoder's hidden layers; the decoder reverses
            them.
        slope: Of the activation, for negative inputs; 0 is ReLU.
        pixels: Size of an image.
    """

    def __init__(
        self,
        variables: int,
        classes: int,
        hidden: Sequence[int] = (512, 256),
        slope: float = 0.0,
        pixels: int = 784,
    ) -> None:
        self.code = (variables, classes)
        size = variables * classes
        self.encoder = _perceptron([pixels, *hidden, size], slope)
        self.decoder = _perceptron([size, *hidden[::-1], pixels], slope)
        self.weights = [
            *self.encoder.trainable_variables,
            *self.decoder.trainable_variables,
        ]

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Logits of q(z|x), `[B, D, K]`."""
        return tf.reshape(self.encoder(images), [-1, *self.code])

    def loss(
        self, estimator: estimators.Estimator, images: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """-ELBO per image, whose gradient is the estimator's."""
        logits = self.logits(images)

        def cost(z: tf.Tensor) -> tf.Tensor:
            pixels = self.decoder(tf.reshape(z, [-1, np.prod(self.code)]))
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(
                labels=estimators.tile_context(images, z), logits=pixels
            )
            return tf.reduce_sum(entropy, axis=1)

        divergence = tf.reduce_sum(ops.categorical_kl(logits), axis=1)
        return estimator(cost, logits, seed, images) + divergence


def _perceptron(sizes: Sequence[int], slope: float) -> keras.Sequential:
    layers: list[keras.layers.Layer] = [keras.Input([sizes[0]])]
    for size in sizes[1:-1]:
        layers.append(keras.layers.Dense(size, kernel_initializer=_torch(1)))
        layers.append(keras.layers.LeakyReLU(slope))
    layers.append(keras.layers.Dense(sizes[-1], kernel_initializer=_torch(1)))
    return keras.Sequential(layers)


def _torch(scale: float) -> keras.initializers.Initializer:
    """The weights that the authors' framework starts from: U(±1/√fan_in)."""
    return keras.initializers.VarianceScaling(scale / 3.0, "fan_in", "uniform")


def optimizer(
    setup: Setup, learning_rate: float, steps: int
) -> keras.optimizers.Optimizer:
    """The paper's; a schedule is stretched over the steps."""
    if not setup.adamw:
        return keras.optimizers.Adam(learning_rate, epsilon=1e-8)
    warmup = max(1, steps // 50)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-3 * learning_rate,
        max(1, steps - warmup),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=0.01, epsilon=1e-8)


def bound(
    vae: Vae, estimator: estimators.Estimator, images: np.ndarray
) -> Callable[[], float]:
    """The mean 1-sample -ELBO on the images, one draw for each."""
    exact = estimators.get("reinforce")

    @tf.function(autograph=False)
    def part(rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        grey = tf.cast(rows, tf.float32) / 255.0
        return tf.reduce_sum(vae.loss(exact, grey, seed))

    def mean() -> float:
        parts = [images[i : i + 1000] for i in range(0, len(images), 1000)]
        sums = [
            float(part(tf.constant(rows), step_seed(7, i)))
            for i, rows in enumerate(parts)
        ]
        return sum(sums) / len(images)

    return mean


def run(
    name: str,
    label: str,
    seed: int,
    images: tuple[np.ndarray, np.ndarray],
    options: argparse.Namespace,
    record: Record,
) -> dict[str, Any]:
    """One estimator, one seed."""
    setup = SETUPS[name]
    choice = setup.estimators[label]
    steps = options.steps or setup.steps
    rate = options.learning_rate or choice.learning_rate
    with seeded(seed):
        vae = Vae(setup.variables, setup.classes, options.hidden, setup.slope)
        estimator = estimators.get(choice.name, **choice.arguments)
        estimator.build((None, *vae.code), (None, 784))

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        grey = tf.cast(batch[0], tf.float32) / 255.0
        cost = vae.loss(estimator, grey, step_seed(seed, step))
        return tf.reduce_mean(cost)

    trainer = Trainer(
        loss,
        _mnist.feed([images[0]], setup.batch, seed),
        [Group(optimizer(setup, rate, steps), vae.weights)],
        xla=options.xla,
    )
    facts = {
        "setup": name,
        "estimator": label,
        "arguments": choice.arguments,
        "learning_rate": rate,
        "seed": seed,
        "batch": setup.batch,
        "evaluations": estimator.evaluations,
        "treatment": "grey levels",
        "bound": "1-sample -ELBO on the training images",
    }
    key = f"{name}/{label}/seed {seed}"
    if setup.adamw:
        key += f"/{steps} steps"
    if rate != choice.learning_rate:
        key += f"/rate {rate:g}"
    train_bound = bound(vae, estimator, images[0])
    test_bound = bound(vae, estimator, images[1])
    return train(
        trainer,
        record,
        key,
        facts,
        steps,
        options.every,
        lambda: {},
        lambda: {"train": train_bound(), "test": test_bound()},
        options.state,
    )


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what the JSON does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--mnist", metavar="FILE")
    add("--setup", choices=SETUPS, default="8x4")
    add("--estimators", nargs="+", choices=LIU, metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--steps", type=int)
    add("--learning-rate", type=float)
    add("--every", type=int, default=500)
    add("--hidden", nargs="+", type=int, default=[512, 256])
    add("--no-xla", dest="xla", action="store_false")
    add("--state", type=Path, default=STATE / "straight_through_vae")
    add("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    data = _mnist.load(options.mnist)
    images = data["x_train"], data["x_test"]
    labels = options.estimators or list(SETUPS[options.setup].estimators)
    record = Record(options.out, command(options, labels))
    for seed, label in itertools.product(options.seeds, labels):
        run(options.setup, label, seed, images, options, record)
        keras.backend.clear_session()
    return record.read()


def command(options: argparse.Namespace, labels: Sequence[str]) -> str:
    """The command that makes these runs, wherever the images are."""
    words = ["python -m benchmarks.straight_through_vae", "--setup"]
    words += [options.setup, "--estimators", *labels, "--seeds"]
    words += map(str, options.seeds)
    words += ["--steps", str(options.steps or SETUPS[options.setup].steps)]
    if options.learning_rate:
        words += ["--learning-rate", f"{options.learning_rate:g}"]
    return " ".join(words)


if __name__ == "__main__":
    main()
