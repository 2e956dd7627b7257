"""Gradient variance of unbiased estimators while a binary VAE trains.

    python -m benchmarks.variance [--mnist FILE] [--evaluations 2 3 4]
        [--estimators NAME ...] [--seeds 0] [--steps N] [--out FILE]

The set-up of Titsias & Shi 2022 and Shi et al. 2022 on dynamically binarised
MNIST: 200 Bernoulli variables with fair coins as the prior, encoder
784-200-200-200 and decoder 200-200-200-784 with LeakyReLU(0.3), Adam 1e-3,
batch 100, control variates with their own Adam 1e-3. The cost is the whole
-ELBO at the sample, log q(z|x) - log p(x, z), in nats; a pixel is drawn anew,
with its grey level as probability, whenever its image comes up. 50,000 images
train.

Estimators are compared at an equal number of evaluations of the cost per
example and step: with two of them rebar and relax have tied noise, with three
independent noise, and with four two tied samples; disarm takes pairs. An
estimator that the package does not have is left out.

The variance is that of the gradient in the logits of q(z|x): summed over the
200 coordinates, averaged over 100 images, over `--draws` estimates for each,
at the run's own weights. The papers show a running variance of the gradient in
the encoder's weights; ratios between estimators compare, absolute figures do
not. The results are the mean variance over the last half of the run, and the
bound: -ELBO with one sample on the training images, and with 100 samples, in
the logarithm of their mean weight, on the test images, each binarised by a
literal seed.

Runs go on where they stopped; every run is one entry of the JSON.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks
from benchmarks._training import STATE, Group, Record, Trainer, train
from tfgumbel import estimators, random
from tfgumbel.diagnostics.estimates import seeded, step_seed

OUT = Path(__file__).parent / "results" / "variance.json"
VARIABLES = 200
PROBE = 100

# By name: what it takes to make n evaluations, or None if it cannot.
Arguments = Callable[[int], dict[str, Any] | None]


def _samples(evaluations: int) -> dict[str, Any]:
    return {"samples": evaluations}


def _pairs(evaluations: int) -> dict[str, Any] | None:
    return None if evaluations % 2 else {"samples": evaluations // 2}


def _relaxed(**kwargs: Any) -> Arguments:
    def arguments(evaluations: int) -> dict[str, Any]:
        if evaluations % 2:
            return {"samples": evaluations // 3, "tied": False, **kwargs}
        return {"samples": evaluations // 2, **kwargs}

    return arguments


ESTIMATORS: dict[str, Arguments] = {
    "rloo": _samples,
    "disarm": _pairs,
    "arms": _samples,
    "double_cv": _samples,
    "rodeo": _samples,
    "rebar": _relaxed(),
    "relax": _relaxed(relaxed_cost=True),
    "unordered_set": _samples,
}


class Vae:
    """Encoder, decoder, and -ELBO at a sample."""

    def __init__(self, hidden: Sequence[int], variables: int) -> None:
        self.encoder = _perceptron([784, *hidden, variables])
        self.decoder = _perceptron([variables, *hidden[::-1], 784])
        self.weights = [
            *self.encoder.trainable_variables,
            *self.decoder.trainable_variables,
        ]

    def cost_fn(self, images: tf.Tensor, logits: tf.Tensor) -> Any:
        """log q(z|x) - log p(x, z); of q the sample is all that counts.

        The gradient of log q(z|x) in its own parameters has the mean zero.
        """
        logits = tf.stop_gradient(logits)

        def cost(z: tf.Tensor) -> tf.Tensor:
            own = estimators.tile_context(logits, z)
            # Not `ops.bernoulli_log_prob`: z may be relaxed.
            log_q = tf.reduce_sum(z * own - tf.nn.softplus(own), axis=1)
            log_prior = -z.shape[1] * math.log(2.0)
            error = _networks.reconstruction(self.decoder(z), images)
            return error + log_q - log_prior

        return cost

    def loss(
        self, estimator: estimators.Estimator, images: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """-ELBO per image, whose gradient is the estimator's."""
        logits = self.encoder(images)
        return estimator(self.cost_fn(images, logits), logits, seed, images)

    def log_weights(
        self, images: tf.Tensor, targets: tf.Tensor, samples: int, seed: Any
    ) -> tf.Tensor:
        """log p(x, z) / q(z|x), `[m, B]`."""
        logits = self.encoder(images)
        z = random.bernoulli(tf.tile(logits, [samples, 1]), seed)
        cost = self.cost_fn(targets, logits)(z)
        return -tf.reshape(cost, [samples, -1])


def _perceptron(sizes: Sequence[int]) -> keras.Sequential:
    layers: list[keras.layers.Layer] = [keras.Input([sizes[0]])]
    for size in sizes[1:-1]:
        layers += [keras.layers.Dense(size), keras.layers.LeakyReLU(0.3)]
    return keras.Sequential([*layers, keras.layers.Dense(sizes[-1])])


def binarize(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Each pixel drawn with its grey level as probability."""
    noise = random.uniform(tf.shape(images), seed)
    return tf.cast(noise * 255.0 < tf.cast(images, tf.float32), tf.float32)


def variance(
    vae: Vae,
    estimator: estimators.Estimator,
    images: tf.Tensor,
    draws: int,
    xla: bool = True,
) -> Callable[[], float]:
    """The gradient's variance in the logits of these images."""

    @tf.function(autograph=False, jit_compile=xla)
    def measure() -> tf.Tensor:
        logits = tf.tile(vae.encoder(images), [draws, 1])
        rows = tf.tile(images, [draws, 1])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            cost = estimator(vae.cost_fn(rows, logits), logits, [20, 26], rows)
        found = tape.gradient(cost, logits)
        found = tf.reshape(found, [draws, len(images), -1])
        spread = tf.math.reduce_variance(found, axis=0)
        unbiased = tf.reduce_sum(spread) * draws / (draws - 1)
        return unbiased / len(images)

    return lambda: float(measure())


def make(name: str, evaluations: int) -> estimators.Estimator | None:
    """The estimator at so many evaluations, if there is one."""
    arguments = ESTIMATORS[name](evaluations)
    if arguments is None or name not in estimators.available("bernoulli"):
        return None
    made = estimators.get(name, distribution="bernoulli", **arguments)
    assert made.evaluations == evaluations, (name, made.evaluations)
    return made


def run(
    name: str,
    evaluations: int,
    seed: int,
    data: dict[str, np.ndarray],
    options: argparse.Namespace,
    record: Record,
) -> dict[str, Any] | None:
    """One estimator at so many evaluations, one seed."""
    with seeded(seed):
        vae = Vae(options.hidden, options.variables)
        estimator = make(name, evaluations)
        if estimator is None:
            return None
        estimator.build((None, options.variables), (None, 784))
    held_out = len(data["x_train"]) // 6
    images = data["x_train"][:-held_out]

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        own, pixels = random.split(step_seed(seed, step), 2)
        drawn = binarize(batch[0], pixels)
        return tf.reduce_mean(vae.loss(estimator, drawn, own))

    trainer = Trainer(
        loss,
        _mnist.feed([images], options.batch, seed),
        [
            Group(keras.optimizers.Adam(1e-3), vae.weights),
            Group(keras.optimizers.Adam(1e-3), estimator.trainable_variables),
        ],
        estimator.non_trainable_variables,
        options.xla,
    )
    facts = {
        "estimator": name,
        "evaluations": evaluations,
        "arguments": ESTIMATORS[name](evaluations),
        "seed": seed,
        "batch": options.batch,
        "draws": options.draws,
        "treatment": "dynamic binarisation",
        "bound": "1-sample -ELBO, train; 100-sample bound, test",
    }
    probe = _mnist.binarize(images[:PROBE]).astype("float32")
    measure = variance(
        vae, estimator, tf.constant(probe), options.draws, options.xla
    )
    key = f"{name}/{evaluations} evaluations/{options.steps} steps/seed {seed}"

    def evaluate() -> dict[str, float]:
        return {"variance": measure()}

    def final() -> dict[str, float]:
        entry = record.entry(key)
        assert entry is not None
        curve = entry["curve"]["variance"]
        later = curve[len(curve) // 2 :]
        return {
            "variance": float(np.mean(later)),
            "train": bound(vae, images[: options.images], 1, options.xla),
            "test": bound(
                vae, data["x_test"][: options.images], 100, options.xla
            ),
        }

    return train(
        trainer,
        record,
        key,
        facts,
        options.steps,
        options.every,
        evaluate,
        final,
        options.state,
    )


def bound(vae: Vae, images: np.ndarray, samples: int, xla: bool) -> float:
    """-log 1/m Σ p(x, z) / q(z|x), on images binarised once."""
    binary = _mnist.binarize(images)
    value, _ = _networks.negative_bound(
        vae.log_weights, binary, binary, samples, xla=xla
    )
    return value


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what the JSON does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--mnist", metavar="FILE")
    add("--evaluations", nargs="+", type=int, default=[2, 3, 4])
    add("--estimators", nargs="+", choices=ESTIMATORS, metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--steps", type=int, default=200_000)
    add("--every", type=int, default=1000)
    add("--draws", type=int, default=20)
    add("--batch", type=int, default=100)
    add("--hidden", nargs="+", type=int, default=[200, 200])
    add("--variables", type=int, default=VARIABLES)
    add("--images", type=int, help="images of the bounds; all of them")
    add("--no-xla", dest="xla", action="store_false")
    add("--state", type=Path, default=STATE / "variance")
    add("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    data = _mnist.load(options.mnist)
    names = options.estimators or list(ESTIMATORS)
    record = Record(options.out, command(options))
    todo = itertools.product(options.seeds, options.evaluations, names)
    for seed, evaluations, name in todo:
        run(name, evaluations, seed, data, options, record)
        keras.backend.clear_session()
    return record.read()


def command(options: argparse.Namespace) -> str:
    """The command that makes these runs, wherever the images are."""
    words = ["python -m benchmarks.variance --evaluations"]
    words += map(str, options.evaluations)
    if options.estimators:
        words += ["--estimators", *options.estimators]
    words += ["--seeds", *map(str, options.seeds)]
    words += ["--steps", str(options.steps), "--every", str(options.every)]
    if options.images:
        words += ["--images", str(options.images)]
    return " ".join(words)


if __name__ == "__main__":
    main()
